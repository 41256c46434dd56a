# SPDX-License-Identifier: Apache-2.0
"""Features with so short a past that event-level privacy is affordable.

Every event that an example's features read is one that the example can be changed by,
and each is paid for with noise. So one or two keys only, 16 or 8 events back, and what
is read of them is made easy to learn from: gaps to the k-th earlier event both on a
logarithmic scale and as closeness, which tells seconds inside a burst apart.

- ``alerts-event``: alerts by what came before on the same host: K = 16, one key. Kinds
  of alert are compared, never read.
- ``traffic-event``: connections by what came before from the same source and to the
  same destination: K = 8, two keys.

It does NOT standardise: the model's statistics are those of models/context.py, chosen
from the ranges below and not from anybody's data.

Rules that always hold:
    1. Nothing older than the K-th earlier event of a key is read, so that one event
       changes the features of at most K * keys others (tests remove events and count).
    2. Every number lies in [0, BOUND].

Source: choice of keys, ranks and encodings is ours, on AIT-ADS with the last two
organisations left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from fedxdr.learning import columns
from fedxdr.models import graph
from fedxdr.models.graph import Floats, History, Integers
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.features import OWN_FEATURES, own_features

ALERT_RANKS: Final = (1, 2, 4, 8, 16)
TRAFFIC_RANKS: Final = (1, 2, 4, 8)
"""Which earlier events are looked at; the last one is K."""

_ALERT_WINDOWS: Final = (4, 16)
_TRAFFIC_WINDOWS: Final = (4, 8)
_WIDEST: Final = 2.0
"""Shares and truths are written as 0 to 2, so that they weigh like closeness."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSet:
    """One set, as features.py lists it; attributes are those of ``FeatureSet``."""

    name: str
    keys: int
    token: int
    own: int
    ranks: tuple[int, ...]
    make: Callable[[Events, Integers], Floats]


def alerts(events: Events, rows: Integers) -> Floats:
    """Return ``alerts-event`` of some events, (q, D) float32.

    Args:
        events: n events in time order.
        rows: (q,) indices of those asked for.
    """
    host = graph.entities(events.destination)
    kind = graph.entities(events.service)
    past = graph.history(host, queries=rows)
    return _joined(
        [_token(past, events, same=kind, ranks=ALERT_RANKS, read=())],
        [_mixture(past, kind, _ALERT_WINDOWS)],
    )


def traffic(events: Events, rows: Integers) -> Floats:
    """Return ``traffic-event`` of some events, (q, D) float32.

    Args:
        events: n events in time order.
        rows: (q,) indices of those asked for.
    """
    source = graph.entities(events.source)
    destination = graph.entities(events.destination)
    spoken = graph.entities(columns.spoken(events))
    read = columns.edges(events)
    by_source = graph.history(source, queries=rows)
    by_destination = graph.history(destination, queries=rows)
    return _joined(
        [
            _token(by_source, events, same=spoken, ranks=TRAFFIC_RANKS, read=read),
            _token(by_destination, events, same=spoken, ranks=TRAFFIC_RANKS, read=read),
        ],
        [
            own_features(events.select(rows)),
            _mixture(by_source, destination, _TRAFFIC_WINDOWS),
            _mixture(by_source, spoken, _TRAFFIC_WINDOWS),
            _mixture(by_destination, source, _TRAFFIC_WINDOWS),
            _mixture(by_destination, spoken, _TRAFFIC_WINDOWS),
        ],
    )


def _token(
    past: History,
    events: Events,
    *,
    same: Integers,
    ranks: tuple[int, ...],
    read: tuple[Floats, ...],
) -> Floats:
    """Return (q, ranks, token): gap, closeness, likeness and edge of each neighbour."""
    index = graph.recent(past, ranks)
    is_there = index != graph.NONE
    place = np.maximum(index, 0)
    seconds = graph.ages(past, events.time_ns, ranks)
    is_same = is_there & (same[place] == same[past.queries][:, None])
    parts = [
        columns.gap(seconds),
        columns.closeness(seconds),
        _WIDEST * is_same.astype(np.float32),
        *(np.where(is_there, edge[place], 0).astype(np.float32) for edge in read),
    ]
    return np.stack(parts, axis=2)


def _mixture(past: History, attribute: Integers, windows: tuple[int, ...]) -> Floats:
    """Return (q, 2 * windows): how alike and how diverse the last events are."""
    return np.concatenate(
        [
            _WIDEST * graph.alike(past, attribute, windows),
            np.log1p(graph.diversity(past, attribute, windows)),
        ],
        axis=1,
        dtype=np.float32,
    )


def _joined(tokens: list[Floats], own: list[Floats]) -> Floats:
    parts = [token.reshape(len(token), -1) for token in tokens if len(token)]
    if not parts:
        width = sum(token.shape[1] * token.shape[2] for token in tokens)
        parts = [np.zeros((0, width), np.float32)]
    whole = np.concatenate([*parts, *own], axis=1, dtype=np.float32)
    return np.clip(whole, 0, columns.BOUND)


SETS: Final = (
    EventSet(
        name="alerts-event",
        keys=1,
        token=3,
        own=2 * len(_ALERT_WINDOWS),
        ranks=ALERT_RANKS,
        make=alerts,
    ),
    EventSet(
        name="traffic-event",
        keys=2,
        token=3 + columns.EDGES,
        own=len(OWN_FEATURES) + 4 * 2 * len(_TRAFFIC_WINDOWS),
        ranks=TRAFFIC_RANKS,
        make=traffic,
    ),
)
"""Every set of this file."""
