# SPDX-License-Identifier: Apache-2.0
"""Features of bare edges: who met whom when, and how long they have known each other.

The set ``edges`` reads three columns: time, source, destination. Its neighbours are the
recent events of either end (in any role), of the pair, and of everybody; its own
numbers are lifetimes: how many earlier events, since when, how often an hour, of the
source as source, the destination as destination, either end in any role, the pair and
the pair the other way round; and how many partners both have had.

``against`` asks the same of an edge that did not happen: another destination in its
place. That is what the head for "what follows" learns from.

It does NOT read ports, sizes, services or users, and has no bound on the past: an old
event still counts in a lifetime. No claim about single events can be made for it.

Rules that always hold: strictly causal; every number lies in [0, BOUND].

Source: choice of keys and lifetimes is ours, on DARPA 1998 with each network's own
attacks left out in turn (docs/explanation/detection.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning import columns
from fedxdr.models import graph
from fedxdr.models.graph import Floats, History, Integers
from fedxdr.telemetry.event import Events

NAME: Final = "edges"
RANKS: Final = (1, 2, 4, 8, 16, 32, 64, 128)
KEYS: Final = 4
TOKEN: Final = 3
_PER_LIFETIME: Final = 4
_LIFETIMES: Final = 6
OWN: Final = _LIFETIMES * _PER_LIFETIME + 2
_HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ends:
    """Codes of nodes and pairs; what is asked about stands behind the stream's own.

    Attributes:
        source: (n,) of the stream.
        destination: (n,) of the stream, same numbering.
        pair: (n,) of the stream.
        asked: source, destination, pair and the pair the other way round of the
            queries, (q,) each.
    """

    source: Integers
    destination: Integers
    pair: Integers
    asked: tuple[Integers, Integers, Integers, Integers]


def make(events: Events, rows: Integers) -> Floats:
    """Return the features of some events, (q, D) float32.

    Args:
        events: n events in time order.
        rows: (q,) indices of those asked for.
    """
    return against(events, rows, events.destination[rows])


def against(events: Events, rows: Integers, destination: Integers) -> Floats:
    """Return the features that edges to other destinations would have had.

    Args:
        events: n events in time order.
        rows: (q,) indices: their times and sources are taken.
        destination: (q,) int64, entities, known before or not.

    Returns:
        (q, D) float32 in [0, BOUND].

    Raises:
        InvalidTelemetry: not one destination per row.
    """
    if destination.shape != rows.shape:
        raise InvalidTelemetry(f"got {len(destination)} destinations, {len(rows)} rows")
    ends = _ends(events, rows, destination)
    source, target, pair, back = ends.asked
    stream = (ends.source, ends.destination, ends.pair)
    as_source = graph.history(ends.source, queries=rows)
    as_target = graph.history(ends.destination, queries=rows, wanted=target)
    of_source = graph.history(
        ends.source, queries=rows, other=ends.destination, wanted=source
    )
    of_target = graph.history(
        ends.destination, queries=rows, other=ends.source, wanted=target
    )
    of_pair = graph.history(ends.pair, queries=rows, wanted=pair)
    of_back = graph.history(ends.pair, queries=rows, wanted=back)
    everybody = graph.history(np.zeros(len(events), np.int64), queries=rows)
    tokens = [
        _token(past, events, same=same, own=own)
        for past, same, own in (
            (of_source, stream[1], target),
            (of_target, stream[0], source),
            (of_pair, stream[0], source),
            (everybody, stream[2], pair),
        )
    ]
    lifetimes = [
        _lifetime(past, events.time_ns)
        for past in (as_source, as_target, of_source, of_target, of_pair, of_back)
    ]
    is_first = np.zeros(len(events), bool)
    is_first[np.unique(ends.pair, return_index=True)[1]] = True
    partners = [
        columns.log(_marked(past, is_first))[:, None] for past in (as_source, as_target)
    ]
    flat = [token.reshape(len(rows), len(RANKS) * TOKEN) for token in tokens]
    found = np.concatenate([*flat, *lifetimes, *partners], axis=1, dtype=np.float32)
    return np.clip(found, 0, columns.BOUND)


def _ends(events: Events, rows: Integers, destination: Integers) -> _Ends:
    n, asked = len(events), len(rows)
    nodes = graph.entities(
        np.concatenate([events.source, events.destination, destination])
    )
    source, target = nodes[:n], np.concatenate([nodes[n : 2 * n], nodes[2 * n :]])
    sources = np.concatenate([source, source[rows]])
    # both directions of every pair in one numbering
    there = graph.entities(
        np.concatenate([sources, target]), np.concatenate([target, sources])
    )
    pair, back = there[: n + asked], there[n + asked :]
    return _Ends(
        source=source,
        destination=target[:n],
        pair=pair[:n],
        asked=(sources[n:], target[n:], pair[n:], back[n:]),
    )


def _token(past: History, events: Events, *, same: Integers, own: Integers) -> Floats:
    """Return (q, ranks, 3): gap, presence and likeness of each neighbour."""
    index = graph.recent(past, RANKS)
    is_there = index != graph.NONE
    is_same = is_there & (same[np.maximum(index, 0)] == own[:, None])
    return np.stack(
        [
            columns.gap(graph.ages(past, events.time_ns, RANKS)),
            is_there.astype(np.float32),
            is_same.astype(np.float32),
        ],
        axis=2,
    )


def _lifetime(past: History, time_ns: Integers) -> Floats:
    """Return (q, 4): how many, for how long, whether any, how many an hour."""
    count = past.length
    is_known = count > 0
    age = np.zeros(len(count))
    if len(past.events):
        first = past.events[np.minimum(past.begin, len(past.events) - 1)]
        age = np.where(is_known, (time_ns[past.queries] - time_ns[first]) / 1e9, 0.0)
    return np.stack(
        [
            columns.log(count),
            columns.log(age),
            is_known.astype(np.float32),
            columns.log(count / (1 + age / _HOUR_S)),
        ],
        axis=1,
    ).astype(np.float32)


def _marked(past: History, is_marked: npt.NDArray[np.bool_]) -> Integers:
    """Return (q,) how many of a node's earlier events are marked."""
    total = np.concatenate([[0], np.cumsum(is_marked[past.events])])
    return np.asarray(total[past.position] - total[past.begin], np.int64)
