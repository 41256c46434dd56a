# SPDX-License-Identifier: Apache-2.0
"""Many steps as one privacy loss distribution, on a grid that hardly widens it.

Steps of different pairs are put on one grid, convolved with themselves as often as they
were released (by dp-accounting), and with each other.

It does NOT know charges or units (accountant.py), or what a pair means (dominating.py).

Rules that always hold:
    1. Everything is rounded so that it dominates: atoms between grid points are split
       with both their probabilities kept, what is cut off becomes an infinite loss.
    2. Both directions are composed, each with itself alone: the neighbours are the
       same two data sets in every step.
    3. The grid is chosen before anything is convolved, from how much it widens the
       composed loss; it never has more than 2^17 intervals in one step's loss.

Source: Doroshenko et al. 2022, algorithm 1; Zhu, Dong and Wang 2022;
Koskela, Jalko and Honkela 2020 (convolution by Fourier transform).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from fedxdr.privacy.dominating import Atoms, Direction, Floats, Pair, atoms

_TAIL: Final = 1e-4  # part of delta that all tails together may take
_COARSE: Final = 2**-12  # of the composed standard deviation: widest grid interval
_MOST_INTERVALS: Final = 2**17  # in the loss of one step
_CONSTANT: Final = 2.0**-40  # a loss that varies less is as good as one number
_WIDENED: Final = 2e-4  # part of the variance that the grid may add

Steps = tuple[tuple[Pair, int], ...]
"""Pairs in order, each with how often it is released."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LossDistribution:
    """A privacy loss on a grid, in one direction.

    Attributes:
        interval: between grid points, > 0.
        first: the first loss is ``first * interval``.
        masses: (k,) float64 >= 0, probability of each loss.
        infinity: probability of an infinite loss.
    """

    interval: float
    first: int
    masses: Floats
    infinity: float

    def delta(self, epsilon: float) -> float:
        """Return the hockey-stick divergence at a finite epsilon, in [0, about 1]."""
        begin = math.floor(epsilon / self.interval) + 1 - self.first
        begin = min(max(begin, 0), len(self.masses))
        losses = self.interval * np.arange(
            self.first + begin, self.first + len(self.masses)
        )
        # clipped: below the first point of a grid every loss counts in full
        parts = -np.expm1(np.minimum(0.0, epsilon - losses))
        return self.infinity + float(self.masses[begin:] @ parts)

    def epsilon(self, delta: float) -> float:
        """Return the smallest epsilon >= 0 whose divergence is at most delta."""
        if self.infinity > delta:
            return math.inf
        if self.delta(0.0) <= delta:
            return 0.0
        # grid points with more than delta at low, at most delta at high
        low, high = 0, self.first + len(self.masses)
        while high - low > 1:
            middle = (low + high) // 2
            if self.delta(middle * self.interval) > delta:
                low = middle
            else:
                high = middle
        # between the two, delta = upper - e^(epsilon - top) lower
        kept = self.masses[max(0, high - self.first) :]
        steps = (np.arange(len(kept)) + max(self.first - high, 0)) * self.interval
        upper = self.infinity + float(kept.sum())
        lower = float(kept @ np.exp(-steps))
        if lower <= 0.0 or upper <= delta:
            return high * self.interval
        return min(
            high * self.interval + math.log((upper - delta) / lower),
            high * self.interval,
        )


@functools.lru_cache(maxsize=16)
def composed(steps: Steps, *, delta: float) -> tuple[LossDistribution, ...]:
    """Return the privacy loss of all steps, in each direction that matters.

    Args:
        steps: pairs in order, each with how often it is released; at least one.
        delta: what the distribution is read at or above; tails are cut far below it.

    Returns:
        one distribution where both directions are the same, else two.
    """
    unsampled = tuple(step for step in steps if step[0].sampling_rate == 1.0)
    if unsampled:
        # Gaussians without sampling are together one Gaussian: one convolution less
        one = Pair(
            noise_multiplier=1 / separation(unsampled),
            sampling_rate=1.0,
            own=1,
            occurrences=0,
        )
        steps = (*(s for s in steps if s[0].sampling_rate != 1.0), (one, 1))
    total = sum(count for _, count in steps)
    tail = _TAIL * delta / 4
    # a power of ten, so that other totals find the same atoms in the cache
    per_step = min(1e-3, 10.0 ** math.floor(math.log10(tail / total)))
    symmetric = all(pair.own == 0 or pair.sampling_rate == 1.0 for pair, _ in steps)
    directions: tuple[Direction, ...] = (
        ("removed",) if symmetric else ("removed", "added")
    )
    losses = [
        [(atoms(pair, direction, tail=per_step), count) for pair, count in steps]
        for direction in directions
    ]
    interval = max(_interval(one) for one in losses)
    return tuple(_convolved(one, interval, tail / len(steps) / 2) for one in losses)


