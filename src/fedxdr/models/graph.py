# SPDX-License-Identifier: Apache-2.0
"""Bounded, causal neighbourhoods in a stream of timed edges, as array operations.

Hosts, users and services are nodes, events are edges in time. For every event of
interest this file finds the most recent *earlier* events that share a node with it, and
summarises nested windows of them: how old the r-th one is, how many of the last s look
like this one, how many different values they show, what their mean is.

It does NOT know what an event means (learning/features.py chooses nodes and
attributes), and there is no Python loop over events: loops run over ranks and windows.

Rules that always hold:
    1. Strictly causal: event i sees events j < i only. Events are numbered in time
       order; equal times keep the order in which they stand.
    2. Bounded: nothing older than the largest rank or window of the same node is read,
       so one event changes the context of at most that many later ones per node.

Source: sampling of the most recent neighbours as in Rossi et al. 2020, section 5 (TGN),
and Cong et al. 2023, section 3 (GraphMixer); the nested windows are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

NONE = -1
"""In an index of events: there is no such event."""

LARGEST: Final = 16.0
"""Largest value that a mean can be made of."""

WIDEST: Final = 256
"""Most events that a mean can be made of."""

_UNIT: Final = 2.0**50
"""What ``fixed`` multiplies by: 256 * 16 * 2^50 = 2^62 is inside int64."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """The earlier events of one node per query, ready to be read backwards.

    Attributes:
        events: (m,) int64, event numbers, grouped by node and ascending in each group.
        queries: (q,) int64, the events that are asked about.
        begin: (q,) int64, where the group of the query's node begins in ``events``.
        position: (q,) int64, just behind the node's last event before the query.
    """

    events: Integers
    queries: Integers
    begin: Integers
    position: Integers

    @property
    def length(self) -> Integers:
        """(q,) int64: how many earlier events the node has."""
        return self.position - self.begin


def entities(*columns: npt.ArrayLike) -> Integers:
    """Return one number per distinct combination of the columns' values.

    Args:
        columns: one or more (n,) integer arrays.

    Returns:
        (n,) int64, in [0, number of combinations).
    """
    code: Integers | None = None
    for column in columns:
        values = np.asarray(column)
        _, part = np.unique(values, return_inverse=True)
        part = part.astype(np.int64)
        if code is None:
            code = part
        else:
            # both factors are below n, so their product stays inside int64
            _, joint = np.unique(
                code * (part.max(initial=0) + 1) + part, return_inverse=True
            )
            code = joint.astype(np.int64)
    if code is None:
        raise InvalidTelemetry("an entity needs one or more columns")
    return code


def history(
    node: Integers,
    *,
    queries: Integers,
    other: Integers | None = None,
    wanted: Integers | None = None,
) -> History:
    """Return, per query event, the earlier events of its node.

    Args:
        node: (n,) int64 >= 0, the node of each event; events in time order.
        queries: (q,) int64 in [0, n), events that are asked about.
        other: (n,) int64 >= 0, a second node of each event from the same numbering:
            an event then belongs to both (once, where they are equal), while a query
            still asks about ``node``.
        wanted: (q,) int64 >= 0, nodes to ask about in place of the queries' own.

    Raises:
        InvalidTelemetry: lengths differ, or a query points nowhere.
    """
    n = len(node)
    if other is not None and len(other) != n:
        raise InvalidTelemetry(f"got {len(other)} second nodes, want {n}")
    if queries.size and not (queries.min() >= 0 and queries.max() < n):
        raise InvalidTelemetry(f"a query is not in [0, {n})")
    if wanted is None:
        wanted = node[queries]
    elif wanted.shape != queries.shape:
        raise InvalidTelemetry(f"got {len(wanted)} nodes for {len(queries)} queries")
    if other is None:
        events = np.argsort(node, kind="stable").astype(np.int64)
        groups = node[events]
    else:
        second = np.flatnonzero(other != node)
        groups = np.concatenate([node, other[second]])
        numbers = np.concatenate([np.arange(n), second])
        order = np.lexsort((numbers, groups))
        events, groups = numbers[order], groups[order]
    begin = np.searchsorted(groups, wanted, side="left")
    # (node, event) pairs ascend, so one number per pair can be searched
    largest = max(groups.max(initial=0), wanted.max(initial=0))
    if n and int(largest) >= np.iinfo(np.int64).max // max(n, 1):
        raise InvalidTelemetry("node numbers are too large; use entities()")
    position = np.searchsorted(groups * n + events, wanted * n + queries, side="left")
    return History(
        events=events,
        queries=queries,
        begin=begin.astype(np.int64),
        position=position.astype(np.int64),
    )


def recent(past: History, ranks: Sequence[int]) -> Integers:
    """Return the event numbers at some ranks back in time.

    Args:
        past: of q queries.
        ranks: each >= 1; 1 is the most recent earlier event.

    Returns:
        (q, len(ranks)) int64, ``NONE`` where the node has fewer earlier events.
    """
    _want_positive(ranks)
    found = np.full((len(past.queries), len(ranks)), NONE, np.int64)
    if past.events.size == 0:
        return found
    for place, rank in enumerate(ranks):
        spot = past.position - rank
        found[:, place] = np.where(
            spot >= past.begin, past.events[np.maximum(spot, 0)], NONE
        )
    return found


def ages(past: History, time_ns: Integers, ranks: Sequence[int]) -> Floats:
    """Return how long ago the events at some ranks happened.

    Args:
        past: of q queries.
        time_ns: (n,) int64, ascending.
        ranks: each >= 1.

    Returns:
        (q, len(ranks)) float32, seconds >= 0, infinity where there is no such event.
    """
    index = recent(past, ranks)
    now = time_ns[past.queries][:, None]
    seconds = (now - time_ns[np.maximum(index, 0)]) / 1e9
    return np.where(index == NONE, np.inf, seconds).astype(np.float32)


def alike(
    past: History,
    attribute: Integers,
    windows: Sequence[int],
    *,
    own: Integers | None = None,
) -> Floats:
    """Return which part of the last s events has the query's own attribute.

    Args:
        past: of q queries.
        attribute: (n,) int64, one value per event.
        windows: each s >= 1; events that do not exist count as different.
        own: (q,) int64, what to compare with in place of the queries' own attributes.

    Returns:
        (q, len(windows)) float32 in [0, 1].
    """
    _want_positive(windows)
    if own is None:
        own = attribute[past.queries]
    count = np.zeros(len(past.queries), np.int64)
    result = np.zeros((len(past.queries), len(windows)), np.float32)
    listed = attribute[past.events]
    for rank in range(1, max(windows) + 1):
        spot = past.position - rank
        if listed.size:
            count += (spot >= past.begin) & (listed[np.maximum(spot, 0)] == own)
        for place, window in enumerate(windows):
            if window == rank:
                result[:, place] = count / window
    return result


def diversity(past: History, attribute: Integers, windows: Sequence[int]) -> Integers:
    """Return how many different attributes the last s events show.

    Args:
        past: of q queries.
        attribute: (n,) int64, one value per event.
        windows: each s >= 1.

    Returns:
        (q, len(windows)) int64 in [0, s].
    """
    _want_positive(windows)
    m = len(past.events)
    result = np.zeros((len(past.queries), len(windows)), np.int64)
    if m == 0:
        return result
    # In a window that ends before p, an event is the last of its value if the next
    # event with that value lies at p or later; counting those counts the values.
    following = _following(past, attribute)
    count = np.zeros(len(past.queries), np.int64)
    for rank in range(1, max(windows) + 1):
        spot = past.position - rank
        count += (spot >= past.begin) & (
            following[np.maximum(spot, 0)] >= past.position
        )
        for place, window in enumerate(windows):
            if window == rank:
                result[:, place] = count
    return result


def means(past: History, values: Floats, windows: Sequence[int]) -> Floats:
    """Return the mean of a value over the last s events.

    The sum is exact (``fixed``): it does not hang on what was before the window, nor on
    where a stream was cut (models/rings.py). Only the mean is rounded, twice.

    Args:
        past: of q queries.
        values: (n,) float32, in [-``LARGEST``, ``LARGEST``].
        windows: each s in [1, ``WIDEST``].

    Returns:
        (q, len(windows)) float32; 0 where there is no earlier event.

    Raises:
        InvalidTelemetry: a value or a window outside its range.
    """
    _want_positive(windows)
    if max(windows) > WIDEST:
        raise InvalidTelemetry(f"a mean is over {WIDEST} events at most")
    total = np.zeros(len(past.events) + 1, np.int64)
    np.cumsum(fixed(values)[past.events], out=total[1:])
    result = np.zeros((len(past.queries), len(windows)), np.float32)
    for place, window in enumerate(windows):
        low = np.maximum(past.position - window, past.begin)
        result[:, place] = mean(total[past.position] - total[low], past.position - low)
    return result


def fixed(values: Floats) -> Integers:
    """Return values as whole multiples of 2^-50, so that sums of them are exact.

    Multiples of 2^-50 are all float32 values from 2^-27 (7e-9) up, and 0; what is
    smaller is rounded to one. A sum over a long stream may wrap around: differences of
    such sums are exact all the same, because ``WIDEST`` values stay far below 2^63.

    Args:
        values: float32 of any shape, in [-``LARGEST``, ``LARGEST``].

    Raises:
        InvalidTelemetry: a value outside that range, or NaN.
    """
    if values.size and not np.abs(values).max() <= LARGEST:
        raise InvalidTelemetry(f"a mean is of values up to {LARGEST}")
    # exact before it is rounded: 2^50 is a power of two
    return np.rint(values.astype(np.float64) * _UNIT).astype(np.int64)


def mean(total: Integers, count: Integers) -> npt.NDArray[np.float64]:
    """Return the mean of some sums of ``fixed`` values, 0 where nothing was summed.

    Args:
        total: integers of any shape.
        count: integers >= 0 that broadcast to it.
    """
    return total.astype(np.float64) / _UNIT / np.maximum(count, 1)


def _following(past: History, attribute: Integers) -> Integers:
    """Return where in ``events`` the next one with the same attribute lies, or m.

    It may lie in another node's group; then it is behind every query of this one,
    which is all that the caller asks.
    """
    m = len(past.events)
    listed = attribute[past.events]
    order = np.argsort(listed, kind="stable")
    following = np.full(m, m, np.int64)
    same = listed[order][1:] == listed[order][:-1]
    following[order[:-1][same]] = order[1:][same]
    return following


def _want_positive(numbers: Sequence[int]) -> None:
    if not numbers or min(numbers) < 1:
        raise InvalidTelemetry("ranks and windows are one or more numbers >= 1")
