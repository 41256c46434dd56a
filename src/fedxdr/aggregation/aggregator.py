# SPDX-License-Identifier: Apache-2.0
"""What every aggregator takes, refuses and keeps to.

An aggregator is a function of arrays, ``(n, d) float32 -> (d,) float32``: n updates in,
one row per participant, one vector out. Here stand the checks and the tiles they share.

It does NOT choose participants, weigh them or know who they are; screening.py judges
single updates, catalogue.py maps a plan's names to functions.

Rules that always hold:

1. NaN and infinity are refused, and the message names the rows.
2. Sums that enter a result are taken in float64, element by element in a fixed order,
   so that anyone redoes them bit for bit; one rounding to float32 at the end.
3. Work goes tile by tile, a few MiB at a time: extra memory does not grow with d, apart
   from the result.
4. The input is never written to.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidUpdate

Updates = npt.NDArray[np.float32]

TILE_NUMBERS = 1 << 18
"""Numbers in one tile: 1 MiB of float32, a core's L2 cache."""

_WIDTH_MIN, _WIDTH_MAX = 64, 1 << 16


def checked(updates: Updates) -> Updates:
    """Return the updates if they have the form that aggregators take.

    Args:
        updates: (n, d) float32 in native byte order, n >= 1, d >= 1.

    Raises:
        InvalidUpdate: another number of dimensions, another dtype, or nothing in it.
    """
    if not isinstance(updates, np.ndarray):  # a caller without mypy
        raise InvalidUpdate(f"got {type(updates).__name__}, want an array (n, d)")
    if updates.ndim != 2 or updates.dtype != np.float32:
        raise InvalidUpdate(
            f"got {updates.dtype} of shape {updates.shape}, want float32 (n, d)"
        )
    if updates.size == 0:
        raise InvalidUpdate(f"got shape {updates.shape}, want n >= 1 and d >= 1")
    return updates


def tiles(updates: Updates, *, numbers: int = TILE_NUMBERS) -> Iterator[slice]:
    """Yield column ranges [begin, end) that cover all d parameters in order.

    Args:
        updates: (n, d) float32.
        numbers: how many numbers a tile of n rows shall hold, > 0; a hint: a tile has
            at least 64 columns and at most 65 536.
    """
    participants, parameters = updates.shape
    width = min(max(numbers // participants, _WIDTH_MIN), _WIDTH_MAX)
    for begin in range(0, parameters, width):
        yield slice(begin, min(begin + width, parameters))


def rows_not_finite(updates: Updates) -> tuple[int, ...]:
    """Return the rows that hold NaN or infinity, in ascending order.

    Args:
        updates: (n, d) float32.
    """
    finite = np.ones(len(updates), dtype=np.bool_)
    for tile in tiles(updates):
        finite &= np.isfinite(updates[:, tile]).all(axis=1)
    return tuple(int(row) for row in np.flatnonzero(~finite))


def refuse_not_finite(updates: Updates) -> None:
    """Refuse updates that hold NaN or infinity.

    Args:
        updates: (n, d) float32.

    Raises:
        InvalidUpdate: names the rows.
    """
    rows = rows_not_finite(updates)
    if rows:
        named = ", ".join(str(row) for row in rows)
        raise InvalidUpdate(f"NaN or infinity in row {named} of {len(updates)}")
