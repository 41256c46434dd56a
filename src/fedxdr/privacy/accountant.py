# SPDX-License-Identifier: Apache-2.0
"""What many releases cost together: epsilon at a delta, never less than the truth.

``epsilon`` composes the dominating pairs of all charges (dominating.py) as privacy loss
distributions. That number is what the ledger records. Beside it stand quicker and older
ones for comparison: Renyi accounting, the textbook rule, and the closed form of the
Gaussian mechanism, which is exact where nothing is sampled.

It does NOT decide which neighbours are meant, hold a budget or choose the noise.

Rules that always hold:
    1. Upwards: losses are discretised so that they dominate, tails count as infinite
       losses, and delta is lowered by more than the arithmetic can be wrong.
    2. Both directions are accounted and the larger epsilon counts.
    3. Charges of different units are never added up.
    4. Order and grouping of charges do not matter.

Source: Koskela, Jalko and Honkela 2020 and Doroshenko et al. 2022 (privacy loss
distributions, through dp-accounting); Zhu, Dong and Wang 2022; Balle and
Wang 2018, theorem 8; Mironov 2017; Dwork and Roth 2014, theorems A.1 and 3.16.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import numpy as np

from fedxdr.core.errors import InvalidPlan
from fedxdr.privacy import composition
from fedxdr.privacy.composition import Steps
from fedxdr.privacy.dominating import Direction, Floats, Pair, renyi_divergence
from fedxdr.privacy.mechanism import DISCRETE_ALLOWANCE, Charge

MIN_DELTA: Final = 1e-12
MAX_USES: Final = 100_000
"""Most further uses that ``uses_left`` looks for."""

_ARITHMETIC: Final = 2e-14  # what Fourier transforms may add to or take from delta,
_ARITHMETIC_PER_STEP: Final = 2e-16  # and what each power of them adds to that
_ORDERS: Final = tuple(
    [1 + x / 10 for x in range(1, 20)]
    + [3.0 + x / 2 for x in range(18)]
    + [float(x) for x in (*range(12, 64, 4), 64, 96, 128, 256, 512, 1024)]
)


def epsilon(charges: Iterable[Charge] | Mapping[Charge, int], *, delta: float) -> float:
    """Return epsilon of all charges together.

    Args:
        charges: of one unit; a mapping says how many times each is used.
        delta: in [1e-12, 1).

    Returns:
        epsilon >= 0, an upper bound: with up to 100,000 steps and delta at least 1e-10,
        or a million and 1e-9, within 1 % of the exact value where that is above
        0.01; 0 for no charges; infinity where no finite number holds.

    Raises:
        InvalidPlan: delta out of range, negative uses, or several units.
    """
    steps, discrete = _gathered(charges)
    slack = discrete * DISCRETE_ALLOWANCE
    return 2 * slack + _epsilon(steps, _want_delta(delta) * math.exp(-slack))


def delta_of(charges: Iterable[Charge] | Mapping[Charge, int], epsilon: float) -> float:
    """Return delta of all charges together at an epsilon.

    Args:
        charges: of one unit; a mapping says how many times each is used.
        epsilon: >= 0, finite.

    Returns:
        delta in [0, 1], an upper bound, not resolved below 1e-12.

    Raises:
        InvalidPlan: epsilon out of range, negative uses, or several units.
    """
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise InvalidPlan(f"epsilon {epsilon}: want a finite number, 0 or more")
    steps, discrete = _gathered(charges)
    slack = discrete * DISCRETE_ALLOWANCE
    if not steps:
        return 0.0
    epsilon = max(0.0, epsilon - 2 * slack)
    if composition.is_unsampled(steps):
        delta = _gaussian_delta(composition.separation(steps), epsilon)
    else:
        found = composition.composed(steps, delta=MIN_DELTA)
        delta = max(one.delta(epsilon) for one in found) + _arithmetic(steps)
    return min(1.0, math.exp(slack) * delta)


def rdp_epsilon(
    charges: Iterable[Charge] | Mapping[Charge, int], *, delta: float
) -> float:
    """Return epsilon by Renyi accounting: for comparison and quick looks.

    Args:
        charges: of one unit; a mapping says how many times each is used.
        delta: in [1e-12, 1).

    Raises:
        InvalidPlan: delta out of range, negative uses, or several units.

    Source: Mironov 2017; conversion of Canonne, Kamath and Steinke 2020, proposition
    12, through dp-accounting.
    """
    from dp_accounting import rdp  # noqa: PLC0415 - slow to load

    steps, discrete = _gathered(charges)
    if not steps:
        return 0.0
    found = 0.0
    directions: tuple[Direction, ...] = ("removed", "added")
    for direction in directions:
        curve = sum(count * _renyi(pair, direction) for pair, count in steps)
        value, _ = rdp.compute_epsilon(_ORDERS, curve, _want_delta(delta))
        found = max(found, float(value))
    return found + 2 * discrete * DISCRETE_ALLOWANCE


def textbook_epsilon(
    charges: Iterable[Charge] | Mapping[Charge, int], *, delta: float
) -> float:
    """Return what the textbook rule says: linear composition, no sampling.

    Each of T steps gets delta / T and epsilon_0 = s sqrt(2 ln(1.25 T / delta)) / z with
    s the sensitivity own + 2 occurrences; epsilons add up. It is far too much, and
    strictly holds for epsilon_0 <= 1 only.

    Args:
        charges: of one unit; a mapping says how many times each is used.
        delta: in [1e-12, 1).

    Raises:
        InvalidPlan: delta out of range, negative uses, or several units.

    Source: Dwork and Roth 2014, theorems A.1 and 3.16.
    """
    steps, _ = _gathered(charges)
    total = sum(count for _, count in steps)
    if not total:
        return 0.0
    root = math.sqrt(2 * math.log(1.25 * total / _want_delta(delta)))
    return sum(
        count * root * (pair.own + 2 * pair.occurrences) / pair.noise_multiplier
        for pair, count in steps
    )


def gaussian_epsilon_exact(
    *, noise_multiplier: float, delta: float, steps: int = 1, sensitivity: float = 1.0
) -> float:
    """Return epsilon of the Gaussian mechanism without sampling: the closed form.

    Args:
        noise_multiplier: z > 0.
        delta: in [1e-12, 1).
        steps: releases, >= 1; together they are one with sqrt(steps) the sensitivity.
        sensitivity: in clip norms, > 0.

    Returns:
        the smallest epsilon >= 0, rounded upwards in the last places.

    Raises:
        InvalidPlan: numbers out of range.

    Source: Balle and Wang 2018, theorem 8.
    """
    if not (noise_multiplier > 0 and steps >= 1 and sensitivity > 0):
        raise InvalidPlan("noise, steps and sensitivity are above 0")
    separation = math.sqrt(steps) * sensitivity / noise_multiplier
    return _gaussian_epsilon(separation, _want_delta(delta))


def uses_left(
    spent: Iterable[Charge] | Mapping[Charge, int],
    next_charge: Charge,
    *,
    epsilon: float,
    delta: float,
    limit: int = MAX_USES,
) -> int:
    """Return how many more uses of a charge fit into a budget.

    Found with ``epsilon`` itself: n uses fit, n + 1 do not.

    Args:
        spent: what is charged already; a mapping says how many times each is used.
        next_charge: what would be used again and again.
        epsilon: the budget, > 0.
        delta: in [1e-12, 1).
        limit: most uses to look for, >= 1.

    Returns:
        uses in [0, limit].

    Raises:
        InvalidPlan: delta out of range, negative uses, or several units.
    """
    counted = _counted(spent)
    before = counted.get(next_charge, 0)

    def charged(uses: int) -> dict[Charge, int]:
        return {**counted, next_charge: before + uses}

    def cost(uses: int) -> float:
        return _spending(charged(uses), delta=delta) - epsilon

    def rough_cost(uses: int) -> float:
        return rdp_epsilon(charged(uses), delta=delta) - epsilon

    if cost(0) > 0 or cost(1) > 0:
        return 0
    # Renyi accounting is quick and says too much: it finds a number just too small
    return _largest(cost, limit=limit, begin=_largest(rough_cost, limit=limit, begin=1))


def _largest(cost: Callable[[int], float], *, limit: int, begin: int) -> int:
    """Return the largest n in [1, limit] with cost(n) <= 0, or 1 if there is none.

    Args:
        cost: increases with n, about like its square root.
        limit: >= 1.
        begin: where to look first, in [1, limit].
    """
    low, at_low = 1, cost(1)
    high, factor = begin if begin > 1 else min(2, limit), 1.25
    while (at_high := cost(high)) <= 0:
        low, at_low = high, at_high
        if high >= limit:
            return limit
        high = min(limit, 1 + int(factor * high))
        factor *= 2
    turn = 0
    while high - low > 1:
        middle = (low + high) // 2
        if turn % 3 < 2 and at_low < 0 < at_high < math.inf:
            part = at_low / (at_low - at_high)
            root = math.sqrt(low) + part * (math.sqrt(high) - math.sqrt(low))
            middle = min(max(int(root * root), low + 1), high - 1)
        turn += 1
        # look at the guess, then just beyond it: that closes in from the other side
        beyond = max(1, (high - low) ** 2 // (16 * high))
        value = cost(middle)
        if value <= 0:
            low, at_low, middle = middle, value, middle + beyond
        else:
            high, at_high, middle = middle, value, middle - beyond
        if low < middle < high:
            value = cost(middle)
            if value <= 0:
                low, at_low = middle, value
            else:
                high, at_high = middle, value
    return low


def _spending(counted: Mapping[Charge, int], *, delta: float) -> float:
    return epsilon(counted, delta=delta)


def _counted(charges: Iterable[Charge] | Mapping[Charge, int]) -> dict[Charge, int]:
    """Return how many times each charge is used.

    Raises:
        InvalidPlan: negative uses, or several units.
    """
    counted: dict[Charge, int] = {}
    pairs: Iterable[tuple[Charge, int]] = (
        charges.items()
        if isinstance(charges, Mapping)
        else ((charge, 1) for charge in charges)
    )
    for charge, uses in pairs:
        if uses < 0:
            raise InvalidPlan(f"a charge is used {uses} times: want 0 or more")
        if uses:
            counted[charge] = counted.get(charge, 0) + uses
    units = sorted({charge.unit for charge in counted})
    if len(units) > 1:
        raise InvalidPlan(
            f"charges of the units {', '.join(units)} do not add up: "
            "one purse has one unit"
        )
    return counted


def _gathered(charges: Iterable[Charge] | Mapping[Charge, int]) -> tuple[Steps, int]:
    """Return the pairs with their numbers of steps, and the steps of discrete noise."""
    steps: dict[Pair, int] = {}
    discrete = 0
    for charge, uses in _counted(charges).items():
        pair = Pair(
            noise_multiplier=float(charge.noise_multiplier),
            sampling_rate=float(charge.sampling_rate),
            own=charge.own,
            occurrences=charge.occurrences,
        )
        steps[pair] = steps.get(pair, 0) + uses * charge.steps
        if charge.mechanism == "discrete-gaussian":
            discrete += uses * charge.steps
    return tuple(sorted(steps.items())), discrete


@functools.lru_cache(maxsize=1024)
def _epsilon(steps: Steps, delta: float) -> float:
    if not steps:
        return 0.0
    if composition.is_unsampled(steps):
        return _gaussian_epsilon(composition.separation(steps), delta)
    # for millions of steps at a tiny delta half of it is all that can be set aside;
    # what rounding leaves in the tails is clipped at 0 there and only adds
    reduced = delta * (1 - 1e-6) - min(_arithmetic(steps), delta / 2)
    return max(one.epsilon(reduced) for one in composition.composed(steps, delta=delta))


def _arithmetic(steps: Steps) -> float:
    return _ARITHMETIC + _ARITHMETIC_PER_STEP * sum(count for _, count in steps)


@functools.lru_cache(maxsize=256)
def _renyi(pair: Pair, direction: Direction) -> Floats:
    if pair.sampling_rate == 1.0:
        separation = (pair.own + 2 * pair.occurrences) / pair.noise_multiplier
        return np.array(_ORDERS) * separation**2 / 2
    return renyi_divergence(pair, _ORDERS, direction)


def _gaussian_delta(separation: float, epsilon: float) -> float:
    """Return delta of N(separation, 1) against N(0, 1)."""
    from scipy import special  # noqa: PLC0415 - slow to load

    half, ratio = separation / 2, epsilon / separation
    first = float(special.log_ndtr(half - ratio))
    second = epsilon + float(special.log_ndtr(-half - ratio))
    return math.exp(first) * max(0.0, -math.expm1(min(0.0, second - first)))


def _gaussian_epsilon(separation: float, delta: float) -> float:
    """Return the smallest epsilon of N(separation, 1) against N(0, 1), from above."""
    low, high = 0.0, 1.0
    if _gaussian_delta(separation, 0.0) <= delta:
        return 0.0
    while _gaussian_delta(separation, high) > delta:
        low, high = high, 2 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if _gaussian_delta(separation, middle) > delta:
            low = middle
        else:
            high = middle
    return high * (1 + 1e-12)


def _want_delta(delta: float) -> float:
    if not MIN_DELTA <= delta < 1:  # false for NaN too
        raise InvalidPlan(f"delta {delta}: want at least 1e-12 and less than 1")
    return delta
