# SPDX-License-Identifier: Apache-2.0
"""NSL-KDD: who trains on which attacks, and what the test file may say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedxdr.core.errors import InvalidSettings, InvalidTelemetry
from fedxdr.learning import nsl_kdd, protocols

REAL = Path(__file__).parents[4] / "shared" / "data" / "nsl_kdd"
PROTOCOL = protocols.find("unseen-family")


def write(path, label, *, services=("http", "ftp"), seed=0):
    draw = np.random.default_rng(seed)
    rows = len(label)
    found = {name: draw.integers(0, 2, rows) for name in nsl_kdd._UNITS}
    found["protocol_type"] = draw.choice(["tcp", "udp"], rows)
    found["service"] = draw.choice(services, rows)
    found["flag"] = ["SF"] * rows
    pq.write_table(pa.table({**found, "label": label}), path)


@pytest.fixture
def folder(tmp_path):
    label = ["normal"] * 60 + ["neptune"] * 20 + ["satan"] * 20 + ["perl"] * 20
    write(tmp_path / nsl_kdd.TRAIN, label)
    write(
        tmp_path / nsl_kdd.TEST,
        ["normal"] * 9 + ["mscan", "perl"] * 3,
        services=("http", "new"),
        seed=1,
    )
    return tmp_path


def test_each_knows_one_group_and_all_are_tested_alike(folder):
    found, made = nsl_kdd.read(folder)
    assert [item.name for item in found] == ["dos", "probe", "access"]
    families = found[0].families
    for item, attack in zip(
        PROTOCOL.situations(found), ("neptune", "satan", "perl"), strict=True
    ):
        assert {families[number] for number in item.own.family} == {"benign", attack}
        assert (item.own.family == 0).sum() == 20
        assert {families[number] for number in item.test.family} == {
            *("benign", "mscan", "perl")
        }
        assert item.own.features.shape[1] == item.test.features.shape[1] == made.own


def test_a_value_of_the_test_file_alone_is_no_column(folder):
    found, _ = nsl_kdd.read(folder)
    names = [column.name for column in found[0].columns]
    assert "service=http" in names
    assert "service=new" not in names
    place = [names.index("service=http"), names.index("service=ftp")]
    test = PROTOCOL.situations(found)[0].test
    assert set(test.table[:, place].sum(axis=1)) == {0.0, 1.0}


def test_the_past_does_not_depend_on_the_test_file(folder):
    before = PROTOCOL.situations(nsl_kdd.read(folder)[0])
    write(folder / nsl_kdd.TEST, ["normal"] * 9 + ["mscan", "perl"] * 3, seed=2)
    after = PROTOCOL.situations(nsl_kdd.read(folder)[0])
    for first, second in zip(before, after, strict=True):
        assert first.own.features.tobytes() == second.own.features.tobytes()
        assert not np.array_equal(first.test.features, second.test.features)


def test_other_files_are_refused(folder):
    with pytest.raises(InvalidSettings, match="KDDTest-21"):
        nsl_kdd.read(folder, test=nsl_kdd.TEST_21)
    write(folder / nsl_kdd.TEST, ["normal", "mystery"])
    with pytest.raises(InvalidTelemetry, match="mystery"):
        nsl_kdd.read(folder)
    pq.write_table(
        pa.table({name: ["x"] for name in (*nsl_kdd._UNITS, *nsl_kdd._TEXTS, "label")}),
        folder / nsl_kdd.TEST,
    )
    with pytest.raises(InvalidTelemetry, match="another type"):
        nsl_kdd.read(folder)


def test_real_counts():
    if not (REAL / nsl_kdd.TRAIN).is_file():
        pytest.skip("NSL-KDD is not on this machine")
    for test, rows, attacks in (
        (nsl_kdd.TEST, 22544, 12833),
        (nsl_kdd.TEST_21, 11850, 9698),
    ):
        found, made = nsl_kdd.read(REAL, test=test)
        assert made.own == 118
        assert {
            item.own.name: (len(item.own.family), item.own.attacks)
            for item in PROTOCOL.situations(found)
        } == {"dos": (13717, 9234), "probe": (6772, 2289), "access": (4703, 220)}
        for item in PROTOCOL.situations(found):
            assert (len(item.test.family), item.test.attacks) == (rows, attacks)
