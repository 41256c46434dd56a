# SPDX-License-Identifier: Apache-2.0
"""``fedxdr detect``: findings in files, in a bundle, in a sink; and what is refused."""

from __future__ import annotations

import dataclasses
import json
import stat
from pathlib import Path

import pytest
import stix2
from py_ocsf_models.events.findings.detection_finding import DetectionFinding
from tests.unit.app.conftest import ADDRESS
from tests.unit.app.detection import snapshot_of, write_logs
from tests.unit.transport.sinks.receivers import HttpReceiver, Response, Splunk

from fedxdr.app import scoring
from fedxdr.app.orchestrating import initialise
from fedxdr.app.scoring import height_of
from fedxdr.app.server_file import ServerFile
from fedxdr.core.ids import sha256
from fedxdr.intake import read
from fedxdr.ledger.lineage import brings_model
from fedxdr.models import snapshot
from fedxdr.privacy import Pseudonymiser


@pytest.fixture
def made(tmp_path):
    """An orchestrator's folder whose first model reads logs."""
    folder = tmp_path / "server"
    initialise(folder, federation="drill", model=snapshot.load(snapshot_of()))
    dataclasses.replace(ServerFile.read(folder), address=ADDRESS).write(folder)
    return folder


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(snapshot_of())
    return path


@pytest.fixture
def log(tmp_path):
    """The first quarter of a log."""
    (path,) = write_logs(tmp_path / "logs")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2500]))
    return path


def test_findings_are_lines_of_ocsf_and_nothing_else(run, log, model):
    done = run("detect", log, "--model", model)
    assert done.status == 0, done.err
    found = [json.loads(line) for line in done.out.splitlines()]
    assert found
    for one in found:
        DetectionFinding.model_validate(one)
        assert one["unmapped"]["model"] == sha256(snapshot_of())
        assert one["unmapped"]["ledger_index"] is None
        assert one["metadata"]["tenant_uid"] == "own"
        assert one["observables"]
        for who in one["observables"]:
            assert who["type_id"] in {2, 4}, "a real address or account, no token"
    assert "The earlier half of the logs (" in done.err
    assert "Suricata EVE, 2500 events, 0 skipped, 0 refused" in done.err
    assert "benign events a day are expected above it" in done.err


def test_a_summary_a_file_and_a_bundle(run, log, model, tmp_path):
    out, bundle = tmp_path / "findings.ndjson", tmp_path / "bundle.json"
    log.write_bytes(log.read_bytes() + b'{"event_type":"stats"\n')
    done = run(
        "detect", log, "--model", model, "--budget", 0.05, "--out", out,
        "--stix", bundle, "--json",
    )  # fmt: skip
    assert done.status == 0, done.err
    told = json.loads(done.out)
    (file,) = told["files"]
    assert file["path"] == str(log)
    assert (file["kept"], file["refused"]) == (2500, 1)
    assert sum(file["why_refused"].values()) == 1
    # alerts are no input
    assert told["events"] + told["past_events"] <= 2500
    assert abs(told["events"] - told["past_events"]) <= 1
    assert told["past_is_earlier_half"] is told["is_calibrated"] is True
    assert told["budget"] == 0.05
    assert told["seconds"] > 0
    lines = out.read_bytes().splitlines()
    assert told["findings"] == len(lines) == sum(told["by_severity"].values())
    assert sum(told["by_tactic"].values()) == len(lines)
    for path in (out, bundle):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(stix2.parse(bundle.read_text()).objects) > 3
    assert told["expected_false_alarms_per_day"] > 0.05 * told["events"]


def test_an_earlier_log_is_the_past(run, log, model, tmp_path):
    lines = log.read_bytes().splitlines(keepends=True)
    older, newer = tmp_path / "eve.json.1", tmp_path / "eve.json"
    older.write_bytes(b"".join(lines[:1500]))
    newer.write_bytes(b"".join(lines[1000:]))
    told = json.loads(
        run("detect", newer, "--past", older, "--model", model, "--json").out
    )
    # what the past holds as well is not judged
    rows = int(read([log], tokenise=Pseudonymiser(bytes(32))).events.is_input.sum())
    assert told["past_events"] + told["events"] == rows
    assert told["past_is_earlier_half"] is False
    assert [one["kept"] for one in told["files"]] == [1500, 1500]


def test_a_past_that_is_too_short_is_told(run, log, model):
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:40]))
    done = run("detect", log, "--model", model)
    assert done.status == 0
    assert "too few to choose a threshold" in done.err


