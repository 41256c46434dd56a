# SPDX-License-Identifier: Apache-2.0
"""Packets of pfSense, in the grammar of Netgate's "Raw Filter Log Format"."""

from __future__ import annotations

import pytest

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.telemetry.catalogue import Kind, State
from fedxdr.telemetry.edges import Edge
from fedxdr.telemetry.filterlog import read

TCP = (
    "4,,,1000000103,igb1,match,block,in,4,0x0,,64,0,0,DF,6,tcp,60,192.0.2.7,10.0.0.1,"
    "45678,22,0,S,123456789,,64240,,mss;sackOK;TS"
)
UDP6 = (
    "7,,,1000000105,igb1,match,pass,in,6,0x00,0x00000,255,UDP,17,94,"
    "fe80::1,ff02::fb,5353,5353,94"
)
ICMP = (
    "4,,,1000000103,igb1,match,reject,in,4,0x0,,64,0,0,none,1,icmp,84,192.0.2.7,"
    "10.0.0.1,request,1,2,64"
)


def flow(state: State, protocol: int, size: int, ports: tuple[int, int]) -> Edge:
    return Edge(
        kind=Kind.FLOW,
        source="192.0.2.7",
        destination="10.0.0.1",
        source_port=ports[0],
        destination_port=ports[1],
        protocol=protocol,
        bytes_out=size,
        packets_out=1,
        state=state,
    )


def test_packets() -> None:
    assert read(TCP) == flow(State.ATTEMPTED, 6, 60, (45678, 22))
    assert read(ICMP) == flow(State.REJECTED, 1, 84, (-1, -1))
    found = read(UDP6)
    assert isinstance(found, Edge)
    assert (found.source, found.destination) == ("fe80::1", "ff02::fb")
    assert (found.protocol, found.bytes_out, found.state) == (17, 94, State.UNKNOWN)
    assert (found.source_port, found.destination_port) == (5353, 5353)


def test_other_versions_are_skipped() -> None:
    assert isinstance(read(TCP.replace(",in,4,", ",in,8,")), str)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (",6,tcp", ",256,tcp"),
        (",60,", ",-1,"),
        ("192.0.2.7", ""),
        ("45678", "65536"),
        (TCP, ""),
        (TCP, TCP[: TCP.index(",10.0.0.1")]),
    ],
)
def test_damaged_packets_are_refused(old: str, new: str) -> None:
    with pytest.raises(InvalidTelemetry):
        read(TCP.replace(old, new))


def test_a_packet_cut_off_behind_its_addresses_has_no_ports() -> None:
    found = read(TCP[: TCP.index(",45678")])
    assert found == flow(State.ATTEMPTED, 6, 60, (-1, -1))
