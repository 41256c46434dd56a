# SPDX-License-Identifier: Apache-2.0
"""Events in the order of their times, although they come a little out of it.

Logs of several sensors arrive each at its own pace. ``Reordering`` holds events back
for some seconds of the stream's own time and hands them on sorted, so that a ``Stream``
(streaming.py) reads them as a batch would.

It does NOT wait on a clock: what is held comes out when newer events come, or by
``flush``. It does not drop what comes too late.

Rules that always hold:
    1. Every event comes out once, but for those refused; each block that comes out is
       in time order, equal times in the order of arrival.
    2. What is older than what has come out already is handed on at once and counted as
       late. A stream reads it as if it came at its newest time.
    3. A time more than a day ahead of the clock is refused and counted: were it taken
       for the newest, all that follows would be late.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.telemetry.event import Events

LONGEST_AHEAD_NS: Final = 86_400 * 10**9
"""How far ahead of the clock a time is still believed."""

MOST_HELD: Final = 1_000_000
"""Events held back at most; when there are more, the oldest come out early."""


class Reordering:
    """Holds events back until their turn.

    Args:
        lateness_s: by how much an event may come after a newer one, >= 0.
        most_held: how many events are held at most, >= 0.

    Attributes:
        late: events that came later than that.
        refused: events with a time that cannot be.

    Raises:
        InvalidTelemetry: an argument below 0, or not finite.
    """

    def __init__(self, lateness_s: float, *, most_held: int = MOST_HELD) -> None:
        if not 0 <= lateness_s < np.inf or most_held < 0:
            raise InvalidTelemetry(
                f"got lateness {lateness_s} s, {most_held} events held, want >= 0"
            )
        self._lateness_ns = int(lateness_s * 1e9)
        self._most = most_held
        self._held = Events.empty()
        self._newest_ns: int | None = None
        self._out_ns: int | None = None
        self.late = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._held)

    def push(self, events: Events, *, now_ns: int) -> Events:
        """Take events as they arrived; return those whose turn it is, sorted.

        Args:
            events: n events in any order.
            now_ns: the newest time that is plausible: the clock, or for old logs the
                time they were written; UTC nanoseconds since 1970.

        Returns:
            those older than the newest event by ``lateness_s`` or more.
        """
        is_plausible = events.time_ns <= now_ns + LONGEST_AHEAD_NS
        self.refused += int(len(events) - is_plausible.sum())
        taken = events if is_plausible.all() else events.select(is_plausible)
        if len(taken):
            newest = int(taken.time_ns.max())
            if self._newest_ns is None or newest > self._newest_ns:
                self._newest_ns = newest
            if self._out_ns is not None:
                self.late += int((taken.time_ns < self._out_ns).sum())
        if self._newest_ns is None:
            return taken
        waiting = Events.concatenate([self._held, taken]).sort()
        turn = self._newest_ns - self._lateness_ns
        count = int(np.searchsorted(waiting.time_ns, turn, side="right"))
        return self._release(waiting, max(count, len(waiting) - self._most))

    def flush(self) -> Events:
        """Return all that is still held, sorted: the stream ends, or pauses."""
        return self._release(self._held, len(self._held))

    def _release(self, waiting: Events, count: int) -> Events:
        released = waiting.select(slice(0, count))
        self._held = waiting.select(slice(count, None))
        if count:
            last = int(released.time_ns[-1])
            self._out_ns = last if self._out_ns is None else max(last, self._out_ns)
        return released
