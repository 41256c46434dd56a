# SPDX-License-Identifier: Apache-2.0
"""Epsilon against closed forms, other accountants and itself; never below the truth."""

from __future__ import annotations

import itertools
import math
import time

import dp_accounting
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from fedxdr.core.errors import InvalidPlan
from fedxdr.privacy import accountant, composition, dominating
from fedxdr.privacy.accountant import (
    delta_of,
    epsilon,
    gaussian_epsilon_exact,
    rdp_epsilon,
    textbook_epsilon,
    uses_left,
)
from fedxdr.privacy.dominating import Pair
from fedxdr.privacy.mechanism import DISCRETE_ALLOWANCE, Charge


def charge(noise, rate=1.0, steps=1, occurrences=0, own=1, **more):
    return Charge(
        **{"unit": "event", **more},
        noise_multiplier=noise,
        sampling_rate=rate,
        steps=steps,
        own=own,
        occurrences=occurrences,
    )


def forget():
    accountant._epsilon.cache_clear()
    composition.composed.cache_clear()
    dominating.atoms.cache_clear()


@pytest.mark.parametrize("noise", [0.3, 1.0, 4.0, 60.0])
@pytest.mark.parametrize("delta", [1e-9, 1e-5, 1e-2])
def test_closed_form_is_that_of_dp_accounting(noise, delta):
    ours = gaussian_epsilon_exact(noise_multiplier=noise, delta=delta)
    peer = dp_accounting.get_epsilon_gaussian(noise, delta)
    assert ours == pytest.approx(peer, rel=1e-6, abs=1e-9)


@given(st.floats(0.3, 200), st.integers(1, 10_000), st.sampled_from([1e-9, 1e-5, 1e-3]))
def test_closed_form_solves_its_equation(noise, steps, delta):
    got = gaussian_epsilon_exact(noise_multiplier=noise, steps=steps, delta=delta)
    mu = math.sqrt(steps) / noise
    if got == 0:
        assert stats.norm.cdf(mu / 2) - stats.norm.cdf(-mu / 2) <= delta
    else:
        found = stats.norm.cdf(mu / 2 - got / mu) - math.exp(
            got + stats.norm.logcdf(-mu / 2 - got / mu)
        )
        assert found == pytest.approx(delta, rel=1e-5)


@pytest.mark.parametrize(
    ("rate", "noise", "steps", "want"),
    # dp-accounting 0.6 at an interval of 1e-3 (research notes, section 4)
    [
        (0.01, 1.0, 1000, 1.829),
        (0.01, 1.0, 10_000, 6.191),
        (0.1, 2.0, 200, 3.360),
        (0.1, 4.0, 1000, 3.445),
        (0.02, 1.0, 5000, 9.40),
    ],
)
def test_known_values_of_sampled_gaussians(rate, noise, steps, want):
    assert epsilon([charge(noise, rate, steps)], delta=1e-5) == pytest.approx(
        want, rel=1.5e-3
    )


@pytest.mark.parametrize(
    ("noise", "rate", "steps", "occurrences"), [(1.0, 1.0, 50, 0), (20.0, 1.0, 300, 2)]
)
def test_without_sampling_composition_is_the_closed_form_from_above(
    noise, rate, steps, occurrences
):
    # around the short cut: the same pairs convolved must agree, from above
    pair = Pair(
        noise_multiplier=noise,
        sampling_rate=rate,
        own=1,
        occurrences=occurrences,
    )
    loss = dominating.atoms(pair, "removed", tail=1e-13)
    grid = composition._interval([(loss, steps)])
    convolved = composition._convolved([(loss, steps)], grid, 1e-13)
    for delta in (1e-3, 1e-5, 1e-8):
        exact = gaussian_epsilon_exact(
            noise_multiplier=noise,
            steps=steps,
            sensitivity=1 + 2 * occurrences,
            delta=delta,
        )
        assert epsilon([charge(noise, rate, steps, occurrences)], delta=delta) == exact
        found = convolved.epsilon(delta)
        assert exact <= found <= exact * 1.001


@settings(deadline=None, max_examples=12)
@given(
    noise=st.floats(2.0, 50),
    steps=st.integers(1, 300),
    occurrences=st.integers(0, 8),
    delta=st.sampled_from([1e-8, 1e-5, 1e-3]),
)
def test_almost_certain_sampling_is_never_below_the_closed_form(
    noise, steps, occurrences, delta
):
    # q = 1 - 1e-12 goes through atoms, grid and convolution; at losses that are far
    # below ln(1e12) the missing 1e-12 does not show
    exact = gaussian_epsilon_exact(
        noise_multiplier=noise,
        steps=steps,
        sensitivity=1 + 2 * occurrences,
        delta=delta,
    )
    assume(exact < 12)
    got = epsilon([charge(noise, 1 - 1e-12, steps, occurrences)], delta=delta)
    assert got >= exact * (1 - 1e-6)
    assert got <= exact * 1.01 + 1e-6


