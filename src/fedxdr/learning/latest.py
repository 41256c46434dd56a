# SPDX-License-Identifier: Apache-2.0
"""What a detector keeps of its latest batch, so that it can say why.

Of a batch the ``MOST_EXPLAINED`` rows that score highest are kept with their features,
and of what came before it the last ``MEMORY`` events, to point to.

It does NOT score or explain (detector.py, explain.py).

Rule that always holds: what is kept is bounded, whatever the batch.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning.explain import Asked
from fedxdr.learning.scored import Numbers, Scored
from fedxdr.models.graph import Floats, Integers
from fedxdr.telemetry.event import Events

MOST_EXPLAINED: Final = 4096
"""Rows of the latest batch, those that score highest, that can be explained."""

MEMORY: Final = 32_768
"""Earlier events that an explanation can point to."""


class Best:
    """The rows that score highest, the earlier of equal ones.

    Attributes:
        place: (k,) int64, their places, ascending.
    """

    def __init__(self) -> None:
        self.place: Integers = np.empty(0, np.int64)
        self._score: Numbers = np.empty(0)
        self._rows: Floats | None = None

    def take(self, place: Integers, score: Numbers, rows: Floats) -> None:
        """Look at some more rows.

        Args:
            place: (n,), ascending, behind those before.
            score: (n,).
            rows: (n, D) float32, their features.
        """
        whole = np.concatenate([self._score, score])
        best = np.sort(np.argsort(-whole, kind="stable")[:MOST_EXPLAINED])
        before = [] if self._rows is None else [self._rows]
        self.place = np.concatenate([self.place, place])[best]
        self._score = whole[best]
        self._rows = np.concatenate([*before, rows])[best]

    def features(self, width: int) -> Floats:
        """Return their features, (k, width) float32."""
        return np.empty((0, width), np.float32) if self._rows is None else self._rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Latest:
    """What is kept of a batch.

    Attributes:
        events: as they were pushed.
        before: the read events before it, at most ``MEMORY``.
        read: (m,) rows that were read, in the order of time.
        kept: (k,) places among them, ascending.
        features: (k, D) float32.
    """

    events: Events
    before: Events
    read: Integers
    kept: Integers
    features: Floats

    def spots(self, rows: Sequence[int]) -> Integers:
        """Return where rows of the batch are among the kept ones, -1 for others.

        Args:
            rows: of the batch.

        Raises:
            InvalidTelemetry: rows that it does not have.
        """
        place = np.full(len(self.events), -1, np.int64)
        place[self.read[self.kept]] = np.arange(len(self.kept))
        wanted = np.asarray(rows, np.int64)
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < len(place)):
            raise InvalidTelemetry(f"the batch has rows 0 to {len(place) - 1}")
        return place[wanted]

    def asked(self, scored: Scored, rows: Sequence[int]) -> Asked:
        """Return the question why rows of the batch score as they do.

        Args:
            scored: what was said of the batch.
            rows: of it.

        Raises:
            InvalidTelemetry: rows that are not kept.
        """
        spots = self.spots(rows)
        if (spots < 0).any():
            raise InvalidTelemetry(
                f"of a batch the {MOST_EXPLAINED} rows that score highest can be "
                "explained, if they were read"
            )
        # no further back than what would be remembered anyway
        first = max(int(self.kept[spots].min(initial=len(self.read))) - MEMORY, 0)
        last = int(self.kept[spots].max(initial=-1)) + 1
        inside = self.read[first:last]
        before = self.before if first == 0 else Events.empty()
        return Asked(
            features=self.features[spots],
            stream=Events.concatenate([before, self.events.select(inside)]),
            place=len(before) + self.kept[spots] - first,
            rows=np.concatenate([np.full(len(before), -1), inside]),
            calibrated=scored.calibrated[np.asarray(rows, np.int64)],
        )


def remembered(before: Events, more: Events) -> Events:
    """Return the last ``MEMORY`` events of both."""
    if len(more) >= MEMORY:
        return more.select(slice(-MEMORY, None))
    kept = before.select(slice(max(len(before) + len(more) - MEMORY, 0), None))
    return Events.concatenate([kept, more])
