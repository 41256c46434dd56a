# SPDX-License-Identifier: Apache-2.0
"""Counting rows in equal cells, so that a federation can know quantiles. No torch.

It does NOT sum over organisations (the statistics round does) and reads no label; the
caller says how rows are weighted. What becomes of the counts: bins.py.

Source: ours.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry

Floats = npt.NDArray[np.float32]

CELLS: Final = 512
"""Cells of a histogram."""

TOP: Final = 4.0
"""Features lie in [0, TOP]."""


def shares(features: Floats, weight: npt.NDArray[np.float64]) -> Floats:
    """Return which part of the weight lies in each cell, (D, ``CELLS``) float32.

    Args:
        features: (n, D) float32 in [0, ``TOP``].
        weight: (n,) float64 >= 0, not all 0.

    Raises:
        InvalidTelemetry: no weight at all.
    """
    total = float(weight.sum())
    if not total > 0:
        raise InvalidTelemetry("a histogram needs rows with a weight")
    found = np.zeros((features.shape[1], CELLS), np.float32)
    for place in range(features.shape[1]):
        cell = (features[:, place] * (CELLS / TOP)).astype(np.int64)
        counted = np.bincount(
            np.clip(cell, 0, CELLS - 1), weights=weight, minlength=CELLS
        )
        found[place] = counted / total
    return found


def even() -> Floats:
    """Return the shares of a feature that nobody counted, (``CELLS``,) float32."""
    return np.full(CELLS, 1 / CELLS, np.float32)
