# SPDX-License-Identifier: Apache-2.0
"""Windows' servicing log (CBS.log): known, and without endpoints.

It tells which update was installed how. Every line is skipped, so that a folder of logs
is read to its end and the report says why nothing came of this one.

It does NOT read Windows' event logs, which are about accounts and hosts.
"""

from __future__ import annotations

import re
from typing import Final

from fedxdr.telemetry.event import Events
from fedxdr.telemetry.parser import Parsed, Rejected, line_count, numbered

_LINE: Final = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d, (?:Info|Warning|Error) ")

NO_ENDPOINTS: Final = "servicing of Windows: no endpoints"


def is_cbs(line: bytes) -> bool:
    """Return whether a line is of a servicing log."""
    return _LINE.match(line) is not None


class CbsParser:
    """Reads servicing logs, to tell that nothing is in them."""

    def parse(self, block: bytes, *, first_line: int = 1) -> Parsed:
        """Return what a block of whole lines holds, see ``parser.Parser``."""
        skipped = 0
        rejected: list[Rejected] = []
        for line_number, line in numbered(block, first_line):
            if is_cbs(line):
                skipped += 1
            else:
                reason = "no line of a servicing log"
                rejected.append(Rejected.of(line_number, reason, line))
        return Parsed(
            events=Events.empty(),
            rejected=tuple(rejected),
            skipped=skipped,
            lines=line_count(block),
            why_skipped={NO_ENDPOINTS: skipped} if skipped else {},
        )
