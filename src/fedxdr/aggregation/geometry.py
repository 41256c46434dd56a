# SPDX-License-Identifier: Apache-2.0
"""Squared Euclidean distances between updates: fast with a bound, or by definition.

``distances`` takes all pairs from inner products, tile by tile on centred updates:
|x_i - x_j|^2 = G_ii + G_jj - 2 G_ij. Uncentred and accumulated in float32, as is often
done, a common vector much longer than the spread leaves nothing but rounding error
(distances below zero, wrong picks). So the centre is taken off first, tiles are added
up in float64, and each distance comes with a bound on its rounding error.
``distances_from`` is the definition in float64, for the few rows where that matters.

It does NOT decide anything; krum.py does.

Rules that always hold: NaN and infinity are refused; a distance of a row to itself is
exactly 0; distances are symmetric to the last bit.

Source: Higham & Mary 2019, "A New Approach to Probabilistic Rounding Error Analysis",
SIAM J. Sci. Comput. 41(5), Theorem 3.1: the error of an inner product of K terms is
at most lambda sqrt(K) u |x|^T |y|, but for a probability of about 2 exp(-lambda^2/2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedxdr.aggregation.aggregator import (
    TILE_NUMBERS,
    Updates,
    checked,
    refuse_not_finite,
    tiles,
)
from fedxdr.core.errors import InvalidUpdate

Matrix = npt.NDArray[np.float64]

_LAMBDA = 6.0
_WIDTH = 1 << 12
_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distances:
    """Squared distances between all pairs of rows, and how far off they may be.

    Attributes:
        squared: (n, n) float64, >= 0, symmetric, 0 on the diagonal.
        bound: (n, n) float64, >= 0: the true value lies within it, above or below.
    """

    squared: Matrix
    bound: Matrix


def distances(updates: Updates, *, centre: int = 0, double: bool = False) -> Distances:
    """Return the squared distances between all pairs of rows.

    Args:
        updates: (n, d) float32, finite.
        centre: the row that is taken off all others first, in [0, n). The bound grows
            with the distance from it.
        double: inner products in float64 instead of float32: half as fast, with a bound
            about 10^9 times as tight. Where float32 overflows, it is done anyway, with
            ``median_norm_row`` as the centre.

    Raises:
        InvalidUpdate: a wrong shape or dtype, NaN or infinity, no such centre.
    """
    checked(updates)
    participants, parameters = updates.shape
    if not 0 <= centre < participants:
        raise InvalidUpdate(f"got centre {centre}, want a row of {participants}")
    dtype = np.float64 if double else np.float32
    gram = np.zeros((participants, participants))
    lengths = np.zeros(participants)
    widths = [0]
    scratch: npt.NDArray[np.float32 | np.float64] | None = None
    with np.errstate(over="ignore", invalid="ignore"):  # looked at below
        # Narrower tiles than elsewhere for few rows: the bound grows with the width.
        for tile in tiles(updates, numbers=min(TILE_NUMBERS, _WIDTH * participants)):
            widths.append(tile.stop - tile.start)
            if scratch is None:
                scratch = np.empty(participants * widths[-1], dtype=dtype)
            centred = scratch[: participants * widths[-1]].reshape(participants, -1)
            np.subtract(
                updates[:, tile], updates[centre, tile], out=centred, dtype=dtype
            )
            inner = (centred @ centred.T).astype(np.float64)
            gram += inner
            lengths += np.square(inner.diagonal())
    if not np.isfinite(gram).all():
        refuse_not_finite(updates)
        return distances(updates, centre=median_norm_row(updates), double=True)
    unit = float(np.finfo(dtype).eps) / 2
    bound = _bound(
        gram.diagonal(), lengths, width=max(widths), parameters=parameters, unit=unit
    )
    return Distances(squared=_from_gram(gram), bound=bound)


def distances_from(updates: Updates, rows: Sequence[int]) -> Matrix:
    """Return the squared distances from some rows to all, by definition in float64.

    Args:
        updates: (n, d) float32, finite.
        rows: r of them, each in [0, n).

    Returns:
        (r, n) float64: sum_k (x_ik - x_jk)^2 for each row i asked for and each j.
    """
    participants = len(updates)
    total = np.zeros((len(rows), participants))
    for tile in tiles(updates):
        numbers = updates[:, tile].astype(np.float64)
        differences = np.empty_like(numbers)
        for place, row in enumerate(rows):
            np.subtract(numbers, numbers[row], out=differences)
            total[place] += np.vecdot(differences, differences)
    return total


def squared_norms(updates: Updates) -> npt.NDArray[np.float64]:
    """Return |x_i|^2 for each row, in float64.

    Args:
        updates: (n, d) float32.

    Returns:
        (n,) float64; not finite where the row is not.
    """
    total = np.zeros(len(updates))
    for tile in tiles(updates):
        numbers = updates[:, tile].astype(np.float64)
        np.square(numbers, out=numbers)
        total += numbers.sum(axis=1)
    return total


def median_norm_row(updates: Updates) -> int:
    """Return the row whose norm is the lower median; the first of equals.

    With fewer than half of the rows hostile, no attacker can make it longer than the
    longest honest row.

    Args:
        updates: (n, d) float32, finite.
    """
    norms = squared_norms(updates)
    return int(np.argsort(norms, kind="stable")[(len(norms) - 1) // 2])


def _from_gram(gram: Matrix) -> Matrix:
    """Return G_ii + G_jj - 2 G_ij, symmetric, not below 0, and 0 on the diagonal."""
    squares = gram.diagonal()
    squared: Matrix = squares[:, np.newaxis] + squares[np.newaxis, :] - (gram + gram.T)
    np.maximum(squared, 0, out=squared)
    np.fill_diagonal(squared, 0)
    return squared


def _bound(
    squares: npt.NDArray[np.float64],
    lengths: npt.NDArray[np.float64],
    *,
    width: int,
    parameters: int,
    unit: float,
) -> Matrix:
    """Return how far off the distances may be that come from inner products.

    By Hoeffding's and Cauchy's inequalities the error of G_ij, a sum over tiles of
    independent errors of at most sqrt(K) u |a_i| |a_j| each, is below
    lambda sqrt(K) u sqrt(L_i L_j), where L_i^2 is the sum over tiles of |a_i|^4. Four
    such errors make up that of a distance: G_ii, G_jj and twice G_ij. To these come the
    rounding of the subtraction, at most 2 u (|a_i| + |a_j|)^2, and underflow.

    Args:
        squares: (n,) float64, |a_i|^2 of the centred rows a.
        lengths: (n,) float64, L_i^2.
        width: K, the number of columns in the widest tile.
        parameters: d.
        unit: u, the unit roundoff of the inner products.
    """
    steps = min(_LAMBDA * math.sqrt(width + 2), width + 2)
    roots = np.sqrt(np.sqrt(lengths))
    norms = np.sqrt(squares)
    bound: Matrix = (
        steps * unit * np.square(roots[:, np.newaxis] + roots[np.newaxis, :])
    )
    bound += 2 * unit * np.square(norms[:, np.newaxis] + norms[np.newaxis, :])
    bound += 4 * parameters * _TINY
    np.fill_diagonal(bound, 0)
    return bound
