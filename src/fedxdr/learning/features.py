# SPDX-License-Identifier: Apache-2.0
"""From events to the numbers a detector reads: what is behaviour, and nothing else.

Seven feature sets, each named in the plan:

- ``alerts``: alerts of several sensors, by timing and mixture alone. Host and kind of
  alert are keys by which the past is looked up; neither is an input.
- ``traffic``: connections and application records, by their own fields and context.
- ``counters``: causal counters of alerts without a bound on the past. No claim about
  single events can be made for it.
- ``alerts-event``, ``traffic-event``: the same two kinds of telemetry by so short a
  past and so few keys that event-level privacy is affordable (event_features.py).
- ``entities``: connections, application records, sign-ons and programs, with hosts,
  users and services as nodes, by recent neighbours and lifetimes (entities.py); no
  claim about single events either.
- ``edges``: who met whom when, by recent neighbours and lifetimes (lifetimes.py); for
  streams that know nothing else, and without that claim.

It does NOT read a label, a signature, a severity or an entity's identity; it does NOT
standardise (the model holds the federated statistics).

Rules that always hold:
    1. Strictly causal and, but for ``counters``, ``entities`` and ``edges``, bounded:
       see models/graph.py.
    2. Every feature lies in [0, ``BOUND``], so that its mean and mean square have the
       bound that a plan's statistics round needs.

Source: choice of keys, ranks and windows is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning import columns, entities, event_features, lifetimes
from fedxdr.models import graph
from fedxdr.models.architecture import Architecture
from fedxdr.models.graph import Floats, History, Integers
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.features import OWN_FEATURES, own_features

BOUND: Final = columns.BOUND
"""Largest value of any feature."""

RANKS: Final = (1, 2, 4, 8, 16, 32, 64, 128)
"""Which earlier events of a node are looked at; the last one bounds the past."""

OF_TRAFFIC: Final = ("traffic", "traffic-event", lifetimes.NAME, entities.NAME)
"""Sets that read connections and records; the others read alerts."""

_ALIKE_WINDOWS: Final = (4, 16, 32)
_DIVERSITY_WINDOWS: Final = (8, 32)
_MEAN_WINDOWS: Final = (8, 32)
_COUNT_WINDOWS_S: Final = (60, 3600)
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSet:
    """How one kind of telemetry is read.

    Attributes:
        name: as in the plan.
        keys: nodes per event whose past is read; 0 for counters only.
        token: numbers per neighbour.
        own: numbers of the event itself and of its windows.
        is_bounded: whether one event can change boundedly many others only; by how
            many, models/context.py says.
        make: from events in time order and the rows asked for to (q, D) float32.
        ranks: which earlier events of a node are looked at.
        against: the same of edges to other destinations, None if a set knows none;
            see lifetimes.py.
    """

    name: str
    keys: int
    token: int
    own: int
    is_bounded: bool
    make: Callable[[Events, Integers], Floats]
    ranks: tuple[int, ...] = RANKS
    against: Callable[[Events, Integers, Integers], Floats] | None = None

    def architecture(
        self,
        *,
        neighbour: int = 8,
        mixer: int = 32,
        embedding: int = 128,
        bins: int = 0,
        tactics: int = 0,
        following: int = 0,
    ) -> Architecture:
        """Return the network's sizes for this set."""
        return Architecture(
            features=self.name,
            own=self.own,
            keys=self.keys,
            ranks=len(self.ranks) if self.keys else 1,
            token=max(self.token, 1),
            neighbour=neighbour,
            mixer=mixer,
            embedding=embedding,
            bins=bins,
            tactics=tactics,
            following=following,
        )

    def compute(self, events: Events, rows: Integers | None = None) -> Floats:
        """Return the features of some events.

        Args:
            events: n events in time order; all of them are context.
            rows: (q,) indices of those asked for; all if None.

        Returns:
            (q, D) float32, in [0, BOUND].

        Raises:
            InvalidTelemetry: the events are not in time order.
        """
        if not events.is_sorted:
            raise InvalidTelemetry("features need events in time order: sort() them")
        wanted = np.arange(len(events)) if rows is None else rows
        return self.make(events, wanted.astype(np.int64))


def find(name: str) -> FeatureSet:
    """Return a feature set by its name.

    Raises:
        InvalidTelemetry: there is none of that name.
    """
    if name not in FEATURE_SETS:
        raise InvalidTelemetry(
            f"feature set {name!r}: use one of {', '.join(FEATURE_SETS)}"
        )
    return FEATURE_SETS[name]


def entity_of(events: Events, name: str) -> Integers:
    """Return the host that each event belongs to, one per event, (n,) int64.

    Under unit ``entity`` that host's contribution is bounded and hidden: who opened
    the connection, for traffic; the host that was alerted about, for alerts. The other
    end of an event is not.

    Args:
        events: n events.
        name: of the feature set.
    """
    return events.source if name in OF_TRAFFIC else events.destination


def _alerts(events: Events, rows: Integers) -> Floats:
    host = graph.entities(events.destination)
    kind = graph.entities(events.service)
    pair = graph.entities(host, kind)
    past = [
        graph.history(host, queries=rows),
        graph.history(kind, queries=rows),
        graph.history(pair, queries=rows),
        graph.history(np.zeros(len(events), np.int64), queries=rows),
    ]
    tokens = [_token(item, events, same=pair, edges=()) for item in past]
    by_host, by_kind, _, by_any = past
    own = [
        _mixture(by_host, kind),
        _mixture(by_kind, host),
        _mixture(by_any, host),
        _mixture(by_any, kind),
        _mixture(by_any, pair),
    ]
    return _joined(tokens, own)


