# SPDX-License-Identifier: Apache-2.0
"""How much noise a budget asks for: the accountant, read backwards.

It does NOT spend anything or know a plan; federation/plan.py calls it when a plan is
made, and everybody who checks the plan goes forwards, by ``accountant.epsilon``.

Rules that always hold: the noise returned keeps the budget by the accountant's own
number, and a thousandth less does not.
"""

from __future__ import annotations

import math
from typing import Final

from fedxdr.core.errors import InvalidPlan
from fedxdr.privacy import accountant
from fedxdr.privacy.mechanism import (
    MAX_NOISE_MULTIPLIER,
    MIN_NOISE_MULTIPLIER,
    Charge,
    Unit,
)

_CLOSE: Final = 1e-3
"""Relative width of the bracket at which the search ends."""


def noise_multiplier_for(
    *,
    epsilon: float,
    delta: float,
    sampling_rate: float = 1.0,
    steps: int = 1,
    own: int = 1,
    occurrences: int = 0,
    unit: Unit = "event",
) -> float:
    """Return the smallest noise multiplier that keeps a budget.

    Args:
        epsilon: the budget, > 0 and finite.
        delta: in [1e-12, 1).
        sampling_rate: q, in [1e-9, 1].
        steps: noisy sums in all, >= 1.
        own: examples that a unit is, >= 0.
        occurrences: other examples that it can change, >= 0.
        unit: what is protected.

    Returns:
        z in [0.01, 1e6], at most a thousandth above the smallest that does.

    Raises:
        InvalidPlan: numbers out of range, or a budget that no noise up to 1e6 keeps.
    """
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise InvalidPlan(f"epsilon {epsilon}: want a finite number above 0")

    def excess(log_noise: float) -> float:
        """Return ln(epsilon at this noise / budget)."""
        charge = Charge(
            unit=unit,
            noise_multiplier=min(
                max(math.exp(log_noise), MIN_NOISE_MULTIPLIER), MAX_NOISE_MULTIPLIER
            ),
            sampling_rate=sampling_rate,
            steps=steps,
            own=own,
            occurrences=occurrences,
        )
        reached = accountant.epsilon([charge], delta=delta)
        return math.log(max(reached, 1e-300) / epsilon)

    lowest, highest = math.log(MIN_NOISE_MULTIPLIER), math.log(MAX_NOISE_MULTIPLIER)
    if excess(highest) > 0:
        raise InvalidPlan(
            f"no noise multiplier up to 1,000,000 keeps epsilon {epsilon:g} at delta "
            f"{delta:g}: take fewer steps, fewer occurrences or a lower sampling rate"
        )
    # from 1 outwards by growing factors: the ends are slow and seldom needed
    low, factor = 0.0, math.log(2)
    at_low = excess(low)
    high, at_high = low, at_low
    if at_low <= 0:
        while at_low <= 0:
            high, at_high = low, at_low
            if low <= lowest:
                return MIN_NOISE_MULTIPLIER
            low = max(low - factor, lowest)
            at_low = excess(low)
            factor *= 2
    else:
        while at_high > 0:
            low, at_low = high, at_high
            high = min(high + factor, highest)
            at_high = excess(high)
            factor *= 2
    turn = 0
    while high - low > math.log1p(_CLOSE) / 2:
        middle = (low + high) / 2
        if turn % 3 < 2 and at_low - at_high < 20:
            # nearly a straight line in logarithms; a little beyond it to close in
            middle = high + (high - low) * at_high / (at_low - at_high)
            middle += math.log1p(_CLOSE) / 5
            middle = min(max(middle, low + (high - low) / 50), high - _CLOSE / 10)
        turn += 1
        value = excess(middle)
        if value <= 0:
            high, at_high = middle, value
        else:
            low, at_low = middle, value
    return min(math.exp(high), MAX_NOISE_MULTIPLIER)
