# SPDX-License-Identifier: Apache-2.0
"""The coordinate-wise trimmed mean.

It does NOT weigh, and it does NOT trim less than it was told: a fraction that comes to
no participant at all is refused, where other libraries return the plain mean.

Rules that always hold: those of aggregator.py; the result does not depend on the order
of the rows, since values are added in ascending order.

Source: Yin et al. 2018, "Byzantine-Robust Distributed Learning: Towards Optimal
Statistical Rates", Definition 2 and Algorithm 1, option II.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from fedxdr.aggregation.aggregator import Updates, checked
from fedxdr.aggregation.sorting import sorted_tiles
from fedxdr.core.errors import InvalidUpdate
from fedxdr.core.layout import Vector


def trim_count(participants: int, fraction: float) -> int:
    """Return how many values are cut off at each side: floor(fraction * participants).

    The fraction is taken as the decimal number it is written as, so that 0.29 of 100 is
    29, which it is not in binary.

    Args:
        participants: n >= 1.
        fraction: share cut off at each side, in [0, 0.5).

    Returns:
        The count, >= 1 unless the fraction is 0.

    Raises:
        InvalidUpdate: a fraction out of range, or above 0 and yet too small to cut off
            even one participant.
    """
    if participants < 1:
        raise InvalidUpdate(f"got {participants} participants, want 1 or more")
    if not 0 <= fraction < 0.5:
        raise InvalidUpdate(f"got trim fraction {fraction}, want one in [0, 0.5)")
    count = math.floor(Fraction(repr(float(fraction))) * participants)
    if count == 0 and fraction > 0:
        raise InvalidUpdate(
            f"trim fraction {fraction} of {participants} participants is less than one "
            "at each side: nothing would be trimmed and one attacker would own the mean"
        )
    return count


def trimmed_mean(updates: Updates, *, trim: int) -> Vector:
    """Return each parameter's mean without its ``trim`` smallest and largest values.

    What is left is added in ascending order in float64, divided once, rounded to
    float32 once.

    Args:
        updates: (n, d) float32, finite, one row per participant.
        trim: how many values are cut off at each side, >= 0 and 2 * trim < n; see
            ``trim_count``. It withstands that many Byzantine participants.

    Returns:
        (d,) float32.

    Raises:
        InvalidUpdate: a wrong shape or dtype, NaN or infinity, nothing left to average.

    Source: Yin et al. 2018, Definition 2, with beta * m = trim.
    """
    checked(updates)
    participants, parameters = updates.shape
    if not 0 <= 2 * trim < participants:
        raise InvalidUpdate(
            f"got trim {trim} at each side of {participants} participants, want "
            "2 * trim < n"
        )
    result = np.empty(parameters, dtype=np.float32)
    for tile, rows in sorted_tiles(updates):
        total = np.zeros(tile.stop - tile.start, dtype=np.float64)
        for row in rows[trim : participants - trim]:
            np.add(total, row, out=total)
        total /= participants - 2 * trim
        result[tile] = total
    return result
