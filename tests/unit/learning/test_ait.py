# SPDX-License-Identifier: Apache-2.0
"""The alert data set: caps, families, and the published split where the data is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedxdr.core.errors import InvalidSettings, InvalidTelemetry
from fedxdr.learning import ait, dataset, features

REAL = Path(__file__).parents[4] / "shared" / "data" / "ait_ads"


@pytest.fixture
def folder(tmp_path):
    draw = np.random.default_rng(0)
    rows = 3000
    pq.write_table(
        pa.table(
            {
                "org": pa.array(draw.choice(["b", "a"], rows)).dictionary_encode(),
                "time": draw.integers(0, 10_000, rows),
                "name": ["never read"] * rows,
                "ip": pa.array(draw.choice(["1.1.1.1", "2.2.2.2"], rows)),
                "host": pa.array(draw.choice(["x", "y", "z"], rows)),
                "short": pa.array(draw.choice(["A-1", "W-2"], rows)),
                "time_label": ["never read"] * rows,
                "event_label": draw.choice(["-", "scan", "leak"], rows),
            }
        ),
        tmp_path / ait.FILE,
    )
    return tmp_path


def test_organisations_come_sorted_with_their_families(folder):
    a, b = ait.read(folder, features.find("counters"))
    assert (a.name, b.name) == ("a", "b")
    assert a.families == ("benign", "leak", "scan")
    assert len(a.family) + len(b.family) == 3000
    assert (np.diff(a.time_ns) >= 0).all()


def test_caps_hold_per_organisation_and_step(folder, monkeypatch):
    whole = ait.read(folder, features.find("alerts"))
    monkeypatch.setattr(ait, "MOST_PER_STEP", 40)
    monkeypatch.setattr(ait, "MOST_BENIGN", 100)
    for item, full in zip(
        ait.read(folder, features.find("alerts")), whole, strict=True
    ):
        assert np.bincount(item.family).tolist() == [100, 40, 40]
        # what is sampled keeps the context of all
        rows = {row.tobytes() for row in full.features}
        assert all(row.tobytes() in rows for row in item.features)


def test_missing_and_broken_files_are_told(tmp_path):
    alerts = features.find("alerts")
    with pytest.raises(InvalidSettings, match="--data"):
        ait.read(tmp_path, alerts)
    (tmp_path / ait.FILE).write_bytes(b"x")
    with pytest.raises(InvalidTelemetry, match="not a Parquet file"):
        ait.read(tmp_path, alerts)


def test_the_split_is_the_published_one():
    if not (REAL / ait.FILE).is_file():
        pytest.skip("the AIT alert data set is not on this machine")
    none = features.FeatureSet(
        name="none",
        keys=0,
        token=0,
        own=1,
        is_bounded=True,
        make=lambda _, rows: np.zeros((len(rows), 1), np.float32),
    )
    found = {
        s.own.name: (
            s.earlier_victims,
            len(s.own.family),
            s.own.attacks,
            len(s.test.family),
            s.test.attacks,
        )
        for s in dataset.situations(ait.read(REAL, none))
    }
    # printed by the protocol's own program: rows and attacks of past and test
    assert found == {
        "santos": (0, 17887, 4000, 14197, 8084),
        "fox": (1, 12048, 6, 16019, 8061),
        "wardbeck": (2, 13092, 4, 12485, 5573),
        "russellmitchell": (2, 10532, 4, 17553, 8081),
        "shaw": (4, 10826, 0, 14713, 5539),
        "wheeler": (4, 11851, 5, 16237, 8083),
        "wilson": (7, 12988, 8, 15093, 8073),
        "harrison": (6, 15208, 2642, 16880, 9446),
    }
    assert next(iter(found)) == "santos"


def test_coins_keep_every_benign_row_and_an_eighth_of_attacks(folder, monkeypatch):
    monkeypatch.setattr(ait, "MOST_PER_STEP", 40)
    monkeypatch.setattr(ait, "MOST_BENIGN", 100)
    found = features.find("alerts-event")
    capped = ait.read(folder, found)
    for item, other in zip(ait.read(folder, found, by_coins=True), capped, strict=True):
        trained, tested = item.family[item.may_train], item.family[item.may_test]
        assert np.bincount(tested).tolist() == [100, 40, 40]
        assert np.array_equal(item.features[item.may_test], other.features)
        # 3,000 rows, two organisations, a third benign
        assert 400 < (trained == 0).sum() < 600
        assert 80 < (trained != 0).sum() < 170
