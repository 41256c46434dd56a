# SPDX-License-Identifier: Apache-2.0
"""Syslog of hosts and firewalls as events: the frame, then whose line it is.

It does NOT know the formats themselves: each has a file, and ``READERS`` is the one
place where programs are given to them. It keeps nothing between blocks.

Rule 1: a line of a program that nobody reads is skipped, not refused.
Rule 2: what an intrusion detection system or a firewall says of a packet in words is a
label at most, on edges of kind ``ALERT``.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from typing import Final

import numpy as np

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.telemetry import authlog, cef, filterlog, iptables, leef, sshd
from fedxdr.telemetry.edges import Edge, events_of
from fedxdr.telemetry.parser import (
    Parsed,
    Rejected,
    Tokenise,
    Tokeniser,
    line_count,
    numbered,
    tokeniser_of,
)
from fedxdr.telemetry.syslog import Framer
from fedxdr.telemetry.syslog_fields import Read, Reader, Told

LARGEST_LINE: Final = 65_536
"""Bytes; rsyslog and syslog-ng cut at 8 and 64 KiB."""

READERS: Final[dict[str, Reader]] = {
    "sshd": sshd.read,
    "sshd-session": sshd.read,
    "sshd-auth": sshd.read,
    "sudo": authlog.sudo,
    "su": authlog.su,
    "ftpd": authlog.ftpd,
    "klogind": authlog.klogind,
    "kernel": iptables.read,
    "ulogd": iptables.read,
    "filterlog": filterlog.read,
}
"""Who reads the text, by the program that wrote it."""

TELLERS: Final[dict[str, Callable[[str], Told]]] = {
    "CEF:": cef.read,
    "LEEF:": leef.read,
}
"""Who reads texts that begin so, whatever program wrote them; they may tell a time."""

NO_READER: Final = "a program whose lines name no endpoints, or that nobody reads"


class SyslogParser:
    """Reads syslog files of any mixture of programs.

    Args:
        tokenise: turns addresses, and users where it can, into tokens.
        now: UTC-aware; tells the year of lines that do not, see ``syslog.Framer``.
        host: of lines that do not name theirs.
    """

    def __init__(
        self, tokenise: Tokenise | Tokeniser, *, now: dt.datetime, host: str = ""
    ) -> None:
        self._tokeniser = tokeniser_of(tokenise)
        self._framer = Framer(now)
        self._host = host

    def parse(self, block: bytes, *, first_line: int = 1) -> Parsed:
        """Return what a block of whole lines holds, see ``parser.Parser``."""
        edges: list[Edge] = []
        times: list[int] = []
        rejected: list[Rejected] = []
        skipped: Counter[str] = Counter()
        for line_number, line in numbered(block, first_line):
            try:
                time_ns, found = self._read(line)
            except InvalidTelemetry as error:
                rejected.append(Rejected.of(line_number, str(error), line))
                continue
            if isinstance(found, str):
                skipped[found] += 1
            else:
                edges.append(found)
                times.append(time_ns)
        return Parsed(
            events=events_of(edges, np.array(times, np.int64), self._tokeniser),
            rejected=tuple(rejected),
            skipped=skipped.total(),
            lines=line_count(block),
            why_skipped=skipped,
        )

    def _read(self, line: bytes) -> tuple[int, Read]:
        if len(line) > LARGEST_LINE:
            raise InvalidTelemetry(f"a line above {LARGEST_LINE} bytes")
        text = line.decode("utf-8", "replace").strip("\r\n\x00 ")
        frame = self._framer.frame(text)
        host = frame.host or self._host
        time_ns = frame.time_ns
        said = next((mark for mark in TELLERS if frame.text.startswith(mark)), None)
        if said is None:
            found = _dispatch(frame.program, frame.text, host)
        else:
            own_time, found = TELLERS[said](frame.text)
            own_ns = self._framer.time(own_time) if own_time else None
            time_ns = time_ns if own_ns is None else own_ns
        if isinstance(found, str):
            return 0, found
        if time_ns is None:
            raise InvalidTelemetry("no time, neither in the frame nor in the line")
        if not (found.source and found.destination):
            return 0, "the host is not named"
        return time_ns, found


def _dispatch(program: str, text: str, host: str) -> Read:
    if authlog.is_pam(text):
        return authlog.pam(text, host)
    service, is_pam, _ = program.partition("(pam_")
    if is_pam:
        return authlog.old_pam(service, text, host)
    reader = READERS.get(program)
    return NO_READER if reader is None else reader(text, host)
