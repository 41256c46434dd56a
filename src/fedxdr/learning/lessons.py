# SPDX-License-Identifier: Apache-2.0
"""From labelled or unlabelled events to what a network's further heads are taught.

- Tactics: those that an attack's technique serves (core/tactics.py).
- What follows: each row beside an edge that did not happen, from the same source at the
  same time to another destination of the stream, drawn with a seed.
- Labels: where nobody has labelled a single event, "malicious or not" is not taught;
  else rows without a label count as benign, as everywhere in this house.

It does NOT choose rows or fit (fit.py).

Rule that always holds: the same events and seed give the same lessons.

Source: negatives by another destination as in Rossi et al. 2020, section 4.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fedxdr.core.randomness import generator
from fedxdr.core.tactics import TACTICS, tactics_of
from fedxdr.learning.features import FeatureSet
from fedxdr.learning.fit import ONLY_MALICIOUS, Lessons
from fedxdr.models.architecture import NAME, Architecture
from fedxdr.models.graph import Floats, Integers
from fedxdr.telemetry.event import MALICIOUS, UNLABELLED, Events

_NEGATIVES: Final = 11
"""Separates this use of a seed from others."""


def lessons(
    events: Events, *, found: FeatureSet, architecture: Architecture, seed: int
) -> Lessons:
    """Return what the heads of a network learn from some events, all of them rows.

    Args:
        events: n >= 1 events in time order.
        found: the architecture's feature set.
        architecture: of the network; the first version has no further heads and no
            use for rows without labels, so that nothing changes for it.
        seed: of the destinations drawn.
    """
    if architecture.name == NAME:
        return ONLY_MALICIOUS
    against = None
    if architecture.following and found.against is not None and len(events):
        rows = np.arange(len(events), dtype=np.int64)
        other = elsewhere(events, seed=seed)
        against = found.against(events, rows, other)
    return Lessons(
        is_labelled=bool((events.label != UNLABELLED).any()),
        tactics=tactics(events) if architecture.tactics else None,
        against=against,
    )


def tactics(events: Events) -> Floats:
    """Return (n, T) float32 in {0, 1}: the tactics of each attack's technique."""
    served = np.zeros((len(events.techniques) + 1, len(TACTICS)), np.float32)
    order = list(TACTICS)
    for place, technique in enumerate(events.techniques):
        for tactic in tactics_of(technique):
            served[place, order.index(tactic)] = 1
    # the last row is that of no technique
    number = np.where(events.label == MALICIOUS, events.technique, -1)
    return served[number]


def elsewhere(events: Events, *, seed: int) -> Integers:
    """Return (n,) int64: for each event another destination that the stream knows.

    A destination comes as often as it is met; where an event's own is drawn, any other
    one is taken. It stays only where all events have the same.
    """
    draw = generator(seed, _NEGATIVES)
    n = len(events)
    drawn = events.destination[draw.integers(0, n, n)]
    known = np.unique(events.destination)
    is_own = drawn == events.destination
    # never the own one: take a neighbour in the list of all
    place = np.searchsorted(known, events.destination[is_own])
    step = draw.integers(1, max(len(known), 2), int(is_own.sum()))
    drawn[is_own] = known[(place + step) % len(known)]
    return np.asarray(drawn, np.int64)
