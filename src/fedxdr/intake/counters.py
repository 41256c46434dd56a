# SPDX-License-Identifier: Apache-2.0
"""What came in, counted: lines, events, and why the others were none.

It does NOT keep lines (deadletter.py) and names no log, no entity: reasons are words of
ours. One writer; who reads takes ``figures``, which is a copy.

Rule: memory is bounded. Reasons beyond ``MOST_REASONS`` are counted together.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Final

from fedxdr.telemetry.parser import Parsed

MOST_REASONS: Final = 64
"""Different reasons that are counted apart, of each kind."""

OTHER: Final = "other reasons"
UNTOLD: Final = "not about two endpoints"
"""Why a record is skipped whose parser does not say."""


class Counters:
    """Counts of one intake, from its start."""

    def __init__(self) -> None:
        # guards the three below: a reader of figures may be another thread
        self._lock = threading.Lock()
        self._totals: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()

    def parsed(self, parsed: Parsed, *, size_bytes: int) -> None:
        """Count a block.

        Args:
            parsed: what it held.
            size_bytes: its length.
        """
        with self._lock:
            self._totals.update(
                lines=parsed.lines,
                bytes=size_bytes,
                events=len(parsed.events),
                skipped=parsed.skipped,
                rejected=len(parsed.rejected),
            )
            _count(self._skipped, skipped_why(parsed))
            _count(self._rejected, Counter(one.reason for one in parsed.rejected))

    def add(self, name: str, count: int = 1) -> None:
        """Count something else: ``segments``, ``truncated``, ``gaps``.

        Args:
            name: of what.
            count: how many more.
        """
        with self._lock:
            self._totals[name] += count

    def figures(self) -> dict[str, int]:
        """Return all counts; reasons as ``rejected: not JSON``."""
        with self._lock:
            return (
                dict(self._totals)
                | {f"skipped: {why}": count for why, count in self._skipped.items()}
                | {f"rejected: {why}": count for why, count in self._rejected.items()}
            )


def skipped_why(parsed: Parsed) -> Mapping[str, int]:
    """Return how many records of a block were skipped for which reason, all of them."""
    told = dict(parsed.why_skipped)
    rest = parsed.skipped - sum(told.values())
    if rest > 0:
        told[UNTOLD] = told.get(UNTOLD, 0) + rest
    return told


def _count(counter: Counter[str], more: Mapping[str, int]) -> None:
    for why, count in more.items():
        known = why in counter or len(counter) < MOST_REASONS
        counter[why if known else OTHER] += count
