# SPDX-License-Identifier: Apache-2.0
"""What kind of log a file is, by its first bytes.

It does NOT trust names: a name only tells which of Zeek's logs a JSON file is that does
not say it itself.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.telemetry.catalogue import KINDS

_LINES_TRIED: Final = 100
_ABSENT: Final = msgspec.Raw(b"")


class LogFormat(enum.Enum):
    """Formats that can be read."""

    EVE = "Suricata EVE"
    ZEEK_TSV = "Zeek, tab-separated"
    ZEEK_JSON = "Zeek, JSON"
    EMPTY = "empty"


class _Signs(msgspec.Struct):
    """Fields that give a format away."""

    event_type: msgspec.Raw = _ABSENT
    timestamp: msgspec.Raw = _ABSENT
    ts: msgspec.Raw = _ABSENT
    path: msgspec.Raw = msgspec.field(name="_path", default=_ABSENT)
    stream: msgspec.Raw = msgspec.field(name="@stream", default=_ABSENT)


_DECODER: Final = msgspec.json.Decoder(_Signs)


def is_array(head: bytes) -> bool:
    """Return whether a file begins like one JSON array of records."""
    return head.lstrip()[:1] == b"["


def sniff(head: bytes) -> LogFormat:
    """Return the format of a log.

    Args:
        head: the first bytes of the file, some whole lines of it.

    Raises:
        InvalidTelemetry: none of the formats that can be read.
    """
    lines = [line for line in head.split(b"\n") if line.strip()]
    if not lines:
        return LogFormat.EMPTY
    for line in lines[:_LINES_TRIED]:
        if line.lstrip()[:1] == b"#":
            return LogFormat.ZEEK_TSV
        try:
            signs = _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if signs.event_type and signs.timestamp:
            return LogFormat.EVE
        if signs.ts or signs.path or signs.stream:
            return LogFormat.ZEEK_JSON
    raise InvalidTelemetry(
        "neither Suricata EVE nor a Zeek log: the first lines hold no header (#fields)"
        ", no JSON with event_type and timestamp, and no JSON with ts"
    )


def zeek_log_of(name: str) -> str:
    """Return which of Zeek's logs a file name tells, empty where it tells none.

    Args:
        name: without folders: ``conn.log``, ``site_dns.2024-01-01.log.gz``.
    """
    stem = name.split(".", 1)[0].lower()
    known = [log for log in KINDS if stem == log or stem.endswith(f"_{log}")]
    return max(known, key=len, default="")