def test_into_a_sink(run, log, model, tmp_path):
    splunk = Splunk()
    receiver = HttpReceiver(splunk)
    secret = tmp_path / "hec.token"
    secret.write_text("token")
    secret.chmod(0o600)
    url = receiver.base.replace("http", "hec+http") + f"#secret-file={secret}"
    try:
        done = run("detect", log, "--model", model, "--sink", url, "--json")
        assert done.status == 0, done.err
        assert receiver.requests
        receiver.answer = lambda _: Response(503)
        away = run("detect", log, "--model", model, "--sink", url, "--json")
        assert (away.status, away.out) == (4, "")
    finally:
        receiver.down()


def test_the_newest_model_of_the_federation(run, place, log):
    place.found("aurora", "borealis", "cascade")
    opened = place.agent("aurora")
    opened.follow_ledger()
    opened.participant.model()
    opened.close()
    folder = place.folder("aurora")
    done = run("detect", log, "--dir", folder)
    assert done.status == 0, done.err
    found = [json.loads(line) for line in done.out.splitlines()]
    assert {one["metadata"]["tenant_uid"] for one in found} == {"aurora"}
    assert {one["unmapped"]["ledger_index"] for one in found} == {0}
    assert (folder / "keys" / "pseudonym.key").exists()
    # the same logs, model and key: the same ids
    again = run("detect", log, "--dir", folder).out.splitlines()
    assert [json.loads(line)["metadata"]["uid"] for line in again] == [
        one["metadata"]["uid"] for one in found
    ]


def test_what_is_refused_says_what_to_do(fails, log, model, tmp_path):
    for options, code, words in (
        ([log], "invalid-settings", "--dir"),
        ([log, "--dir", tmp_path, "--model", model], "invalid-settings", "--model"),
        ([log, "--dir", tmp_path / "none"], "invalid-settings", "fedxdr join"),
        ([log, "--model", tmp_path / "none"], "invalid-settings", "cannot read"),
        ([log, "--model", log], "malformed-message", "snapshot"),
        ([log, "--model", model, "--budget", 0], "invalid-settings", "--budget"),
        ([log, "--model", model, "--budget", 1], "invalid-settings", "--budget"),
        ([tmp_path / "no.log", "--model", model], "invalid-telemetry", "no.log"),
        ([model, "--model", model], "invalid-telemetry", "neither Suricata"),
        ([log, "--model", model, "--sink", "ftp://x"], "invalid-settings", "sink"),
        (
            [log, "--model", model, "--past", log],
            "invalid-telemetry",
            "later than the past",
        ),
    ):
        fails(["detect", *options], 2, code, words)


def test_a_log_without_events(fails, model, tmp_path):
    log = tmp_path / "eve.json"
    log.write_text('{"timestamp":"2025-03-04T05:25:34+0000","event_type":"stats"}\n')
    fails(["detect", log, "--model", model], 2, "invalid-telemetry", "nothing to score")


def test_an_agent_that_was_never_run_has_no_model(fails, place, log):
    place.join("aurora")
    fails(["detect", log, "--dir", place.folder("aurora")], 4, "unavailable", "run")


def test_a_federation_that_has_trained_nothing(fails, place, log, monkeypatch):
    place.found("aurora", "borealis", "cascade")
    opened = place.agent("aurora")
    opened.follow_ledger()
    opened.participant.model()
    opened.close()
    monkeypatch.setattr(scoring.ModelFile, "is_trained", False)
    folder = place.folder("aurora")
    fails(["detect", log, "--dir", folder], 4, "unavailable", "round start")


def test_nothing_found_writes_no_bundle(run, log, model, tmp_path):
    bundle = tmp_path / "bundle.json"
    out = tmp_path / "out.ndjson"
    done = run(
        "detect", log, "--model", model, "--budget", 1e-9, "--stix", bundle,
        "--out", out,
    )  # fmt: skip
    assert done.status == 0
    assert "is not written" in done.err
    assert not bundle.exists()
    assert out.read_bytes() == b""


def test_the_past_is_a_path_like_any_other(fails, log, model):
    options = ["detect", log, "--model", model, "--past", Path("nowhere") / "*.json"]
    fails(options, 2, "invalid-telemetry", "nowhere")


def test_the_block_that_brought_a_model(federation):
    recorder = federation.recorder
    known = [recorder.blocks(begin=n, end=n + 1)[0] for n in range(recorder.size())]
    heights = {
        signed.block.model_hash: signed.block.height
        for signed in known
        if brings_model(signed.block)
    }
    assert len(heights) == 3
    for digest, height in heights.items():
        assert height_of(recorder, digest) == height
    assert height_of(recorder, recorder.in_force.model) == max(heights.values())
