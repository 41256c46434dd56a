# SPDX-License-Identifier: Apache-2.0
"""Discrete shares inside a sum: close to one Gaussian, charged downwards."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidPlan
from fedxdr.privacy.accountant import epsilon, gaussian_epsilon_exact
from fedxdr.privacy.mechanism import DISCRETE_ALLOWANCE
from fedxdr.privacy.organisation import (
    log_ratio,
    organisation_charge,
    rounded_sensitivity,
    share_std,
    wrap_probability,
)
from fedxdr.secagg.quantise import quantise, scale_of


def discrete(std, reach):
    k = np.arange(-reach, reach + 1)
    weights = np.exp(-(k**2) / (2 * std**2))
    return weights / weights.sum()


@pytest.mark.parametrize(("std", "shares"), [(0.7, 3), (0.8, 5), (1.0, 4)])
def test_a_sum_of_shares_is_as_close_as_is_said(std, shares):
    # small noise, so that the difference is large enough to be seen
    reach = 12
    one = discrete(std, reach)
    total = one
    for _ in range(shares - 1):
        total = np.convolve(total, one)
    want = discrete(std * math.sqrt(shares), reach * shares)
    middle = slice(reach * shares - 8, reach * shares + 9)
    gap = np.abs(np.log(total[middle] / want[middle])).max()
    bound = sum(
        math.log1p(r) - math.log1p(-r)
        for r in (
            2
            * sum(
                math.exp(-2 * math.pi**2 * std**2 * k / (k + 1) * j**2)
                for j in range(1, 9)
            )
            for k in range(1, shares)
        )
    )
    assert 1e-9 < gap <= bound
    if shares * std**2 > 4:
        found = log_ratio(share_std_steps=std, shares=shares, dimension=1)
        assert found >= bound


def test_a_rounded_gaussian_is_the_discrete_one():
    # c + N(0, v - s) rounded with weight exp(-(k - w)^2 / 2s) against c + N_Z(0, v);
    # s = 0.25 instead of 4, so that the difference is large enough to be seen
    v, s = 2.0, 0.25
    w = np.arange(-16, 16, 1e-3)
    law = np.exp(-(w**2) / (2 * (v - s))) / math.sqrt(2 * math.pi * (v - s)) * 1e-3
    k = np.arange(-20, 21)
    kernel = np.exp(-((k[:, None] - w) ** 2) / (2 * s))
    rounded = (kernel / kernel.sum(axis=0)) @ law
    want = discrete(math.sqrt(v), 20)
    gap = np.abs(np.log(rounded[14:27] / want[14:27])).max()
    r = 2 * math.exp(-2 * math.pi**2 * s)
    assert 1e-6 < gap <= math.log1p(r) - math.log1p(-r) + 1e-6


def test_what_is_rounded_stays_within_the_sensitivity():
    # coins against us in every coordinate: the worst case is what is charged
    d, bits, n = 2_000, 24, 5
    values = np.full(d, 1 / math.sqrt(d), np.float32)
    clip_steps = scale_of(bound=1.0, bits=bits, participants=n) / n
    longest = 0.0
    for seed in range(4):
        words = quantise(
            values,
            bound=1.0,
            bits=bits,
            participants=n,
            weight=1,
            total_weight=n,
            seed=bytes([seed]) * 32,
        )
        longest = max(
            longest, float(np.linalg.norm(words.view(np.int32).astype(float)))
        )
    bound = rounded_sensitivity(clip_steps=clip_steps, dimension=d)
    assert longest <= bound
    # coarse steps: rounding dominates, and is not forgotten
    words = quantise(
        values,
        bound=1.0,
        bits=8,
        participants=n,
        weight=1,
        total_weight=n,
        seed=bytes(32),
    )
    clip_steps = scale_of(bound=1.0, bits=8, participants=n) / n
    norm = float(np.linalg.norm(words.view(np.int32).astype(float)))
    assert clip_steps < norm <= rounded_sensitivity(clip_steps=clip_steps, dimension=d)


@given(
    st.floats(0.5, 50),
    st.integers(1, 40),
    st.integers(0, 5),
    st.integers(1, 10**7),
)
def test_shares_for_a_multiplier_give_it_back(noise, honest, colluders, dimension):
    figures = {
        "clip_steps": 1e5,
        "dimension": dimension,
        "min_survivors": honest + colluders,
        "colluders": colluders,
    }
    std = share_std(noise_multiplier=noise, **figures)
    charge = organisation_charge(share_std_steps=std, **figures)
    assert charge.noise_multiplier >= noise * (1 - 1e-12)
    assert charge.noise_multiplier <= noise * (1 + 1e-6)
    # never more noise than the honest shares have
    sensitivity = rounded_sensitivity(clip_steps=1e5, dimension=dimension)
    assert charge.noise_multiplier * sensitivity < math.sqrt(honest) * std


def test_only_honest_shares_count():
    few = organisation_charge(
        share_std_steps=1000, clip_steps=100, dimension=1, min_survivors=4, colluders=3
    )
    many = organisation_charge(
        share_std_steps=1000, clip_steps=100, dimension=1, min_survivors=4
    )
    assert many.noise_multiplier == pytest.approx(2 * few.noise_multiplier, rel=1e-4)


def test_the_charge_is_one_unsampled_release_a_round():
    charge = organisation_charge(
        share_std_steps=1e5,
        clip_steps=1e5,
        dimension=100,
        min_survivors=4,
        steps=50,
    )
    assert (charge.unit, charge.mechanism) == ("organisation", "discrete-gaussian")
    assert (charge.sampling_rate, charge.steps, charge.own) == (1.0, 50, 1)
    exact = gaussian_epsilon_exact(
        noise_multiplier=charge.noise_multiplier, steps=50, delta=1e-5
    )
    assert exact < epsilon([charge], delta=1e-5) < exact + 1e-5


@pytest.mark.parametrize("dimension", [1, 10**4, 10**7])
@pytest.mark.parametrize("shares", [1, 3, 100, 1000])
def test_noise_too_narrow_is_refused_and_says_how_much_is_not(dimension, shares):
    figures = {"clip_steps": 10.0, "dimension": dimension, "min_survivors": shares}
    narrowest = share_std(noise_multiplier=1e-9, **figures)
    gap = log_ratio(share_std_steps=narrowest, shares=shares, dimension=dimension)
    assert gap <= DISCRETE_ALLOWANCE
    with pytest.raises(InvalidPlan, match=r"too narrow .* want \d"):
        organisation_charge(share_std_steps=narrowest * 0.98, **figures)


def test_the_chance_of_wrapping_bounds_what_happens():
    std, shares, room = 2.0, 3, 9
    one = discrete(std, 40)
    total = np.convolve(np.convolve(one, one), one)
    k = np.arange(-120, 121)
    real = total[np.abs(k) > room].sum()
    bound = wrap_probability(
        share_std_steps=std,
        shares=shares,
        largest_sum_steps=2**7 - 1 - room,
        bits=8,
        dimension=1,
    )
    assert real <= bound < 1
    assert (
        wrap_probability(
            share_std_steps=1e4,
            shares=5,
            largest_sum_steps=2**22,
            bits=24,
            dimension=10**6,
        )
        < 1e-12
    )
    assert (
        wrap_probability(
            share_std_steps=1.0, shares=1, largest_sum_steps=127, bits=8, dimension=1
        )
        == 1.0
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"share_std_steps": 0.0},
        {"share_std_steps": math.nan},
        {"clip_steps": 0.0},
        {"clip_steps": math.inf},
        {"dimension": 0},
        {"dimension": 2**41},
        {"colluders": 4},
        {"colluders": -1},
        {"min_survivors": 0},
    ],
)
def test_numbers_out_of_range_are_refused(wrong):
    right = {
        "share_std_steps": 100.0,
        "clip_steps": 10.0,
        "dimension": 10,
        "min_survivors": 4,
    }
    organisation_charge(**right)
    with pytest.raises(InvalidPlan):
        organisation_charge(**{**right, **wrong})


def test_a_multiplier_that_is_none_is_refused():
    with pytest.raises(InvalidPlan):
        share_std(noise_multiplier=0.0, clip_steps=1.0, dimension=1, min_survivors=1)
