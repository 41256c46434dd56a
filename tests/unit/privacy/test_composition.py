# SPDX-License-Identifier: Apache-2.0
"""Convolution on a grid: against direct sums, and always upwards."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.privacy import composition
from fedxdr.privacy.composition import LossDistribution, composed
from fedxdr.privacy.dominating import Atoms, Pair, atoms


def delta_by_definition(masses, losses, infinity, epsilon):
    return infinity + sum(
        p * max(0.0, 1 - math.exp(epsilon - loss))
        for p, loss in zip(masses, losses, strict=True)
    )


def small(first=-3, size=9, seed=5):
    masses = np.arange(1, size + 1) ** 2.0 % seed + 0.1
    return LossDistribution(
        interval=0.25, first=first, masses=masses / masses.sum() * 0.999, infinity=0.001
    )


@given(st.floats(-2, 4), st.integers(-6, 6))
def test_delta_is_its_definition(epsilon, first):
    loss = small(first)
    losses = (first + np.arange(9)) * 0.25
    want = delta_by_definition(loss.masses, losses, 0.001, epsilon)
    assert loss.delta(epsilon) == pytest.approx(want, abs=1e-12)


@given(st.floats(0.002, 0.9), st.integers(-6, 6))
def test_epsilon_is_where_delta_is_reached(delta, first):
    loss = small(first)
    epsilon = loss.epsilon(delta)
    if epsilon == 0:
        assert loss.delta(0.0) <= delta + 1e-12
    else:
        assert loss.delta(epsilon) == pytest.approx(delta, rel=1e-9)


def test_no_epsilon_is_enough_where_infinite_losses_are_too_likely():
    assert small().epsilon(0.0005) == math.inf


def test_epsilon_far_above_what_exponentials_hold():
    # 1,000,000 and more: e^-loss is zero in floating point, epsilon is not infinite
    masses = np.array([0.5, 0.499])
    loss = LossDistribution(interval=1.0, first=10**6, masses=masses, infinity=0.0)
    assert 10**6 - 10 < loss.epsilon(1e-5) <= 10**6 + 1


def test_repetition_and_mixing_are_direct_convolutions():
    one, other = small(), small(first=2, size=4, seed=3)
    want = one.masses
    for _ in range(4):
        want = np.convolve(want, one.masses)
    found = composition._repeated(one, 5, 1e-12)
    begin = found.first - 5 * one.first
    assert found.masses == pytest.approx(
        want[begin : begin + len(found.masses)], abs=1e-12
    )
    assert found.infinity >= 1 - 0.999**5
    both = composition._both(one, other, 1e-12)
    want = np.convolve(one.masses, other.masses)
    begin = both.first - one.first - other.first
    assert both.masses == pytest.approx(
        want[begin : begin + len(both.masses)], abs=1e-12
    )
    assert both.infinity >= 1 - 0.999**2


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=20), st.floats(0.001, 0.9))
def test_atoms_on_a_grid_keep_both_probabilities_and_dominate(losses, interval):
    losses = np.sort(np.array(losses))
    masses = np.full(len(losses), 1 / len(losses))
    grid = composition._gridded(
        Atoms(losses=losses, masses=masses, infinity=0.0), interval
    )
    points = (grid.first + np.arange(len(grid.masses))) * interval
    assert grid.masses.sum() == pytest.approx(1.0)
    assert grid.masses @ np.exp(-points) == pytest.approx(
        masses @ np.exp(-losses), rel=1e-9
    )
    for epsilon in (-1.0, 0.0, 0.5, 2.0):
        assert grid.delta(epsilon) >= (
            delta_by_definition(masses, losses, 0.0, epsilon) - 1e-12
        )


def test_the_grid_hardly_widens_the_loss():
    pair = Pair(noise_multiplier=1.0, sampling_rate=0.01, own=1, occurrences=8)
    found = composed(((pair, 500),), delta=1e-6)
    for one, direction in zip(found, ("removed", "added"), strict=True):
        loss = atoms(pair, direction, tail=1e-14)
        points = (one.first + np.arange(len(one.masses))) * one.interval
        mean = one.masses @ points
        variance = one.masses @ (points - mean) ** 2
        assert mean == pytest.approx(500 * loss.mean, rel=1e-3)
        assert variance == pytest.approx(500 * loss.variance, rel=1e-3)


def test_substitution_is_the_same_both_ways():
    window = Pair(noise_multiplier=1.0, sampling_rate=0.01, own=0, occurrences=1)
    event = Pair(noise_multiplier=1.0, sampling_rate=0.01, own=1, occurrences=1)
    assert len(composed(((window, 3),), delta=1e-6)) == 1
    assert len(composed(((event, 3),), delta=1e-6)) == 2
