# SPDX-License-Identifier: Apache-2.0
"""The updates of one tile in ascending order, parameter by parameter.

Two ways that give the same order, chosen by the number of participants:

- up to 16: a sorting network whose comparators are ``minimum`` and ``maximum`` of whole
  rows, so nothing is moved out of its row;
- above: the tile transposed, and each parameter's n values sorted side by side (numpy
  sorts float32 with vector instructions when they are contiguous; along the other axis
  it does not).

It does NOT rank participants: after sorting, a row no longer belongs to anyone.

Rules that always hold: NaN stays visible, it ends in the first or the last row; -0.0
and 0.0 are equal and keep no order.

Source: Batcher 1968, "Sorting networks and their applications" (odd-even merge sort;
for sizes that are no power of two: Knuth, TAOCP vol. 3, 5.2.2, algorithm M).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

from fedxdr.aggregation.aggregator import Updates, refuse_not_finite, tiles
from fedxdr.core.layout import Vector

NETWORK_MAX = 16
"""Most participants for the network; measured: above, the vectorised sort is faster."""


def sorted_tiles(updates: Updates) -> Iterator[tuple[slice, list[Vector]]]:
    """Yield each column range with its values in ascending order.

    Args:
        updates: (n, d) float32, as ``aggregator.checked`` returns.

    Yields:
        The columns [begin, end), and n rows of (end - begin,) float32: row k holds each
        parameter's k-th smallest value. The rows are overwritten by the next step.

    Raises:
        InvalidUpdate: NaN or infinity.
    """
    participants = len(updates)
    scratch: Vector | None = None
    for tile in tiles(updates):
        width = tile.stop - tile.start
        if scratch is None:
            scratch = np.empty((participants + 1) * width, dtype=np.float32)
        if participants <= NETWORK_MAX:
            rows = _by_network(updates[:, tile], scratch)
        else:
            rows = _by_columns(updates[:, tile], scratch)
        # Sorted, so that the ends show every infinity, and NaN (rule above).
        if not (np.isfinite(rows[0]).all() and np.isfinite(rows[-1]).all()):
            refuse_not_finite(updates)
        yield tile, rows


@cache
def comparators(size: int) -> tuple[tuple[int, int], ...]:
    """Return Batcher's network for that many lines, in order.

    Args:
        size: number of lines, >= 1.

    Returns:
        Pairs (upper, lower) with upper < lower: afterwards the smaller value stands on
        the upper line.

    Source: Knuth, TAOCP vol. 3, 5.2.2, algorithm M.
    """
    pairs: list[tuple[int, int]] = []
    # M1: t is the least power of two >= size; p runs down from t / 2.
    p = top = 1 << max((size - 1).bit_length() - 1, 0)
    while p > 0:
        # M2: q, r, d
        q, r, d = top, 0, p
        while True:
            # M3: compare each i in [0, size - d) with i & p == r to i + d.
            pairs.extend((i, i + d) for i in range(size - d) if i & p == r)
            # M5: loop on q.
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        # M6: loop on p.
        p //= 2
    return tuple(pairs)


def _by_network(tile: npt.NDArray[np.float32], scratch: Vector) -> list[Vector]:
    """Sort (n, w) by rows of minima and maxima; NaN spreads to every row it can."""
    participants, width = tile.shape
    held = scratch[: (participants + 1) * width].reshape(participants + 1, width)
    np.copyto(held[:participants], tile)
    *rows, spare = held
    for upper, lower in comparators(participants):
        smaller, larger = rows[upper], rows[lower]
        np.minimum(smaller, larger, out=spare)
        np.maximum(smaller, larger, out=larger)
        rows[upper], spare = spare, smaller
    return rows


def _by_columns(tile: npt.NDArray[np.float32], scratch: Vector) -> list[Vector]:
    """Sort (n, w) transposed; numpy sorts NaN behind infinity."""
    participants, width = tile.shape
    held = scratch[: participants * width].reshape(width, participants)
    np.copyto(held, tile.T)
    held.sort(axis=1)
    return list(held.T)
