# SPDX-License-Identifier: Apache-2.0
"""Aggregation rules as their papers define them, on lists of numbers; slow.

Sums are Python floats (float64) in a stated order, or exact fractions where the name
says so. Nothing here knows tiles, networks, inner products or bounds.
"""

import math
import statistics
from fractions import Fraction


def weighted_mean(rows, weights):
    """McMahan et al. 2017, Algorithm 1: products added in the order of the rows."""
    total = 0.0
    for weight in weights:
        total += float(weight)
    means = []
    for column in zip(*rows, strict=True):
        value = 0.0
        for weight, number in zip(weights, column, strict=True):
            value += float(number) * float(weight)
        means.append(value / total)
    return means


def exact_weighted_mean(rows, weights):
    """The same as fractions."""
    factors = [Fraction(float(weight)) for weight in weights]
    return [
        sum(f * Fraction(float(x)) for f, x in zip(factors, column, strict=True))
        / sum(factors)
        for column in zip(*rows, strict=True)
    ]


def median(rows):
    """Yin et al. 2018, Definition 1."""
    return [
        statistics.median([float(number) for number in column])
        for column in zip(*rows, strict=True)
    ]


def trimmed_mean(rows, trim):
    """Yin et al. 2018, Definition 2: what is left is added in ascending order."""
    means = []
    for column in zip(*rows, strict=True):
        left = sorted(float(number) for number in column)[trim : len(rows) - trim]
        value = 0.0
        for number in left:
            value += number
        means.append(value / len(left))
    return means


def trim_count(participants, percent):
    """floor(percent / 100 * participants), in integers."""
    return percent * participants // 100


def exact_squared_distance(left, right):
    """|x - y|^2 as a fraction."""
    return sum(
        (Fraction(float(x)) - Fraction(float(y))) ** 2
        for x, y in zip(left, right, strict=True)
    )


def exact_krum_scores(rows, byzantine):
    """Blanchard et al. 2017, section 4: over the n - f - 2 nearest others."""
    scores = []
    for i, row in enumerate(rows):
        others = sorted(
            exact_squared_distance(row, other) for j, other in enumerate(rows) if j != i
        )
        scores.append(sum(others[: len(rows) - byzantine - 2]))
    return scores


def exact_krum_selection(rows, byzantine, selected):
    """The rows with the smallest scores; of equal scores the smallest row."""
    scores = exact_krum_scores(rows, byzantine)
    ranked = sorted(range(len(rows)), key=lambda i: (scores[i], i))
    return tuple(sorted(ranked[:selected]))


def float64_krum_scores(updates, byzantine):
    """The same in float64 with numpy, pair by pair, for sizes fractions cannot do."""
    import numpy as np  # noqa: PLC0415 - the definitions above need none

    wide = np.asarray(updates, dtype=np.float64)
    scores = []
    for i in range(len(wide)):
        others = sorted(
            float(np.sum((wide[i] - wide[j]) ** 2)) for j in range(len(wide)) if j != i
        )
        scores.append(math.fsum(others[: len(wide) - byzantine - 2]))
    return scores


def capped_samples(samples, factor):
    """Each count, at most factor times the lower median of the others, at least 1."""
    if len(samples) == 1:
        return tuple(samples)
    capped = []
    for i, count in enumerate(samples):
        others = samples[:i] + samples[i + 1 :]
        cap = math.floor(Fraction(factor) * statistics.median_low(others))
        capped.append(min(count, max(1, cap)))
    return tuple(capped)
