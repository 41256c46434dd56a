# SPDX-License-Identifier: Apache-2.0
"""The past of nodes, for events and for queries that are no event.

``group`` does what ``graph.history`` does, for large streams of which much is asked:
queries stand among the members of nodes and are ordered with them, so that nothing has
to be looked for.

It does NOT know what an event means, and it reads no column.

Rules that always hold: strictly causal; ``PAD`` places stand before the first group, so
that any rank up to that can be read without asking whether it is there.

Source: ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.models import numbering
from fedxdr.models.graph import NONE, Integers

PAD: Final = 128
"""Largest rank that can be read."""

Truths = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Past:
    """The earlier events of one node per query.

    Attributes:
        events: (``PAD`` + m,) event numbers, grouped by node and ascending in each
            group; the first ``PAD`` stand for no event.
        begin: (q,) where in them the group of the query's node begins.
        position: (q,) just behind the node's last event before the query.
    """

    events: Integers
    begin: Integers
    position: Integers

    def of(self, queries: Integers | slice) -> Past:
        """Return the past of some of the queries."""
        return Past(
            events=self.events,
            begin=self.begin[queries],
            position=self.position[queries],
        )


def group(
    codes: Integers,
    *,
    asked: Integers,
    before: Integers,
    per_event: int = 1,
    counted: Truths | None = None,
) -> tuple[Past, Past]:
    """Return the past of each member of a node, and of queries.

    Queries are sorted in among the members, which costs less than to look for them.

    Args:
        codes: (m,) nodes of members, in time order.
        asked: (p,) nodes of queries; ``NONE`` has no past.
        before: (p,) the event before which each query stands.
        per_event: how many members each event has, one after the other.
        counted: (m,) False for members that are not listed; all are if None.
    """
    m, kept = len(codes), np.flatnonzero(asked != NONE)
    if (np.diff(before[kept]) < 0).any():
        kept = kept[np.argsort(before[kept], kind="stable")]
    place = before[kept] * per_event + np.arange(len(kept))
    is_in = np.ones(m + len(kept), np.bool_)
    is_in[place] = False
    member = np.flatnonzero(is_in)
    merged, event = np.empty((2, m + len(kept)), np.int64)
    merged[member], merged[place] = codes, asked[kept]
    event[member] = np.arange(m) // per_event
    if counted is not None:
        is_in[member] = counted
    order = numbering.order(merged)
    grouped, is_in = merged[order], is_in[order]
    until = np.cumsum(is_in) + (PAD - is_in)
    starts = np.flatnonzero(np.diff(grouped, prepend=-1))
    begin, position = np.empty((2, m + len(kept)), np.int64)
    position[order] = until
    begin[order] = np.repeat(until[starts], np.diff(starts, append=len(order)))
    listed = padded(event[order[is_in]])
    found = np.full((2, len(asked)), PAD)
    found[:, kept] = begin[place], position[place]
    return (
        Past(events=listed, begin=begin[member], position=position[member]),
        Past(events=listed, begin=found[0], position=found[1]),
    )


def padded(values: Integers) -> Integers:
    """Return values behind ``PAD`` that stand for nothing."""
    return np.concatenate([np.zeros(PAD, np.int64), values])
