# SPDX-License-Identifier: Apache-2.0
"""Real updates as ring elements, and the opened sum as a real mean.

An organisation i sends q_i, the stochastic rounding of scale * (w_i / W) * x_i, where W
is the weight of all listed participants. The opened sum of the survivors' q_i, divided
by scale * (their weight / W), is their weighted mean.

It does NOT clip: values above the bound are refused, because an organisation that meant
to send them would send something else than it thinks. It does NOT add noise.

**The sum cannot wrap.** Let C be the bound, n the participants, R = 2^(bits-1). Then
scale = (R - n) / C * (1 - 2^-18), and organisation i multiplies by m_i, the largest
float32 not above scale * w_i / W. It admits |x_j| <= C (1 + 2^-20), computes
y = fl32(x_j * m_i), so |y| <= C m_i (1 + 2^-20)(1 + 2^-24) + 2^-149, adds a draw u with
|u| < 1/2 and takes the nearest integer to fl32(y + u), so
|q_ij| <= (|y| + 1/2)(1 + 2^-24) + 1/2. Over any of the listed participants, sum of
w_i / W <= 1, hence |sum q_ij| < (R - n)(1 - 2^-18)(1 + 2^-19) + n (1 + 2^-25) < R:
n <= R/2, so (R - n) 2^-19 > n 2^-25, with the float64 roundings of scale (each 2^-53)
and 2^-149 n far inside what is left. With bits <= 31 that is inside int32, so the sum
modulo 2^32, read as int32, is the exact integer sum.

**The rounding is fair.** u is an odd multiple of 2^-16, each of the 2^15 between -1/2
and 1/2 as likely as any other. With u real and no rounding of y + u, the mean of q_ij
would be y. So it is off y by 2^-16 of a step and half the last place of fl32(y + u) at
most; y itself is off x_j * m_i by half of its own last place.

Rules that always hold: NaN, infinity and values above the bound are refused; rounding
randomness comes from a key stream of a secret seed; dequantising is one float64
division per value, so that anyone redoes it bit for bit.

Source: stochastic (unbiased) rounding as in Alistarh et al. 2017, section 3.1, with the
probability of rounding up cut to 15 bits, made by a uniform dither and rounding to
nearest (Schuchman 1964); the bound is ours.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidPlan, InvalidUpdate
from fedxdr.core.layout import Vector
from fedxdr.crypto.expand import KeyStream
from fedxdr.secagg.masking import Words

MIN_BITS = 8
MAX_BITS = 31

MIN_BOUND = 2.0**-80
MAX_BOUND = 2.0**80
"""Inside these, no product of a value and its multiplier leaves float32."""

BOUND_TOLERANCE = 2.0**-20
"""By what part of itself the bound may be exceeded: a clipped norm is rounded too."""

_HEADROOM = 2.0**-18
_LABEL = "fedxdr/secagg/rounding/v1"
_BLOCK = 48 * 1024  # values; all scratch of a block fits a 1 MiB cache
_SIGN = 0x80000000
_STEP = np.float32(2.0**-16)


def scale_of(*, bound: float, bits: int, participants: int) -> float:
    """Return how many integer steps one unit of the weighted mean has.

    Args:
        bound: C, largest absolute value of a coordinate (the clip norm), in
            [2^-80, 2^80].
        bits: width of the sum, in [8, 31].
        participants: n, how many are listed, in [1, 2^(bits-2)].

    Raises:
        InvalidPlan: values out of these ranges.
    """
    if not MIN_BITS <= bits <= MAX_BITS:
        raise InvalidPlan(f"got {bits} bits for the sum, want {MIN_BITS} to {MAX_BITS}")
    if not 1 <= participants <= 1 << (bits - 2):
        raise InvalidPlan(
            f"{participants} participants need more than {bits} bits for their sum"
        )
    if not MIN_BOUND <= bound <= MAX_BOUND:  # false for NaN too
        raise InvalidPlan("the bound of a coordinate is between 2^-80 and 2^80")
    return ((1 << (bits - 1)) - participants) / bound * (1.0 - _HEADROOM)


def quantise(
    values: Vector,
    *,
    bound: float,
    bits: int,
    participants: int,
    weight: int,
    total_weight: int,
    seed: bytes,
    in_place: bool = False,
) -> Words:
    """Return the weighted values, stochastically rounded, as ring elements.

    Args:
        values: (d,) float32, each finite and within ``bound``.
        bound: C, the clip norm, in [2^-80, 2^80].
        bits: width of the sum, in [8, 31].
        participants: n, how many are listed.
        weight: w_i, this organisation's weight, in [0, total_weight].
        total_weight: W, of all listed participants, > 0.
        seed: 32 secret bytes for the rounding, fresh for this vector.
        in_place: whether the result takes the memory of ``values``, so that the plain
            update is gone (also where this raises); else ``values`` is not changed.

    Returns:
        (d,) uint32, negative numbers as 2^32 - |q|.

    Raises:
        InvalidUpdate: another type or shape, NaN, infinity, a value above the bound, or
            memory that cannot be written in place.
        InvalidPlan: bits, participants, bound or weights out of range.
    """
    scale = scale_of(bound=bound, bits=bits, participants=participants)
    multiplier = _multiplier(scale, weight=weight, total_weight=total_weight)
    if values.dtype != np.float32 or values.ndim != 1:
        raise InvalidUpdate(
            f"got {values.dtype} of shape {values.shape}, want float32 (d,)"
        )
    flags = values.flags
    if in_place and not (flags.c_contiguous and flags.writeable):
        raise InvalidUpdate("a vector to quantise in place is contiguous and writeable")
    values = np.ascontiguousarray(values)
    limit = int(np.float32(bound * (1.0 + BOUND_TOLERANCE / 2)).view(np.uint32))
    stream = KeyStream(seed, label=_LABEL)
    result = values if in_place else np.empty_like(values)
    size = min(_BLOCK, values.size)
    dithered = np.empty(size, np.float32)
    draws = np.empty(size, dtype="<i2")  # little-endian on every machine
    for begin in range(0, values.size, max(size, 1)):
        block, y = values[begin : begin + size], result[begin : begin + size]
        u, draw = dithered[: block.size], draws[: block.size]
        # Positive floats order as their bits do, negative ones above them and by their
        # magnitude; NaN and infinity last on either side.
        if (
            block.view(np.int32).max() > limit
            or block.view(np.uint32).max() > limit | _SIGN
        ):
            raise InvalidUpdate("a value is NaN, infinite or above the clip norm")
        np.multiply(block, multiplier, out=y)
        stream.read_into(draw.data)
        np.bitwise_or(draw, 1, out=draw)
        np.copyto(u, draw)
        np.multiply(u, _STEP, out=u)
        np.add(u, y, out=u)
        np.rint(u, out=u)
        np.copyto(y.view(np.int32), u, casting="unsafe")
    return result.view(np.uint32)


def dequantise(
    total: npt.NDArray[np.int32],
    *,
    bound: float,
    bits: int,
    participants: int,
    survivors_weight: int,
    total_weight: int,
    is_noisy: bool = False,
) -> npt.NDArray[np.float64]:
    """Return the survivors' weighted mean.

    One float64 division per value by one float64 divisor, computed in the order
    scale * survivors_weight / total_weight: the same bits on every machine.

    Args:
        total: (d,) int32, the opened sum.
        bound: C, as it was quantised.
        bits: as it was quantised.
        participants: n, how many are listed, as it was quantised.
        survivors_weight: weight of those in the sum, in [1, total_weight].
        total_weight: W, of all listed participants.
        is_noisy: whether noise was added to what was quantised: then the sum has no
            bound.

    Returns:
        (d,) float64, each off the exact mean by less than (survivors + 1) /
        (scale * survivors_weight / W), and by its rounding in float32.

    Raises:
        InvalidUpdate: another type or shape, or a sum that honest contributions cannot
            have: somebody did not keep to the bound.
        InvalidPlan: bits, participants, bound or weights out of range.
    """
    scale = scale_of(bound=bound, bits=bits, participants=participants)
    if not 1 <= survivors_weight <= total_weight:
        raise InvalidPlan(
            f"weight {survivors_weight} of the survivors, of {total_weight} in all"
        )
    if total.dtype != np.int32 or total.ndim != 1:
        raise InvalidUpdate(
            f"got {total.dtype} of shape {total.shape}, want int32 (d,)"
        )
    limit = 1 << (bits - 1)
    if (
        not is_noisy
        and total.size
        and not (total.max() < limit and total.min() > -limit)
    ):
        raise InvalidUpdate(
            f"the sum leaves its {bits} bits: a contribution did not keep to the bound"
        )
    divisor = np.float64(scale * survivors_weight / total_weight)
    return np.divide(total, divisor, dtype=np.float64)


def _multiplier(scale: float, *, weight: int, total_weight: int) -> np.float32:
    """Return the largest float32 not above scale * weight / total_weight."""
    if not (0 <= weight <= total_weight and total_weight > 0):
        raise InvalidPlan(f"weight {weight} of {total_weight} in all")
    exact = scale * weight / total_weight
    rounded = np.float32(exact)
    if float(rounded) > exact:
        rounded = np.nextafter(rounded, np.float32(0))
    return rounded
