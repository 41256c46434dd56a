# SPDX-License-Identifier: Apache-2.0
"""Canonne, Kamath and Steinke 2020 written down as it stands, in rationals; slow."""

import decimal
import math
from fractions import Fraction


def bernoulli_exp(gamma, below):
    """Algorithm 1: true with chance exp(-gamma); below(n) is uniform on [0, n)."""
    if gamma <= 1:
        k = 1
        while below(gamma.denominator * k) < gamma.numerator:
            k += 1
        return k % 2 == 1
    for _ in range(math.floor(gamma)):
        if not bernoulli_exp(Fraction(1), below):
            return False
    return bernoulli_exp(gamma - math.floor(gamma), below)


def discrete_laplace(t, below):
    """Algorithm 2 with s = 1: x with chance proportional to exp(-|x| / t)."""
    while True:
        u = below(t)
        if not bernoulli_exp(Fraction(u, t), below):
            continue
        v = 0
        while bernoulli_exp(Fraction(1), below):
            v += 1
        x = u + t * v
        is_negative = below(2) == 1
        if is_negative and x == 0:
            continue
        return -x if is_negative else x


def discrete_gaussian(variance, below):
    """Algorithm 3: x with chance proportional to exp(-x^2 / (2 variance))."""
    t = math.isqrt(math.floor(variance)) + 1
    while True:
        y = discrete_laplace(t, below)
        gamma = (abs(y) - Fraction(variance) / t) ** 2 / (2 * Fraction(variance))
        if bernoulli_exp(gamma, below):
            return y


def probabilities(variance, reach):
    """Definition 1: {x: chance of x} for |x| <= reach, to 100 digits."""
    variance = Fraction(variance)
    with decimal.localcontext(prec=110):
        weights = {
            x: (
                decimal.Decimal(-(x**2) * variance.denominator)
                / (2 * variance.numerator)
            ).exp()
            for x in range(-reach, reach + 1)
        }
        total = sum(weights.values())
        return {x: weight / total for x, weight in weights.items()}
