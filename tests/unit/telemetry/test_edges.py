# SPDX-License-Identifier: Apache-2.0
"""Edges as columns, and the small readings that their parsers share."""

from __future__ import annotations

import math
import zlib

import msgspec
import numpy as np
import pytest

from fedxdr.telemetry import Kind
from fedxdr.telemetry.edges import (
    Edge,
    EdgeParser,
    Port,
    account,
    events_of,
    host_of,
    port_of,
    text_of,
    times_ns,
)
from fedxdr.telemetry.event import COLUMNS


class Names:
    """Tokens that tests can tell apart."""

    def address(self, text: str) -> int:
        return zlib.crc32(text.encode()) or 1

    def user(self, text: str) -> int:
        return zlib.crc32(b"user " + text.encode()) or 1


class Line(msgspec.Struct):
    time: str | int
    to: str = ""


def edge_of(line: Line) -> Edge | str:
    if not line.to:
        return "names nobody"
    return Edge(kind=Kind.FLOW, source="a", destination=line.to)


def test_a_bare_edge_says_nothing_but_its_ends() -> None:
    edge = Edge(kind=Kind.FLOW, source="a", destination="b")
    events = events_of([edge], np.array([7], np.int64), Names())
    for name, _, unknown in COLUMNS:
        value = getattr(events, name)[0].item()
        if name in {"time_ns", "source", "destination", "kind"}:
            assert value not in {0, unknown}
        elif math.isnan(unknown):
            assert math.isnan(value)
        else:
            assert value == unknown
    assert len(events_of([], np.zeros(0, np.int64), Names())) == 0


def test_lines_become_events_skips_and_rejections() -> None:
    block = b'{"time":5,"to":"b"}\n{"time":6}\n{"time":"noon","to":"b"}\n\n{"time"'
    parser = EdgeParser(
        Names(),
        msgspec.json.Decoder(Line),
        time_of=lambda line: line.time,
        edge_of=edge_of,
    )
    parsed = parser.parse(block, first_line=10)
    assert parsed.events.time_ns.tolist() == [5]
    assert parsed.why_skipped == {"names nobody": 1}
    assert [one.line_number for one in parsed.rejected] == [12, 14]
    assert parsed.lines == 5


def test_times() -> None:
    times, sound = times_ns([5, "1970-01-01T00:00:01Z", "noon"])
    assert times.tolist() == [5, 10**9, 0]
    assert sound.tolist() == [True, True, False]


@pytest.mark.parametrize("text", ['"-"', '""', "null", '"0"', "0"])
def test_ports_that_say_nothing(text: str) -> None:
    assert port_of(msgspec.json.decode(text, type=Port)) == -1


@pytest.mark.parametrize("port", [1, 9, 10, 59_999, 60_000, 64_999, 65_299, 65_535])
def test_ports(port: int) -> None:
    for text in (f'"{port}"', str(port)):
        decoded = msgspec.json.decode(text, type=Port)
        assert port_of(decoded) == port


@pytest.mark.parametrize(
    "text", ['"65536"', "65536", "-1", '"-1"', '"99999"', '"1\\n"', '"٣"', "1.5", "[]"]
)
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Port)


def test_texts() -> None:
    given = [None, "-", "", " a ", 3, True]
    assert [text_of(one) for one in given] == ["", "", "", "a", "3", "True"]


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "::ffff:127.0.0.1"]
)
def test_loopback_is_the_host_it_is_seen_on(text: str) -> None:
    assert host_of(text, "pc7") == "pc7"
    assert host_of(text, "") == text


def test_hosts_and_accounts() -> None:
    assert host_of("10.0.0.1", "pc7") == "10.0.0.1"
    assert host_of("-", "pc7") == ""
    assert account("alice", "CORP") == "CORP\\alice"
    assert account("alice", "-") == account("alice", None) == "alice"
    assert account("alice@CORP", "CORP") == "alice@CORP"
    assert account("-", "CORP") == ""
