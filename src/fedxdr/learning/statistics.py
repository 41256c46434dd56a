# SPDX-License-Identifier: Apache-2.0
"""An organisation's feature statistics, bounded, for the federation's mean.

What leaves (through the same masked sum as updates) is the mean and the mean square of
every feature and, for a network with bins, which share of the rows lies in each cell of
each own number's histogram; the federation's weighted means become part of the model.
Only rows of the organisation's own allowed past go in.

Rows of attacks are rare. In histograms they weigh as much as all benign rows together,
where there are any: else quantiles would not see where attacks lie.

It does NOT add noise: without a differential-privacy mechanism the masked sum is the
protection, with one these would be plan constants.

Rules that always hold: every number lies in [0, BOUND^2], so a plan's
``statistics_bound`` of at least 16 never cuts one.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.core.layout import Vector
from fedxdr.learning.features import BOUND
from fedxdr.models import histogram
from fedxdr.models.architecture import Architecture
from fedxdr.models.graph import Floats

_BENIGN: Final = 0


def statistics(
    features: Floats, family: npt.NDArray[np.integer], *, architecture: Architecture
) -> Vector:
    """Return every number of the architecture's ``statistics.*``, in their order.

    Args:
        features: (n, D) float32 in [0, BOUND], n >= 1.
        family: (n,), 0 benign.
        architecture: of the network.

    Returns:
        (span of ``statistics.``,) float32.

    Raises:
        InvalidTelemetry: no rows, or a feature out of its range.
    """
    moments = bounded_statistics(features)
    if not architecture.bins:
        return moments
    own = features[:, architecture.inputs - architecture.own :]
    counted = histogram.shares(own, _balanced(family))
    return np.concatenate([moments, counted.ravel()])


def bounded_statistics(features: Floats) -> Vector:
    """Return means, then mean squares.

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


def _balanced(family: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Return (n,) weights: benign rows together as much as attacks together."""
    is_benign = family == _BENIGN
    share = is_benign.mean()
    if share in {0.0, 1.0}:
        return np.ones(len(family))
    return np.asarray(np.where(is_benign, 1 / share, 1 / (1 - share)), np.float64)
