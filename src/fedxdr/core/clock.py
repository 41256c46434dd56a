# SPDX-License-Identifier: Apache-2.0
"""Time, handed in. Every instant in the house is a UTC-aware ``datetime``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Whatever can tell the time."""

    def now(self) -> datetime:
        """Return the present instant, UTC-aware."""


class SystemClock:
    """The machine's clock, cut to microseconds."""

    def now(self) -> datetime:
        """Return the present instant, UTC-aware."""
        return datetime.now(UTC)  # noqa: TID251 - this is the one door to it


class ManualClock:
    """A clock that stands still until it is moved; for simulations and tests."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        """Return the instant the clock was last moved to."""
        return self._now

    def advance(self, *, seconds: float) -> None:
        """Move the clock on.

        Args:
            seconds: how far, >= 0.

        Raises:
            ValueError: a step back.
        """
        if seconds < 0:
            raise ValueError("a clock does not run backwards")
        self._now += timedelta(seconds=seconds)


def rfc3339(instant: datetime) -> str:
    """Return an instant as RFC 3339 text in UTC, ``2026-01-01T00:00:00Z``."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
