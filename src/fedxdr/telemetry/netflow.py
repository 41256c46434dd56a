# SPDX-License-Identifier: Apache-2.0
"""NetFlow and IPFIX as nfdump writes it in CSV, as events.

Reads ``nfdump -o csv`` of version 1.6 (``ts,te,td,sa,da,...``) and of 1.7
(``firstSeen,duration,proto,srcAddr,...``), by the names in the header; columns may be
missing but for time and addresses. Statistics (``-s``) have no two endpoints and are
refused.

It does NOT read nfdump's binary files, and does NOT join the two directions of an
exchange: a flow tells who sent, not who began, so its state stays unknown.

Rule 1: times have no offset in this format and are UTC; run nfdump with ``TZ=UTC``.
Rule 2: what comes after the line ``Summary`` is nfdump's own count and is skipped.

Source: nfdump(1), section "Output formats"; the header lines of its two versions.
"""

from __future__ import annotations

from typing import Final

from fedxdr.telemetry import catalogue
from fedxdr.telemetry.catalogue import Kind
from fedxdr.telemetry.edges import Edge, events_of, times_ns
from fedxdr.telemetry.parser import (
    Parsed,
    Rejected,
    Tokenise,
    Tokeniser,
    line_count,
    numbered,
    tokeniser_of,
)

_NAMES: Final = {
    "time": ("ts", "firstSeen"),
    "duration": ("td", "duration"),
    "protocol": ("pr", "proto"),
    "source": ("sa", "srcAddr"),
    "destination": ("da", "dstAddr"),
    "source_port": ("sp", "srcPort"),
    "destination_port": ("dp", "dstPort"),
    "packets_out": ("ipkt", "packets"),
    "bytes_out": ("ibyt", "bytes"),
    "packets_in": ("opkt",),
    "bytes_in": ("obyt",),
}
"""What a column is called in nfdump 1.6 and 1.7."""

_NEEDED: Final = frozenset({"time", "source", "destination"})
_WITH_PORTS: Final = frozenset({6, 17, 132})
_LARGEST_PORT: Final = 65_535
_LARGEST_PROTOCOL: Final = 255
_LONGEST_COUNT: Final = 18
_LONGEST_DURATION: Final = 20
_SUMMARY: Final = b"Summary"
_IS_SUMMARY: Final = "nfdump's summary"


class NetflowParser:
    """Reads flows.

    Args:
        tokenise: turns addresses, and users where it can, into tokens.
    """

    def __init__(self, tokenise: Tokenise | Tokeniser) -> None:
        self._tokeniser = tokeniser_of(tokenise)
        self._places: dict[str, int] = {}
        self._width = 0
        self._is_over = False

    def parse(self, block: bytes, *, first_line: int = 1) -> Parsed:
        """Return what a block of whole lines holds, see ``parser.Parser``."""
        read: list[tuple[int, bytes, str, Edge]] = []
        rejected: list[Rejected] = []
        skipped = 0
        for number, line in numbered(block, first_line):
            if is_netflow(line):
                self._begin(line)
                continue
            self._is_over = self._is_over or line.strip() == _SUMMARY
            if self._is_over:
                skipped += 1
                continue
            made = self._row(line)
            if isinstance(made, str):
                rejected.append(Rejected.of(number, made, line))
            else:
                read.append((number, line, *made))
        times, sound = times_ns([time for _, _, time, _ in read])
        for (number, line, _, _), is_time in zip(read, sound.tolist(), strict=True):
            if not is_time:
                rejected.append(Rejected.of(number, "its time is not a time", line))
        rejected.sort(key=lambda one: one.line_number)
        kept = zip(read, sound.tolist(), strict=True)
        edges = [edge for (_, _, _, edge), is_time in kept if is_time]
        return Parsed(
            events=events_of(edges, times[sound], self._tokeniser),
            rejected=tuple(rejected),
            skipped=skipped,
            why_skipped={_IS_SUMMARY: skipped} if skipped else {},
            lines=line_count(block),
        )

    def _begin(self, line: bytes) -> None:
        """Take the columns of a header; files may have been put one after another."""
        self._places = _places(line)
        self._width = line.count(b",") + 1
        self._is_over = False

    def _row(self, line: bytes) -> tuple[str, Edge] | str:
        """Return a row's time and edge, or what is wrong with it."""
        if not self._places:
            return "a row before the header"
        try:
            cells = [cell.strip() for cell in line.decode("ascii").split(",")]
        except UnicodeDecodeError:
            return "not ASCII"
        if len(cells) != self._width:
            return "not as many cells as the header has"
        row = {name: cells[place] for name, place in self._places.items()}
        try:
            return row["time"], _edge(row)
        except ValueError as error:
            return str(error)


def is_netflow(line: bytes) -> bool:
    """Return whether a line is the header of nfdump's CSV with two endpoints."""
    return _places(line).keys() >= _NEEDED


def _places(line: bytes) -> dict[str, int]:
    """Return the place of each column that is read."""
    if line[:3] != b"ts," and b"firstSeen" not in line:
        return {}
    place = {
        name.strip(): index
        for index, name in enumerate(line.decode("ascii", "replace").split(","))
    }
    return {
        ours: place[theirs]
        for ours, names in _NAMES.items()
        for theirs in names
        if theirs in place
    }


def _edge(row: dict[str, str]) -> Edge:
    """Return a row as an edge.

    Raises:
        ValueError: a cell that is not what its column says; tells which column.
    """
    if not (row["source"] and row["destination"]):
        raise ValueError("an address is missing")
    protocol = catalogue.protocol_of(row.get("protocol"))
    if protocol > _LARGEST_PROTOCOL:
        raise ValueError("protocol: above 255")
    # nfdump writes type and code of ICMP into the ports.
    with_ports = protocol in _WITH_PORTS
    return Edge(
        kind=Kind.FLOW,
        source=row["source"],
        destination=row["destination"],
        source_port=_port(row, "source_port") if with_ports else -1,
        destination_port=_port(row, "destination_port") if with_ports else -1,
        protocol=protocol,
        bytes_out=_count(row, "bytes_out"),
        # Of flows in one direction nfdump writes 0 for the other.
        bytes_in=_count(row, "bytes_in") or -1,
        packets_out=_count(row, "packets_out"),
        packets_in=_count(row, "packets_in") or -1,
        duration_s=_duration(row.get("duration", "")),
    )


def _count(row: dict[str, str], name: str) -> int:
    text = row.get(name)
    if text is None:
        return -1
    if not text.isdigit() or len(text) > _LONGEST_COUNT:
        raise ValueError(f"{name}: not a count")
    return int(text)


def _port(row: dict[str, str], name: str) -> int:
    port = _count(row, name)
    if port > _LARGEST_PORT:
        raise ValueError(f"{name}: above {_LARGEST_PORT}")
    return port or -1


def _duration(text: str) -> float:
    if not text:
        return float("nan")
    whole, _, part = text.partition(".")
    if len(text) > _LONGEST_DURATION or not (whole + part).isdigit():
        raise ValueError("duration: not seconds")
    return float(text)
