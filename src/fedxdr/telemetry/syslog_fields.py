# SPDX-License-Identifier: Apache-2.0
"""What readers of log lines share: their contract, and numbers written in digits.

It does NOT know any line format (sshd.py, iptables.py, cef.py, ...).

Rule 1: a reader gives an ``Edge``, or the reason why a sound line is none; it raises
``InvalidTelemetry`` for what it cannot read, and never anything else.
Rule 2: a reason is a fixed sentence. It holds nothing of the line.
Rule 3: time spent grows linearly with the line, whatever is in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.telemetry.edges import Edge

LARGEST: Final = 2**62
LARGEST_PORT: Final = 65_535
LARGEST_PROTOCOL: Final = 255
TCP: Final = 6
_MOST_DIGITS: Final = len(str(LARGEST))

Read = Edge | str
"""An edge, or why a sound line is none."""

Reader = Callable[[str, str], Read]
"""Reads the text of one line, given the host that wrote it."""


def number(text: str, largest: int, what: str) -> int:
    """Return a number written in digits, -1 for the empty text.

    Args:
        text: digits.
        largest: greatest value allowed.
        what: name of the field, for the message.

    Raises:
        InvalidTelemetry: anything else than a number in [0, largest].
    """
    if not text:
        return -1
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
        value = int(text)
        if value <= largest:
            return value
    raise InvalidTelemetry(f"{what} is not a number in [0, {largest}]")
