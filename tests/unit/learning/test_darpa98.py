# SPDX-License-Identifier: Apache-2.0
"""DARPA 1998 by network: who sees what, days, caps, and nothing from after the cut."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedxdr.core.errors import InvalidSettings, InvalidTelemetry
from fedxdr.learning import darpa98, features, protocols
from fedxdr.learning.darpa98 import Sight

REAL = Path(__file__).parents[4] / "shared" / "data" / "darpa98_graph"
PROTOCOL = protocols.find("subnet")
NETS = ("172.16.112", "192.168.1")
DAY = 86_400
START = 896_687_700


def columns(rows=4000):
    draw = np.random.default_rng(0)
    hosts = ["172.016.112.001", "172.016.112.050", "192.168.001.010", "010.000.000.001"]
    return {
        "ts": np.sort(START + draw.integers(0, 61 * DAY, rows) // 60 * 60),
        "src": draw.choice(hosts, rows),
        "dst": draw.choice(hosts, rows),
        "label": draw.choice(["-", "-", "smurf", "satan"], rows),
    }


def write(folder, found):
    found["ts"][0] = START
    coded = {
        name: pa.array(found[name]).dictionary_encode()
        for name in ("src", "dst", "label")
    }
    pq.write_table(pa.table({"ts": found["ts"], **coded}), folder / darpa98.FILE)


def read(folder, sight=Sight.BOTH, name="traffic"):
    return darpa98.read(folder, features.find(name), sight=sight, subnets=NETS)


def test_rows_lead_into_the_network_and_days_split_them(tmp_path):
    given = columns()
    write(tmp_path, given)
    found = read(tmp_path)
    assert [item.name for item in found] == ["172-16-112", "192-168-1"]
    into = np.char.startswith(given["dst"], "172.016.112.")
    past = given["ts"] < START + 36 * DAY
    situation = PROTOCOL.situations(found)[0]
    assert len(situation.own.family) == (into & past).sum()
    assert len(situation.test.family) == (into & ~past).sum()
    (held,) = PROTOCOL.validation(situation)
    late = given["ts"] >= START + 28 * DAY
    assert len(held.test.family) == (into & past & late).sum()
    assert len(held.own.family) == (into & ~late).sum()
    assert held.cut_ns == (START + 28 * DAY) * 10**9


def test_sight_decides_about_context_only(tmp_path):
    given = columns()
    write(tmp_path, given)
    both, into = read(tmp_path)[0], read(tmp_path, Sight.INTO)[0]
    is_into = np.char.startswith(given["dst"], "172.016.112.")
    is_from = np.char.startswith(given["src"], "172.016.112.")
    assert len(both.stream) == (is_into | is_from).sum()
    assert len(into.stream) == len(into.family) == is_into.sum()
    assert np.array_equal(both.family, into.family)
    assert not np.array_equal(both.features, into.features)
    assert (both.stream.label == -1).all()
    assert np.array_equal(both.stream.time_ns[both.place], both.time_ns)


def test_caps_hold_on_each_side_of_the_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(darpa98, "MOST_PER_FAMILY", 20)
    monkeypatch.setattr(darpa98, "MOST_BENIGN", 50)
    write(tmp_path, columns())
    for item in PROTOCOL.situations(read(tmp_path)):
        assert np.bincount(item.own.family).tolist() == [50, 20, 20]
        assert np.bincount(item.test.family).tolist() == [50, 20, 20]


def bits(part):
    streams = [getattr(part.stream, item.name) for item in fields(part.stream)][:-1]
    arrays = [part.features, part.family, part.time_ns, part.place, *streams]
    return [array.tobytes() for array in arrays]


@pytest.mark.parametrize("sight", Sight)
def test_what_comes_after_the_cut_changes_no_past(tmp_path, monkeypatch, sight):
    monkeypatch.setattr(darpa98, "MOST_PER_FAMILY", 100)
    monkeypatch.setattr(darpa98, "MOST_BENIGN", 300)
    given = columns()
    write(tmp_path, given)
    before = PROTOCOL.situations(read(tmp_path, sight))
    later = np.flatnonzero(given["ts"] >= START + 36 * DAY)
    draw = np.random.default_rng(1)
    for name in ("src", "dst", "label"):
        given[name][later] = given[name][draw.permutation(later)]
    write(tmp_path, given)
    after = PROTOCOL.situations(read(tmp_path, sight))
    assert bits(before[0].test) != bits(after[0].test)
    for first, second in zip(before, after, strict=True):
        for one, other in zip(first.parts, second.parts, strict=True):
            assert bits(one) == bits(other)
    for first, second in zip(
        PROTOCOL.validations(before), PROTOCOL.validations(after), strict=True
    ):
        for one, other in zip(first.parts, second.parts, strict=True):
            assert bits(one) == bits(other)
        assert bits(first.test) == bits(second.test)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InvalidSettings, match="--data"):
        read(tmp_path)
    given = columns()
    write(tmp_path, given)
    with pytest.raises(InvalidTelemetry, match=r"into 1\.2\.3"):
        darpa98.read(tmp_path, features.find("counters"), subnets=("1.2.3",))
    for name, values, said in (
        ("label", ["smurf"] * 4000, "benign"),
        ("ts", ["x"] * 4000, "no number"),
        ("dst", [1] * 4000, "no text"),
    ):
        pq.write_table(pa.table({**given, name: values}), tmp_path / darpa98.FILE)
        with pytest.raises(InvalidTelemetry, match=said):
            read(tmp_path)


@pytest.mark.soak
def test_real_counts():
    if not (REAL / darpa98.FILE).is_file():
        pytest.skip("the DARPA 1998 edges are not on this machine")
    none = features.FeatureSet(
        name="none",
        keys=0,
        token=0,
        own=1,
        is_bounded=True,
        make=lambda _, rows: np.zeros((len(rows), 1), np.float32),
    )
    found = {}
    for item in PROTOCOL.situations(darpa98.read(REAL, none, sight=Sight.INTO)):
        (held,) = PROTOCOL.validation(item)
        parts = (item.own, item.test, held.test)
        found[item.name] = [(len(part.family), part.attacks) for part in parts]
    assert found == {
        "172-16-112": [(35899, 15899), (47204, 27204), (11212, 6795)],
        "172-16-113": [(24111, 7291), (27847, 13175), (5280, 993)],
        "172-16-114": [(33393, 13393), (42518, 22518), (9811, 5412)],
        "192-168-1": [(20079, 79), (28168, 8168), (11779, 0)],
        "194-27-251": [(20000, 0), (20698, 698), (14594, 0)],
    }
