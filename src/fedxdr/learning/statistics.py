# SPDX-License-Identifier: Apache-2.0
"""An organisation's feature statistics, bounded, for the federation's mean.

What leaves (through the same masked sum as updates) is the mean and the mean square of
every feature; the federation's weighted means become part of the model. Only rows of
the organisation's own allowed past go in.

It does NOT add noise: without a differential-privacy mechanism the masked sum is the
protection, with one these would be plan constants.

Rules that always hold: every number lies in [0, BOUND^2], so a plan's
``statistics_bound`` of at least 16 never cuts one.
"""

from __future__ import annotations

import numpy as np

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.core.layout import Vector
from fedxdr.learning.features import BOUND
from fedxdr.models.graph import Floats


def bounded_statistics(features: Floats) -> Vector:
    """Return means, then mean squares, in the order of ``statistics.*``.

    Args:
        features: (n, D) float32 in [0, BOUND], n >= 1.

    Returns:
        (2 D,) float32.

    Raises:
        InvalidTelemetry: no rows, or a feature out of its range.
    """
    if not len(features):
        raise InvalidTelemetry("there are no rows to take statistics of")
    if not ((features >= 0) & (features <= BOUND)).all():
        raise InvalidTelemetry(f"a feature lies outside [0, {BOUND:g}]")
    values = features.astype(np.float64)
    return np.concatenate([values.mean(axis=0), np.square(values).mean(axis=0)]).astype(
        np.float32
    )
