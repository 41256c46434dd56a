# SPDX-License-Identifier: Apache-2.0
"""EVE records of every version, and labels carried over a connection."""

from __future__ import annotations

import dataclasses
import json
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.telemetry import Events, Kind, Service, State
from fedxdr.telemetry.suricata import EveParser, mark_alerted

TIME = "2021-06-06T15:59:46.457984+0200"
TIME_NS = 1_622_987_986_457_984_000


def tokenise(text: str) -> int:
    return zlib.crc32(text.encode()) or 1


def record(**fields: Any) -> dict[str, Any]:
    return {
        "timestamp": TIME,
        "flow_id": 77,
        "event_type": "flow",
        "src_ip": "10.0.0.1",
        "src_port": 50_000,
        "dest_ip": "192.0.2.9",
        "dest_port": 443,
        "proto": "TCP",
    } | fields


def parse(*records: dict[str, Any], label_severity: int = 2) -> Events:
    block = "".join(json.dumps(one) + "\n" for one in records).encode()
    parsed = EveParser(tokenise, label_severity=label_severity).parse(block)
    assert parsed.rejected == ()
    assert parsed.lines == len(records)
    return parsed.events


def row(events: Events, index: int = 0) -> dict[str, Any]:
    return {
        field.name: getattr(events, field.name)[index].item()
        for field in dataclasses.fields(events)
        if field.name != "techniques"
    }


def test_a_flow() -> None:
    flow = {
        "pkts_toserver": 12,
        "pkts_toclient": 9,
        "bytes_toserver": 4056,
        "bytes_toclient": 80_000,
        "start": "2021-06-06T15:50:00.000000+0200",
        "end": "2021-06-06T15:50:02.500000+0200",
        "age": 2,
        "state": "closed",
    }
    tcp = {"tcp_flags_ts": "1b", "tcp_flags_tc": "1b"}
    got = row(parse(record(app_proto="tls", flow=flow, tcp=tcp)))
    assert got["time_ns"] == TIME_NS - 586_457_984_000
    assert got["source"] == tokenise("10.0.0.1")
    assert got["destination"] == tokenise("192.0.2.9")
    assert (got["source_port"], got["destination_port"]) == (50_000, 443)
    assert (got["protocol"], got["service"], got["kind"]) == (6, Service.TLS, Kind.FLOW)
    assert (got["packets_out"], got["packets_in"]) == (12, 9)
    assert (got["bytes_out"], got["bytes_in"]) == (4056, 80_000)
    assert (got["duration_s"], got["state"]) == (2.5, State.COMPLETED)
    assert (got["label"], got["technique"], got["flow_id"]) == (-1, -1, 77)
    assert got["text_length"] == -1
    assert np.isnan(got["text_entropy"])


@pytest.mark.parametrize(
    ("event_type", "fields", "length"),
    [
        ("dns", {"dns": {"type": "query", "rrname": "www.example"}}, 11),
        ("dns", {"dns": {"version": 2, "type": "answer", "rrname": "a.test"}}, 6),
        ("dns", {"dns": {"version": 3, "queries": [{"rrname": "b.test"}]}}, 6),
        ("dns", {"dns": {"version": 3, "queries": []}}, -1),
        ("http", {"http": {"hostname": "h.test", "url": "/x"}}, 8),
        ("http", {"http": {}}, -1),
        ("tls", {"tls": {"sni": "s.test", "version": "TLS 1.3"}}, 6),
        ("tls", {"tls": {"version": "TLS 1.3"}}, -1),
    ],
)
def test_names_become_lengths(
    event_type: str, fields: dict[str, Any], length: int
) -> None:
    got = row(parse(record(event_type=event_type, **fields)))
    assert got["text_length"] == length
    assert got["kind"] == Kind[event_type.upper()]
    assert got["service"] == Service[event_type.upper()]
    assert got["time_ns"] == TIME_NS
    assert got["bytes_out"] == got["packets_in"] == -1
    assert np.isnan(got["duration_s"])