@pytest.mark.parametrize(
    ("noise", "rate", "steps", "occurrences"),
    [
        (0.3, 1e-4, 10, 0),
        (0.3, 1e-4, 20_000, 0),
        (0.3, 0.01, 100, 16),
        (1.0, 1e-3, 2000, 64),
        (200.0, 0.01, 50_000, 128),
        (200.0, 1e-4, 10, 1),
    ],
)
def test_within_one_percent_of_a_finer_grid(
    monkeypatch, noise, rate, steps, occurrences
):
    one = [charge(noise, rate, steps, occurrences)]
    forget()
    got = epsilon(one, delta=1e-6)
    monkeypatch.setattr(composition, "_COARSE", composition._COARSE / 4)
    monkeypatch.setattr(composition, "_MOST_INTERVALS", composition._MOST_INTERVALS * 4)
    monkeypatch.setattr(composition, "_WIDENED", composition._WIDENED / 16)
    monkeypatch.setattr(dominating, "_STEP", dominating._STEP / 2)
    forget()
    finer = epsilon(one, delta=1e-6)
    forget()
    assert got == pytest.approx(finer, rel=2e-3, abs=1e-9)


@pytest.mark.parametrize(
    ("noise", "rate", "own", "occurrences", "delta"),
    [
        (1.0, 0.01, 1, 0, 1e-5),
        (2.0, 0.1, 1, 16, 1e-5),
        (1.0, 0.01, 0, 1, 1e-9),
        (4.0, 0.5, 2, 3, 1e-7),
        (10.0, 0.001, 1, 100, 1e-5),
    ],
)
def test_one_step_is_the_exact_curve_from_above(noise, rate, own, occurrences, delta):
    pair = Pair(
        noise_multiplier=noise, sampling_rate=rate, own=own, occurrences=occurrences
    )
    exact = 0.0
    for direction in ("removed", "added"):
        low, high = 0.0, 64.0
        while high - low > 1e-12 * high:
            middle = (low + high) / 2
            if dominating.hockey_stick(pair, middle, direction) > delta:
                low = middle
            else:
                high = middle
        exact = max(exact, high)
    got = epsilon([charge(noise, rate, 1, occurrences, own)], delta=delta)
    assert exact <= got <= exact * 1.0001


def test_two_different_steps_against_integration_in_the_plane():
    # losses of both steps on a grid of x and y: their sum's hockey stick, by definition
    first = Pair(noise_multiplier=1.5, sampling_rate=0.2, own=1, occurrences=2)
    second = Pair(noise_multiplier=3.0, sampling_rate=0.5, own=1, occurrences=1)
    x = np.arange(-9, 14, 0.01)
    laws = []
    for pair in (first, second):
        z, q = pair.noise_multiplier, pair.sampling_rate
        n, m = pair.own + pair.occurrences, pair.occurrences
        up = stats.binom.pmf(range(n + 1), n, q) @ [
            stats.norm.pdf(x, j / z) for j in range(n + 1)
        ]
        down = stats.binom.pmf(range(m + 1), m, q) @ [
            stats.norm.pdf(x, -j / z) for j in range(m + 1)
        ]
        laws.append((up, down))
    p = np.outer(laws[0][0], laws[1][0])
    q = np.outer(laws[0][1], laws[1][1])
    one = {charge(1.5, 0.2, 1, 2): 1, charge(3.0, 0.5, 1, 1): 1}
    for eps in (0.3, 1.0, 2.5):
        exact = max(
            np.maximum(p - math.exp(eps) * q, 0).sum() * 1e-4,
            np.maximum(q - math.exp(eps) * p, 0).sum() * 1e-4,
        )
        got = delta_of(one, eps)
        assert exact * (1 - 1e-5) <= got <= exact * 1.001
        assert epsilon(one, delta=got) == pytest.approx(eps, rel=1e-3)


def test_sampled_and_unsampled_releases_compose():
    mixed = [charge(4.0, 0.01, 100, 4), charge(30.0), charge(40.0, occurrences=1)]
    apart = sum(epsilon([one], delta=1e-5 / 3) for one in mixed)
    together = epsilon(mixed, delta=1e-5)
    assert max(epsilon([one], delta=1e-5) for one in mixed) < together < apart


