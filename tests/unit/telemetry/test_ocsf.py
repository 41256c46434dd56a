# SPDX-License-Identifier: Apache-2.0
"""OCSF events; records have the attributes of schema 1.3.0, class by class.

Source: schema.ocsf.io 1.3.0, classes network_activity, http_activity, dns_activity,
authentication and process_activity. There is no real corpus of OCSF here.
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
from fedxdr.telemetry.ocsf import OcsfParser
from fedxdr.telemetry.parser import Parsed

HEAD: dict[str, Any] = {
    "time": 1_713_448_920_104,
    "severity_id": 1,
    "metadata": {"version": "1.3.0", "product": {"name": "sensor"}},
}
ENDS: dict[str, Any] = {
    "src_endpoint": {"ip": "10.0.4.15", "port": 54_320},
    "dst_endpoint": {"ip": "192.0.2.100", "port": 443, "hostname": "x.test"},
}
NETWORK = (
    HEAD
    | ENDS
    | {
        "class_uid": 4001,
        "activity_id": 2,
        "start_time": 1_713_448_900_000,
        "duration": 20_104,
        "app_name": "ssl",
        "connection_info": {"protocol_num": 6, "protocol_name": "tcp"},
        "traffic": {
            "bytes_in": 9000,
            "bytes_out": 700,
            "packets_in": 9,
            "packets_out": 7,
        },
    }
)
HTTP = (
    HEAD
    | ENDS
    | {
        "class_uid": 4002,
        "activity_id": 3,
        "http_request": {
            "http_method": "GET",
            "url": {"hostname": "x.test", "path": "/a", "query_string": "b=c"},
        },
        "http_response": {"code": 200, "length": 512},
    }
)
DNS = (
    HEAD
    | ENDS
    | {
        "class_uid": 4003,
        "activity_id": 1,
        "query": {"hostname": "www.x.test", "type": "A"},
        "connection_info": {"protocol_name": "UDP"},
    }
)
LOGON = HEAD | {
    "class_uid": 3002,
    "activity_id": 1,
    "status_id": 2,
    "is_remote": True,
    "user": {"name": "alice", "domain": "CORP"},
    "src_endpoint": {"ip": "10.0.0.7", "port": 50_000},
    "dst_endpoint": {"hostname": "srv1"},
}
LAUNCH = HEAD | {
    "class_uid": 1007,
    "activity_id": 1,
    "device": {"hostname": "pc7", "type_id": 2},
    "actor": {"user": {"name": "bob"}},
    "process": {"pid": 9, "cmd_line": "whoami /all"},
}


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


def parse(*records: dict[str, Any]) -> Parsed:
    block = "".join(json.dumps(one) + "\n" for one in records).encode()
    return OcsfParser(Names()).parse(block)


def one(record: dict[str, Any]) -> Events:
    parsed = parse(record)
    assert parsed.rejected == ()
    assert len(parsed.events) == 1
    return parsed.events


def told(events: Events, *names: str) -> tuple[Any, ...]:
    return tuple(getattr(events, name)[0].item() for name in names)


def test_a_connection() -> None:
    events = one(NETWORK)
    assert told(events, "kind", "service", "state", "protocol") == (
        Kind.FLOW,
        Service.TLS,
        State.COMPLETED,
        6,
    )
    assert told(events, "source", "source_port") == (host("10.0.4.15"), 54_320)
    assert told(events, "destination", "destination_port") == (host("192.0.2.100"), 443)
    traffic = told(events, "bytes_out", "bytes_in", "packets_out", "packets_in")
    assert traffic == (700, 9000, 7, 9)
    assert events.time_ns[0] == 1_713_448_900_000_000_000
    assert events.duration_s[0] == pytest.approx(20.104)


def test_what_a_connection_does_not_tell_is_unknown() -> None:
    events = one(HEAD | ENDS | {"class_uid": 4001, "activity_id": 6})
    assert events.time_ns[0] == 1_713_448_920_104_000_000
    assert told(events, "bytes_out", "packets_in", "state", "protocol") == (
        -1,
        -1,
        0,
        -1,
    )
    assert np.isnan(events.duration_s[0])


def test_http() -> None:
    events = one(HTTP)
    assert told(events, "kind", "service", "bytes_in", "text_length") == (
        Kind.HTTP,
        Service.HTTP,
        512,
        len("x.test/a?b=c"),
    )


def test_dns() -> None:
    events = one(DNS)
    assert told(events, "kind", "service", "protocol", "text_length") == (
        Kind.DNS,
        Service.DNS,
        17,
        len("www.x.test"),
    )


def test_a_logon() -> None:
    events = one(LOGON)
    assert told(events, "kind", "state", "source_port") == (
        Kind.AUTH,
        State.REJECTED,
        50_000,
    )
    assert told(events, "source", "destination", "user") == (
        host("10.0.0.7"),
        host("srv1"),
        user("CORP\\alice"),
    )
    ticket = one(LOGON | {"activity_id": 3, "status_id": 1})
    assert told(ticket, "service", "state") == (Service.KERBEROS, State.COMPLETED)


def test_a_logon_at_the_console() -> None:
    console = {"src_endpoint": None, "dst_endpoint": None, "device": {"name": "pc7"}}
    events = one(LOGON | console | {"is_remote": False})
    assert told(events, "source", "destination") == (host("pc7"), host("pc7"))


def test_a_process() -> None:
    events = one(LAUNCH)
    assert told(events, "kind", "source", "destination", "user", "text_length") == (
        Kind.PROCESS,
        host("pc7"),
        host("pc7"),
        user("bob"),
        len("whoami /all"),
    )
    own = LAUNCH | {"process": {"cmd_line": "a", "user": {"name": "root"}}}
    assert one(own).user.tolist() == [user("root")]


def test_what_is_skipped_is_told_why() -> None:
    parsed = parse(
        HEAD | {"class_uid": 2004},
        LOGON | {"activity_id": 2},
        LAUNCH | {"activity_id": 2},
        NETWORK | {"activity_id": 7},
        NETWORK | {"dst_endpoint": None},
        LOGON | {"src_endpoint": None},
        DNS,
    )
    assert parsed.rejected == ()
    assert parsed.skipped == 6
    assert parsed.why_skipped == {
        "a class that is not read": 1,
        "an end of a session or process, or a listening port": 3,
        "names no two endpoints": 2,
    }


def test_a_bad_line_costs_a_line() -> None:
    bad = [
        "torn",
        json.dumps(NETWORK | {"time": "noon"}),
        json.dumps(NETWORK | {"time": 10**15}),
        json.dumps({name: NETWORK[name] for name in NETWORK if name != "time"}),
        json.dumps(NETWORK | {"src_endpoint": {"ip": "a", "port": 70_000}}),
        json.dumps(NETWORK | {"traffic": {"bytes_in": -1}}),
        json.dumps(NETWORK | {"class_uid": "x"}),
    ]
    lines = [json.dumps(NETWORK), *bad, json.dumps(DNS)]
    parsed = OcsfParser(Names()).parse("\n".join(lines).encode())
    assert len(parsed.events) == 2
    assert [one.line_number for one in parsed.rejected] == [2, 3, 4, 5, 6, 7, 8]


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(block: bytes) -> None:
    parsed = OcsfParser(Names()).parse(block)
    assert len(parsed.rejected) <= parsed.lines


_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=10)
_VALUES = _LEAVES | st.dictionaries(
    st.sampled_from(["ip", "port", "name", "hostname", "url", "user", "protocol_num"]),
    _LEAVES,
)


@given(
    st.sampled_from([NETWORK, HTTP, DNS, LOGON, LAUNCH]),
    st.dictionaries(st.sampled_from([*NETWORK, *HTTP, *LOGON, *LAUNCH]), _VALUES),
)
def test_no_values_make_it_fail(record: dict[str, Any], some: dict[str, Any]) -> None:
    parsed = parse(record | some)
    assert len(parsed.events) + parsed.skipped + len(parsed.rejected) == 1
