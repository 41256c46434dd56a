# SPDX-License-Identifier: Apache-2.0
"""Windows as examples: one event then changes one example, whatever its past reads.

Time is cut at absolute boundaries, multiples of the window's length since 1970. All of
a window's events make one example, its gradient is clipped as a whole, and no feature
reads across a boundary. Removing an event changes its own window and no other.

It does NOT choose the length (the plan does) or account for it (own 0, occurrences 1;
docs/explanation/event-level-dp.md).

Rules that always hold:
    1. The boundaries are the plan's; none depends on an event.
    2. Which events of a window are read, and how much each weighs, depends on that
       window alone.

Source: ours; the unit is that of fixed-interval partitioning, as in parallel
composition (McSherry 2009).
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from fedxdr.core.errors import InvalidPlan, InvalidTelemetry
from fedxdr.learning.dpsgd import Examples
from fedxdr.models import graph
from fedxdr.models.graph import Integers
from fedxdr.telemetry.event import Events

MOST_EVENTS: Final = 16
"""Events read per window: a flood is one pattern, and the rest would only cost time."""

CONFINED: Final = ("alerts-event", "traffic-event")
"""Feature sets whose every key is a host, so that ``confined`` confines them."""

_NS: Final = 10**9


def confined(events: Events, *, window_s: int) -> Events:
    """Return the events with hosts that live for one window.

    A host in two windows becomes two, so that no lookup by host leaves its window;
    that is all there is in the feature sets of ``CONFINED``.

    Args:
        events: in time order.
        window_s: length of a window, seconds >= 1.

    Raises:
        InvalidPlan: a length below 1.
    """
    window = _window(events.time_ns, window_s)
    # from 1: token 0 means unknown
    source = graph.entities(window, events.source) + 1
    destination = graph.entities(window, events.destination) + 1
    return dataclasses.replace(
        events,
        source=np.where(events.source == 0, -source, source),
        destination=np.where(events.destination == 0, -destination, destination),
    )


def examples(time_ns: Integers, *, window_s: int, most: int = MOST_EVENTS) -> Examples:
    """Return one example per window that has events.

    Of a window with more than ``most`` events as many are read, spread evenly over
    their order; each weighs 1 / how many are read.

    Args:
        time_ns: (n,) int64, ascending.
        window_s: length of a window, seconds >= 1.
        most: events read per window, >= 1.

    Raises:
        InvalidPlan: a length or number below 1.
        InvalidTelemetry: times that do not ascend.
    """
    if most < 1:
        raise InvalidPlan(f"got {most} events per window, want at least 1")
    if (np.diff(time_ns) < 0).any():
        raise InvalidTelemetry("windows need events in time order")
    window = _window(time_ns, window_s)
    _, begin, count = np.unique(window, return_index=True, return_counts=True)
    read = np.minimum(count, most)
    place = np.arange(most)[None, :]
    is_read = place < read[:, None]
    offset = np.where(is_read, place * count[:, None] // read[:, None], 0)
    return Examples(
        rows=(begin[:, None] + offset).astype(np.int64),
        weight=np.where(is_read, 1.0 / read[:, None], 0.0).astype(np.float32),
    )


def _window(time_ns: Integers, window_s: int) -> Integers:
    if window_s < 1:
        raise InvalidPlan(f"a window of {window_s} s: want at least 1")
    return time_ns // (window_s * _NS)
