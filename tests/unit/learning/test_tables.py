# SPDX-License-Identifier: Apache-2.0
"""Anybody's labelled table: what is found, and what is said when it is not."""

from __future__ import annotations

import dataclasses
import tracemalloc

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
        ("time,label,dport\n4,0,https\n", "column dport"),
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


CIC = """ Source IP, Source Port, Destination IP, Destination Port, Protocol,Timestamp,\
 Flow Duration, Total Fwd Packets, Total Backward Packets,\
Total Length of Fwd Packets, Total Length of Bwd Packets,Flow Bytes/s, Label
10.0.0.2,4000,10.0.0.1,80,6,2017-07-07 15:00:00.5,2500000,3,4,100,900,Infinity,DDoS
"""
NETFLOW = """FLOW_START_MILLISECONDS,IPV4_SRC_ADDR,L4_SRC_PORT,IPV4_DST_ADDR,\
L4_DST_PORT,PROTOCOL,IN_BYTES,IN_PKTS,OUT_BYTES,OUT_PKTS,FLOW_DURATION_MILLISECONDS,Label,Attack
1499439600500,10.0.0.2,4000,10.0.0.1,80,6,100,3,900,4,2500,1,DDoS
"""
NFDUMP = """ts,td,sa,da,sp,dp,pr,ipkt,ibyt,opkt,obyt,label
2017-07-07 15:00:00.500,2.500,10.0.0.2,10.0.0.1,4000,80,TCP,3,100,4,900,DDoS
"""


@pytest.mark.parametrize("text", [CIC, NETFLOW, NFDUMP])
def test_flow_exports_come_with_their_units(write, text):
    found = tables.read(write(text))
    events = found.events
    assert events.time_ns[0] == np.datetime64("2017-07-07T15:00:00.5", "ns").astype(int)
    assert events.duration_s[0] == 2.5
    assert (events.source_port[0], events.destination_port[0]) == (4000, 80)
    assert (events.bytes_out[0], events.bytes_in[0]) == (100, 900)
    assert (events.packets_out[0], events.packets_in[0]) == (3, 4)
    assert events.protocol[0] == 6
    assert events.source[0] != events.destination[0]
    assert found.families == ("benign", "DDoS")


def test_every_unit_belongs_to_a_name():
    assert set(tables.SECONDS) <= set(tables.ALIASES["duration_s"])
    names = [name for aliases in tables.ALIASES.values() for name in aliases]
    # only what names an attack may stand for two columns
    assert {name for name in names if names.count(name) > 1} == {"attack"}


def test_csv_and_parquet_say_the_same_in_any_blocks(tmp_path, write, monkeypatch):
    draw = np.random.default_rng(0)
    rows = 200
    columns = {
        "ts": draw.integers(10**9, 2 * 10**9, rows),
        "src": draw.choice(["a", "b", "c"], rows),
        "dst": draw.choice(["c", "d"], rows),
        "dport": draw.choice([22, 80], rows),
        "duration": draw.random(rows).round(3),
        "label": draw.choice(["-", "scan", "worm"], rows),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    lines = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path = write(",".join(columns) + "\n" + "\n".join(lines) + "\n")
    found = [tables.read(path), tables.read(tmp_path / "t.parquet")]
    monkeypatch.setattr(tables.csv_columns, "_BLOCK_ROWS", 7)
    monkeypatch.setattr(tables.parquet, "_BLOCK_ROWS", 7)
    found += [tables.read(path), tables.read(tmp_path / "t.parquet")]
    for item in found[1:]:
        assert item.families == found[0].families
        assert np.array_equal(item.family, found[0].family)
        for column in dataclasses.fields(item.events):
            one, other = (getattr(x.events, column.name) for x in (item, found[0]))
            assert np.array_equal(one, other, equal_nan=column.name != "techniques")


def test_what_is_held_is_arrays_and_one_block(write, monkeypatch):
    monkeypatch.setattr(tables.csv_columns, "_BLOCK_ROWS", 500)
    wide = ",".join(f"junk{number}" for number in range(20))
    junk = ",".join(["some text that nobody asked for"] * 20)
    rows = "".join(f"{second},0,{junk}\n" for second in range(10_000))
    path = write(f"time,label,{wide}\n{rows}")
    tracemalloc.start()
    tables.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 6_000_000
    assert peak < 3_500_000


def test_instants_in_parquet_may_be_text(tmp_path):
    path = tmp_path / "t.parquet"
    for times, want in (
        (["2022-01-15T02:32:32Z"], 1642213952 * SECOND),
        (["yesterday"], None),
        (pa.array([None], pa.timestamp("ms")), None),
    ):
        pq.write_table(pa.table({"time": times, "label": [True]}), path)
        if want is None:
            with pytest.raises(InvalidTelemetry, match="time"):
                tables.read(path)
        else:
            assert tables.read(path).events.time_ns.tolist() == [want]


def test_numbers_and_labels_in_parquet_may_be_text_or_gaps(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(
        pa.table(
            {
                "time": [1, 2, 3],
                "dport": ["80", "-", "22"],
                "label": pa.array([True, None, False]),
                "proto": [6.0, 17.0, 6.0],
            }
        ),
        path,
    )
    found = tables.read(path)
    assert found.family.tolist() == [1, 0, 0]
    assert found.events.destination_port.tolist() == [80, -1, 22]
    assert found.events.protocol.tolist() == [6, 17, 6]