def test_the_length_of_an_http_answer() -> None:
    http = {"hostname": "h.test", "url": "/", "length": 47}
    assert row(parse(record(event_type="http", http=http)))["bytes_in"] == 47
    file = row(parse(record(event_type="fileinfo", http=http, app_proto="http")))
    assert (file["kind"], file["bytes_in"]) == (Kind.FILE, -1)


@pytest.mark.parametrize(
    ("flow", "flags", "want"),
    [
        ({"state": "new", "pkts_toclient": 0}, ("02", "00"), State.ATTEMPTED),
        ({"state": "closed", "pkts_toclient": 1}, ("02", "14"), State.REJECTED),
        ({"state": "closed", "pkts_toclient": 0}, ("06", "00"), State.ABANDONED),
        ({"state": "established", "pkts_toclient": 3}, ("1a", "1a"), State.ESTABLISHED),
        ({"state": "closed", "pkts_toclient": 3}, ("1B", "1b"), State.COMPLETED),
        ({"state": "closed", "pkts_toclient": 3}, ("1b", "1a"), State.HALF_CLOSED),
        ({"state": "closed", "pkts_toclient": 3}, ("1e", "1a"), State.RESET_BY_SOURCE),
        (
            {"state": "closed", "pkts_toclient": 3},
            ("1a", "1e"),
            State.RESET_BY_DESTINATION,
        ),
        ({"state": "established", "pkts_toclient": 3}, ("18", "18"), State.PARTIAL),
        ({"state": "closed", "pkts_toclient": 3}, None, State.COMPLETED),
        ({"state": "bypassed", "pkts_toclient": 3}, None, State.UNKNOWN),
    ],
)
def test_states_of_tcp(
    flow: dict[str, Any], flags: tuple[str, str] | None, want: State
) -> None:
    more = {}
    if flags is not None:
        more["tcp"] = {"tcp_flags_ts": flags[0], "tcp_flags_tc": flags[1]}
    events = parse(record(flow={"pkts_toserver": 2, **flow}, **more))
    assert events.state[0] == want


def test_states_without_connections() -> None:
    flows = [{"state": "new", "pkts_toclient": n} for n in (0, 2)]
    events = parse(*(record(proto="UDP", flow=flow) for flow in flows))
    assert events.state.tolist() == [State.ATTEMPTED, State.COMPLETED]


def test_the_age_stands_in_for_a_missing_end() -> None:
    events = parse(record(flow={"age": 7}), record(flow={}), record())
    assert events.duration_s[0] == 7
    assert np.isnan(events.duration_s[1:]).all()
    assert events.time_ns.tolist() == [TIME_NS] * 3


def alert(severity: int | None = 1, technique: object = None, **more: Any) -> Any:
    said: dict[str, Any] = {"signature": "ET SOMETHING", "category": "Bad"}
    if severity is not None:
        said["severity"] = severity
    if technique is not None:
        said["metadata"] = {"mitre_technique_id": technique, "tag": ["x"]}
    return record(event_type="alert", alert=said, **more)


def test_an_alert_labels_its_connection_and_nothing_else() -> None:
    events = mark_alerted(
        parse(
            alert(1, ["T1046"]),
            record(flow={}),
            record(flow={}, src_ip="192.0.2.9", dest_ip="10.0.0.1"),
            record(flow={}, flow_id=78),
            record(flow={}, dest_ip="192.0.2.10"),
            record(event_type="tls", tls={"sni": "x"}),
        )
    )
    assert events.label.tolist() == [1, 1, 1, -1, -1, 1]
    assert events.techniques == ("T1046",)
    assert events.technique.tolist() == [0, 0, 0, -1, -1, 0]
    assert events.is_input.tolist() == [False, True, True, True, True, True]


