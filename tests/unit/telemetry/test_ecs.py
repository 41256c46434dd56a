# SPDX-License-Identifier: Apache-2.0
"""ECS events; records have the fields of Elastic's reference, field set by field set.

Source: Elastic, "ECS Field Reference" 8.x and "Using the categorization fields".
There is no real corpus of ECS here.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.telemetry import Events, Kind, Service, State
from fedxdr.telemetry.ecs import EcsParser
from fedxdr.telemetry.parser import Parsed

HEAD: dict[str, Any] = {
    "@timestamp": "2021-12-12T15:59:40.446Z",
    "ecs": {"version": "8.11.0"},
    "host": {"name": "sensor1", "hostname": "sensor1.test"},
}
TIME_NS = 1_639_324_780_446_000_000
ENDS: dict[str, Any] = {
    "source": {"ip": "10.0.0.5", "port": 50_111, "bytes": 700, "packets": 7},
    "destination": {"ip": "192.0.2.8", "port": 443, "bytes": 9000, "packets": 9},
    "network": {"transport": "tcp", "type": "ipv4"},
}
FLOW = (
    HEAD
    | ENDS
    | {
        "event": {
            "kind": "event",
            "category": ["network"],
            "type": ["connection", "end"],
            "start": "2021-12-12T15:59:30.000Z",
            "duration": 10_446_000_000,
        },
    }
)
DNS = (
    HEAD
    | ENDS
    | {
        "event": {"kind": "event", "category": "network", "type": ["protocol"]},
        "network": {"transport": "udp", "iana_number": "17", "protocol": "dns"},
        "dns": {"type": "query", "question": {"name": "www.x.test", "type": "A"}},
    }
)
WEB = (
    HEAD
    | ENDS
    | {
        "event": {"kind": "event", "category": ["web", "network"], "type": ["access"]},
        "url": {"domain": "x.test", "path": "/a", "query": "b=c"},
    }
)
TLS = (
    HEAD
    | ENDS
    | {
        "event": {"kind": "event", "category": ["network"]},
        "tls": {"client": {"server_name": "x.test"}},
    }
)
LOGON = HEAD | {
    "event": {
        "kind": "event",
        "category": ["authentication", "session"],
        "type": ["info"],
        "outcome": "failure",
    },
    "source": {"ip": "10.0.0.7", "port": 50_000},
    "user": {"name": "alice", "domain": "CORP"},
}
START = HEAD | {
    "event": {"kind": "event", "category": ["process"], "type": ["start"]},
    "process": {"name": "whoami", "command_line": "whoami /all"},
    "user": {"name": "bob"},
}
ALERT = (
    HEAD
    | ENDS
    | {
        "event": {"kind": "alert", "category": ["intrusion_detection"], "severity": 1},
        "threat": {"technique": {"id": ["T1046"]}},
    }
)


class Names:
    """Tokens that tests can tell apart."""

    def address(self, text: str) -> int:
        return zlib.crc32(text.encode()) or 1

    def user(self, text: str) -> int:
        return zlib.crc32(b"user " + text.encode()) or 1


def host(text: str) -> int:
    return Names().address(text)


def user(text: str) -> int:
    return Names().user(text)


def parse(*records: dict[str, Any], **more: Any) -> Parsed:
    block = "".join(json.dumps(one) + "\n" for one in records).encode()
    return EcsParser(Names(), **more).parse(block)


def one(record: dict[str, Any], **more: Any) -> Events:
    parsed = parse(record, **more)
    assert parsed.rejected == ()
    assert len(parsed.events) == 1
    return parsed.events


def told(events: Events, *names: str) -> tuple[Any, ...]:
    return tuple(getattr(events, name)[0].item() for name in names)


def test_a_connection() -> None:
    events = one(FLOW)
    assert told(events, "kind", "protocol", "source", "source_port") == (
        Kind.FLOW,
        6,
        host("10.0.0.5"),
        50_111,
    )
    traffic = told(events, "bytes_out", "bytes_in", "packets_out", "packets_in")
    assert traffic == (700, 9000, 7, 9)
    assert events.time_ns[0] == TIME_NS - 10_446_000_000
    assert events.duration_s[0] == pytest.approx(10.446)


def test_dns() -> None:
    events = one(DNS)
    assert told(events, "kind", "service", "protocol", "text_length", "time_ns") == (
        Kind.DNS,
        Service.DNS,
        17,
        len("www.x.test"),
        TIME_NS,
    )
    assert np.isnan(events.duration_s[0])


@pytest.mark.parametrize(
    ("record", "kind", "service", "text"),
    [
        (WEB, Kind.HTTP, Service.HTTP, "x.test/a?b=c"),
        (TLS, Kind.TLS, Service.TLS, "x.test"),
    ],
)
def test_names_asked_for(
    record: dict[str, Any], kind: Kind, service: Service, text: str
) -> None:
    events = one(record)
    assert told(events, "kind", "service", "text_length") == (kind, service, len(text))


def test_a_logon() -> None:
    events = one(LOGON)
    assert told(events, "kind", "state", "source", "destination", "user") == (
        Kind.AUTH,
        State.REJECTED,
        host("10.0.0.7"),
        host("sensor1"),
        user("CORP\\alice"),
    )
    here = {name: LOGON[name] for name in LOGON if name != "source"}
    assert told(one(here), "source", "destination") == (host("sensor1"),) * 2


def test_a_process() -> None:
    events = one(START)
    assert told(events, "kind", "source", "user", "text_length") == (
        Kind.PROCESS,
        host("sensor1"),
        user("bob"),
        len("whoami /all"),
    )


def test_an_alert_is_a_label_at_most() -> None:
    events = one(ALERT)
    assert told(events, "kind", "label") == (Kind.ALERT, 1)
    assert events.techniques == ("T1046",)
    assert not events.is_input.any()
    assert one(ALERT, label_severity=0).label.tolist() == [-1]
    unnamed = {name: ALERT[name] for name in ALERT if name != "threat"}
    assert one(unnamed).label.tolist() == [-1]


def test_a_technique_on_anything_else_is_no_label() -> None:
    assert one(FLOW | {"threat": ALERT["threat"]}).label.tolist() == [-1]


def test_what_is_skipped_is_told_why() -> None:
    ended = START | {"event": START["event"] | {"type": ["end"]}}
    parsed = parse(
        ended,
        FLOW | {"destination": None},
        HEAD,
        START | {"host": None},
        {"@timestamp": HEAD["@timestamp"]},
        FLOW,
    )
    assert parsed.rejected == ()
    assert parsed.skipped == 5
    assert parsed.why_skipped == {
        "an end of a session or process": 1,
        "names no two endpoints": 4,
    }


def test_a_bad_line_costs_a_line() -> None:
    bad = [
        "torn",
        json.dumps(FLOW | {"@timestamp": "noon"}),
        json.dumps(DNS | {"@timestamp": "noon"}),
        json.dumps(FLOW | {"event": FLOW["event"] | {"start": "noon"}}),
        json.dumps({name: FLOW[name] for name in FLOW if name != "@timestamp"}),
        json.dumps(FLOW | {"source": {"ip": "a", "port": 70_000}}),
        json.dumps(FLOW | {"source": {"ip": "a", "bytes": -1}}),
        json.dumps(FLOW | {"event": {"category": 4}}),
    ]
    good = json.dumps(FLOW)
    parsed = EcsParser(Names()).parse("\n".join([good, *bad, good]).encode())
    # A flow needs no second time: line 3 has a begin.
    assert len(parsed.events) == 3
    wrong = [one.line_number for one in parsed.rejected]
    assert wrong == [2, 4, 5, 6, 7, 8, 9]


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(block: bytes) -> None:
    parsed = EcsParser(Names()).parse(block)
    assert len(parsed.rejected) <= parsed.lines


_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=10)
_VALUES = _LEAVES | st.dictionaries(
    st.sampled_from(["ip", "port", "name", "kind", "type", "domain", "iana_number"]),
    _LEAVES | st.lists(st.text(max_size=9), max_size=2),
)


@given(
    st.sampled_from([FLOW, DNS, WEB, TLS, LOGON, START, ALERT]),
    st.dictionaries(
        st.sampled_from([*FLOW, *DNS, *WEB, *TLS, *LOGON, *START, *ALERT]), _VALUES
    ),
)
def test_no_values_make_it_fail(record: dict[str, Any], some: dict[str, Any]) -> None:
    parsed = parse(record | some)
    assert len(parsed.events) + parsed.skipped + len(parsed.rejected) == 1
