# SPDX-License-Identifier: Apache-2.0
"""The coordinate-wise median.

It does NOT weigh: a self-declared sample count has no influence. Each parameter is
judged alone, so the result need not be anyone's update.

Rules that always hold: those of aggregator.py; the result does not depend on the order
of the rows.

Source: Yin et al. 2018, "Byzantine-Robust Distributed Learning: Towards Optimal
Statistical Rates", Definition 1 and Algorithm 1, option I.
"""

from __future__ import annotations

import numpy as np

from fedxdr.aggregation.aggregator import Updates, checked
from fedxdr.aggregation.sorting import sorted_tiles
from fedxdr.core.layout import Vector


def median(updates: Updates) -> Vector:
    """Return each parameter's median.

    For an even n it is the mean of the two middle values, taken in float64 and rounded
    once: where those two have unlike signs or are as large as float32 goes, it neither
    overflows nor loses digits.

    Args:
        updates: (n, d) float32, finite, one row per participant.

    Returns:
        (d,) float32.

    Raises:
        InvalidUpdate: a wrong shape or dtype, NaN or infinity.

    Source: Yin et al. 2018, Definition 1.
    """
    checked(updates)
    participants, parameters = updates.shape
    below, above = (participants - 1) // 2, participants // 2
    result = np.empty(parameters, dtype=np.float32)
    for tile, rows in sorted_tiles(updates):
        if below == above:
            result[tile] = rows[below]
        else:
            middle = rows[below].astype(np.float64)
            middle += rows[above]
            middle /= 2
            result[tile] = middle
    return result
