# SPDX-License-Identifier: Apache-2.0
"""Logged packets of netfilter."""

from __future__ import annotations

import pytest

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.telemetry.catalogue import Kind, State
from fedxdr.telemetry.edges import Edge
from fedxdr.telemetry.iptables import read

# Ubuntu community help, "UFW", section "Interpreting Log Entries"
UFW = (
    "[3834574.123456] [UFW BLOCK] IN=eth0 OUT= "
    "MAC=00:16:3e:5e:6c:00:00:16:3e:01:02:03:08:00 SRC=203.0.113.9 DST=10.8.0.1 "
    "LEN=40 TOS=0x00 PREC=0x00 TTL=49 ID=36549 PROTO=TCP SPT=4506 DPT=22 "
    "WINDOW=1024 RES=0x00 SYN URGP=0 "
)


def flow(state: State, **more: int) -> Edge:
    known = {"source_port": 4506, "destination_port": 22, "protocol": 6}
    return Edge(
        kind=Kind.FLOW,
        source="203.0.113.9",
        destination="10.8.0.1",
        bytes_out=40,
        packets_out=1,
        state=state,
        **(known | more),
    )


@pytest.mark.parametrize(
    ("prefix", "state"),
    [
        ("[UFW BLOCK] ", State.ATTEMPTED),
        ("[UFW ALLOW] ", State.UNKNOWN),
        ("FINAL_REJECT: ", State.REJECTED),
        ("IPTables-Dropped: ", State.ATTEMPTED),
        ("", State.UNKNOWN),
    ],
)
def test_a_packet(prefix: str, state: State) -> None:
    assert read(UFW.replace("[UFW BLOCK] ", prefix)) == flow(state)


def test_of_an_error_the_outer_packet_counts() -> None:
    """As nf_log_syslog.c, dump_ipv4_packet(), writes the packet inside."""
    text = (
        "IN=eth0 OUT= MAC= SRC=203.0.113.9 DST=10.8.0.1 LEN=40 TTL=64 PROTO=ICMP "
        "TYPE=3 CODE=1 [SRC=10.8.0.1 DST=8.8.8.8 LEN=60 PROTO=UDP SPT=1 DPT=53 LEN=40 ]"
    )
    assert read(text) == flow(
        State.UNKNOWN, protocol=1, source_port=-1, destination_port=-1
    )


def test_kernel_lines_without_a_packet_are_skipped() -> None:
    assert read("usb 1-1: new high-speed USB device") == "kernel: no packet"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SPT=4506", "SPT=65536"),
        ("SPT=4506", "SPT=x"),
        ("LEN=40", "LEN=99999999999999999999"),
        ("DST=10.8.0.1 ", ""),
        ("SRC=203.0.113.9", "SRC="),
        ("PROTO=TCP", "PROTO=256"),
    ],
)
def test_damaged_packets_are_refused(old: str, new: str) -> None:
    with pytest.raises(InvalidTelemetry):
        read(UFW.replace(old, new))
