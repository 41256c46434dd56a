# SPDX-License-Identifier: Apache-2.0
"""Wazuh's alerts; records have the fields that Wazuh's documentation shows.

Source: Wazuh documentation, "Alert management" (alerts.json) and "Rules
classification". There is no real corpus of alerts.json here.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.telemetry import Events, Kind
from fedxdr.telemetry.parser import Parsed
from fedxdr.telemetry.suricata import mark_alerted
from fedxdr.telemetry.wazuh import WazuhParser

LOGIN: dict[str, Any] = {
    "timestamp": "2020-04-17T00:18:20.659+0000",
    "rule": {
        "level": 10,
        "description": "sshd: brute force trying to get access to the system.",
        "id": "5712",
        "mitre": {
            "id": ["T1110.001", "T1021.004"],
            "tactic": ["Credential Access", "Lateral Movement"],
        },
        "groups": ["syslog", "sshd", "authentication_failures"],
    },
    "agent": {"id": "002", "name": "Ubuntu", "ip": "10.0.1.85"},
    "manager": {"name": "wazuh-master"},
    "id": "1587082700.80945",
    "decoder": {"parent": "sshd", "name": "sshd"},
    "data": {"srcip": "192.0.2.89", "srcport": "49286", "srcuser": "admin"},
    "location": "/var/log/auth.log",
}
TIME_NS = 1_587_082_700_659_000_000
SURICATA = {
    "flow_id": "1001.000000",
    "src_ip": "192.0.2.9",
    "src_port": "50000",
    "dest_ip": "10.0.0.4",
    "dest_port": "443",
    "proto": "TCP",
}


class Names:
    """Tokens that tests can tell apart."""

    def address(self, text: str) -> int:
        return zlib.crc32(text.encode()) or 1

    def user(self, text: str) -> int:
        return zlib.crc32(b"user " + text.encode()) or 1


def host(text: str) -> int:
    return Names().address(text)


def parse(*records: dict[str, Any], **more: Any) -> Parsed:
    block = "".join(json.dumps(one) + "\n" for one in records).encode()
    return WazuhParser(Names(), **more).parse(block)


def one(record: dict[str, Any], **more: Any) -> Events:
    parsed = parse(record, **more)
    assert parsed.rejected == ()
    assert len(parsed.events) == 1
    return parsed.events


def test_a_login_alert() -> None:
    events = one(LOGIN)
    assert events.time_ns.tolist() == [TIME_NS]
    assert events.kind.tolist() == [Kind.ALERT]
    assert events.source.tolist() == [host("192.0.2.89")]
    assert events.destination.tolist() == [host("10.0.1.85")]
    assert events.source_port.tolist() == [49286]
    assert events.user.tolist() == [Names().user("admin")]
    assert events.label.tolist() == [1]
    assert events.techniques == ("T1110.001",)


def test_alerts_are_never_inputs() -> None:
    assert not one(LOGIN).is_input.any()


@pytest.mark.parametrize(
    ("level", "severity", "label"),
    [
        (10, 2, 1),
        (7, 2, 1),
        (6, 2, -1),
        (10, 1, -1),
        (12, 1, 1),
        (15, 0, -1),
        (3, 3, 1),
    ],
)
def test_which_levels_are_labels(level: int, severity: int, label: int) -> None:
    rule = LOGIN["rule"] | {"level": level}
    events = one(LOGIN | {"rule": rule}, label_severity=severity)
    assert events.label.tolist() == [label]
    assert len(events.techniques) == (label == 1)


def test_an_alert_about_a_host_is_between_the_host_and_itself() -> None:
    integrity = LOGIN | {"data": None, "agent": {"id": "000", "name": "wazuh-master"}}
    events = one(integrity)
    assert events.source.tolist() == events.destination.tolist()
    assert events.source.tolist() == [host("wazuh-master")]


def test_loopback_is_the_agent() -> None:
    events = one(LOGIN | {"data": {"srcip": "127.0.0.1"}})
    assert events.source.tolist() == [host("10.0.1.85")]
    own = LOGIN | {"agent": {"name": "a", "ip": "127.0.0.1"}, "data": {}}
    assert one(own).source.tolist() == [host("a")]


def test_suricata_behind_wazuh_labels_its_connection() -> None:
    events = one(LOGIN | {"data": SURICATA})
    assert events.flow_id.tolist() == [1001]
    assert events.destination_port.tolist() == [443]
    assert events.protocol.tolist() == [6]
    flow = Events.build(
        1,
        {
            name: getattr(events, name)
            for name in ("time_ns", "source", "destination", "flow_id")
        },
    )
    both = mark_alerted(Events.concatenate([flow, events]))
    assert both.label.tolist() == [1, 1]


@pytest.mark.parametrize("text", ["T1", "x" * 3000, "T1110.0001"])
def test_what_is_no_technique_is_none(text: str) -> None:
    rule = LOGIN["rule"] | {"mitre": {"id": text}}
    events = one(LOGIN | {"rule": rule})
    assert events.techniques == ()
    assert events.label.tolist() == [1]


def test_what_is_skipped_is_told_why() -> None:
    archive = {name: LOGIN[name] for name in LOGIN if name != "rule"}
    nobody = LOGIN | {"agent": None, "data": None}
    parsed = parse(archive, nobody, LOGIN)
    assert parsed.skipped == 2
    assert parsed.why_skipped == {
        "a record without a rule": 1,
        "names no two endpoints": 1,
    }


def test_a_bad_line_costs_a_line() -> None:
    good = json.dumps(LOGIN)
    lines = [
        good,
        "torn",
        json.dumps(LOGIN | {"timestamp": "noon"}),
        json.dumps(LOGIN | {"rule": {"level": 99}}),
        json.dumps(LOGIN | {"data": {"srcport": "65536"}}),
        json.dumps(LOGIN | {"data": []}),
        good,
    ]
    parsed = WazuhParser(Names()).parse("\n".join(lines).encode())
    assert len(parsed.events) == 2
    assert [bad.line_number for bad in parsed.rejected] == [2, 3, 4, 5, 6]


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(block: bytes) -> None:
    parsed = WazuhParser(Names()).parse(block)
    assert len(parsed.rejected) <= parsed.lines


@given(
    st.dictionaries(
        st.sampled_from([*SURICATA, *LOGIN["data"], "dstip", "protocol"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=25),
    )
)
def test_no_values_make_it_fail(data: dict[str, Any]) -> None:
    parsed = parse(LOGIN | {"data": data})
    assert len(parsed.events) + parsed.skipped + len(parsed.rejected) == 1
