# SPDX-License-Identifier: Apache-2.0
"""nfdump's CSV; header lines are those of nfdump 1.6 and 1.7, rows are made up.

Source: nfdump 1.6 output_csv.c (csv_prolog) and nfdump 1.7, ``-o csv``.
"""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.telemetry import Kind, State
from fedxdr.telemetry.netflow import NetflowParser, is_netflow
from fedxdr.telemetry.parser import Parsed

OLD = "ts,te,td,sa,da,sp,dp,pr,flg,fwd,stos,ipkt,ibyt,opkt,obyt"
NEW = "firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes,flows"
OLD_ROW = (
    "2023-01-01 10:00:00,2023-01-01 10:01:00,60.125,192.168.1.1,10.0.0.1,1234,80,TCP,"
    "...AP.SF,0,0,10,1000,0,0"
)
NEW_ROW = "2023-01-01 10:00:00.250,0.000,17,2001:db8::1,53,2001:db8::2,5353,1,90,1"
TIME_NS = 1_672_567_200_000_000_000
SUMMARY = "Summary\nflows,bytes,packets,avg_bps,avg_pps,avg_bpp\n1,1000,10,133,0,100\n"


def tokenise(text: str) -> int:
    return zlib.crc32(text.encode()) or 1


def parse(*lines: str) -> Parsed:
    return NetflowParser(tokenise).parse("\n".join(lines).encode())


def test_nfdump_1_6() -> None:
    parsed = parse(OLD, OLD_ROW, SUMMARY)
    events = parsed.events
    assert parsed.rejected == ()
    assert events.time_ns.tolist() == [TIME_NS]
    assert events.kind.tolist() == [Kind.FLOW]
    assert events.source.tolist() == [tokenise("192.168.1.1")]
    assert events.destination.tolist() == [tokenise("10.0.0.1")]
    assert events.source_port.tolist() == [1234]
    assert events.destination_port.tolist() == [80]
    assert events.protocol.tolist() == [6]
    assert (events.bytes_out[0], events.packets_out[0]) == (1000, 10)
    assert (events.bytes_in[0], events.packets_in[0]) == (-1, -1)
    assert events.duration_s[0] == pytest.approx(60.125)
    assert events.state.tolist() == [State.UNKNOWN]
    assert parsed.skipped == 3
    assert parsed.why_skipped == {"nfdump's summary": 3}


def test_nfdump_1_7() -> None:
    events = parse(NEW, NEW_ROW).events
    assert events.time_ns.tolist() == [TIME_NS + 250_000_000]
    assert events.protocol.tolist() == [17]
    assert events.source_port.tolist() == [53]
    assert events.duration_s.tolist() == [0.0]
    assert events.bytes_out.tolist() == [90]


def test_icmp_has_no_ports() -> None:
    row = NEW_ROW.replace(",17,", ",ICMP6,").replace(",5353,", ",8.0,")
    events = parse(NEW, row).events
    assert events.protocol.tolist() == [58]
    assert events.destination_port.tolist() == [-1]


def test_the_header_is_kept_between_blocks_and_files_may_follow_each_other() -> None:
    parser = NetflowParser(tokenise)
    parser.parse(OLD.encode() + b"\n")
    assert len(parser.parse(OLD_ROW.encode()).events) == 1
    joined = parser.parse(f"{SUMMARY}\n{NEW}\n{NEW_ROW}".encode())
    assert len(joined.events) == 1
    assert joined.skipped == 3


def test_columns_that_are_missing_are_unknown() -> None:
    events = parse("ts,sa,da", "2023-01-01 10:00:00,a,b").events
    assert events.bytes_out.tolist() == events.protocol.tolist() == [-1]
    assert np.isnan(events.duration_s[0])


def test_a_bad_line_costs_a_line() -> None:
    bad = [
        OLD_ROW.replace("2023-01-01 10:00:00", "noon", 1),
        OLD_ROW + ",1",
        OLD_ROW.replace(",80,", ",65536,"),
        OLD_ROW.replace(",1000,", ",-1,"),
        OLD_ROW.replace(",1000,", f",{'9' * 19},"),
        OLD_ROW.replace("60.125", "1e5"),
        OLD_ROW.replace("192.168.1.1", ""),
        OLD_ROW.replace("TCP", "999"),
        OLD_ROW.replace("TCP", "é"),
    ]
    parsed = parse(OLD_ROW, OLD, OLD_ROW, *bad, "", OLD_ROW)
    assert len(parsed.events) == 2
    assert [one.line_number for one in parsed.rejected] == [1, *range(4, 13)]
    assert parsed.rejected[0].reason == "a row before the header"


def test_headers() -> None:
    assert is_netflow(OLD.encode())
    assert is_netflow(b"ts, sa, da\r")
    assert is_netflow(NEW.encode())
    assert not is_netflow(b"ts,te,td,pr,val,fl,flP,pkt,pktP,byt,bytP,pps,bps,bpp")
    assert not is_netflow(b"a,b")


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(block: bytes) -> None:
    parser = NetflowParser(tokenise)
    for some in (block, OLD.encode() + b"\n" + block):
        parsed = parser.parse(some)
        assert len(parsed.rejected) <= parsed.lines


@given(st.lists(st.text("0123456789.,:-TCP ", max_size=20), min_size=15, max_size=15))
def test_no_cells_make_it_fail(cells: list[str]) -> None:
    parsed = parse(OLD, ",".join(cells))
    assert len(parsed.events) + len(parsed.rejected) <= 1
