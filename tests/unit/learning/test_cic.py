# SPDX-License-Identifier: Apache-2.0
"""The CIC sample: the published counts, nothing of the test in the past."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedxdr.core.errors import InvalidSettings, InvalidTelemetry
from fedxdr.learning import cic, features, parquet, protocols
from fedxdr.learning.own_columns import SHARE

REAL = Path(__file__).parents[4] / "shared" / "data" / "cicids2017_improved_sample"
PROTOCOL = protocols.find("unseen-family")


def columns(rows=1500):
    draw = np.random.default_rng(0)
    label = draw.choice(["BENIGN", *cic.FAMILIES, "Heartbleed"], rows)
    inner = [f"192.168.10.{number}" for number in draw.integers(5, 15, rows)]
    outer = [f"172.16.0.{number}" for number in draw.integers(1, 4, rows)]
    is_out = draw.random(rows) < 0.5
    start = np.datetime64("2017-07-03T08:00:00", "us")
    stamps = start + draw.permutation(rows).astype("timedelta64[s]")
    found = {
        "Src IP": np.where(is_out, inner, outer),
        "Dst IP": np.where(is_out, outer, inner),
        "Src Port": draw.integers(1024, 65536, rows),
        "Dst Port": draw.choice([22, 80, 443], rows),
        "Protocol": draw.choice([6, 17], rows),
        "Timestamp": [str(stamp).replace("T", " ") for stamp in stamps],
        "Label": label,
    }
    for column in cic.COLUMNS:
        if column.unit != SHARE:
            found[column.name] = draw.integers(0, 10**6, rows).astype(np.float64)
    found["Flow Bytes/s"][:2] = np.inf, np.nan
    return found


def read(folder, found, around=None):
    pq.write_table(pa.table(found), folder / cic.FILE)
    return cic.read(folder, around=around)[0]


def test_every_family_is_learned_by_two_and_tested_by_all(tmp_path):
    found = read(tmp_path, columns())
    situations = PROTOCOL.situations(found)
    for number in range(1, 11):
        assert sum(number in item.own.family for item in situations) == 2
        assert all(number in item.test.family for item in situations)
    assert all((item.own.family == 0).any() for item in situations)
    # the family that is too rare is nowhere
    rows = sum(len(item.family) for item in found)
    assert rows == (columns()["Label"] != "Heartbleed").sum()


def test_own_numbers_are_the_flow_statistics(tmp_path):
    given = columns()
    item = read(tmp_path, given)[0]
    assert item.table.shape == (len(item.family), len(cic.COLUMNS))
    assert np.isfinite(item.table).all()
    names = [column.name for column in cic.COLUMNS]
    assert len(names) == len(set(names)) == 83
    assert not {"Src Port", "Dst Port"} & set(names)
    column = item.table[:, names.index("Flow Duration")]
    assert np.isin(column, given["Flow Duration"]).all()
    assert set(item.table[:, -2] + item.table[:, -1]) == {1.0}


def test_events_carry_ends_and_no_label(tmp_path):
    for item in read(tmp_path, columns()):
        assert (item.stream.label == -1).all()
        assert np.array_equal(item.stream.time_ns[item.place], item.time_ns)
        assert (item.stream.source != item.stream.destination).all()


def test_what_is_tested_on_is_in_no_past(tmp_path):
    given = columns()
    before = PROTOCOL.situations(read(tmp_path, given))
    tested = {row.tobytes() for item in before for row in item.test.features}
    poisoned = {**given}
    for column in cic.COLUMNS:
        if column.unit != SHARE:
            poisoned[column.name] = given[column.name].copy()
    order = np.argsort(given["Timestamp"], kind="stable")
    for family in ("BENIGN", *cic.FAMILIES):
        rows = order[given["Label"][order] == family]
        for column in cic.COLUMNS:
            if column.unit != SHARE:
                poisoned[column.name][rows[int(0.6 * len(rows)) :]] = -1e9
    after = PROTOCOL.situations(read(tmp_path, poisoned))
    for first, second in zip(before, after, strict=True):
        assert not np.array_equal(first.test.features, second.test.features)
    pairs = zip(
        [*before, *PROTOCOL.validations(before)],
        [*after, *PROTOCOL.validations(after)],
        strict=True,
    )
    for place, (first, second) in enumerate(pairs):
        for one, other in zip(first.parts, second.parts, strict=True):
            assert one.features.tobytes() == other.features.tobytes()
            assert np.array_equal(one.family, other.family)
            assert not tested & {row.tobytes() for row in one.features}
        if place >= len(before):
            assert first.test.features.tobytes() == second.test.features.tobytes()


def test_a_neighbourhood_can_stand_in_front(tmp_path):
    around = features.find("counters")
    pq.write_table(pa.table(columns()), tmp_path / cic.FILE)
    found, made = cic.read(tmp_path, around=around)
    assert made.name == "cic-counters"
    assert found[0].features.shape[1] == made.architecture().inputs == 15 + 83


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InvalidSettings, match="--data"):
        cic.read(tmp_path)
    for name, values, said in (
        ("Timestamp", ["yesterday"] * 1500, "ISO 8601"),
        ("Flow Duration", ["1"] * 1500, "another type"),
    ):
        with pytest.raises(InvalidTelemetry, match=said):
            read(tmp_path, {**columns(), name: values})
    found = columns()
    del found["Idle Max"]
    with pytest.raises(InvalidTelemetry, match="no column Idle Max"):
        read(tmp_path, found)


def test_the_split_is_the_published_one():
    if not (REAL / cic.FILE).is_file():
        pytest.skip("the CIC-IDS2017 sample is not on this machine")
    organisations, made = cic.read(REAL)
    situations = PROTOCOL.situations(organisations)
    # printed by the protocol's own program
    assert [len(item.own.family) for item in situations] == [
        5203,
        5049,
        5749,
        5018,
        4940,
    ]
    assert [
        round(item.own.attacks / len(item.own.family), 3) for item in situations
    ] == [
        0.906,
        0.867,
        0.883,
        0.932,
        0.832,
    ]
    assert [len(item.test.family) for item in situations] == [
        3478,
        3536,
        3453,
        3240,
        3602,
    ]
    names = set(parquet.read(REAL / cic.FILE)) - {
        *("id", "Flow ID", "Label", "Attempted Category", *cic._KEYS)
    }
    assert names == {item.name for item in cic.COLUMNS if item.unit != SHARE}
    assert made.own == 83