def test_order_and_grouping_do_not_matter():
    a, b = charge(2.0, 0.01, 30, 2), charge(5.0, 0.05, 10)
    want = epsilon([a, b, a, a], delta=1e-5)
    assert epsilon({b: 1, a: 3}, delta=1e-5) == want
    assert epsilon([charge(2.0, 0.01, 90, 2), b], delta=1e-5) == want
    assert epsilon(iter([b, a, a, a]), delta=1e-5) == want
    assert epsilon({a: 3, b: 1, charge(0.1): 0}, delta=1e-5) == want


def test_nothing_costs_nothing():
    assert epsilon([], delta=1e-5) == 0
    assert rdp_epsilon([], delta=1e-5) == 0
    assert textbook_epsilon([], delta=1e-5) == 0
    assert delta_of([], 1.0) == 0


@settings(deadline=None, max_examples=4)
@given(
    noise=st.floats(0.8, 20),
    rate=st.floats(1e-4, 0.3),
    steps=st.integers(1, 2000),
    occurrences=st.integers(0, 32),
)
def test_more_of_anything_costs_more(noise, rate, steps, occurrences):
    base = epsilon([charge(noise, rate, steps, occurrences)], delta=1e-5)
    slack = 1 + 1e-3
    for dearer in (
        charge(noise * 0.8, rate, steps, occurrences),
        charge(noise, rate * 1.3, steps, occurrences),
        charge(noise, rate, steps * 2, occurrences),
        charge(noise, rate, steps, occurrences + 1),
        charge(noise, rate, steps, occurrences, own=2),
    ):
        assert epsilon([dearer], delta=1e-5) * slack >= base
    assert epsilon([charge(noise, rate, steps, occurrences)], delta=1e-7) >= base
    assert rdp_epsilon([charge(noise, rate, steps, occurrences)], delta=1e-5) >= base


def test_context_is_charged():
    # 16 and 64 occurrences, 2,000 steps; leaving them out would say 0.45
    without = epsilon([charge(2.0, 0.001, 2000)], delta=1e-5)
    some = epsilon([charge(2.0, 0.001, 2000, 16)], delta=1e-5)
    many = epsilon([charge(2.0, 0.001, 2000, 64)], delta=1e-5)
    assert without < 0.2
    assert some == pytest.approx(3.105, rel=1e-3)
    assert many == pytest.approx(15.81, rel=1e-3)


def test_delta_and_epsilon_are_inverse():
    one = [charge(1.0, 0.01, 500, 4)]
    for delta in (1e-3, 1e-9):
        eps = epsilon(one, delta=delta)
        # both are rounded upwards, on grids of their own
        assert delta_of(one, eps) <= delta * 1.001
        assert delta_of(one, eps * 1.001) < delta < delta_of(one, eps * 0.999)


def test_delta_of_unsampled_releases_is_the_closed_form():
    eps = gaussian_epsilon_exact(noise_multiplier=5.0, steps=10, delta=1e-5)
    assert delta_of([charge(5.0, 1.0, 10)], eps) == pytest.approx(1e-5, rel=1e-6)
    assert delta_of([charge(0.01)], 0.0) == pytest.approx(1.0)


def test_renyi_agrees_with_dp_accounting():
    # research notes: RDP 2.101 at (.01, 1, 1000), 3.736 at (.1, 4, 1000)
    assert rdp_epsilon([charge(1.0, 0.01, 1000)], delta=1e-5) == pytest.approx(
        2.101, rel=4e-3
    )
    assert rdp_epsilon([charge(4.0, 0.1, 1000)], delta=1e-5) == pytest.approx(
        3.736, rel=4e-3
    )
    assert rdp_epsilon([charge(9.018, 1.0, 200)], delta=1e-5) == pytest.approx(
        8.0, rel=4e-3
    )


def test_textbook_asks_seventeen_times_the_noise_at_200_rounds():
    # research notes, section 4: 145.9 against 8.489 at epsilon 8
    assert textbook_epsilon([charge(145.9, 1.0, 200)], delta=1e-5) == pytest.approx(
        8.0, rel=1e-3
    )
    assert epsilon([charge(8.489, 1.0, 200)], delta=1e-5) == pytest.approx(
        8.0, rel=1e-3
    )
    assert textbook_epsilon([charge(1.0, 0.01, 1000)], delta=1e-5) == pytest.approx(
        6106, rel=1e-3
    )
    # a changed example counts double
    assert textbook_epsilon([charge(1.0, occurrences=3)], delta=1e-5) == pytest.approx(
        7 * textbook_epsilon([charge(1.0)], delta=1e-5)
    )


