# SPDX-License-Identifier: Apache-2.0
"""Noise from a budget: keeps it, and a thousandth less noise does not."""

from __future__ import annotations

import math

import pytest

from fedxdr.core.errors import InvalidPlan
from fedxdr.privacy.accountant import epsilon
from fedxdr.privacy.calibration import noise_multiplier_for
from fedxdr.privacy.mechanism import MIN_NOISE_MULTIPLIER, Charge


@pytest.mark.parametrize(
    ("budget", "rate", "steps", "own", "occurrences"),
    [
        (8.0, 1.0, 200, 1, 0),
        (8.0, 0.001, 2000, 1, 32),
        (0.5, 0.01, 100, 0, 1),
        (30.0, 0.05, 10, 4, 0),
    ],
)
def test_the_noise_keeps_the_budget_and_hardly_less_does(
    budget, rate, steps, own, occurrences
):
    noise = noise_multiplier_for(
        epsilon=budget,
        delta=1e-5,
        sampling_rate=rate,
        steps=steps,
        own=own,
        occurrences=occurrences,
    )

    def reached(multiplier):
        charge = Charge(
            unit="event",
            noise_multiplier=multiplier,
            sampling_rate=rate,
            steps=steps,
            own=own,
            occurrences=occurrences,
        )
        return epsilon([charge], delta=1e-5)

    assert reached(noise) <= budget < reached(noise * 0.999)


def test_two_hundred_rounds_at_epsilon_eight():
    # research notes, section 4: 8.489, against 145.9 of the textbook rule
    noise = noise_multiplier_for(epsilon=8.0, delta=1e-5, steps=200)
    assert noise == pytest.approx(8.489, rel=1e-3)


def test_a_budget_that_the_least_noise_keeps():
    noise = noise_multiplier_for(epsilon=1e5, delta=1e-2)
    assert noise == MIN_NOISE_MULTIPLIER


def test_a_budget_that_no_noise_keeps_says_what_to_change():
    with pytest.raises(InvalidPlan, match="fewer steps"):
        noise_multiplier_for(epsilon=1e-3, delta=1e-9, steps=10**8, occurrences=64)


@pytest.mark.parametrize("budget", [0.0, -1.0, math.inf, math.nan])
def test_a_budget_out_of_range_is_refused(budget):
    with pytest.raises(InvalidPlan):
        noise_multiplier_for(epsilon=budget, delta=1e-5)