def is_unsampled(steps: Steps) -> bool:
    """Return whether every example is in every step: then all is one Gaussian."""
    return all(pair.sampling_rate == 1.0 for pair, _ in steps)


def separation(steps: Steps) -> float:
    """Return the distance of the two Gaussians that unsampled steps amount to."""
    return math.sqrt(
        sum(
            count * ((pair.own + 2 * pair.occurrences) / pair.noise_multiplier) ** 2
            for pair, count in steps
        )
    )


def _interval(losses: list[tuple[Atoms, int]]) -> float:
    """Return a grid interval that widens the composed loss by next to nothing.

    An atom at l between grid points g and g + h goes to both, which adds (l - g) times
    (g + h - l) to the variance: that is known before anything is convolved.
    """
    variance = sum(count * one.variance for one, count in losses)
    width = max(float(one.losses[-1] - one.losses[0]) for one, _ in losses)
    # powers of two, so that both directions and other totals share grids
    finest = 2.0 ** math.ceil(math.log2(max(width, _CONSTANT) / _MOST_INTERVALS))
    if variance <= 0.0:
        return finest
    interval = 2.0 ** math.floor(math.log2(_COARSE * math.sqrt(variance)))
    while interval > finest:
        added = 0.0
        for one, count in losses:
            part = np.mod(one.losses, interval)
            added += count * float(one.masses @ (part * (interval - part)))
        if added <= _WIDENED * variance:
            break
        interval /= 2
    return max(interval, finest)


def _convolved(
    losses: list[tuple[Atoms, int]], interval: float, tail: float
) -> LossDistribution:
    """Return the composition of losses on a grid, ``tail`` of each cut off upwards."""
    total: LossDistribution | None = None
    for loss, count in losses:
        one = _gridded(loss, interval)
        if count > 1:
            one = _repeated(one, count, tail)
        total = one if total is None else _both(total, one, tail)
    if total is None:
        raise ValueError("nothing to compose")
    return total


def _repeated(one: LossDistribution, count: int, tail: float) -> LossDistribution:
    """Return a loss convolved with itself ``count`` times.

    dp-accounting bounds by Chernoff what lies outside of the window that it computes:
    together at most ``tail``, which becomes an infinite loss.
    """
    from dp_accounting.pld import common  # noqa: PLC0415 - slow to load

    begin, masses = common.self_convolve(one.masses, count, tail)
    infinity = tail - math.expm1(count * math.log1p(-one.infinity))
    return LossDistribution(
        interval=one.interval,
        first=one.first * count + int(begin),
        masses=np.maximum(masses, 0.0),  # a transform's rounding is on both sides of 0
        infinity=infinity,
    )


def _both(a: LossDistribution, b: LossDistribution, tail: float) -> LossDistribution:
    """Return the convolution of two losses, without what its ends hold of ``tail``."""
    from scipy import signal  # noqa: PLC0415 - slow to load

    masses = np.maximum(signal.fftconvolve(a.masses, b.masses), 0.0)
    below, above = np.cumsum(masses), np.cumsum(masses[::-1])
    begin = int(np.searchsorted(below, tail / 2))
    end = len(masses) - int(np.searchsorted(above, tail / 2))
    return LossDistribution(
        interval=a.interval,
        first=a.first + b.first + begin,
        masses=masses[begin:end],
        infinity=a.infinity + b.infinity + tail,
    )


def _gridded(loss: Atoms, interval: float) -> LossDistribution:
    """Return a loss on a grid: each atom split to its two neighbours, upwards.

    Of mass p at l between g and g + h, p (1 - e^(g - l)) / (1 - e^-h) goes up: then
    both probabilities of the atom, p and p e^-l, stay what they are.
    """
    place = np.floor(loss.losses / interval)
    up = loss.masses * (np.expm1(place * interval - loss.losses) / np.expm1(-interval))
    up = np.clip(up, 0.0, loss.masses)
    first = int(place[0])
    index = place.astype(np.int64) - first
    size = int(index[-1]) + 2
    masses = np.zeros(size)
    masses += np.bincount(index, loss.masses - up, size)
    masses += np.bincount(index + 1, up, size)
    return LossDistribution(
        interval=interval, first=first, masses=masses, infinity=loss.infinity
    )
