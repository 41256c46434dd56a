# SPDX-License-Identifier: Apache-2.0
"""Windows events of three shapes; samples typed from Microsoft Learn and Sysinternals.

Security events are the XML samples of Microsoft Learn, "4624: An account was
successfully logged on" and so on, in the shape that a collector gives them. There is
no real corpus of them here.
"""

from __future__ import annotations

import json
import math
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.telemetry import Events, Kind, Service, State
from fedxdr.telemetry.parser import Parsed
from fedxdr.telemetry.windows import WindowsParser

HERE = "DC01.contoso.local"
TIME = "2015-11-12T00:24:35.079785200Z"
TIME_NS = 1_447_287_875_079_785_000
SECURITY = ("Security", "Microsoft-Windows-Security-Auditing")
SYSMON = ("Microsoft-Windows-Sysmon/Operational", "Microsoft-Windows-Sysmon")

LOGON = {  # Microsoft Learn, event 4624: a console logon
    "SubjectUserName": "WIN-GG82ULGC9GO$",
    "SubjectDomainName": "WORKGROUP",
    "TargetUserName": "Administrator",
    "TargetDomainName": "WIN-GG82ULGC9GO",
    "LogonType": "2",
    "WorkstationName": "WIN-GG82ULGC9GO",
    "ProcessName": "C:\\Windows\\System32\\svchost.exe",
    "IpAddress": "127.0.0.1",
    "IpPort": "0",
}
FAILED = {  # Microsoft Learn, event 4625
    "TargetUserName": "Auditor",
    "TargetDomainName": "CONTOSO",
    "Status": "0xc0000234",
    "LogonType": "2",
    "WorkstationName": "DC01",
    "IpAddress": "127.0.0.1",
    "IpPort": "0",
}
EXPLICIT = {  # Microsoft Learn, event 4648
    "SubjectUserName": "dadmin",
    "SubjectDomainName": "CONTOSO",
    "TargetUserName": "ladmin",
    "TargetDomainName": "CONTOSO",
    "TargetServerName": "localhost",
    "IpAddress": "::1",
    "IpPort": "0",
}
TGT = {  # Microsoft Learn, event 4768
    "TargetUserName": "dadmin",
    "TargetDomainName": "CONTOSO.LOCAL",
    "ServiceName": "krbtgt",
    "Status": "0x0",
    "IpAddress": "::ffff:10.0.0.12",
    "IpPort": "49273",
}
TGS = {  # Microsoft Learn, event 4769
    "TargetUserName": "dadmin@CONTOSO.LOCAL",
    "TargetDomainName": "CONTOSO.LOCAL",
    "ServiceName": "WIN2008R2$",
    "IpAddress": "::ffff:10.0.0.12",
    "IpPort": "49272",
    "Status": "0x0",
}
NTLM = {  # Microsoft Learn, event 4776
    "PackageName": "MICROSOFT_AUTHENTICATION_PACKAGE_V1_0",
    "TargetUserName": "dadmin",
    "Workstation": "WIN-GG82ULGC9GO",
    "Status": "0xc0000234",
}
PERMITTED = {  # Microsoft Learn, event 5156: listener.exe was connected to
    "Direction": "%%14592",
    "SourceAddress": "10.0.0.10",
    "SourcePort": "3333",
    "DestAddress": "10.0.0.100",
    "DestPort": "49278",
    "Protocol": "6",
}
PROCESS = {  # Sysinternals, Sysmon: event 1, process creation
    "UtcTime": "2017-04-28 22:08:22.025",
    "CommandLine": '"C:\\Program Files\\a.exe" /x',
    "User": "LAB\\rsmith",
}
CONNECTION = {  # Sysinternals, Sysmon: event 3, network connection
    "User": "LAB\\rsmith",
    "Protocol": "tcp",
    "Initiated": "true",
    "SourceIp": "192.168.1.250",
    "SourcePort": "62055",
    "DestinationIp": "104.130.229.150",
    "DestinationPort": "443",
}
QUERY = {  # Sysinternals, Sysmon: event 22, DNS query
    "QueryName": "x.test",
    "QueryStatus": "0",
    "User": "LAB\\rsmith",
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


def evtx_dump(
    number: int, data: dict[str, Any], log: tuple[str, str] = SECURITY
) -> dict[str, Any]:
    """evtx_dump --format jsonl."""
    return {
        "Event": {
            "#attributes": {"xmlns": "http://schemas.microsoft.com/win/2004/08/events"},
            "System": {
                "Provider": {"#attributes": {"Name": log[1]}},
                "EventID": number,
                "TimeCreated": {"#attributes": {"SystemTime": TIME}},
                "EventRecordID": 211,
                "Channel": log[0],
                "Computer": HERE,
            },
            "EventData": data,
        }
    }


def evtx_dump_apart(number: int, data: dict[str, Any]) -> dict[str, Any]:
    """evtx_dump --format jsonl --separate-json-attributes."""
    return {
        "Event": {
            "System": {
                "Provider_attributes": {"Name": SECURITY[1]},
                "EventID": {"#attributes": {"Qualifiers": ""}, "#text": number},
                "TimeCreated_attributes": {"SystemTime": TIME},
                "Channel": SECURITY[0],
                "Computer": HERE,
            },
            "EventData": data,
        }
    }


def winlogbeat(
    number: int | str, data: dict[str, Any], log: tuple[str, str] = SECURITY
) -> dict[str, Any]:
    """Elastic, "Winlogbeat exported fields"."""
    return {
        "@timestamp": TIME,
        "event": {"code": str(number), "kind": "event", "outcome": "success"},
        "winlog": {
            "event_id": number,
            "channel": log[0],
            "provider_name": log[1],
            "computer_name": HERE,
            "event_data": data,
        },
    }


def nxlog(
    number: int, data: dict[str, Any], log: tuple[str, str] = SECURITY
) -> dict[str, Any]:
    """NXLog, im_msvistalog with to_json()."""
    head = {
        "EventTime": TIME,
        "Hostname": HERE,
        "EventID": number,
        "SourceName": log[1],
        "Channel": log[0],
    }
    return head | data


def parse(*records: dict[str, Any]) -> Parsed:
    block = "".join(json.dumps(one) + "\n" for one in records).encode()
    return WindowsParser(Names()).parse(block)


def one(record: dict[str, Any]) -> Events:
    parsed = parse(record)
    assert parsed.rejected == ()
    assert len(parsed.events) == 1
    assert parsed.events.time_ns[0] > 0
    return parsed.events


SAMPLES: list[tuple[int, dict[str, Any], tuple[str, str], dict[str, Any]]] = [
    (4624, LOGON, SECURITY, {"source": host(HERE), "state": State.COMPLETED}),
    (4625, FAILED, SECURITY, {"source": host(HERE), "state": State.REJECTED}),
    (
        4648,
        EXPLICIT,
        SECURITY,
        {"source": host(HERE), "state": State.UNKNOWN, "user": user("CONTOSO\\ladmin")},
    ),
    (
        4768,
        TGT,
        SECURITY,
        {
            "source": host("::ffff:10.0.0.12"),
            "source_port": 49273,
            "service": Service.KERBEROS,
            "state": State.COMPLETED,
            "text_length": len("krbtgt"),
            "user": user("CONTOSO.LOCAL\\dadmin"),
        },
    ),
    (4769, TGS, SECURITY, {"user": user("dadmin@CONTOSO.LOCAL")}),
    (
        4776,
        NTLM,
        SECURITY,
        {"source": host("WIN-GG82ULGC9GO"), "state": State.REJECTED},
    ),
    (
        5156,
        PERMITTED,
        SECURITY,
        {
            "kind": Kind.FLOW,
            "source": host("10.0.0.100"),
            "source_port": 49278,
            "destination": host("10.0.0.10"),
            "destination_port": 3333,
            "protocol": 6,
            "user": 0,
        },
    ),
    (
        1,
        PROCESS,
        SYSMON,
        {
            "kind": Kind.PROCESS,
            "source": host(HERE),
            "text_length": len(PROCESS["CommandLine"]),
            "user": user("LAB\\rsmith"),
        },
    ),
    (
        3,
        CONNECTION,
        SYSMON,
        {
            "kind": Kind.FLOW,
            "source": host("192.168.1.250"),
            "source_port": 62055,
            "destination": host("104.130.229.150"),
            "destination_port": 443,
            "protocol": 6,
        },
    ),
    (
        22,
        QUERY,
        SYSMON,
        {"kind": Kind.DNS, "service": Service.DNS, "text_length": 6},
    ),
]


@pytest.mark.parametrize("shape", [evtx_dump, winlogbeat, nxlog])
@pytest.mark.parametrize(("number", "data", "log", "told"), SAMPLES)
def test_events_in_every_shape(
    shape: Any,
    number: int,
    data: dict[str, Any],
    log: tuple[str, str],
    told: dict[str, Any],
) -> None:
    events = one(shape(number, data, log))
    want = {"kind": Kind.AUTH, "destination": host(HERE)} | told
    assert {name: getattr(events, name)[0].item() for name in want} == want


def test_times() -> None:
    assert one(evtx_dump(4624, LOGON)).time_ns[0] == TIME_NS
    assert one(evtx_dump_apart(4624, LOGON)).time_ns[0] == TIME_NS
    assert one(winlogbeat("4624", LOGON)).time_ns[0] == TIME_NS
    flat = nxlog(1, PROCESS, SYSMON)
    utc_time_ns = 1_493_417_302_025_000_000
    assert one(flat).time_ns[0] == utc_time_ns
    assert one(flat | {"@timestamp": TIME}).time_ns[0] == TIME_NS


def test_where_a_logon_came_from() -> None:
    network = LOGON | {"LogonType": 3, "IpAddress": "-", "WorkstationName": "PC7"}
    desktop = LOGON | {"LogonType": 10, "IpAddress": "10.0.0.9", "IpPort": 50_001}
    service = LOGON | {"LogonType": 5, "IpAddress": "-", "WorkstationName": "-"}
    events = parse(*(winlogbeat(4624, data) for data in (network, desktop, service)))
    assert events.events.source.tolist() == [host("PC7"), host("10.0.0.9"), host(HERE)]
    assert events.events.service.tolist() == [0, Service.RDP, 0]
    assert events.events.source_port.tolist() == [-1, 50_001, -1]


def test_an_outbound_connection_keeps_its_ends() -> None:
    events = one(evtx_dump(5156, PERMITTED | {"Direction": "%%14593"}))
    assert events.source[0] == host("10.0.0.10")
    assert events.destination_port[0] == 49278


def test_loopback_is_the_host_itself() -> None:
    talk = PERMITTED | {"SourceAddress": "::1", "DestAddress": "127.0.0.2"}
    events = one(evtx_dump(5156, talk))
    assert events.source[0] == events.destination[0] == host(HERE)


def test_what_is_skipped_is_told_why() -> None:
    nowhere = {"LogonType": "3", "TargetUserName": "a", "IpAddress": "-"}
    parsed = parse(
        evtx_dump(4624, nowhere),
        evtx_dump(4672, {}),
        evtx_dump(1, {}, ("System", "Microsoft-Windows-Kernel-General")),
        winlogbeat(4624, LOGON) | {"winlog": None},
        evtx_dump(4624, LOGON),
    )
    assert parsed.rejected == ()
    assert parsed.skipped == 4
    assert parsed.why_skipped == {
        "names no two endpoints": 1,
        "an event that is not read": 3,
    }


def test_a_bad_line_costs_a_line() -> None:
    good = json.dumps(evtx_dump(4624, LOGON))
    lines = [
        good,
        "Record 2",
        json.dumps(winlogbeat(4624, LOGON) | {"@timestamp": "noon"}),
        json.dumps(evtx_dump(4768, TGT | {"IpPort": "70000"})),
        json.dumps(evtx_dump(4768, TGT | {"IpPort": -1})),
        json.dumps(evtx_dump(4768, TGT | {"TargetUserName": ["a"]})),
        json.dumps({"Event": {}}),
        good,
    ]
    parsed = WindowsParser(Names()).parse("\n".join(lines).encode())
    assert len(parsed.events) == 2
    assert [bad.line_number for bad in parsed.rejected] == [2, 3, 4, 5, 6, 7]
    assert parsed.lines == 8


def test_a_bare_function_knows_no_user() -> None:
    block = json.dumps(evtx_dump(4624, LOGON)).encode()
    assert WindowsParser(host).parse(block).events.user.tolist() == [0]


def test_nothing_is_known_of_what_is_not_told() -> None:
    events = one(evtx_dump(4624, LOGON))
    assert events.bytes_out.tolist() == [-1]
    assert math.isnan(events.duration_s[0])
    assert events.label.tolist() == [-1]


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(block: bytes) -> None:
    parsed = WindowsParser(Names()).parse(block)
    assert len(parsed.rejected) <= parsed.lines


_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)


@given(
    st.sampled_from([evtx_dump, winlogbeat, nxlog]),
    st.sampled_from(SAMPLES),
    st.dictionaries(
        st.sampled_from(sorted({name for _, data, _, _ in SAMPLES for name in data})),
        _VALUES,
    ),
)
def test_no_values_make_it_fail(
    shape: Any, sample: tuple[int, dict[str, Any], tuple[str, str], Any], some: Any
) -> None:
    parsed = parse(shape(sample[0], sample[1] | some, sample[2]))
    assert len(parsed.events) + parsed.skipped + len(parsed.rejected) == 1
    assert np.all(parsed.events.source_port <= 65_535)
