# SPDX-License-Identifier: Apache-2.0
"""What the noise inside a masked sum is worth: discrete shares as one Gaussian charge.

Each organisation adds its own discrete Gaussian to its integers before it masks them;
opened is the sum modulo a power of two. Neighbours: the same cohort and weights, one
organisation's vector replaced by zeros (its noise stays: it adds it in any case).

It does NOT draw noise (noise.py), quantise (secagg/quantise.py) or judge a plan.

Rules that always hold:
    1. Only noise that the adversary cannot know counts: the shares of the fewest
       survivors less the colluders.
    2. The sensitivity is that after rounding, in the worst case.
    3. What separates a sum of discrete Gaussians from a post-processed continuous one
       stays below ``DISCRETE_ALLOWANCE`` per step, or the charge is refused.

**The sum as a Gaussian.** Let n shares have variance v each, in steps^2, and write
r(t^2) = 2 sum over j >= 1 of exp(-2 pi^2 t^2 j^2). By Poisson's summation formula
sum over k of exp(-(k - c)^2 / (2 t^2)) is t sqrt(2 pi) (1 + theta), |theta| <= r(t^2),
at every centre c. Twice applied:

*Sums.* Completing the square, the convolution of N_Z(0, kv) and N_Z(0, v) is at each
integer within (1 + r) / (1 - r) of N_Z(0, (k + 1) v), r at t^2 = v k / (k + 1). Over
k = 1 .. n - 1 that is within exp(tau) of N_Z(0, n v), tau = sum of ln((1+r)/(1-r)).
Kairouz et al. 2021 (their tau) have the same exponent.

*Smoothing.* Round W = c + N(0, nv - 4) to k with weight exp(-(k - W)^2 / 8): the law of
k is within (1 + r(4)) / (1 - r(4)) of c + N_Z(0, nv), c an integer (Peikert 2010,
theorem 3.1). So the sum is post-processing of continuous noise of variance nv - 4.

Coordinates are independent, so d of them give d times the logarithm. Everything after
the sum, reduction modulo 2^bits among it, is post-processing: a sum that wraps costs
accuracy (``wrap_probability``), never privacy.

Source: Canonne, Kamath and Steinke 2020; Kairouz, Liu and Steinke 2021 (sums and
rounding); Peikert 2010 (smoothing).
"""

from __future__ import annotations

import math
from typing import Final

from fedxdr.core.errors import InvalidPlan
from fedxdr.privacy.mechanism import DISCRETE_ALLOWANCE, Charge

MAX_DIMENSION: Final = 2**40

_SMOOTHING: Final = 4.0
"""Variance in steps^2 that turns a continuous Gaussian into the discrete one."""

_FLOAT: Final = 1.0 + 2.0**-18
"""Covers the float32 roundings of a quantised vector, see secagg/quantise.py."""


def rounded_sensitivity(*, clip_steps: float, dimension: int) -> float:
    """Return the L2 norm that a clipped vector can have after rounding, in steps.

    Every coordinate moves by less than one step, whichever way the coins fall.
    Conditional rounding (Kairouz et al. 2021) has a smaller bound; ours is not
    conditional, so the worst case stands: choose the step far below clip / sqrt(d).

    Args:
        clip_steps: the clip norm in integer steps, after weighting, > 0.
        dimension: d, coordinates, in [1, 2^40].

    Returns:
        clip_steps + sqrt(d), and a little for float32.

    Raises:
        InvalidPlan: numbers out of range.
    """
    if not (math.isfinite(clip_steps) and clip_steps > 0):
        raise InvalidPlan(f"a clip norm of {clip_steps} steps: want more than 0")
    if not 1 <= dimension <= MAX_DIMENSION:
        raise InvalidPlan(f"dimension {dimension}: want 1 to 2^40")
    return clip_steps * _FLOAT + math.sqrt(dimension)


def organisation_charge(
    *,
    share_std_steps: float,
    clip_steps: float,
    dimension: int,
    min_survivors: int,
    colluders: int = 0,
    steps: int = 1,
) -> Charge:
    """Return what ``steps`` noisy masked sums cost one organisation.

    Args:
        share_std_steps: parameter of each organisation's discrete Gaussian, in steps.
        clip_steps: the largest clip norm of an organisation, in integer steps after
            weighting, > 0.
        dimension: d, coordinates, >= 1.
        min_survivors: fewest organisations in an opened sum, >= 1.
        colluders: of them, how many may tell the adversary their noise, >= 0.
        steps: sums opened, >= 1.

    Returns:
        a charge of unit ``organisation`` whose noise multiplier is rounded downwards.

    Raises:
        InvalidPlan: numbers out of range, or noise so narrow that its sum is not close
            enough to a Gaussian; the message says how much is.
    """
    shares = _honest(min_survivors, colluders)
    sensitivity = rounded_sensitivity(clip_steps=clip_steps, dimension=dimension)
    if not (math.isfinite(share_std_steps) and share_std_steps > 0):
        raise InvalidPlan(f"noise of {share_std_steps} steps: want more than 0")
    gap = log_ratio(share_std_steps=share_std_steps, shares=shares, dimension=dimension)
    if gap > DISCRETE_ALLOWANCE:
        narrowest = _narrowest(shares=shares, dimension=dimension)
        raise InvalidPlan(
            f"noise of {share_std_steps:g} steps per organisation is too narrow to "
            f"count as Gaussian: want {narrowest:.3g} steps or more (use a finer step)"
        )
    variance = shares * share_std_steps**2 - _SMOOTHING
    return Charge(
        unit="organisation",
        noise_multiplier=math.sqrt(variance) / sensitivity * (1.0 - 2.0**-50),
        steps=steps,
        mechanism="discrete-gaussian",
    )


