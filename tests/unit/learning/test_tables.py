# SPDX-License-Identifier: Apache-2.0
"""Anybody's labelled table: what is found, and what is said when it is not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedxdr.core.errors import InvalidSettings, InvalidTelemetry
from fedxdr.learning import features, tables
from fedxdr.telemetry.catalogue import Service

SECOND = 10**9


@pytest.fixture
def write(tmp_path):
    def make(text, name="table.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return make


ZEEK = """ts,id.orig_h,id.orig_p,id.resp_h,id.resp_p,\
proto,service,duration,orig_bytes,resp_bytes,label
30.5,10.0.0.2,4000,10.0.0.1,80,tcp,http,0.25,100,900,Malicious
10,10.0.0.1,4001,10.0.0.2,53,udp,-,-,40,-,Benign
"""


def test_zeek_names_are_read_and_sorted(write):
    found = tables.read(write(ZEEK))
    events = found.events
    assert events.time_ns.tolist() == [10 * SECOND, 30 * SECOND + SECOND // 2]
    assert found.family.tolist() == [0, 1]
    assert found.families == ("benign", "Malicious")
    assert events.label.tolist() == [0, 1]
    assert events.destination_port.tolist() == [53, 80]
    assert events.protocol.tolist() == [17, 6]
    assert events.service.tolist() == [Service.UNKNOWN, Service.HTTP]
    assert events.bytes_in.tolist() == [-1, 900]
    assert events.duration_s[1] == 0.25
    assert np.isnan(events.duration_s[0])
    # the same address is the same token on both sides
    assert events.source.tolist() == events.destination.tolist()[::-1]


@pytest.mark.parametrize(
    ("times", "want"),
    [
        (("1642213952", "1642213953.5"), 1642213952),
        (("1642213952000", "1642213953500"), 1642213952),
        (("1642213952000000", "1642213953500000"), 1642213952),
        (("2022-01-15T02:32:32", "2022-01-15 02:32:33.5"), 1642213952),
        (("2022-01-15T02:32:32Z", "2022-01-15T02:32:33.500Z"), 1642213952),
    ],
)
def test_times_come_in_many_units(write, times, want):
    rows = "".join(f"{time},0\n" for time in times)
    events = tables.read(write("Timestamp,Label\n" + rows)).events
    assert events.time_ns[0] == pytest.approx(want * SECOND, abs=1000)
    assert events.time_ns[1] - events.time_ns[0] == pytest.approx(
        1.5 * SECOND, abs=1000
    )


@pytest.mark.parametrize("label", ["0", "BENIGN", "normal", "-", "", "False"])
def test_many_words_mean_benign(write, label):
    found = tables.read(write(f"time,label,x\n1,{label},0\n2,DoS Hulk,0\n"))
    assert found.family.tolist() == [0, 1]
    assert found.families == ("benign", "DoS Hulk")


def test_a_second_column_names_families(write):
    text = "time,label,attack_cat\n1,1,Recon\n2,0,\n3,1,Worms\n4,1,\n5,1,Recon\n"
    found = tables.read(write(text))
    assert [found.families[number] for number in found.family] == [
        "Recon",
        "benign",
        "Worms",
        "1",
        "Recon",
    ]


def test_parquet_with_dictionaries_and_times(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(
        pa.table(
            {
                "time": pa.array([2_000, 1_000], pa.timestamp("ms")),
                "src": pa.array(["b", "a"]).dictionary_encode(),
                "dst": ["a", "c"],
                "dport": pa.array([443, None], pa.int32()),
                "label": pa.array([1, 0], pa.int64()),
            }
        ),
        path,
    )
    found = tables.read(path)
    assert found.events.time_ns.tolist() == [SECOND, 2 * SECOND]
    assert found.events.destination_port.tolist() == [-1, 443]
    assert found.family.tolist() == [0, 1]
    assert found.events.source[0] == found.events.destination[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,label\n1,0\n", "no column for the time; name it one of time, ts"),
        ("time,b\n1,0\n", "no column for the label"),
        ("time,label\n", "no rows"),
        ("time,label\n1,0,3\n", "row 2 has 3 cells, the header 2"),
        ("time,label\nyesterday,0\n", "neither seconds since 1970 nor ISO 8601"),
        ("time,label\n-4,0\n", "missing or negative"),
        ("time,label,dport\n4,0,https\n", "column destination_port"),
    ],
)
def test_what_is_wrong_is_said(write, text, said):
    with pytest.raises(InvalidTelemetry, match=said):
        tables.read(write(text))


def test_files_that_are_none_are_refused(write, tmp_path):
    with pytest.raises(InvalidSettings, match="no such file"):
        tables.read(tmp_path / "none.csv")
    with pytest.raises(InvalidSettings, match=r"\.csv or \.parquet"):
        tables.read(write("x", "table.xlsx"))
    with pytest.raises(InvalidTelemetry, match="not a Parquet file"):
        tables.read(write("x", "table.parquet"))
    latin = tmp_path / "latin.csv"
    latin.write_bytes(b"time,label\n1,\xe9\n")
    with pytest.raises(InvalidTelemetry, match="UTF-8"):
        tables.read(latin)


def test_a_log_needs_labels(make_events):
    events = make_events(50)
    found = tables.from_log("a", events)
    assert len(found.events) == 50
    assert found.families == ("benign", "attack", "T1046", "T1110")
    unlabelled = dataclasses.replace(events, label=np.full(50, -1, np.int8))
    with pytest.raises(InvalidTelemetry, match=r"conn\.log\.labeled"):
        tables.from_log("a", unlabelled)


def test_an_organisation_has_rows_and_benign_ones(make_events):
    traffic = features.find("traffic")
    found = tables.organisation("a", tables.from_log("a", make_events(600)), traffic)
    assert found.features.shape == (600, traffic.architecture().inputs)
    with pytest.raises(InvalidTelemetry, match="more than 500"):
        tables.organisation("a", tables.from_log("a", make_events(500)), traffic)
    hostile = dataclasses.replace(make_events(600), label=np.ones(600, np.int8))
    with pytest.raises(InvalidTelemetry, match="no benign row"):
        tables.organisation("a", tables.from_log("a", hostile), traffic)
