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
from fedxdr.telemetry.cbs import is_cbs
from fedxdr.telemetry.netflow import is_netflow
from fedxdr.telemetry.redteam import is_redteam
from fedxdr.telemetry.syslog import is_syslog

_LINES_TRIED: Final = 100
_ABSENT: Final = msgspec.Raw(b"")


class LogFormat(enum.Enum):
    """Formats that can be read."""

    EVE = "Suricata EVE"
    ZEEK_TSV = "Zeek, tab-separated"
    ZEEK_JSON = "Zeek, JSON"
    WINDOWS = "Windows events, JSON"
    WAZUH = "Wazuh alerts"
    OCSF = "OCSF"
    ECS = "Elastic Common Schema"
    NETFLOW = "NetFlow, CSV of nfdump"
    SYSLOG = "syslog"
    CBS = "Windows servicing log"
    REDTEAM = "LANL red-team logons"
    EMPTY = "empty"


class _Signs(msgspec.Struct):
    """Fields that give a format away."""

    event_type: msgspec.Raw = _ABSENT
    timestamp: msgspec.Raw = _ABSENT
    ts: msgspec.Raw = _ABSENT
    path: msgspec.Raw = msgspec.field(name="_path", default=_ABSENT)
    stream: msgspec.Raw = msgspec.field(name="@stream", default=_ABSENT)
    winlog: msgspec.Raw = _ABSENT
    windows_event: msgspec.Raw = msgspec.field(name="Event", default=_ABSENT)
    windows_number: msgspec.Raw = msgspec.field(name="EventID", default=_ABSENT)
    rule: msgspec.Raw = _ABSENT
    agent: msgspec.Raw = _ABSENT
    class_uid: msgspec.Raw = _ABSENT
    ecs: msgspec.Raw = _ABSENT
    elastic_time: msgspec.Raw = msgspec.field(name="@timestamp", default=_ABSENT)

    def format(self) -> LogFormat | None:
        """Return the format that they give away, None where they give none."""
        windows = self.winlog or self.windows_event or self.windows_number
        # Order matters: a Windows event of winlogbeat is ECS as well.
        tried = (
            (self.event_type and self.timestamp, LogFormat.EVE),
            (windows, LogFormat.WINDOWS),
            (self.class_uid, LogFormat.OCSF),
            (self.rule and self.agent and self.timestamp, LogFormat.WAZUH),
            (self.ts or self.path or self.stream, LogFormat.ZEEK_JSON),
            (self.ecs and self.elastic_time, LogFormat.ECS),
        )
        return next((found for signs, found in tried if signs), None)


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
            text_format = _text_format(line)
            if text_format is not None:
                return text_format
            continue
        found = signs.format()
        if found is not None:
            return found
    raise InvalidTelemetry(
        "neither Suricata EVE nor a Zeek log: the first lines hold no header (#fields)"
        ", no JSON with event_type and timestamp, no JSON with ts, and no syslog; nor"
        " is it JSON of Windows, Wazuh, OCSF or ECS, or CSV of nfdump"
    )


def _text_format(line: bytes) -> LogFormat | None:
    """Return the format of a line that is not JSON, None where it gives none away."""
    if is_netflow(line):
        return LogFormat.NETFLOW
    if is_cbs(line):
        return LogFormat.CBS
    if is_redteam(line):
        return LogFormat.REDTEAM
    if is_syslog(line.decode("utf-8", "replace")):
        return LogFormat.SYSLOG
    return None


def zeek_log_of(name: str) -> str:
    """Return which of Zeek's logs a file name tells, empty where it tells none.

    Args:
        name: without folders: ``conn.log``, ``site_dns.2024-01-01.log.gz``.
    """
    stem = name.split(".", 1)[0].lower()
    known = [log for log in KINDS if stem == log or stem.endswith(f"_{log}")]
    return max(known, key=len, default="")
