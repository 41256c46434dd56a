# SPDX-License-Identifier: Apache-2.0
"""QRadar's Log Event Extended Format, versions 1.0 and 2.0.

``LEEF:2.0|vendor|product|version|event|delimiter|key=value`` and so on. Whether a
record is of traffic or an alert is told by ``syslog_fields.kind_and_label``.

It does NOT read attributes beyond the predefined ones, nor a time in a format of its
own (``devTimeFormat``): then the frame's time counts.

Rule: of a key that stands twice the first counts.

Source: IBM, "QRadar LEEF Format Guide", "LEEF event components" and "Predefined LEEF
event attributes".
"""

from __future__ import annotations

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
)

_PARTS: Final = len(("version", "vendor", "product", "its", "event"))
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_MOST_HEX: Final = 4


def read(text: str) -> Told:
    """Return the edge of a record, or why it is none, and its own time.

    Args:
        text: from ``LEEF:`` on.

    Raises:
        InvalidTelemetry: a header cut off, or a number that is none.
    """
    parts = text.split("|", _PARTS)
    if len(parts) <= _PARTS:
        raise InvalidTelemetry(f"LEEF with a header of {len(parts) - 1} parts, not 5")
    attributes, delimiter = parts[_PARTS], "\t"
    if parts[0].startswith("LEEF:2"):
        written, has_delimiter, rest = attributes.partition("|")
        found = _delimiter(written)
        if has_delimiter and found:
            attributes, delimiter = rest, found
    field: dict[str, str] = {}
    for one in attributes.split(delimiter):
        name, _, value = one.partition("=")
        field.setdefault(name.strip(), value.strip())
    time = "" if field.get("devTimeFormat") else field.get("devTime", "")
    source = field.get("src") or field.get("identSrc", "")
    destination = field.get("dst", "")
    if not (source and destination):
        return Told(time, NO_ENDPOINTS)
    protocol = protocol_of(field.get("proto"))
    if protocol > LARGEST_PROTOCOL:
        raise InvalidTelemetry("proto is not a protocol")
    words = (parts[4], field.get("cat", ""))
    kind, label = kind_and_label(words, field.get("sev", ""))
    edge = Edge(
        kind=kind,
        source=source,
        destination=destination,
        source_port=number(field.get("srcPort", ""), LARGEST_PORT, "srcPort"),
        destination_port=number(field.get("dstPort", ""), LARGEST_PORT, "dstPort"),
        protocol=protocol,
        bytes_out=number(field.get("srcBytes", ""), LARGEST, "srcBytes"),
        bytes_in=number(field.get("dstBytes", ""), LARGEST, "dstBytes"),
        packets_out=number(field.get("srcPackets", ""), LARGEST, "srcPackets"),
        packets_in=number(field.get("dstPackets", ""), LARGEST, "dstPackets"),
        state=VERDICTS.get(field.get("action", "").lower(), State.UNKNOWN),
        label=label,
        user=field.get("usrName", ""),
    )
    return Told(time, edge)


def _delimiter(written: str) -> str:
    """Return the character that a header names, empty where it names none.

    Args:
        written: one character, or ``x`` or ``0x`` and up to four hexadecimal digits;
            nothing is a tab.
    """
    if len(written) <= 1:
        return written or "\t"
    code = written.removeprefix("0").removeprefix("x")
    if code == written or not 1 <= len(code) <= _MOST_HEX or set(code) - _HEX:
        return ""
    return chr(int(code, 16))
