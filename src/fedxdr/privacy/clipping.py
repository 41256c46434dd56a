# SPDX-License-Identifier: Apache-2.0
"""Bounds on vectors: clip to a norm, and let the norm follow a quantile, privately.

``clip`` is how an update is bounded before it is protected. ``AdaptiveClip`` moves the
norm so that a given part of the vectors stays unclipped, from a count that is noised
before anybody sees it.

It does NOT charge: a noised count is a release like any other, and together with the
noisy sum it costs ``mechanism.effective_noise_multiplier``. It does not clip gradients
of single examples either; the fit does that without making them (models).

Rules that always hold:
    1. What ``clip`` returns has an L2 norm, in exact arithmetic, of at most the norm.
    2. NaN and infinity are refused, never clipped.
    3. The norm depends on data through noised counts alone; nothing is divided by how
       many examples a step happened to draw.

Source: Abadi et al. 2016, section 3.1 (clipping); Andrew et al. 2021, Algorithm 1
(geometric update of the norm).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidPlan, InvalidUpdate
from fedxdr.core.layout import Vector
from fedxdr.crypto.expand import KeyStream
from fedxdr.privacy import noise

MIN_NORM: Final = 2.0**-40
MAX_NORM: Final = 2.0**40
"""Norms that an adaptive clip takes; it stays between them."""

_SHY = 1.0 - 2.0**-20
"""A hair below, so that rounding to float32 cannot leave the ball."""
_COUNT_STEPS = 2**11
"""Noise on a count is drawn in such parts of one."""


def norm_of(values: Vector) -> float:
    """Return the L2 norm, summed in float64.

    Args:
        values: (d,) float32.

    Raises:
        InvalidUpdate: another type or shape, NaN or infinity.
    """
    if values.dtype != np.float32 or values.ndim != 1:
        raise InvalidUpdate(
            f"got {values.dtype} of shape {values.shape}, want float32 (d,)"
        )
    wide = values.astype(np.float64)
    norm = math.sqrt(float(np.dot(wide, wide)))  # 2^31 times 3.4e38 squared: finite
    if not math.isfinite(norm):
        raise InvalidUpdate("a value is NaN or infinite")
    return norm


def clip(values: Vector, norm: float) -> Vector:
    """Return values, scaled down where their L2 norm is above the bound.

    Args:
        values: (d,) float32, finite, d < 2^31.
        norm: C, the bound, in [2^-80, 2^80].

    Returns:
        (d,) float32: ``values`` itself if it is within the bound by more than rounding;
        else a copy, scaled to C (1 - 2^-20), the same direction up to rounding.

    Raises:
        InvalidUpdate: another type or shape, NaN or infinity.
        InvalidPlan: a bound out of range.
    """
    if not 2.0**-80 <= norm <= 2.0**80:
        raise InvalidPlan(f"got clip norm {norm}, want 2^-80 to 2^80")
    found = norm_of(values)
    # The float64 sum is off by a part of d 2^-53 < 2^-22, each float32 rounding by
    # 2^-24, and what becomes subnormal by sqrt(d) 2^-150 in all: far below C 2^-20.
    if found <= norm * _SHY:
        return values
    # in float64: the factor itself may be one that float32 has no good number for
    return (values.astype(np.float64) * (norm * _SHY / found)).astype(np.float32)


def noisy_count(
    is_below: npt.NDArray[np.bool_], *, count_noise: float, stream: KeyStream
) -> float:
    """Return the noised sum of b - 1/2 over a step's examples.

    Centred, one example moves the sum by 1/2 (Andrew et al. 2021, section 3.2), so
    that noise of standard deviation z_b is a Gaussian mechanism with multiplier 2 z_b.
    The noise is drawn as integers of 2^-11 and is post-processing of a continuous
    Gaussian of standard deviation z_b (privacy/noise.py).

    Args:
        is_below: (b,) bool, for each example that was drawn whether its norm was at
            most the clip norm.
        count_noise: z_b, standard deviation, in [2^-10, 2^20].
        stream: key stream of a secret seed; it is moved on.

    Raises:
        InvalidPlan: noise out of range.
        InvalidUpdate: another type or shape.
    """
    if is_below.dtype != np.bool_ or is_below.ndim != 1:
        raise InvalidUpdate(
            f"got {is_below.dtype} of shape {is_below.shape}, want bool (b,)"
        )
    if not 2.0**-10 <= count_noise <= 2.0**20:
        raise InvalidPlan(f"count noise {count_noise}: want 2^-10 to 2^20")
    std = math.sqrt((count_noise * _COUNT_STEPS) ** 2 + 4) * (1 + 2.0**-40)
    (drawn,) = noise.discrete_gaussian(std, 1, stream)
    doubled = 2 * int(np.count_nonzero(is_below)) - is_below.size
    return (doubled * (_COUNT_STEPS // 2) + int(drawn)) / _COUNT_STEPS


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveClip:
    """A clip norm that follows a quantile of the norms.

    Attributes:
        norm: C, the norm in force, in [2^-40, 2^40]; the first one is of the plan.
        quantile: gamma, part of the examples to leave unclipped, in (0, 1).
        rate: eta_C, how fast the norm follows, in (0, 1]; 0.2 in the paper.
        count_noise: z_b, noise on the count, in [2^-10, 2^20]; a twentieth of the
            expected examples in the paper.

    Raises:
        InvalidPlan: figures out of range.
    """

    norm: float
    quantile: float
    rate: float
    count_noise: float

    def __post_init__(self) -> None:
        if not MIN_NORM <= self.norm <= MAX_NORM:
            raise InvalidPlan(f"clip norm {self.norm}: want 2^-40 to 2^40")
        if not 0.0 < self.quantile < 1.0:
            raise InvalidPlan(f"quantile {self.quantile}: want between 0 and 1")
        if not 0.0 < self.rate <= 1.0:
            raise InvalidPlan(f"rate {self.rate}: want above 0, at most 1")
        if not 2.0**-10 <= self.count_noise <= 2.0**20:
            raise InvalidPlan(f"count noise {self.count_noise}: want 2^-10 to 2^20")

    def updated(self, count: float, *, expected: float) -> AdaptiveClip:
        """Return the clip for the next step.

        C <- C exp(-eta_C (b - gamma)), Andrew et al. 2021, Algorithm 1, with b the
        noised part of unclipped examples, held in [0, 1], and C in its range.

        Args:
            count: of ``noisy_count``.
            expected: examples that a step draws on average, > 0: a constant of the plan
                or a noised figure, never the number that was drawn.

        Raises:
            InvalidPlan: an expectation that is not above 0, a count that is no number.
        """
        if not 0.0 < expected < math.inf or not math.isfinite(count):
            raise InvalidPlan(f"count {count} of {expected} expected: want numbers > 0")
        part = min(1.0, max(0.0, count / expected + 0.5))
        norm = self.norm * math.exp(-self.rate * (part - self.quantile))
        return replace(self, norm=min(MAX_NORM, max(MIN_NORM, norm)))
