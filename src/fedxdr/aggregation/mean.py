# SPDX-License-Identifier: Apache-2.0
"""The weighted mean of updates: FedAvg, and the server's side of FedProx.

FedProx differs from FedAvg inside the local fit alone (the proximal term mu/2
||w - w_t||^2, Li et al. 2020, eq. (2)); what the server does with the updates is the
same mean.

It does NOT protect against anything: one participant with a wrong update moves the
result as far as it likes, one with a wrong weight owns it (screening.py caps weights).

Rules that always hold: those of aggregator.py.

Source: McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from
Decentralized Data", Algorithm 1: w_{t+1} = sum_k (n_k / n) w^k_{t+1}.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fedxdr.aggregation.aggregator import Updates, checked, refuse_not_finite
from fedxdr.core.errors import InvalidUpdate
from fedxdr.core.layout import Vector

WEIGHT_MAX = float(1 << 53)
"""Largest weight: up to here every integer is a float64."""

WEIGHT_MIN = 1 / WEIGHT_MAX
"""Smallest weight above 0: from here no product with a float32 vanishes."""

_WIDTH = 1 << 15
"""Columns at a time: two rows of float64 stay in a core's L2 cache."""


def weighted_mean(updates: Updates, weights: npt.ArrayLike) -> Vector:
    """Return sum_i w_i x_i / sum_i w_i.

    For each parameter the products are rounded to float64 and added in the order of the
    rows, divided once, rounded to float32 once. Another order of the rows can therefore
    change the result by one unit in the last place of float32, no more unless the sum
    cancels.

    Args:
        updates: (n, d) float32, finite, one row per participant.
        weights: (n,) numbers, each 0 or in [2^-53, 2^53], not all 0; sample counts,
            usually.

    Returns:
        (d,) float32.

    Raises:
        InvalidUpdate: a wrong shape or dtype, NaN or infinity, a weight out of range.

    Source: McMahan et al. 2017, Algorithm 1.
    """
    checked(updates)
    factors = _checked_weights(weights, participants=len(updates))
    return _mean(updates, list(enumerate(factors.tolist())))


def mean_of_rows(updates: Updates, rows: Sequence[int]) -> Vector:
    """Return the plain mean of some rows, added in the order given.

    Args:
        updates: (n, d) float32; the rows taken are finite.
        rows: which, at least one, each in [0, n).

    Returns:
        (d,) float32.

    Raises:
        InvalidUpdate: a wrong shape or dtype, no row, a row that is not there, NaN or
            infinity in a row taken.
    """
    checked(updates)
    if not rows or not all(0 <= row < len(updates) for row in rows):
        raise InvalidUpdate(f"got rows {tuple(rows)}, want some of {len(updates)}")
    return _mean(updates, [(row, 1.0) for row in rows])


def _mean(updates: Updates, weighed: Sequence[tuple[int, float]]) -> Vector:
    """Return the mean of rows with their weights, added in the order given."""
    total = 0.0
    for _, weight in weighed:
        total += weight
    parameters = updates.shape[1]
    result = np.empty(parameters, dtype=np.float32)
    scratch = np.empty((2, min(_WIDTH, parameters)), dtype=np.float64)
    for begin in range(0, parameters, _WIDTH):
        tile = slice(begin, min(begin + _WIDTH, parameters))
        sums, product = scratch[:, : tile.stop - tile.start]
        sums[:] = 0
        with np.errstate(invalid="ignore"):  # 0 * infinity: refused just below
            for row, weight in weighed:
                if weight == 1:  # the product would be the number itself
                    np.add(sums, updates[row, tile], out=sums)
                else:
                    np.copyto(product, updates[row, tile])
                    product *= weight
                    sums += product
        if not np.isfinite(sums).all():
            refuse_not_finite(updates)
        sums /= total
        result[tile] = sums
    return result


def _checked_weights(
    weights: npt.ArrayLike, *, participants: int
) -> npt.NDArray[np.float64]:
    try:
        factors = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidUpdate("a weight is not a number") from error
    if factors.shape != (participants,):
        raise InvalidUpdate(
            f"got weights of shape {factors.shape}, want ({participants},)"
        )
    # Written so that NaN, which is neither below nor above, is refused.
    fits = (factors == 0) | ((factors >= WEIGHT_MIN) & (factors <= WEIGHT_MAX))
    if not fits.all():
        raise InvalidUpdate("a weight is neither 0 nor in [2^-53, 2^53]")
    if not factors.any():
        raise InvalidUpdate("every weight is 0: there is no mean")
    return factors
