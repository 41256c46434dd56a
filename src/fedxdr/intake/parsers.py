# SPDX-License-Identifier: Apache-2.0
"""Which parser reads which format: the one place where both are known.

It does NOT recognise formats (sniffing.py) and does NOT read files.

Rule: a parser that is begun in mid-file is shown the head of the file first, because
two formats say in it alone what their columns mean.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from fedxdr.intake.sniffing import LogFormat, zeek_log_of
from fedxdr.telemetry.cbs import CbsParser
from fedxdr.telemetry.ecs import EcsParser
from fedxdr.telemetry.netflow import NetflowParser
from fedxdr.telemetry.ocsf import OcsfParser
from fedxdr.telemetry.parser import Parser, Tokenise, Tokeniser
from fedxdr.telemetry.redteam import RedteamParser
from fedxdr.telemetry.suricata import LABEL_SEVERITY, EveParser
from fedxdr.telemetry.syslog_parser import SyslogParser
from fedxdr.telemetry.wazuh import WazuhParser
from fedxdr.telemetry.windows import WindowsParser
from fedxdr.telemetry.zeek import ZeekTsvParser
from fedxdr.telemetry.zeek_json import ZeekJsonParser

_LAST_SECOND: Final = 9_000_000_000.0
"""Of year 2255: what a damaged file system says beyond is no time of a log."""

NEEDLES: Final = {LogFormat.EVE: b'"src_ip"'}
"""What stands in each line that becomes an event, where anything does."""


def parser_for(
    format_: LogFormat,
    *,
    name: str,
    written: dt.datetime,
    tokenise: Tokenise | Tokeniser,
    label_severity: int = LABEL_SEVERITY,
) -> Parser:
    """Return a new parser of a log.

    Args:
        format_: what it is, but ``EMPTY``.
        name: of its file, without folders.
        written: when it was last written; no line of it is of a later time.
        tokenise: turns addresses, and users where it can, into tokens.
        label_severity: see ``EveParser``.
    """
    match format_:
        case LogFormat.EVE:
            return EveParser(tokenise, label_severity=label_severity)
        case LogFormat.ZEEK_TSV:
            return ZeekTsvParser(tokenise)
        case LogFormat.WINDOWS:
            return WindowsParser(tokenise)
        case LogFormat.WAZUH:
            return WazuhParser(tokenise, label_severity=label_severity)
        case LogFormat.OCSF:
            return OcsfParser(tokenise)
        case LogFormat.ECS:
            return EcsParser(tokenise, label_severity=label_severity)
        case LogFormat.NETFLOW:
            return NetflowParser(tokenise)
        case LogFormat.SYSLOG:
            return SyslogParser(tokenise, now=written)
        case LogFormat.CBS:
            return CbsParser()
        case LogFormat.REDTEAM:
            return RedteamParser(tokenise)
        case _:
            return ZeekJsonParser(tokenise, log=zeek_log_of(name))


def header_of(format_: LogFormat, head: bytes) -> bytes:
    """Return the lines at a file's head that say what its columns mean.

    Args:
        format_: what it is.
        head: the first bytes of the file.
    """
    lines = head[: head.rfind(b"\n") + 1].splitlines(keepends=True)
    match format_:
        case LogFormat.ZEEK_TSV:
            kept = [line for line in lines if line.lstrip()[:1] == b"#"]
        case LogFormat.NETFLOW:
            kept = lines[:1]
        case _:
            kept = []
    return b"".join(kept)


def instant(seconds: float) -> dt.datetime:
    """Return a file's time of writing, whatever a file system says.

    Args:
        seconds: since 1970, of any size.
    """
    return dt.datetime.fromtimestamp(min(max(seconds, 0.0), _LAST_SECOND), dt.UTC)
