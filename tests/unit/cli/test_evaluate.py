# SPDX-License-Identifier: Apache-2.0
"""``fedxdr evaluate`` as a user types it: small tables, the real protocol."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fedxdr.cli.main import app
from fedxdr.core.errors import InvalidSettings, InvalidTelemetry, TooFewParticipants
from fedxdr.learning.evaluation import FIGURES

ZEEK_SAMPLES = Path(__file__).parents[4] / "shared" / "data" / "zeek_samples"
LABELLED = "slips_test18-malicious-ctu-sme-11-win_conn.log.labeled.gz"


@pytest.fixture
def tables(tmp_path):
    """Write three organisations: a scan reaches one after another."""
    paths = {}
    for place, name in enumerate(("a", "b", "c")):
        draw = np.random.default_rng(place)
        rows = [
            (time, f"10.0.0.{draw.integers(2, 9)}", "10.0.0.1", 443, 900, "Benign")
            for time in draw.integers(0, 1000, 700)
        ]
        begin = 400 + 300 * place
        rows += [
            (begin + step / 10, "10.0.0.66", f"10.1.{place}.{step}", 22, 0, "Scan")
            for step in range(150)
        ]
        paths[name] = tmp_path / f"{name}.csv"
        paths[name].write_text(
            "ts,id.orig_h,id.resp_h,id.resp_p,orig_bytes,label\n"
            + "".join(",".join(map(str, row)) + "\n" for row in rows)
        )
    return paths


def run(*words):
    return CliRunner().invoke(app, ["evaluate", *words])


def org_options(paths):
    return [word for n, p in paths.items() for word in ("--org", f"{n}={p}")]


def test_the_object_has_every_figure_and_no_nan(tables):
    result = run(
        *org_options(tables),
        *("--compare", "local,federated,federated-clear", "--json"),
        *("--seeds", "1", "--rounds", "1"),
    )
    assert result.exception is None, result.output
    report = json.loads(result.stdout, parse_constant=pytest.fail)
    assert set(report["methods"]) == {"local", "federated", "federated-clear"}
    assert report["protocol"] == "time-split"
    for method in report["methods"].values():
        assert set(method) == {"mean", "interval", "organisations"}
        assert set(method["mean"]) == set(FIGURES)
        assert set(method["organisations"]) == {"a", "b", "c"}
        for item in method["organisations"].values():
            assert set(FIGURES) <= set(item)
    # masks are exact and their rounding is small
    assert report["masking_difference"] < 0.002
    assert report["seconds"] > 0
    assert report["events_per_second"] > 0


def test_with_noise_the_promise_is_in_the_object(tables, tmp_path):
    picture = tmp_path / "curve.png"
    result = run(
        *org_options(tables),
        *("--compare", "federated", "--json", "--seeds", "1", "--rounds", "1"),
        *("--protect", "dp", "--epsilon", "4", "--curve", str(picture)),
    )
    assert result.exception is None, result.output
    report = json.loads(result.stdout, parse_constant=pytest.fail)
    privacy = report["privacy"]
    assert report["features"] == "traffic-event"
    assert 3.9 < privacy["epsilon"] <= 4
    assert (privacy["unit"], privacy["occurrences"]) == ("event", 16)
    assert privacy["steps"] == privacy["steps_per_round"] == 10
    assert [point["epsilon"] for point in report["curve"]] == [1, 2, 4, 8, None]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_people_read_what_is_promised(tables):
    result = run(
        *org_options(tables),
        *("--compare", "federated", "--seeds", "1", "--rounds", "1"),
        *("--protect", "dp", "--epsilon", "4"),
    )
    assert result.exception is None, result.output
    assert "hidden with epsilon" in result.stdout.replace("\n", " ")


def test_people_get_tables(tables):
    result = run(*org_options(tables), "--compare", "local", "--rounds", "1")
    assert result.exception is None, result.output
    for word in ("Mean over organisations", "local", "earlier", "events per second"):
        assert word in result.stdout


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        ((), InvalidSettings, "--org NAME=PATH"),
        (("--dataset", "ait-ads"), InvalidSettings, "--data FOLDER"),
        (("--dataset", "ait-ads", "--data", "nowhere"), InvalidSettings, "--data"),
        (("--org", "a"), InvalidSettings, "NAME=PATH"),
        (("--org", "a=b.csv", "--epsilon", "4"), InvalidSettings, "add dp"),
        (("--org", "a=b.csv", "--curve", "a.png"), InvalidSettings, "add dp"),
        (
            ("--dataset", "ait-ads", "--protect", "dp", "--features", "counters"),
            InvalidSettings,
            "bounded past",
        ),
        (("--org", "a=none.csv"), InvalidSettings, "no such file"),
        (("--org", "a=none.log"), InvalidTelemetry, "none.log"),
        (("--org", "a=b.csv", "--features", "counters"), InvalidSettings, "ait-ads"),
    ],
)
def test_wrong_wishes_are_told_what_to_do(words, kind, said):
    result = run(*words)
    assert isinstance(result.exception, kind)
    assert said in str(result.exception)


def test_an_unknown_method_is_told_which_there_are(tables):
    result = run(*org_options(tables), "--compare", "magic")
    assert isinstance(result.exception, InvalidSettings)
    assert "isolation-forest" in str(result.exception)


def test_two_organisations_cannot_hide_from_each_other(tables):
    del tables["c"]
    result = run(*org_options(tables), "--compare", "federated", "--rounds", "1")
    assert isinstance(result.exception, TooFewParticipants)
    assert "give more with --org" in str(result.exception)


def test_a_labelled_zeek_log_is_read():
    path = ZEEK_SAMPLES / LABELLED
    if not path.is_file():
        pytest.skip("the labelled Zeek log is not on this machine")
    result = run(
        *("--org", f"ctu={path}", "--compare", "local", "--json"),
        *("--rounds", "1", "--seeds", "1"),
    )
    assert result.exception is None, result.output
    report = json.loads(result.stdout)
    assert list(report["methods"]["local"]["organisations"]) == ["ctu"]
