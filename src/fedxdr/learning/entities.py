# SPDX-License-Identifier: Apache-2.0
"""Features in which hosts, users and services are nodes, for logs of every kind.

The set ``entities`` reads connections and application records as ``traffic`` does, and
what hosts' own logs bring: sign-ons, their outcome, programs, and who acted. Nodes
whose recent events are looked at: the source (in any role), the destination (in any
role), the pair, what is spoken at the destination, and the user. Its own numbers are
those of the event, mixtures and means of the neighbourhoods, and lifetimes: how many
earlier events and since when, of each node and of the user at either end, and how many
partners they have had. Lifetimes are soon full (columns.py): as they are in the set
``edges`` they tell how long a sensor has been running.

``against`` asks the same of an event that did not happen: another destination in its
place. That is what the head for "what follows" learns from.

It does NOT read a label, a signature, a severity or who somebody is, and one event may
change any number of later ones: a node's first is looked at for an hour. No claim about
single events can be made for it.

Rules that always hold:
    1. Strictly causal; every number lies in [0, BOUND].
    2. A user who is not known is no node: no neighbours, no lifetime. Where users are
       compared, those not known are one value.
    3. Of a key nothing is read but its last 128 events, the time of its first and
       counts, so that a stream holds a fixed amount for each (streaming.py).

Source: choice of keys, windows and lifetimes is ours, on embedded telemetry of seeds 0
and 1 (docs/explanation/detection.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning import columns
from fedxdr.models import graph
from fedxdr.models.graph import Floats, History, Integers
from fedxdr.telemetry.catalogue import Kind, State
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.features import OWN_FEATURES, own_features

NAME: Final = "entities"
RANKS: Final = (1, 2, 4, 8, 16, 32, 64, 128)
KEYS: Final = 5
TOKEN: Final = 3 + columns.EDGES

ALIKE: Final = (4, 16, 32)
DIVERSE: Final = (8, 32)
MEANS: Final = (8, 32)

_KINDS: Final = (
    Kind.AUTH,
    Kind.PROCESS,
    Kind.KERBEROS,
    Kind.RDP,
    Kind.FILE,
    Kind.RPC,
)
"""Kinds of record that have no column in telemetry/features.py."""

SHOWN: Final = len(_KINDS) + 4
"""How many numbers ``shown`` gives."""
_MIXTURES: Final = 10
_AVERAGED: Final = 3
_LIFETIMES: Final = 7
_PARTNERS: Final = 4
OWN: Final = (
    len(OWN_FEATURES)
    + SHOWN
    + _MIXTURES * (len(ALIKE) + len(DIVERSE))
    + _AVERAGED * columns.EDGES * len(MEANS)
    + _LIFETIMES * columns.PER_LIFETIME
    + _PARTNERS
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Codes:
    """One number per distinct value, in the stream and in what is asked about.

    Attributes:
        stream: (n,) int64.
        asked: (q,) int64, same numbering.
    """

    stream: Integers
    asked: Integers

    @classmethod
    def of(cls, stream: Integers, asked: Integers) -> _Codes:
        codes = graph.entities(np.concatenate([stream, asked]))
        return cls(stream=codes[: len(stream)], asked=codes[len(stream) :])

    def joined(self, other: _Codes) -> _Codes:
        """Return codes of combinations."""
        n = len(self.stream)
        codes = graph.entities(
            np.concatenate([self.stream, self.asked]),
            np.concatenate([other.stream, other.asked]),
        )
        return _Codes(stream=codes[:n], asked=codes[n:])

    def history(self, rows: Integers, other: _Codes | None = None) -> History:
        """Return the earlier events of what is asked about."""
        return graph.history(
            self.stream,
            queries=rows,
            other=None if other is None else other.stream,
            wanted=self.asked,
        )


def make(events: Events, rows: Integers) -> Floats:
    """Return the features of some events, (q, D) float32.

    Args:
        events: n events in time order.
        rows: (q,) indices of those asked for.
    """
    return against(events, rows, events.destination[rows])


def against(events: Events, rows: Integers, destination: Integers) -> Floats:
    """Return the features that events to other destinations would have had.

    Args:
        events: n events in time order.
        rows: (q,) indices: all but the destination is taken from them.
        destination: (q,) int64, entities, known before or not.

    Returns:
        (q, D) float32 in [0, BOUND].

    Raises:
        InvalidTelemetry: not one destination per row.
    """
    if destination.shape != rows.shape:
        raise InvalidTelemetry(f"got {len(destination)} destinations, {len(rows)} rows")
    source, target = _hosts(events, rows, destination)
    spoken = _same(columns.spoken(events), rows)
    user = _same(events.user, rows)
    account = _account(events, user, rows)
    pair = source.joined(target)
    user_there, user_here = account.joined(target), account.joined(source)
    by_source = source.history(rows, target)
    by_target = target.history(rows, source)
    by_pair = pair.history(rows)
    by_service = target.joined(spoken).history(rows)
    by_user = account.history(rows)
    as_source, as_target = source.history(rows), target.history(rows)
    edges = columns.edges(events)
    asked = events.select(rows)
    found = [
        *(
            _token(past, events, same=same, edges=edges)
            for past, same in (
                (by_source, spoken),
                (by_target, spoken),
                (by_pair, spoken),
                (by_service, source),
                (by_user, target),
            )
        ),
        own_features(asked),
        shown(asked, destination),
        *(
            _mixture(past, attribute)
            for past, attributes in (
                (by_source, (target, spoken, user)),
                (by_target, (source, spoken, user)),
                (by_pair, (spoken,)),
                (by_service, (source,)),
                (by_user, (target, source)),
            )
            for attribute in attributes
        ),
        *(
            graph.means(past, edge, MEANS)
            for past in (by_source, by_pair, by_user)
            for edge in edges
        ),
        *(
            _lifetime(past, events.time_ns)
            for past in (
                as_source,
                as_target,
                by_pair,
                by_user,
                user_there.history(rows),
                user_here.history(rows),
                by_service,
            )
        ),
        *(
            _partners(past, of)
            for past, of in (
                (as_source, pair),
                (as_target, pair),
                (by_user, user_there),
                (by_user, user_here),
            )
        ),
    ]
    return np.clip(np.concatenate(found, axis=1, dtype=np.float32), 0, columns.BOUND)


def shown(events: Events, destination: Integers) -> Floats:
    """Return what hosts' own logs show of n events, (n, 10) float32 in {0, 1}.

    Which kind of record it is, whether a user is known, whether one was let in or
    refused, and whether all of it happened on one host.

    Args:
        events: n rows.
        destination: (n,) int64, in place of theirs.
    """
    has_user = events.user != 0
    is_sign_on = has_user | (events.kind == Kind.AUTH)
    told = [
        *(events.kind == kind for kind in _KINDS),
        has_user,
        is_sign_on & (events.state == State.COMPLETED),
        is_sign_on & (events.state == State.REJECTED),
        events.source == destination,
    ]
    return np.stack(told, axis=1).astype(np.float32)


def _hosts(
    events: Events, rows: Integers, destination: Integers
) -> tuple[_Codes, _Codes]:
    """Return sources and destinations in one numbering."""
    n = len(events)
    both = _Codes.of(np.concatenate([events.source, events.destination]), destination)
    source, target = both.stream[:n], both.stream[n:]
    return (
        _Codes(stream=source, asked=source[rows]),
        _Codes(stream=target, asked=both.asked),
    )


def _same(column: Integers, rows: Integers) -> _Codes:
    """Return codes of a column that an event to elsewhere would have had too."""
    codes = graph.entities(column)
    return _Codes(stream=codes, asked=codes[rows])


def _account(events: Events, user: _Codes, rows: Integers) -> _Codes:
    """Return users as nodes; each event of none known is alone."""
    n = len(events)
    node = np.where(events.user == 0, n + np.arange(n), user.stream)
    return _Codes(stream=node, asked=node[rows])


def _token(
    past: History, events: Events, *, same: _Codes, edges: tuple[Floats, ...]
) -> Floats:
    """Return (q, ranks * TOKEN): gap, presence, likeness, edge of each neighbour."""
    index = graph.recent(past, RANKS)
    is_there = index != graph.NONE
    place = np.maximum(index, 0)
    is_same = is_there & (same.stream[place] == same.asked[:, None])
    parts = [
        columns.gap(graph.ages(past, events.time_ns, RANKS)),
        is_there.astype(np.float32),
        is_same.astype(np.float32),
        *(np.where(is_there, edge[place], 0).astype(np.float32) for edge in edges),
    ]
    return np.stack(parts, axis=2).reshape(len(index), len(RANKS) * TOKEN)


def _mixture(past: History, attribute: _Codes) -> Floats:
    """Return (q, 5): how alike and how diverse the last events are."""
    return np.concatenate(
        [
            graph.alike(past, attribute.stream, ALIKE, own=attribute.asked),
            np.log1p(graph.diversity(past, attribute.stream, DIVERSE)),
        ],
        axis=1,
        dtype=np.float32,
    )


def _lifetime(past: History, time_ns: Integers) -> Floats:
    """Return (q, 3), as ``columns.lifetime`` tells it."""
    age_ns = np.zeros(len(past.queries), np.int64)
    if len(past.events):
        first = past.events[np.minimum(past.begin, len(past.events) - 1)]
        since = time_ns[past.queries] - time_ns[first]
        age_ns = np.where(past.length > 0, since, 0)
    return columns.lifetime(past.length, age_ns)


def _partners(past: History, met: _Codes) -> Floats:
    """Return (q, 1): how many a node has met, for each the first of its events."""
    is_first = np.zeros(len(met.stream), np.bool_)
    is_first[np.unique(met.stream, return_index=True)[1]] = True
    total = np.concatenate([[0], np.cumsum(is_first[past.events])])
    count = total[past.position] - total[past.begin]
    return columns.acquaintance(count)[:, None]
