# SPDX-License-Identifier: Apache-2.0
"""Checking Ed25519 public keys before they are enrolled.

A signature check alone does not care whose key it is given: under a key of low order
some signatures hold for nearly every message, under a key with a low-order part
libraries disagree about which signatures hold, and a key in a second spelling is the
same key under another name. Such keys are refused once, when they are enrolled.

Not here: signatures (signing.py). The arithmetic is plain integers, not constant in
time: it sees public keys only. One check takes a millisecond or two.

The curve (RFC 8032, section 5.1): -x² + y² = 1 + d·x²·y² over p = 2^255 - 19, with the
prime order L of its base point and cofactor 8.

Sources: RFC 8032 sections 5.1.3 (decoding) and 5.1.4 (addition); Chalkias, Garillot
and Nikolaenko 2020, "Taming the many EdDSAs", section 3, for what goes wrong.
"""

from __future__ import annotations

from fedxdr.core.errors import MalformedMessage

KEY_BYTES = 32

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)

# Extended coordinates (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z.
_Point = tuple[int, int, int, int]
_NEUTRAL: _Point = (0, 1, 1, 0)


def check_ed25519(key: bytes) -> None:
    """Return if these bytes are a public key that may be enrolled.

    Args:
        key: 32 bytes, the encoding of RFC 8032 section 5.1.2.

    Raises:
        MalformedMessage: another length; not the one encoding of its point; no point of
            the curve; a point of low order, or with a low-order part.
    """
    if len(key) != KEY_BYTES:
        raise MalformedMessage(f"an Ed25519 public key: got {len(key)} bytes, want 32")
    point = _decode(key)
    # (A point of low order is told apart for the message only: L·P finds it too,
    # all but the neutral one.)
    if _is_neutral(_times(8, point)):
        raise MalformedMessage("an Ed25519 public key of low order")
    if not _is_neutral(_times(_L, point)):
        raise MalformedMessage("an Ed25519 public key outside the prime-order group")


def _decode(key: bytes) -> _Point:
    """Return the point of an encoding, RFC 8032 section 5.1.3, steps 1 to 4."""
    number = int.from_bytes(key, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    # (1): y is a number below p
    if y >= _P:
        raise MalformedMessage("an Ed25519 public key in a second spelling: y >= p")
    # (2): x² = u/v, and the candidate (u/v)^((p+3)/8)
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    # (3): the candidate or its product with the root of -1
    if v * x * x % _P == -u % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if v * x * x % _P != u:
        raise MalformedMessage("an Ed25519 public key that is no point of the curve")
    # (4): the sign of x
    if x == 0 and sign:
        raise MalformedMessage("an Ed25519 public key in a second spelling: x = -0")
    if x & 1 != sign:
        x = _P - x
    return (x, y, 1, x * y % _P)


def _add(left: _Point, right: _Point) -> _Point:
    """Return the sum, by the complete formulas of RFC 8032 section 5.1.4."""
    x1, y1, z1, t1 = left
    x2, y2, z2, t2 = right
    a = (y1 - x1) * (y2 - x2) % _P
    b = (y1 + x1) * (y2 + x2) % _P
    c = 2 * _D * t1 * t2 % _P
    d = 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _double(point: _Point) -> _Point:
    """Return twice the point, by the formulas of RFC 8032 section 5.1.4."""
    x1, y1, z1, _ = point
    a, b, c = x1 * x1 % _P, y1 * y1 % _P, 2 * z1 * z1 % _P
    h = a + b
    e = h - (x1 + y1) ** 2 % _P
    g = a - b
    f = c + g
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _times(scalar: int, point: _Point) -> _Point:
    """Return the multiple, scalar >= 1, by double and add."""
    found = _NEUTRAL
    for bit in f"{scalar:b}":
        found = _double(found)
        if bit == "1":
            found = _add(found, point)
    return found


def _is_neutral(point: _Point) -> bool:
    x, y, z, _ = point
    return x % _P == 0 and (y - z) % _P == 0