def share_std(
    *,
    noise_multiplier: float,
    clip_steps: float,
    dimension: int,
    min_survivors: int,
    colluders: int = 0,
) -> float:
    """Return how much noise each organisation adds for a noise multiplier.

    Args:
        noise_multiplier: z that ``organisation_charge`` shall give at least, > 0.
        clip_steps: as there.
        dimension: as there.
        min_survivors: as there.
        colluders: as there.

    Returns:
        standard deviation in steps: sqrt((z^2 sensitivity^2 + 4) / shares), or the
        narrowest noise that counts as Gaussian where that is more.

    Raises:
        InvalidPlan: numbers out of range.
    """
    shares = _honest(min_survivors, colluders)
    if not (math.isfinite(noise_multiplier) and noise_multiplier > 0):
        raise InvalidPlan(f"noise multiplier {noise_multiplier}: want more than 0")
    sensitivity = rounded_sensitivity(clip_steps=clip_steps, dimension=dimension)
    wanted = math.sqrt(((noise_multiplier * sensitivity) ** 2 + _SMOOTHING) / shares)
    return max(
        wanted * (1.0 + 2.0**-48), _narrowest(shares=shares, dimension=dimension)
    )


def log_ratio(*, share_std_steps: float, shares: int, dimension: int) -> float:
    """Return how far a sum of discrete shares is from post-processed Gaussian noise.

    Args:
        share_std_steps: of each share, in steps, > 0.
        shares: n, discrete Gaussians in the sum, >= 1.
        dimension: d, >= 1.

    Returns:
        a bound on |ln(law of the sum / law of the post-processed Gaussian)| at every
        point, >= 0; infinity where no bound is shown.
    """
    variance = share_std_steps**2
    if shares * variance <= _SMOOTHING:
        return math.inf
    # all k >= 64 together: the exponent is then within 1/65 of its limit
    exact = range(1, min(shares, 64))
    parts = [_gap(variance * k / (k + 1)) for k in exact]
    rest = max(0, shares - 64)
    tau = sum(parts) + (rest * _gap(variance * 64 / 65) if rest else 0.0)
    return dimension * (tau + _gap(_SMOOTHING))


def wrap_probability(
    *,
    share_std_steps: float,
    shares: int,
    largest_sum_steps: int,
    bits: int,
    dimension: int,
) -> float:
    """Return a bound on the chance that a noisy sum leaves its bits in any coordinate.

    A discrete Gaussian is subgaussian with its own parameter, and so is a sum.

    Args:
        share_std_steps: of each share, in steps, > 0.
        shares: noise shares in the sum, >= 1; here all survivors, not the honest ones.
        largest_sum_steps: largest absolute value of a coordinate without noise, >= 0.
        bits: width of the sum, in [2, 32]; it holds [-2^(bits-1), 2^(bits-1)).
        dimension: d, >= 1.

    Returns:
        a bound in [0, 1]: 2 d exp(-room^2 / (2 n v)).

    Source: Canonne, Kamath and Steinke 2020 (subgaussian tails); union bound.
    """
    room = (1 << (bits - 1)) - 1 - largest_sum_steps
    if room <= 0:
        return 1.0
    exponent = room * room / (2.0 * shares * share_std_steps**2)
    return min(1.0, 2.0 * dimension * math.exp(-exponent))


def _honest(min_survivors: int, colluders: int) -> int:
    if colluders < 0 or min_survivors - colluders < 1:
        raise InvalidPlan(
            f"{min_survivors} survivors with {colluders} colluders: nobody is left "
            "whose noise is unknown"
        )
    return min_survivors - colluders


def _gap(variance: float) -> float:
    """Return ln((1 + r) / (1 - r)), r = 2 sum over j of exp(-2 pi^2 variance j^2)."""
    first = math.exp(-2.0 * math.pi**2 * variance)
    # the terms fall faster than a geometric series with ratio first^3
    r = 2.0 * first / (1.0 - first**3) if first < 0.4 else 1.0
    return math.inf if r >= 1.0 else math.log1p(r) - math.log1p(-r)


def _narrowest(*, shares: int, dimension: int) -> float:
    """Return the smallest share, in steps, within the allowance, from above."""
    low, high = 0.0, 64.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        gap = (
            log_ratio(share_std_steps=middle, shares=shares, dimension=dimension)
            if middle > 0
            else math.inf
        )
        if gap > DISCRETE_ALLOWANCE:
            low = middle
        else:
            high = middle
    return high