def test_discrete_noise_pays_its_allowance():
    plain = charge(5.0, steps=1000, unit="organisation")
    discrete = charge(
        5.0, steps=1000, unit="organisation", mechanism="discrete-gaussian"
    )
    extra = epsilon([discrete], delta=1e-5) - epsilon([plain], delta=1e-5)
    assert 2 * 1000 * DISCRETE_ALLOWANCE <= extra <= 1e-4
    assert delta_of([discrete], 8.0) > delta_of([plain], 8.0)


def test_units_are_not_added_up():
    with pytest.raises(InvalidPlan, match="entity, event"):
        epsilon([charge(1.0), charge(1.0, unit="entity")], delta=1e-5)


@pytest.mark.parametrize("delta", [0.0, 1e-13, 1.0, -1.0, math.nan])
def test_a_delta_out_of_range_is_refused(delta):
    for function in (epsilon, rdp_epsilon, textbook_epsilon):
        with pytest.raises(InvalidPlan):
            function([charge(1.0)], delta=delta)


def test_negative_uses_and_epsilons_are_refused():
    with pytest.raises(InvalidPlan):
        epsilon({charge(1.0): -1}, delta=1e-5)
    for eps in (-0.1, math.inf, math.nan):
        with pytest.raises(InvalidPlan):
            delta_of([charge(1.0)], eps)
    for wrong in ({"noise_multiplier": 0.0}, {"steps": 0}, {"sensitivity": -1.0}):
        with pytest.raises(InvalidPlan):
            gaussian_epsilon_exact(**{"noise_multiplier": 1.0, "delta": 1e-5, **wrong})


@pytest.mark.parametrize(
    ("spent", "following", "budget"),
    [
        ([], charge(20.0), 8.0),
        ([charge(30.0)], charge(4.0, 0.1, 10), 8.0),
        ([charge(3.0, 0.02, 100, 4)], charge(8.0, 0.001, 50, 64), 4.0),
        ([], charge(2.0, 0.001, 20, 16), 8.0),
        # the next one is what was spent before
        ([charge(20.0)] * 7, charge(20.0), 2.0),
    ],
)
def test_as_many_uses_as_fit_and_not_one_more(spent, following, budget):
    n = uses_left(spent, following, epsilon=budget, delta=1e-5)
    assert n > 1
    assert epsilon([*spent, *[following] * n], delta=1e-5) <= budget
    assert epsilon([*spent, *[following] * (n + 1)], delta=1e-5) > budget


def test_an_exhausted_budget_has_no_uses_left():
    big = charge(0.5)
    assert uses_left([big], charge(1000.0), epsilon=1.0, delta=1e-5) == 0
    assert uses_left([], big, epsilon=1.0, delta=1e-5) == 0
    # one fits, two do not
    one = gaussian_epsilon_exact(noise_multiplier=3.0, delta=1e-5)
    assert uses_left([], charge(3.0), epsilon=one * 1.001, delta=1e-5) == 1


def test_uses_are_counted_up_to_a_limit():
    assert uses_left([], charge(1e6), epsilon=8.0, delta=1e-5, limit=500) == 500
    assert uses_left([], charge(1e6), epsilon=8.0, delta=1e-5, limit=1) == 1


def test_uses_left_is_quick_enough_for_a_request():
    forget()
    begun = time.process_time()
    n = uses_left(
        [charge(3.0, 0.02, 100, 4), charge(30.0)],
        charge(2.0, 0.001, 20, 16),
        epsilon=8.0,
        delta=1e-5,
    )
    assert 300 < n < 506
    assert time.process_time() - begun < 4.0  # 0.7 s on an idle core


def test_the_search_copes_with_steps_and_plateaus():
    for want, limit in itertools.product((1, 2, 3, 17, 1000, 99_999), (100_000,)):
        calls = []

        def cost(n, want=want, calls=calls):
            calls.append(n)
            return -1.0 if n <= want else math.inf

        assert accountant._largest(cost, limit=limit, begin=1) == want
        assert len(calls) < 70


@pytest.mark.parametrize(
    ("noise", "steps", "delta", "above"),
    [
        (200.0, 100_000, 1e-10, 0.01),
        (500.0, 1_000_000, 1e-9, 0.01),
        # beyond what is promised to be tight: still never below
        (500.0, 1_000_000, 1e-12, math.inf),
    ],
)
def test_very_many_steps_at_tiny_deltas_are_never_below_the_closed_form(
    noise, steps, delta, above
):
    got = epsilon([charge(noise, 1 - 2.0**-53, steps)], delta=delta)
    exact = gaussian_epsilon_exact(noise_multiplier=noise, steps=steps, delta=delta)
    assert exact <= got <= exact * (1 + above)
