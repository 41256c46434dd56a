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
from fedxdr.learning import known
from fedxdr.learning.dataset import Organisation
from fedxdr.learning.evaluation import FIGURES
from fedxdr.learning.own_columns import OwnColumn, feature_set

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
        (
            ("--dataset", "cic", "--data", ".", "--protocol", "causal"),
            InvalidSettings,
            "unseen-family",
        ),
        (("--org", "a=b.csv", "--protocol", "subnet"), InvalidSettings, "time-split"),
        (
            ("--dataset", "darpa98", "--data", ".", "--protect", "dp"),
            InvalidSettings,
            "under caps",
        ),
        (("--dataset", "cic", "--sight", "both"), InvalidSettings, "darpa98"),
        (("--dataset", "cic", "--data", "nowhere"), InvalidSettings, "--data"),
        (("--dataset", "darpa98", "--data", "nowhere"), InvalidSettings, "--data"),
        (("--dataset", "nsl-kdd", "--data", "nowhere"), InvalidSettings, "--data"),
    ],
)
def test_wrong_wishes_are_told_what_to_do(words, kind, said):
    result = run(*words)
    assert isinstance(result.exception, kind)
    assert said in str(result.exception)


def test_a_report_says_what_the_object_says(tables, tmp_path, monkeypatch):
    folder = tmp_path / "report"
    monkeypatch.setattr("sys.argv", ["x", "evaluate", "--org", "a b=c.csv"])
    result = run(
        *org_options(tables),
        *("--compare", "federated", "--json", "--seeds", "1", "--rounds", "1"),
        *("--protect", "none", "--report", str(folder), "--who-from"),
    )
    assert result.exception is None, result.output
    told = json.loads(result.stdout, parse_constant=pytest.fail)
    assert told["report"] == str(folder / "report.md")
    assert {item.name for item in folder.iterdir()} == {
        *("report.md", "precision-recall.png", "recall-false-alarms.png"),
        "who-learned-from-whom.png",
    }
    text = (folder / "report.md").read_text()
    assert "fedxdr evaluate --org 'a b=c.csv'" in text
    assert f"{told['methods']['federated']['mean']['auc']:.3f}" in text
    # b had too few rows by the time of c's cut
    assert set(told["who_from"]["c"]) == {"a"}
    assert set(told["who_from"]["c"]["a"]) == {"recall_at_1pct_fpr", "families"}


def test_people_read_who_learned_from_whom(tables):
    result = run(
        *org_options(tables),
        *("--compare", "local", "--protect", "none", "--seeds", "1", "--rounds", "1"),
        "--who-from",
    )
    assert result.exception is None, result.output
    assert "who learned" in result.stdout


def test_settings_are_chosen_on_the_past(tables):
    words = ("--compare", "local-gradient-boosting", "--json", "--seeds", "1")
    result = run(*org_options(tables), *words, "--protocol", "causal", "--validate")
    assert result.exception is None, result.output
    told = json.loads(result.stdout)
    assert (told["split"], told["protocol"]) == ("validation", "causal")
    assert told["who_from"] is None
    items = told["methods"]["local-gradient-boosting"]["organisations"]
    assert all(item["is_counted"] for item in items.values())


def test_a_data_set_brings_its_protocol_and_features(monkeypatch):
    draw = np.random.default_rng(0)
    organisations = [
        Organisation(
            name=name,
            time_ns=np.arange(300),
            features=draw.uniform(0, 4, (300, 3)).astype(np.float32),
            family=np.arange(300) % 3,
            families=("benign", "scan", "leak"),
            may_train=np.arange(300) < 200,
            may_test=np.arange(300) >= 200,
        )
        for name in "abc"
    ]
    columns = [OwnColumn(name=name, unit="bytes") for name in "xyz"]
    made = feature_set("cic", columns)
    monkeypatch.setattr(known.cic, "read", lambda *_, **__: (organisations, made))
    result = run(
        *("--dataset", "cic", "--data", ".", "--compare", "federated", "--json"),
        *("--seeds", "1", "--rounds", "1", "--protect", "none"),
    )
    assert result.exception is None, result.output
    told = json.loads(result.stdout)
    assert (told["protocol"], told["features"]) == ("unseen-family", "cic-own")
    assert list(told["methods"]["federated"]["organisations"]) == ["a", "b", "c"]


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