def test_what_an_alert_says_is_in_no_other_column() -> None:
    plain, loud = parse(alert(1)), parse(alert(3, ["T1046"], app_proto="http"))
    skipped = {"label", "technique", "service"}
    for name, value in row(plain).items():
        if name not in skipped:
            np.testing.assert_equal(row(loud)[name], value)


@pytest.mark.parametrize(
    ("severity", "threshold", "label"),
    [(1, 2, 1), (2, 2, 1), (3, 2, -1), (None, 2, -1), (3, 3, 1), (1, 0, -1)],
)
def test_only_serious_alerts_are_labels(
    severity: int | None, threshold: int, label: int
) -> None:
    events = parse(alert(severity), record(flow={}), label_severity=threshold)
    assert mark_alerted(events).label.tolist() == [label, label]


@pytest.mark.parametrize(
    ("written", "want"), [(["T1110", "T1046"], "T1110"), ("T1071", "T1071"), ([], None)]
)
def test_the_first_technique_of_an_alert_counts(
    written: object, want: str | None
) -> None:
    events = parse(alert(1, written))
    assert events.techniques == ((want,) if want else ())


def test_an_alert_with_a_technique_goes_before_one_without() -> None:
    events = mark_alerted(parse(alert(1), alert(2, ["T1046"]), record(flow={})))
    assert events.technique.tolist() == [0, 0, 0]


@given(st.integers(0, 60), st.integers(0, 99))
def test_marking_agrees_with_a_walk_over_all_pairs(rows: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    is_alert = draw.random(rows) < 0.3
    events = Events.build(
        rows,
        {
            "flow_id": draw.integers(0, 5, rows).astype(np.uint64),
            "source": draw.integers(-2, 2, rows),
            "destination": draw.integers(-2, 2, rows),
            "kind": np.where(is_alert, Kind.ALERT, Kind.FLOW),
            "label": np.where(is_alert & (draw.random(rows) < 0.7), 1, -1),
        },
    )
    marked = mark_alerted(events)
    pairs = [
        {source, destination}
        for source, destination in zip(events.source, events.destination, strict=True)
    ]
    for one in range(rows):
        alerted = any(
            events.kind[other] == Kind.ALERT
            and events.label[other] == 1
            and events.flow_id[other] == events.flow_id[one] != 0
            and pairs[other] == pairs[one]
            for other in range(rows)
        )
        assert marked.label[one] == (1 if alerted else events.label[one])


def test_records_without_endpoints_are_skipped_and_bad_lines_rejected() -> None:
    lines = [
        json.dumps(record()),
        json.dumps({"timestamp": TIME, "event_type": "stats", "stats": {"up": 1}}),
        "",
        json.dumps(record(src_port=70_000)),
        json.dumps(record(timestamp="noon")),
        json.dumps(record(src_port="443")),
        '{"torn":',
    ]
    parsed = EveParser(tokenise).parse("\n".join(lines).encode(), first_line=1000)
    assert parsed.lines == 7
    assert parsed.skipped == 1
    assert parsed.events.source_port.tolist() == [50_000, 443]
    assert [one.line_number for one in parsed.rejected] == [1003, 1004, 1006]


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail(block: bytes) -> None:
    parsed = EveParser(tokenise).parse(block)
    assert len(parsed.events) + parsed.skipped + len(parsed.rejected) <= block.count(
        b"\n"
    ) + 1 + block.count(b"}")


def test_negative_and_huge_numbers_cost_a_line() -> None:
    bad = [
        record(flow_id=-1),
        record(flow_id=2**64),
        record(flow={"bytes_toserver": -5}),
        record(flow={"pkts_toclient": 2**63}),
    ]
    block = "".join(json.dumps(one) + "\n" for one in [*bad, record()]).encode()
    parsed = EveParser(tokenise).parse(block)
    assert len(parsed.rejected) == 4
    assert len(parsed.events) == 1
