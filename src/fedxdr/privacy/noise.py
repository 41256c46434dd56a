# SPDX-License-Identifier: Apache-2.0
"""Secret noise and coins: the discrete Gaussian, Poisson sampling, noisy sums.

``discrete_gaussian`` draws integers x with probability proportional to
exp(-x^2 / (2 std^2)); ``poisson_coins`` says which examples a step takes; ``noisy_sum``
brings a vector of floats onto a grid and adds integers, so that nothing is released
whose last bits depend on the data in another way than the mechanism says.

It does NOT clip, account or keep anything, it never draws from a generator that is not
cryptographic (whoever knows the noise has the plain sum), and it does not run in
constant time: nobody may time it who is not to know.

Rules that always hold:
    1. All randomness is read from a key stream of a secret seed.
    2. What the tables round away is bounded by ``table_error``, in total variation; a
       release that is (epsilon, delta) private with ideal noise is private with
       (epsilon, delta + (1 + e^epsilon) * error) with ours.
    3. No float is added to a float: the released value is a grid step times an integer.

**One table.** 128-bit thresholds T_j = floor(2^128 P(X <= j - K)), K = ceil(14.5 std).
The first 16 bits of a draw mostly decide; the next 48, and then 64 more, are read where
they do not. Every probability is off by at most 2^-128, and 80 digits of working
precision add nothing that shows. The tail that is cut is at most
2 exp(-K^2 / (2 std^2)): X is subgaussian, E exp(s X) = exp(s^2 std^2 / 2) times the sum
of exp(-(x - s std^2)^2 / (2 std^2)) over that of exp(-x^2 / (2 std^2)), at most 1.

**Wide noise** is a sum: for X = a Y + Z with Y ~ N_Z(0, v1), Z ~ N_Z(0, v2) completing
the square gives, with v = a^2 v1 + v2, t^2 = v1 v2 / v and c = a v1 x / v,

    P(X = x) = const * exp(-x^2 / 2v) * sum over y of exp(-(y - c)^2 / (2 t^2)).

By Poisson's summation formula the last sum is t sqrt(2 pi) (1 + theta_x), |theta_x| <=
r(t) = 2 sum over j >= 1 of exp(-2 pi^2 t^2 j^2), so that P(X = x) is within
(1 + r) / (1 - r) of N_Z(0, v) in both directions, at every x, and off it by r / (1 - r)
in total variation. Here a = 64, v2 = 144^2 and v >= 512^2, so t^2 > 4.6, r < 2^-130.

**Like a continuous Gaussian.** Let W = x + N(0, std^2 - 4) and draw Z from the
discrete Gaussian of variance 4 around W. For an integer x, by the same formula, the law
of Z is within (1 + r(2)) / (1 - r(2)) of x + N_Z(0, std^2) at every point, with
r(2) < 2^-112. So our noise is post-processing of continuous noise with standard
deviation sqrt(std^2 - 4) = ``continuous_std(std)``, off by size * r(2) / (1 - r(2)):
every accountant of Gaussian noise, sampled or not, holds for it.

Sources: Canonne, Kamath and Steinke 2020 (definition 1); Micciancio and Walter 2017
(sums of scaled discrete Gaussians); Mironov 2012 (why no floats).
"""

from __future__ import annotations

import bisect
import decimal
import functools
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidPlan, InvalidUpdate
from fedxdr.crypto.expand import KeyStream

Integers = npt.NDArray[np.int64]

MIN_STD = 0.25
MAX_STD = 2.0**40
"""Standard deviations that ``discrete_gaussian`` draws, in steps."""

MAX_SUMMANDS = 2**24
"""A coordinate of a sum is at most that many clip norms."""

_DIRECT_VARIANCE = 512 * 512
_SCALE = 64
_LOW_VARIANCE = Fraction(144 * 144)
_TAIL_STDS = 14.5
_SMOOTHING_VARIANCE = 4
_DIGITS = 80
_THRESHOLD_BITS = 128
_GUIDE_BITS = 16
_UNDECIDED = np.iinfo(np.int16).min
_BLOCK = 1 << 15

