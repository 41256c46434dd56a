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

from fedxdr.aggregation.aggregator import (
    TILE_NUMBERS,
    Updates,
    checked,
    refuse_not_finite,
    tiles,
)
from fedxdr.core.errors import InvalidUpdate
from fedxdr.core.layout import Vector

WEIGHT_MAX = float(1 << 53)
"""Largest weight: up to here every integer is a float64."""


def weighted_mean(updates: Updates, weights: npt.ArrayLike) -> Vector:
    """Return sum_i w_i x_i / sum_i w_i.

    For each parameter the products are rounded to float64 and added in the order of the
    rows, divided once, rounded to float32 once. Another order of the rows can therefore
    change the result by one unit in the last place of float32, no more unless the sum
    cancels.

    Args:
        updates: (n, d) float32, finite, one row per participant.
        weights: (n,) numbers in [0, 2^53], not all 0; sample counts, usually.

    Returns:
        (d,) float32.

    Raises:
        InvalidUpdate: a wrong shape or dtype, NaN or infinity, a weight out of range.

    Source: McMahan et al. 2017, Algorithm 1.
    """
    checked(updates)
    factors = _checked_weights(weights, participants=len(updates))
    total = _sum_in_order(factors)
    result = np.empty(updates.shape[1], dtype=np.float32)
    column = factors[:, np.newaxis]
    for tile in tiles(updates, numbers=2 * TILE_NUMBERS):
        products = updates[:, tile].astype(np.float64)
        with np.errstate(invalid="ignore"):  # 0 * infinity: refused just below
            products *= column
            sums = np.add.reduce(products, axis=0)
        if not np.isfinite(sums).all():
            refuse_not_finite(updates)
        sums /= total
        result[tile] = sums
    return result


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
    chosen = np.array(rows, dtype=np.intp)
    result = np.empty(updates.shape[1], dtype=np.float32)
    for tile in tiles(updates, numbers=2 * TILE_NUMBERS):
        with np.errstate(invalid="ignore"):  # infinity - infinity: refused just below
            sums = np.add.reduce(updates[:, tile][chosen].astype(np.float64), axis=0)
        if not np.isfinite(sums).all():
            refuse_not_finite(updates)
        sums /= len(rows)
        result[tile] = sums
    return result


def _checked_weights(
    weights: npt.ArrayLike, *, participants: int
) -> npt.NDArray[np.float64]:
    try:
        factors = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidUpdate("weights are numbers in [0, 2^53]") from error
    if factors.shape != (participants,):
        raise InvalidUpdate(
            f"got weights of shape {factors.shape}, want ({participants},)"
        )
    # Written so that NaN, which is neither below nor above, is refused.
    if not ((factors >= 0) & (factors <= WEIGHT_MAX)).all():
        raise InvalidUpdate("a weight is outside [0, 2^53]")
    if not factors.any():
        raise InvalidUpdate("every weight is 0: there is no mean")
    return factors


def _sum_in_order(numbers: npt.NDArray[np.float64]) -> float:
    total = 0.0
    for number in numbers.tolist():
        total += number
    return total
