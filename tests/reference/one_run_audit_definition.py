# SPDX-License-Identifier: Apache-2.0
"""Theorem 5.2 of Steinke, Nasr and Jagielski 2023, term by term, in rationals.

Slow on purpose: every probability is a fraction, every maximum is over all of 1..m.
"""

from fractions import Fraction
from math import comb


def tail(odds: int, guesses: int, at_least: int) -> Fraction:
    """Return P[W >= at_least], W ~ Binomial(guesses, odds / (1 + odds))."""
    right, wrong = Fraction(odds, odds + 1), Fraction(1, odds + 1)
    return sum(
        (
            comb(guesses, k) * right**k * wrong ** (guesses - k)
            for k in range(max(at_least, 0), guesses + 1)
        ),
        Fraction(0),
    )


def p_value(
    odds: int, *, guesses: int, correct: int, total: int, delta: Fraction
) -> Fraction:
    """Return the bound of theorem 5.2 at epsilon = ln(odds)."""
    most = max(
        (tail(odds, guesses, correct - i) - tail(odds, guesses, correct)) / i
        for i in range(1, total + 1)
    )
    found = tail(odds, guesses, correct) + 2 * total * delta * most
    return min(Fraction(1), found)