_INFLATION = 2.0**-10
"""By what part of itself rounding to the grid may raise the sensitivity, about."""
_ROUNDING = 1.0625
"""Steps by which rounding moves the difference of two coordinates: 2 * (1/2 + 2^-5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """Inverse of the distribution function of one narrow discrete Gaussian.

    Attributes:
        reach: K; values lie in [-K, K].
        thresholds: 2K integers of 128 bits, rising.
        high: (2K,) uint64, their upper halves.
        guide: (65536,) int16, the value that the first 16 bits of a draw decide, or
            ``_UNDECIDED``.
    """

    reach: int
    thresholds: tuple[int, ...]
    high: npt.NDArray[np.uint64]
    guide: npt.NDArray[np.int16]


def discrete_gaussian(std: float, size: int, stream: KeyStream) -> Integers:
    """Return independent discrete Gaussian integers around 0.

    Args:
        std: parameter sigma of Canonne et al. 2020, definition 1, in [2^-2, 2^40]; from
            1 on it is the standard deviation to nine digits and more.
        size: how many, >= 0.
        stream: key stream of a secret seed; it is moved on.

    Returns:
        (size,) int64, off the ideal distribution by ``table_error(std, size)``.

    Raises:
        InvalidPlan: std or size out of range.
    """
    tables = [_table(variance) for variance in _variances(std, size)]
    result = np.empty(size, np.int64)
    for begin in range(0, size, _BLOCK):
        block = result[begin : begin + _BLOCK]
        block[:] = _draw(tables[0], block.size, stream)
        for table in tables[1:]:
            np.multiply(block, _SCALE, out=block)
            np.add(block, _draw(table, block.size, stream), out=block)
    return result


def table_error(std: float, size: int) -> float:
    """Return a bound on the total variation between our draws and ideal ones.

    Args:
        std: as for ``discrete_gaussian``.
        size: of the vector, or of all vectors together, >= 0.

    Raises:
        InvalidPlan: std or size out of range.
    """
    error = 0.0
    variances = _variances(std, size)
    for variance in variances:
        reach = _reach(variance)
        cut = 2.0 * math.exp(-(reach**2) / (2 * float(variance)))
        error += (reach + 1) * 2.0 ** (1 - _THRESHOLD_BITS) + cut
    total = variances[0]
    for low in variances[1:]:
        upper, total = total, total * _SCALE**2 + low
        error += _smoothing(float(upper * low / total))
    return size * error


def continuous_std(std: float) -> float:
    """Return the continuous Gaussian noise whose post-processing our noise is.

    Args:
        std: of the discrete Gaussian, in steps, > 2.

    Raises:
        InvalidPlan: too little noise for this argument.
    """
    if not 2.0 < std <= MAX_STD:
        raise InvalidPlan(
            f"discrete noise of {std:g} steps is not that of a continuous Gaussian: "
            "want more than 2 steps"
        )
    return math.sqrt(std**2 - _SMOOTHING_VARIANCE) * (1 - 2.0**-50)


def smoothing_error(size: int) -> float:
    """Return the total variation that the step from continuous to discrete adds.

    Args:
        size: integers released, >= 0; see ``continuous_std``.
    """
    return size * _smoothing(_SMOOTHING_VARIANCE)


def poisson_coins(rate: float, size: int, stream: KeyStream) -> npt.NDArray[np.bool_]:
    """Return which examples a step takes: independent coins, true with chance rate.

    Args:
        rate: q, in [0, 1].
        size: how many coins, >= 0.
        stream: key stream of a secret seed; it is moved on.

    Returns:
        (size,) bool; the chance of true is q cut to 64 bits, so at most q and off it
        by less than 2^-64; exactly q where q is 0, 1 or at least 2^-12.

    Raises:
        InvalidPlan: rate or size out of range.
    """
    if not 0.0 <= rate <= 1.0 or size < 0:
        raise InvalidPlan(f"got rate {rate} for {size} coins, want 0 to 1 and >= 0")
    if rate == 1.0:
        return np.ones(size, np.bool_)
    threshold = math.floor(Fraction(rate) * 2**64)
    first = threshold >> (64 - _GUIDE_BITS)
    draws = np.empty(size, "<u2")
    stream.read_into(draws.data)
    coins = draws < first
    (open_,) = np.nonzero(draws == first)
    if open_.size:
        more = np.empty(open_.size, "<u8")
        stream.read_into(more.data)
        rest = threshold & ((1 << (64 - _GUIDE_BITS)) - 1)
        coins[open_] = (more >> np.uint64(_GUIDE_BITS)) < rest
    return coins


def grid_bits(size: int) -> int:
    """Return k: a vector of that size is rounded to steps of clip * 2^-k.

    The smallest k >= 10 at which rounding raises the sensitivity by 2^-10 or so.

    Args:
        size: d, coordinates, >= 1.
    """
    return max(10, math.ceil(math.log2(math.sqrt(size) / _INFLATION)))


def noise_steps(size: int, *, noise_multiplier: float, slack: float = 0.0) -> float:
    """Return the standard deviation of ``noisy_sum``'s integers, in grid steps.

    Two sums that differ by D in L2 norm differ by at most D + 1.0625 sqrt(d) step after
    both are rounded: each coordinate of each moves by half a step, and 2^-5 of one in
    the division. With D = clip (1 + slack) the standard deviation is noise_multiplier
    times that, and the variance is 4 steps^2 more, so that the released vector is
    post-processing of a continuous Gaussian with noise_multiplier times the true
    sensitivity: nothing is left for the accountant to add but ``release_error``.

    Args:
        size: d, coordinates, >= 1.
        noise_multiplier: sigma, > 0.
        slack: by how much floating point inside the caller's sum may have moved the
            difference of two sums, in clip norms, >= 0.

    Raises:
        InvalidPlan: values out of range.
    """
    if size < 1 or not 0.0 < noise_multiplier < math.inf or not 0.0 <= slack < math.inf:
        raise InvalidPlan(
            f"noise on {size} coordinates with multiplier {noise_multiplier} and slack "
            f"{slack}: want all of them positive numbers"
        )
    sensitivity = (1.0 + slack) * 2.0 ** grid_bits(size) + _ROUNDING * math.sqrt(size)
    variance = (noise_multiplier * sensitivity) ** 2 + _SMOOTHING_VARIANCE
    return math.sqrt(variance) * (1 + 2.0**-40)


def release_error(size: int, *, noise_multiplier: float) -> float:
    """Return the total variation between ``noisy_sum`` and ideal continuous noise.

    Args:
        size: d, coordinates, >= 1.
        noise_multiplier: sigma, > 0.

    Raises:
        InvalidPlan: values out of range.
    """
    std = noise_steps(size, noise_multiplier=noise_multiplier)
    return table_error(std, size) + smoothing_error(size)


def noisy_sum(
    values: npt.NDArray[np.floating],
    *,
    clip: float,
    noise_multiplier: float,
    stream: KeyStream,
    slack: float = 0.0,
) -> npt.NDArray[np.float32]:
    """Return a sum of clipped vectors with Gaussian noise, on a grid.

    Each coordinate is divided by the step clip * 2^-k (``grid_bits``), rounded to the
    nearest integer, and a discrete Gaussian of ``noise_steps`` is added; the result is
    multiplied by the step again, which is post-processing.

    Args:
        values: (d,) float32 or float64, finite, d >= 1: the sum of vectors of L2 norm
            <= clip; each coordinate at most 2^24 clip.
        clip: C, L2 bound of one summand, > 0; must not depend on the data.
        noise_multiplier: sigma, > 0; also at clip norms that adapt the noise is sigma
            times the clip norm.
        stream: key stream of a secret seed; it is moved on.
        slack: as for ``noise_steps``.

    Returns:
        (d,) float32.

    Raises:
        InvalidUpdate: NaN, infinity, another shape or type, or a coordinate that no
            such sum has.
        InvalidPlan: numbers out of range.
    """
    if values.ndim != 1 or values.dtype not in (np.float32, np.float64):
        raise InvalidUpdate(
            f"got {values.dtype} of shape {values.shape}, want float32 or float64 (d,)"
        )
    if not 0.0 < clip < math.inf:
        raise InvalidPlan(f"got clip norm {clip}, want a number above 0")
    std = noise_steps(values.size, noise_multiplier=noise_multiplier, slack=slack)
    step = clip * 2.0 ** -grid_bits(values.size)
    if not 2.0**-900 < step < 2.0**900:
        raise InvalidPlan(f"no grid for clip norm {clip}")
    limit = MAX_SUMMANDS * clip
    result = np.empty(values.size, np.float32)
    # table look-ups and scratch of one block stay in the cache
    for begin in range(0, values.size, _BLOCK):
        block = values[begin : begin + _BLOCK].astype(np.float64)
        if not (np.abs(block) <= limit).all():  # false for NaN too
            raise InvalidUpdate(
                "a sum to be noised is finite and no coordinate is above 2^24 clip"
            )
        np.divide(block, step, out=block)
        np.rint(block, out=block)
        # below 2^48 + 2^45: exact in float64
        np.add(block, discrete_gaussian(std, block.size, stream), out=block)
        np.multiply(block, step, out=block)
        result[begin : begin + _BLOCK] = block
    return result


def _variances(std: float, size: int) -> list[Fraction]:
    """Return what is drawn and summed, the most significant first."""
    if not MIN_STD <= std <= MAX_STD or size < 0:
        raise InvalidPlan(
            f"got {size} draws of standard deviation {std}, want >= 0 draws of "
            "2^-2 to 2^40 steps"
        )
    variance = Fraction(std) ** 2
    lower = 0
    while variance > _DIRECT_VARIANCE:
        variance = (variance - _LOW_VARIANCE) / _SCALE**2
        lower += 1
    return [variance] + [_LOW_VARIANCE] * lower


def _reach(variance: Fraction) -> int:
    return math.ceil(_TAIL_STDS * math.sqrt(variance))


def _smoothing(variance: float) -> float:
    """Return an upper bound of r / (1 - r) for r = 2 sum of exp(-2 pi^2 v j^2)."""
    return 2.5 * math.exp(-2.0 * math.pi**2 * variance)


@functools.lru_cache(maxsize=64)
def _table(variance: Fraction) -> _Table:
    reach = _reach(variance)
    with decimal.localcontext(prec=_DIGITS):
        exponent = decimal.Decimal(-variance.denominator) / variance.numerator
        # weight of k: q^(k^2) with q = exp(-1 / (2 variance)); (k+1)^2 - k^2 = 2k + 1.
        # After k steps its relative error is below 4 (k + 1)^2 * 10^-79.
        square = exponent.exp()
        ratio = (exponent / 2).exp()
        weights = [decimal.Decimal(1)]
        for _ in range(reach):
            weights.append(weights[-1] * ratio)
            ratio *= square
        total = weights[0] + 2 * sum(weights[1:])
        unit = decimal.Decimal(1 << _THRESHOLD_BITS) / total
        thresholds = []
        below = decimal.Decimal(0)
        for k in range(-reach, reach):
            below += weights[abs(k)]
            thresholds.append(int(below * unit))
    high = np.array([t >> 64 for t in thresholds], np.uint64)
    first = (high >> np.uint64(64 - _GUIDE_BITS)).astype(np.int64)
    inside = np.bincount(first, minlength=1 << _GUIDE_BITS)
    guide = (np.cumsum(inside) - inside - reach).astype(np.int16)
    guide[inside > 0] = _UNDECIDED
    return _Table(reach=reach, thresholds=tuple(thresholds), high=high, guide=guide)


def _draw(table: _Table, size: int, stream: KeyStream) -> npt.NDArray[np.int16]:
    draws = np.empty(size, "<u2")
    stream.read_into(draws.data)
    values = table.guide[draws]
    (open_,) = np.nonzero(values == _UNDECIDED)
    if not open_.size:
        return values
    more = np.empty(open_.size, "<u8")
    stream.read_into(more.data)
    words = draws[open_].astype(np.uint64) << np.uint64(64 - _GUIDE_BITS)
    words |= more >> np.uint64(_GUIDE_BITS)
    found = np.searchsorted(table.high, words, side="right")
    values[open_] = found - table.reach
    # A draw that equals the upper half of a threshold is decided by the lower half.
    (ties,) = np.nonzero(table.high[np.maximum(found, 1) - 1] == words)
    for tie in ties:
        rest = int.from_bytes(stream.read(8), "little")
        draw = int(words[tie]) << 64 | rest
        index = bisect.bisect_right(table.thresholds, draw)
        values[open_[tie]] = index - table.reach
    return values