def _traffic(events: Events, rows: Integers) -> Floats:
    n = len(events)
    both = graph.entities(np.concatenate([events.source, events.destination]))
    source, destination = both[:n], both[n:]
    spoken = graph.entities(columns.spoken(events))
    pair = graph.entities(source, destination)
    edges = columns.edges(events)
    past = [
        graph.history(source, queries=rows),
        graph.history(destination, queries=rows, other=source),
        graph.history(pair, queries=rows),
        graph.history(graph.entities(destination, spoken), queries=rows),
    ]
    sames = (spoken, spoken, spoken, source)
    tokens = [
        _token(item, events, same=same, edges=edges)
        for item, same in zip(past, sames, strict=True)
    ]
    by_source, by_destination, by_pair, by_service = past
    own = [
        own_features(events.select(rows)),
        _mixture(by_source, destination),
        _mixture(by_source, spoken),
        _mixture(by_destination, source),
        _mixture(by_destination, spoken),
        _mixture(by_pair, spoken),
        _mixture(by_service, source),
        *(graph.means(by_source, edge, _MEAN_WINDOWS) for edge in edges),
        *(graph.means(by_pair, edge, _MEAN_WINDOWS) for edge in edges),
    ]
    return _joined(tokens, own)


def _counters(events: Events, rows: Integers) -> Floats:
    host = graph.entities(events.destination)
    kind = graph.entities(events.service)
    second = events.time_ns // 10**9
    found: list[Floats] = []
    for node in (host, kind, graph.entities(host, kind)):
        past = graph.history(node, queries=rows)
        found += [
            *(columns.log(_count_within(past, second, w)) for w in _COUNT_WINDOWS_S),
            columns.log(past.length),
            columns.gap(graph.ages(past, events.time_ns, (1,))[:, 0]),
        ]
    everyone = graph.history(np.zeros(len(events), np.int64), queries=rows)
    found += [columns.log(_count_within(everyone, second, w)) for w in _COUNT_WINDOWS_S]
    angle = (second[rows] % _DAY_S) / _DAY_S * 2 * np.pi
    found.append((1 + np.sin(angle)).astype(np.float32))
    return _joined([], [np.stack(found, axis=1)])


def _token(
    past: History, events: Events, *, same: Integers, edges: tuple[Floats, ...]
) -> Floats:
    """Return (q, ranks, token): age, presence, likeness and edge of each neighbour."""
    index = graph.recent(past, RANKS)
    is_there = index != graph.NONE
    place = np.maximum(index, 0)
    own = same[past.queries][:, None]
    parts = [
        columns.gap(graph.ages(past, events.time_ns, RANKS)),
        is_there.astype(np.float32),
        (is_there & (same[place] == own)).astype(np.float32),
    ]
    parts += [np.where(is_there, edge[place], 0).astype(np.float32) for edge in edges]
    return np.stack(parts, axis=2)


def _mixture(past: History, attribute: Integers) -> Floats:
    """Return (q, 5): how alike and how diverse the last events are."""
    return np.concatenate(
        [
            graph.alike(past, attribute, _ALIKE_WINDOWS),
            np.log1p(graph.diversity(past, attribute, _DIVERSITY_WINDOWS)),
        ],
        axis=1,
        dtype=np.float32,
    )


def _count_within(past: History, second: Integers, window_s: int) -> Integers:
    """Return (q,) int64: earlier events of the node at most that many seconds ago."""
    if not len(past.events):
        return np.zeros(len(past.queries), np.int64)
    # times ascend inside a node's group: search them in (group, time) order
    origin = int(second[0])
    span = int(second[-1]) - origin + 1
    starts = np.unique(past.begin)
    group = np.searchsorted(starts, np.arange(len(past.events)), side="right") - 1
    # groups that nobody asks about lie behind one that is asked about: level them
    keys = np.maximum.accumulate(group * span + second[past.events] - origin)
    since = np.maximum(second[past.queries] - origin - window_s, 0)
    wanted = np.searchsorted(starts, past.begin) * span + since
    low = np.searchsorted(keys, wanted, side="left")
    return past.position - np.clip(low, past.begin, past.position)


def _joined(tokens: list[Floats], own: list[Floats]) -> Floats:
    parts = [token.reshape(len(token), math.prod(token.shape[1:])) for token in tokens]
    parts += own
    return np.clip(np.concatenate(parts, axis=1, dtype=np.float32), 0, BOUND)


_MIXTURE: Final = len(_ALIKE_WINDOWS) + len(_DIVERSITY_WINDOWS)
FEATURE_SETS: Final[dict[str, FeatureSet]] = {
    item.name: item
    for item in (
        FeatureSet(
            name="alerts",
            keys=4,
            token=3,
            own=5 * _MIXTURE,
            is_bounded=True,
            make=_alerts,
        ),
        FeatureSet(
            name="traffic",
            keys=4,
            token=3 + columns.EDGES,
            own=len(OWN_FEATURES)
            + 6 * _MIXTURE
            + 2 * columns.EDGES * len(_MEAN_WINDOWS),
            is_bounded=True,
            make=_traffic,
        ),
        FeatureSet(
            name="counters",
            keys=0,
            token=0,
            own=15,
            is_bounded=False,
            make=_counters,
        ),
        *(
            FeatureSet(
                name=room.NAME,
                keys=room.KEYS,
                token=room.TOKEN,
                own=room.OWN,
                is_bounded=False,
                make=room.make,
                ranks=room.RANKS,
                against=room.against,
            )
            for room in (lifetimes, entities)
        ),
        *(
            FeatureSet(
                name=item.name,
                keys=item.keys,
                token=item.token,
                own=item.own,
                is_bounded=True,
                make=item.make,
                ranks=item.ranks,
            )
            for item in event_features.SETS
        ),
    )
}
"""Every feature set, by name."""
