# SPDX-License-Identifier: Apache-2.0
"""How far one event reaches into the features of later ones, for each feature set.

A plan charges for exactly this many examples per event, so it is stated here, below the
plan, and held against the features themselves by a test that removes events and counts
what changed (tests/unit/learning/test_features.py).

It does NOT compute features (learning/features.py).

Source: docs/explanation/event-level-dp.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fedxdr.core.errors import InvalidPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The past that a feature set reads.

    Attributes:
        reach: K, how many events back per index key, at most; None without a bound.
        index_keys: how many keys the past is looked up by; one whose events belong to
            two nodes counts twice.
        centre: what stands for the mean of every feature in a first model.
        spread: what stands for their standard deviation, > 0. Centre and spread follow
            from the range that features are made in; no data were asked.
    """

    reach: int | None
    index_keys: int
    centre: float = 0.0
    spread: float = 1.0


CONTEXTS: Final[Mapping[str, Context]] = {
    "alerts": Context(reach=128, index_keys=4),
    "traffic": Context(reach=128, index_keys=5),
    "counters": Context(reach=None, index_keys=3),
    "edges": Context(reach=None, index_keys=7),
    "entities": Context(reach=None, index_keys=11),
    "alerts-event": Context(reach=16, index_keys=1, centre=1.0, spread=1.0),
    "traffic-event": Context(reach=8, index_keys=2, centre=0.5, spread=1.0),
}
"""Every feature set of learning/features.py, by name."""


def context_of(name: str) -> Context:
    """Return how far an event reaches under a feature set.

    Raises:
        InvalidPlan: there is none of that name.
    """
    if name not in CONTEXTS:
        raise InvalidPlan(
            f"feature set {name!r}: its context is not known; use one of "
            f"{', '.join(CONTEXTS)}"
        )
    return CONTEXTS[name]
