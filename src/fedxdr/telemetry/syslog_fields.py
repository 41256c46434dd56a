# SPDX-License-Identifier: Apache-2.0
"""What readers of log lines share: their contract, numbers, verdicts of firewalls.

It does NOT know any line format (sshd.py, iptables.py, cef.py, ...).

Rule 1: a reader gives an ``Edge``, or the reason why a sound line is none; it raises
``InvalidTelemetry`` for what it cannot read, and never anything else.
Rule 2: a reason is a fixed sentence. It holds nothing of the line.
Rule 3: time spent grows linearly with the line, whatever is in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.telemetry.catalogue import Kind, Service, State, service_of
from fedxdr.telemetry.edges import Edge
from fedxdr.telemetry.event import MALICIOUS, UNLABELLED

LARGEST: Final = 2**62
LARGEST_PORT: Final = 65_535
LARGEST_PROTOCOL: Final = 255
TCP: Final = 6
_MOST_DIGITS: Final = len(str(LARGEST))

Read = Edge | str
"""An edge, or why a sound line is none."""

Reader = Callable[[str, str], Read]
"""Reads the text of one line, given the host that wrote it."""

VERDICTS: Final = {
    "block": State.ATTEMPTED,
    "blocked": State.ATTEMPTED,
    "drop": State.ATTEMPTED,
    "dropped": State.ATTEMPTED,
    "deny": State.ATTEMPTED,
    "denied": State.ATTEMPTED,
    "reject": State.REJECTED,
    "rejected": State.REJECTED,
}
"""What became of a packet, by a firewall's word; dropped, it got no answer."""

_TRAFFIC: Final = frozenset(
    {
        *VERDICTS,
        *("accept", "accepted", "allow", "allowed", "pass", "permit", "permitted"),
        *("built", "connection", "flow", "netflow", "session", "teardown", "traffic"),
    }
)
_SEVERE: Final = 7
_SEVERITIES: Final = {"unknown": 0, "low": 0, "medium": 4, "high": 7, "very-high": 9}


class Told(NamedTuple):
    """A line that may say its own time.

    Attributes:
        time: as it is written, empty where it is not.
        read: the line.
    """

    time: str
    read: Read


def kind_and_label(words: tuple[str, ...], severity: str) -> tuple[Kind, int]:
    """Return what a security product's record is.

    It is a ``FLOW`` only where one of its words is, up to a colon, one of a firewall's
    few. Anything else counts as what a detection system thought: an ``ALERT``, which no
    model reads, labelled malicious from severity 7 of 10 on ("High" in CEF).

    Args:
        words: its name, class and category.
        severity: 0 to 10, or CEF's words for it; others are none.
    """
    if any(word.lower().partition(":")[0].strip() in _TRAFFIC for word in words):
        return Kind.FLOW, UNLABELLED
    level = _SEVERITIES.get(severity.lower(), -1)
    if severity.isascii() and severity.isdigit() and len(severity) <= len("10"):
        level = int(severity)
    return Kind.ALERT, MALICIOUS if level >= _SEVERE else UNLABELLED


def spoken(name: str) -> Service:
    """Return the service by the name that a firewall gives it."""
    return Service.TLS if name.lower() == "https" else service_of(name)


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
