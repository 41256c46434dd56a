# SPDX-License-Identifier: Apache-2.0
"""LANL's list of red-team logons: ``time,user@domain,source computer,destination``.

Each is an ``AUTH`` edge labelled malicious; whether it succeeded is not said.

It does NOT read the data set's ``auth.txt``. Its clock starts at an epoch that was not
published: seconds are taken as if since 1970, which keeps their order and distances.

Source: Kent, "Cyber security data sources for dynamic network research", 2016; the
archive's page, "Comprehensive, Multi-source Cyber-security Events", redteam.txt.gz.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from fedxdr.telemetry.catalogue import Kind
from fedxdr.telemetry.edges import Edge, events_of
from fedxdr.telemetry.event import MALICIOUS
from fedxdr.telemetry.parser import (
    Parsed,
    Rejected,
    Tokenise,
    Tokeniser,
    line_count,
    numbered,
    tokeniser_of,
)
from fedxdr.telemetry.timestamps import SECOND_NS

_LINE: Final = re.compile(
    rb"(\d{1,9}),([A-Za-z0-9$_-]{1,64}@[A-Za-z0-9$_-]{1,64}),(C\d{1,9}),(C\d{1,9})\s*"
)
_HEADER: Final = b"timestamp,uname,src_comp,dst_comp"

IS_HEADER: Final = "names of the columns"


def is_redteam(line: bytes) -> bool:
    """Return whether a line is of the list, or the names of its columns."""
    return line.strip() == _HEADER or _LINE.fullmatch(line) is not None


class RedteamParser:
    """Reads the list.

    Args:
        tokenise: turns computers, and users where it can, into tokens.
    """

    def __init__(self, tokenise: Tokenise | Tokeniser) -> None:
        self._tokeniser = tokeniser_of(tokenise)

    def parse(self, block: bytes, *, first_line: int = 1) -> Parsed:
        """Return what a block of whole lines holds, see ``parser.Parser``."""
        edges: list[Edge] = []
        times: list[int] = []
        rejected: list[Rejected] = []
        headers = 0
        for line_number, line in numbered(block, first_line):
            found = _LINE.fullmatch(line)
            if found is not None:
                time, user, source, destination = (
                    one.decode() for one in found.groups()
                )
                times.append(int(time) * SECOND_NS)
                edges.append(
                    Edge(
                        kind=Kind.AUTH,
                        source=source,
                        destination=destination,
                        user=user,
                        label=MALICIOUS,
                    )
                )
            elif line.strip() == _HEADER:
                headers += 1
            else:
                reason = "not a time, an account and two computers"
                rejected.append(Rejected.of(line_number, reason, line))
        return Parsed(
            events=events_of(edges, np.array(times, np.int64), self._tokeniser),
            rejected=tuple(rejected),
            skipped=headers,
            why_skipped={IS_HEADER: headers} if headers else {},
            lines=line_count(block),
        )
