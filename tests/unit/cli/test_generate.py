# SPDX-License-Identifier: Apache-2.0
"""Embedded telemetry as a command: what it writes is what it says."""

import json
from pathlib import Path

from fedxdr.intake import read
from fedxdr.privacy import Pseudonymiser
from fedxdr.simulation import read_truth


def test_every_mix_is_written_and_named(run, tmp_path):
    done = run("generate", tmp_path, "--orgs", 5, "--hours", 24, "--json")
    assert done.status == 0
    told = json.loads(done.out)
    found = told["organisations"]
    assert [one["sensors"] for one in found.values()] == [
        "mixed", "suricata", "zeek", "zeek-json", "with-hosts",
    ]  # fmt: skip
    for one in found.values():
        assert all(Path(path).stat().st_size > 1000 for path in one["logs"])
        assert "T1486" in read_truth(Path(one["truth"])).technique
    assert told["cut"] == "2025-03-03T12:00:00+00:00"


def test_what_is_asked_for(run, tmp_path):
    done = run(
        "generate", tmp_path, "--orgs", 2, "--hours", 24, "--sensors", "zeek",
        "--technique", "T1486", "--technique", "T1046", "--private-at", "org-2",
    )  # fmt: skip
    assert done.status == 0
    assert "2025-03-03T12:00:00+00:00 is past" in done.out
    truths = [read_truth(tmp_path / f"org-{n}" / "truth.csv") for n in (1, 2)]
    named = [{name for name in truth.technique if name} for truth in truths]
    assert named == [{"T1046", "T1486"}, {"T1213"}]
    assert not (tmp_path / "org-1" / "eve.json").exists()


def test_the_second_half_comes_as_time_passes(run, tmp_path):
    done = run(
        "generate", tmp_path / "live", "--orgs", 1, "--hours", 24,
        "--live", 1e6, "--json",
    )  # fmt: skip
    (one,) = json.loads(done.out)["organisations"].values()
    run("generate", tmp_path / "whole", "--orgs", 1, "--hours", 24)
    tokenise = Pseudonymiser(bytes(32))
    live, whole = (
        read(logs, tokenise=tokenise)
        for logs in (one["logs"], [tmp_path / "whole/org-1"])
    )
    assert live.rejected == whole.rejected == 0
    assert len(live.events) == len(whole.events)


def test_what_cannot_be(fails, tmp_path):
    for asked in (
        ["--orgs", 0],
        ["--seed", -1],
        ["--hours", "nan"],
        ["--live", 0],
        ["--live", "nan"],
        ["--technique", "T0000"],
        ["--hours", 2],
        ["--private-at", "zulu"],
    ):
        fails(["generate", tmp_path, *asked], 2, "invalid-settings")
