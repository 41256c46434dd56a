# SPDX-License-Identifier: Apache-2.0
"""Shamir's secret sharing of 32-byte secrets over the prime field of 2^256 + 297.

Any ``threshold`` shares give the secret; fewer give nothing about it.

It does NOT know whether a share is right: a reconstruction is checked against a
commitment by whoever asks for it (server.py), which also finds the wrong shares.

Rules that always hold: evaluation points are 1, 2, … and never 0; a share is 33 bytes,
big-endian, below the prime; exactly ``threshold`` shares are combined.

Source: Shamir 1979, "How to share a secret".
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence

from fedxdr.core.errors import InvalidShare, TooFewParticipants
from fedxdr.crypto.expand import KeyStream

PRIME = 2**256 + 297
"""The least prime above 2^256, so that every 32-byte secret is a field element."""

SECRET_BYTES = 32
SHARE_BYTES = 33

_CANDIDATE_MASK = (1 << 257) - 1


def split(
    secret: bytes, *, threshold: int, points: Sequence[int], coefficients: KeyStream
) -> tuple[bytes, ...]:
    """Return one share per point.

    Args:
        secret: 32 bytes.
        threshold: t, how many shares give the secret; in [1, number of points].
        points: distinct integers >= 1, one per share.
        coefficients: stream the t-1 random coefficients are read from. The same
            stream, secret, threshold and points give the same shares again; never use
            one stream with two thresholds or two secrets.

    Returns:
        shares of 33 bytes, in the order of the points.

    Raises:
        InvalidShare: a secret of another length, or points that are not distinct and
            positive.
        TooFewParticipants: a threshold out of its range.
    """
    if len(secret) != SECRET_BYTES:
        raise InvalidShare(f"a secret to share: got {len(secret)} bytes, want 32")
    _want_points(points)
    if not 1 <= threshold <= len(points):
        raise TooFewParticipants(
            f"threshold {threshold} cannot be met by {len(points)} shares"
        )
    polynomial = [
        int.from_bytes(secret),
        *(_field_element(coefficients) for _ in range(threshold - 1)),
    ]
    shares = []
    for point in points:
        value = 0
        for coefficient in reversed(polynomial):
            value = (value * point + coefficient) % PRIME
        shares.append(value.to_bytes(SHARE_BYTES))
    return tuple(shares)


def combine(shares: Mapping[int, bytes]) -> bytes:
    """Return the secret that exactly these shares give.

    Args:
        shares: share by point; as many as the threshold.

    Returns:
        32 bytes. With a wrong share among them they are random or the call raises.

    Raises:
        InvalidShare: a malformed share or point, or a result above 32 bytes, which is
            no secret.
    """
    value = evaluate(shares, at=0)
    if value >> (8 * SECRET_BYTES):
        raise InvalidShare("the shares give no 32-byte secret: one of them is wrong")
    return value.to_bytes(SECRET_BYTES)


def evaluate(shares: Mapping[int, bytes], *, at: int) -> int:
    """Return the polynomial through these shares at one point.

    Args:
        shares: share by point, one or more.
        at: where, in [0, PRIME).

    Raises:
        InvalidShare: a malformed share, or points that are not positive.
    """
    points = tuple(shares)
    _want_points(points)
    values = [parse_share(share) for share in shares.values()]
    row = lagrange_row(points, at)
    return sum(a * b for a, b in zip(row, values, strict=True)) % PRIME


def parse_share(share: bytes) -> int:
    """Return a share as a field element.

    Raises:
        InvalidShare: not 33 bytes, or not below the prime.
    """
    if len(share) != SHARE_BYTES:
        raise InvalidShare(f"a share: got {len(share)} bytes, want {SHARE_BYTES}")
    value = int.from_bytes(share)
    if value >= PRIME:
        raise InvalidShare("a share is not an element of the field")
    return value


@functools.lru_cache(maxsize=256)
def lagrange_row(points: tuple[int, ...], at: int) -> tuple[int, ...]:
    """Return Lagrange's coefficients: f(at) = sum_i row[i] * f(points[i]) mod PRIME.

    Nothing in it is secret; it is the same for all secrets shared among the same
    helpers, hence the cache. In barycentric form, so that a further ``at`` for the same
    points costs t multiplications and no inversion.

    Args:
        points: distinct integers >= 1.
        at: where to evaluate.
    """
    if at in points:
        return tuple(int(point == at) for point in points)
    top = math.prod(at - point for point in points) % PRIME
    return tuple(
        top * weight % PRIME * _inverse(at - point) % PRIME
        for point, weight in zip(points, _weights(points), strict=True)
    )


@functools.lru_cache(maxsize=64)
def _weights(points: tuple[int, ...]) -> tuple[int, ...]:
    """Return 1 / prod_{j != i} (points[i] - points[j]) mod PRIME for each i.

    One inversion for all of them: that of their product, divided step by step.
    """
    below = [
        math.prod(here - there for there in points if there != here) % PRIME
        for here in points
    ]
    products = list(itertools.accumulate(below, lambda a, b: a * b % PRIME, initial=1))
    inverse = pow(products[-1], -1, PRIME)
    weights = []
    for value, before in zip(reversed(below), reversed(products[:-1]), strict=True):
        weights.append(inverse * before % PRIME)
        inverse = inverse * value % PRIME
    return tuple(reversed(weights))


@functools.lru_cache(maxsize=4096)
def _inverse(number: int) -> int:
    """Return 1 / number mod PRIME; differences of points are few and small."""
    return pow(number, -1, PRIME)


def _field_element(stream: KeyStream) -> int:
    """Return a uniform element of the field: 257 bits, again until below the prime."""
    while True:
        value = int.from_bytes(stream.read(SHARE_BYTES)) & _CANDIDATE_MASK
        if value < PRIME:
            return value


def _want_points(points: Sequence[int]) -> None:
    if not points or len(set(points)) != len(points):
        raise InvalidShare("evaluation points must be distinct, and at least one")
    if min(points) < 1 or max(points) >= PRIME:
        raise InvalidShare("evaluation points are at least 1; 0 holds the secret")
