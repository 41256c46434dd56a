# SPDX-License-Identifier: Apache-2.0
"""Ed25519's group written down as it is defined: affine points, divisions; slow."""

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
NEUTRAL = (0, 1)
# RFC 8032, section 5.1: the base point
BASE = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
)


def is_on_curve(point):
    """-x² + y² = 1 + d·x²·y²."""
    x, y = point
    return (-x * x + y * y - 1 - D * x * x * y * y) % P == 0


def add(left, right):
    """The addition law, RFC 8032 section 5.1.4, with its divisions."""
    (x1, y1), (x2, y2) = left, right
    both = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + both, P - 2, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - both, P - 2, P)
    return x % P, y % P


def times(scalar, point):
    """The multiple, by doubling."""
    if not scalar:
        return NEUTRAL
    half = times(scalar // 2, add(point, point))
    return add(half, point) if scalar & 1 else half


def encode(point):
    """RFC 8032 section 5.1.2."""
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def points_of(y):
    """The points of the curve with this y, none, one or two."""
    x_squared = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    root = pow(x_squared, (P + 3) // 8, P)
    if root * root % P != x_squared:
        root = root * pow(2, (P - 1) // 4, P) % P
    if root * root % P != x_squared:
        return []
    return sorted({(root, y), (-root % P, y)})
