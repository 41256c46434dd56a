# SPDX-License-Identifier: Apache-2.0
"""The bounded past of each event under three index keys, as the network reads it.

Under each **index key** (the source's events, the destination's, the pair's) an event
sees its K most recent earlier events; nothing else of the past reaches it. So an event
appears in at most K x keys other examples, which is what event-level privacy counts.

It does NOT keep state between calls; graph.py does the searching.

Rules that always hold: strictly causal, ties broken by position; the same input gives
the same output.

Source: the recency sampling of GraphMixer (Cong et al. 2023), one hop.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedxdr.models import graph

KEYS = ("source", "destination", "pair")
_GAP_PLACES = (1, 2, 4, 8)
CONTEXT_FEATURES: tuple[str, ...] = (
    *(f"gap_{key}_{place}" for key in KEYS for place in _GAP_PLACES),
    *(f"seen_{key}" for key in KEYS),
    "peers_of_source",
    "peers_of_destination",
    "regularity_of_pair",
)
"""Names of the columns of ``context_features``, in order."""
_NEVER_S = 1e6
_LOG_SCALE = 1 / 8
_REGULAR_FROM = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Context:
    """Earlier events under one index key.

    Attributes:
        index: (n, K) int64, positions of earlier events, the newest first; 0 where
            there is none.
        is_there: (n, K) bool, whether there is one.
    """

    index: NDArray[np.int64]
    is_there: NDArray[np.bool_]


def contexts(
    source: NDArray[np.int64], destination: NDArray[np.int64], *, k: int
) -> dict[str, Context]:
    """Return the context of every event under each of ``KEYS``.

    Args:
        source: (n,) entity tokens, in order of time.
        destination: (n,) entity tokens.
        k: earlier events per key, >= 1.
    """
    n = len(source)
    nodes = graph.entities(np.concatenate([source, destination]))
    low, high = np.minimum(source, destination), np.maximum(source, destination)
    pairs = graph.entities(low, high)
    queries, ranks = np.arange(n), range(1, k + 1)
    found = {
        "source": graph.history(nodes[:n], queries=queries, other=nodes[n:]),
        "destination": graph.history(nodes[n:], queries=queries, other=nodes[:n]),
        "pair": graph.history(pairs, queries=queries),
    }
    contexts: dict[str, Context] = {}
    for key, past in found.items():
        index = graph.recent(past, ranks)
        is_there = index != graph.NONE
        contexts[key] = Context(index=np.where(is_there, index, 0), is_there=is_there)
    return contexts


def gaps_s(context: Context, time_ns: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return (n, K) seconds since each earlier event; a million where there is none."""
    gap = (time_ns[:, None] - time_ns[context.index]) / 1e9
    return np.where(context.is_there, np.maximum(gap, 0), _NEVER_S).astype(np.float32)


def context_features(
    found: dict[str, Context],
    *,
    time_ns: NDArray[np.int64],
    source: NDArray[np.int64],
    destination: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return what the bounded past of each event shows in numbers.

    Gaps to the 1st, 2nd, 4th and 8th earlier event under each key, how much past there
    is, how many different peers the endpoints had in it, and how regular the pair's
    gaps are.

    Args:
        found: from ``contexts``.
        time_ns: (n,) int64.
        source: (n,) tokens.
        destination: (n,) tokens.

    Returns:
        (n, len(CONTEXT_FEATURES)) float32 in [0, 4].
    """
    columns: list[NDArray[np.float64]] = []
    all_gaps = {key: gaps_s(found[key], time_ns) for key in KEYS}
    for key in KEYS:
        gaps, k = all_gaps[key], all_gaps[key].shape[1]
        columns += [
            np.log1p(gaps[:, min(place, k) - 1] * 1000.0) * _LOG_SCALE
            for place in _GAP_PLACES
        ]
    columns += [found[key].is_there.mean(axis=1) for key in KEYS]
    columns += [
        _peers(found["source"], source, destination, of=source),
        _peers(found["destination"], source, destination, of=destination),
        _regularity(all_gaps["pair"], found["pair"].is_there),
    ]
    return np.clip(np.stack(columns, axis=1), 0, 4).astype(np.float32)


def _peers(
    context: Context,
    source: NDArray[np.int64],
    destination: NDArray[np.int64],
    *,
    of: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the share of different peers of a node among its earlier events."""
    begin, end = source[context.index], destination[context.index]
    peer = np.where(begin == of[:, None], end, begin)
    k = peer.shape[1]
    _, number = np.unique(peer, return_inverse=True)
    # absent places get names of their own, below all others, and are taken off again
    named = np.where(
        context.is_there, number.reshape(-1, k), -1 - np.arange(k)[None, :]
    )
    ordered = np.sort(named, axis=1)
    distinct = (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1) + 1
    absent = k - context.is_there.sum(axis=1)
    shares: NDArray[np.float64] = (distinct - absent) / k
    return shares


def _regularity(
    gaps: NDArray[np.float32], is_there: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return 1 for gaps between earlier events that are alike, towards 0 otherwise."""
    steps = np.diff(gaps.astype(np.float64), axis=1, prepend=0)
    steps = np.where(is_there, steps, 0.0)
    count = np.maximum(is_there.sum(axis=1), 1)
    mean = steps.sum(axis=1) / count
    off = np.where(is_there, steps - mean[:, None], 0.0)
    spread = np.sqrt((off**2).sum(axis=1) / count)
    alike = 1 / (1 + spread / np.maximum(mean, 1e-3))
    return np.where(count >= _REGULAR_FROM, alike, 0.0)
