# SPDX-License-Identifier: Apache-2.0
r"""ArcSight's Common Event Format: ``CEF:0|vendor|...|name|severity|key=value ...``.

Whether a record is of traffic or an alert is told by ``syslog_fields.kind_and_label``.
``in`` is what flows from source to destination and ``out`` the way back, as the
specification says; some products write it the other way round.

It does NOT read custom fields (``cs1``, ``cn1``, ...): what they mean is the product's.

Rule: of a key that stands twice the first counts.

Source: Micro Focus, "Implementing ArcSight Common Event Format (CEF)", version 26,
"Header Field Definitions", "Extension Dictionary" and "Date Formats".
"""

from __future__ import annotations

import re
from typing import Final

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.telemetry.catalogue import State, protocol_of
from fedxdr.telemetry.edges import NO_ENDPOINTS, Edge
from fedxdr.telemetry.syslog_fields import (
    LARGEST,
    LARGEST_PORT,
    LARGEST_PROTOCOL,
    VERDICTS,
    Told,
    kind_and_label,
    number,
    spoken,
)

_PART: Final = re.compile(r"((?:[^|\\]++|\\.)*+)\|", re.DOTALL)
_PARTS: Final = len(
    ("version", "vendor", "product", "its", "class", "name", "severity")
)
# begins with a character, so that it is searched for and not tried at every place
_KEY: Final = re.compile(r" ([A-Za-z0-9_.\[\]]{1,64}+)=")
_ESCAPED: Final = re.compile(r"\\([\\=|nr])")
_MEANT: Final = {"n": "\n", "r": "\r"}
_TIMES: Final = ("start", "rt", "end")
_WANTED: Final = frozenset(
    {
        *_TIMES,
        *("src", "c6a2", "shost", "dst", "c6a3", "dhost", "spt", "dpt", "proto", "app"),
        *("in", "out", "act", "request", "suser", "duser", "cat"),
    }
)


def read(text: str) -> Told:
    """Return the edge of a record, or why it is none, and its own time.

    Args:
        text: from ``CEF:`` on.

    Raises:
        InvalidTelemetry: a header cut off, or a number that is none.
    """
    parts: list[str] = []
    end = 0
    while len(parts) < _PARTS:
        part = _PART.match(text, end)
        if part is None:
            raise InvalidTelemetry(f"CEF with a header of {len(parts)} parts, not 7")
        parts.append(_plain(part[1]))
        end = part.end()
    field = _extension(text[end:])
    time = next((field[name] for name in _TIMES if field.get(name)), "")
    source = field.get("src") or field.get("c6a2") or field.get("shost", "")
    destination = field.get("dst") or field.get("c6a3") or field.get("dhost", "")
    if not (source and destination):
        return Told(time, NO_ENDPOINTS)
    protocol = protocol_of(field.get("proto"))
    if protocol > LARGEST_PROTOCOL:
        raise InvalidTelemetry("proto is not a protocol")
    kind, label = kind_and_label((parts[4], parts[5], field.get("cat", "")), parts[6])
    edge = Edge(
        kind=kind,
        source=source,
        destination=destination,
        source_port=number(field.get("spt", ""), LARGEST_PORT, "spt"),
        destination_port=number(field.get("dpt", ""), LARGEST_PORT, "dpt"),
        protocol=protocol,
        service=spoken(field.get("app", "")),
        bytes_out=number(field.get("in", ""), LARGEST, "in"),
        bytes_in=number(field.get("out", ""), LARGEST, "out"),
        state=VERDICTS.get(field.get("act", "").lower(), State.UNKNOWN),
        text=field.get("request", ""),
        label=label,
        user=field.get("suser") or field.get("duser", ""),
    )
    return Told(time, edge)


def _extension(text: str) -> dict[str, str]:
    """Return ``key=value key=value``; values hold spaces, and ``=`` only escaped."""
    # what stands before the first key, then keys and values in turn
    parts = _KEY.split(f" {text}")
    field: dict[str, str] = {}
    for name, value in zip(parts[1::2], parts[2::2], strict=True):
        if name in _WANTED and name not in field:
            field[name] = _plain(value.strip())
    return field


def _plain(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda found: _MEANT.get(found[1], found[1]), text)
