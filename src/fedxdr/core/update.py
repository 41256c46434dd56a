# SPDX-License-Identifier: Apache-2.0
"""What one organisation learned in one round, before any protection.

An update never leaves the organisation; what leaves is a contribution made from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedxdr.core.errors import InvalidUpdate
from fedxdr.core.layout import Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A flat vector of differences to the parent model, and how much stands behind it.

    Attributes:
        values: (d,) float32, finite.
        samples: how many examples were used, >= 0; leaves only as a capped bucket.
    """

    values: Vector
    samples: int

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or self.values.dtype != np.float32:
            raise InvalidUpdate("an update is one float32 vector")
        if not np.isfinite(self.values).all():
            raise InvalidUpdate("an update holds NaN or infinity")
        if self.samples < 0:
            raise InvalidUpdate("a sample count is 0 or more")
