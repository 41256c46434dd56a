# SPDX-License-Identifier: Apache-2.0
"""Which known attack an event is most like, in the eyes of the network.

Known are the techniques that the organisation's own past is labelled with. Each is the
mean of where the network places its events, seen from where it places benign ones; an
event is like the technique whose direction is nearest to its own.

It does NOT decide whether an event is an attack, and no technique comes from elsewhere:
model cards carry none.

Rule that always holds: a name is one that a finding may carry; others are left out.

Source: nearest class mean, Snell et al. 2017, section 2.2, by cosine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from fedxdr.learning.scored import Numbers
from fedxdr.learning.scorer import Scorer
from fedxdr.models.graph import Floats, Integers
from fedxdr.telemetry.event import MALICIOUS, Events

MOST_PER_TECHNIQUE: Final = 64
"""Events of a technique that are kept, the latest."""

LEAST_ALIKE: Final = 0.8
"""Cosine from which on an event is said to be like a technique."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examples:
    """Events of known techniques.

    Attributes:
        features: (k, D) float32.
        number: (k,) int64, which technique each one is.
        names: of the techniques.
    """

    features: Floats
    number: Integers
    names: tuple[str, ...]


class Campaigns:
    """Known techniques, as a network places them.

    Args:
        scorer: the network.
        examples: of the techniques.
        benign: (m, D) float32, features of benign events.
    """

    def __init__(self, scorer: Scorer, examples: Examples, benign: Floats) -> None:
        self._scorer = scorer
        self._names = examples.names
        placed = scorer.embeddings(benign).astype(np.float64)
        self._centre = placed.mean(axis=0) if len(placed) else 0.0
        directions = self._directions(examples.features)
        self._means = np.stack(
            [
                directions[examples.number == number].mean(axis=0)
                for number in range(len(examples.names))
            ]
            or [np.zeros(scorer.architecture.embedding)]
        )

    def nearest(self, features: Floats) -> str | None:
        """Return the technique that an event is most like, None if it is like none.

        Args:
            features: (D,) float32.
        """
        if not self._names:
            return None
        alike = _unit(self._means) @ self._directions(features[None])[0]
        best = int(alike.argmax())
        return self._names[best] if alike[best] >= LEAST_ALIKE else None

    def _directions(self, features: Floats) -> Numbers:
        placed = self._scorer.embeddings(features).astype(np.float64)
        return _unit(placed - self._centre)


def labelled(events: Events) -> tuple[Integers, Integers, tuple[str, ...]]:
    """Return which events show known techniques.

    Args:
        events: n events in the order of time.

    Returns:
        (k,) rows, ascending; (k,) the technique of each; the techniques' names.
    """
    is_known = (events.label == MALICIOUS) & (events.technique >= 0)
    rows: list[Integers] = []
    numbers: list[Integers] = []
    names: list[str] = []
    for number, name in enumerate(events.techniques):
        found = np.flatnonzero(is_known & (events.technique == number))
        if len(found) and _NAME.match(name):
            rows.append(found[-MOST_PER_TECHNIQUE:])
            numbers.append(np.full(len(rows[-1]), len(names)))
            names.append(name)
    if not names:
        return np.empty(0, np.int64), np.empty(0, np.int64), ()
    whole = np.concatenate(rows)
    order = np.argsort(whole)
    return whole[order], np.concatenate(numbers)[order], tuple(names)


def _unit(vectors: Numbers) -> Numbers:
    """Return vectors of length 1, or 0 for those without a length."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1.0), np.float64)
