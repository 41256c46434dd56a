# SPDX-License-Identifier: Apache-2.0
"""Calibration: shares of the own past, and false alarms that come as promised."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning import calibration
from fedxdr.learning.calibration import Calibration

SCORES = st.lists(
    st.floats(-1e6, 1e6, allow_subnormal=False) | st.integers(-3, 3).map(float),
    min_size=1,
    max_size=120,
)
DRAWS = {
    "normal": lambda draw, n: draw.normal(size=n),
    "logistic": lambda draw, n: draw.logistic(size=n),
    "exponential": lambda draw, n: draw.exponential(size=n),
    "heavy": lambda draw, n: draw.standard_t(3, size=n),
    "bounded": lambda draw, n: 6 * np.tanh(draw.normal(size=n) - 1),
    "two heaps": lambda draw, n: np.where(
        draw.random(n) < 0.97, draw.normal(size=n) - 5, draw.normal(size=n) + 2
    ),
}


@settings(max_examples=80, deadline=None)
@given(SCORES, st.lists(st.floats(-1e7, 1e7), min_size=2, max_size=30))
def test_shares_lie_in_0_to_1_and_never_rise(past, asked):
    found = Calibration.fit(past)
    shares = found.share(np.sort(np.array([*asked, *past])))
    assert ((shares >= 0) & (shares <= 1)).all()
    assert (np.diff(shares) <= 0).all()


@settings(max_examples=80, deadline=None)
@given(SCORES, st.floats(1e-6, 0.999), st.floats(1e-6, 0.999))
def test_a_threshold_keeps_its_budget_and_falls_with_it(past, one, two):
    found = Calibration.fit(past)
    low, high = sorted((one, two))
    assert found.share(found.threshold(one)) <= one
    assert found.threshold(low) >= found.threshold(high)


def test_a_rows_share_is_that_of_the_rows_from_it_up():
    found = Calibration.fit([1.0, 2.0, 2.0, 5.0])
    assert found.share([1.0, 2.0, 5.0]).tolist() == [4 / 5, 3 / 5, 1 / 5]
    assert found.share([0.99])[0] == 1
    assert found.share([3.5])[0] == pytest.approx(2 / 5)
    assert 0 < found.share([5.5])[0] < 1 / 5
    assert found.rows == 4


def test_a_threshold_is_exact_where_rows_reach():
    past = np.arange(999, dtype=np.float64)
    found = Calibration.fit(past)
    # 10 of 999 rows score 989 or more: a new one does with 10 in 1000
    assert found.threshold(0.01) == pytest.approx(989)
    assert (past >= found.threshold(0.01)).sum() == 10


@pytest.mark.parametrize("name", sorted(DRAWS))
@pytest.mark.parametrize(("rows", "budget"), [(400, 0.01), (2000, 0.01), (3000, 1e-3)])
def test_false_alarms_come_as_promised(name, rows, budget):
    draw = np.random.default_rng(7)
    repeats, later = 60, 2000
    alarms = 0
    for _ in range(repeats):
        found = Calibration.fit(DRAWS[name](draw, rows))
        alarms += int((DRAWS[name](draw, later) >= found.threshold(budget)).sum())
    # binomial, with the spread of the threshold itself: each is of Beta(r b, r (1-b))
    total = repeats * later
    spread = math.sqrt(total * budget * (1 + later / rows))
    assert abs(alarms - total * budget) <= 4 * spread


@pytest.mark.parametrize("name", sorted(set(DRAWS) - {"heavy"}))
def test_budgets_finer_than_the_rows_are_kept_to_a_factor_of_three(name):
    draw = np.random.default_rng(3)
    rates = []
    for _ in range(60):
        found = Calibration.fit(DRAWS[name](draw, 400))
        rates.append((DRAWS[name](draw, 20_000) >= found.threshold(1e-3)).mean())
    assert np.mean(rates) <= 3e-3


# docs/explanation/detection.md: between what the mean rate over budget of a law lies
TABLE = {
    200: ((0.8, 1.2), (0.0, 2.5), (0.0, 8.0)),
    400: ((0.9, 1.15), (0.0, 2.0), (0.0, 6.0)),
    2000: ((0.9, 1.1), (0.8, 1.25), (0.0, 2.5)),
    8000: ((0.95, 1.05), (0.85, 1.15), (0.0, 1.5)),
}


@pytest.mark.soak
@pytest.mark.parametrize("rows", TABLE)
def test_promises_are_kept_as_the_documents_say(rows):
    draw = np.random.default_rng(0)
    laws = {**DRAWS, "even": lambda draw, n: draw.random(n)}
    for budget, (low, high) in zip((1e-2, 1e-3, 1e-4), TABLE[rows], strict=True):
        means = []
        for law in laws.values():
            rates = [
                (
                    law(draw, 50_000)
                    >= Calibration.fit(law(draw, rows)).threshold(budget)
                ).mean()
                for _ in range(100)
            ]
            means.append(np.mean(rates) / budget)
        assert low <= min(means) <= max(means) <= high


def test_shares_of_held_out_rows_are_even():
    draw = np.random.default_rng(11)
    shares = [
        Calibration.fit(draw.normal(size=200)).share(draw.normal(size=1))[0]
        for _ in range(400)
    ]
    assert stats.kstest(shares, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.3, 0.8])
def test_the_laws_estimate_is_as_good_as_that_of_greatest_likelihood(shape):
    draw = np.random.default_rng(5)
    ours, theirs = [], []
    for _ in range(12):
        x = stats.genpareto.rvs(shape, scale=2.0, size=500, random_state=draw)
        ours.append(calibration.pareto(x))
        found, _, scale = stats.genpareto.fit(x, floc=0)
        theirs.append((found, scale))
    want = np.array([shape, 2.0])
    off = np.abs(np.array(ours) - want).mean(axis=0)
    reference = np.abs(np.array(theirs) - want).mean(axis=0)
    assert (off <= 1.25 * reference + 0.02).all()


def test_beyond_the_rows_the_share_follows_the_law():
    past = stats.genpareto.rvs(0.4, size=4000, random_state=np.random.default_rng(2))
    found = Calibration.fit(past)
    beyond = past.max() * np.array([1.5, 3, 10])
    law = stats.genpareto(found.shape, scale=found.scale)
    want = found.shares[-1] * law.sf(beyond - past.max())
    assert found.share(beyond) == pytest.approx(want, rel=1e-9)
    assert found.shape == pytest.approx(0.4, abs=0.15)


def test_the_law_has_no_end():
    past = np.random.default_rng(0).random(500)
    found = Calibration.fit(past)
    assert found.shape == 0
    assert 0 < found.share([1.5])[0] < found.share([1.2])[0] < 1 / 501


@pytest.mark.parametrize("past", [[3.0], [3.0] * 500, [0.0] * 499 + [9.0], [1, 2]])
def test_pasts_that_say_little_have_thresholds_too(past):
    found = Calibration.fit(past)
    for budget in (0.5, 0.01, 1e-6):
        assert np.isfinite(found.threshold(budget))
        assert found.share(found.threshold(budget)) <= budget


@pytest.mark.parametrize("past", [[], [np.nan], [1.0, np.inf]])
def test_what_is_no_past_is_refused(past):
    with pytest.raises(InvalidTelemetry, match="finite"):
        Calibration.fit(past)


@pytest.mark.parametrize("budget", [0.0, 1.0, -0.1, math.nan])
def test_a_budget_lies_between_nothing_and_all(budget):
    with pytest.raises(InvalidTelemetry, match="budget"):
        Calibration.fit([1.0, 2.0]).threshold(budget)


def test_without_a_past_the_networks_odds_are_taken():
    found = Calibration.assumed()
    assert found.rows == 0
    assert found.threshold(0.01) == pytest.approx(math.log(99), abs=1e-2)
    assert found.share([0.0])[0] == pytest.approx(0.5)
    assert found.share([30.0])[0] == pytest.approx(math.exp(-30), rel=1e-2)


def test_scores_however_high_have_a_share():
    found = Calibration.fit(np.arange(100.0))
    assert found.share([1e300, np.inf]).tolist() == [0, 0]
    assert found.log_share([1e300, np.inf]) == pytest.approx([math.log(1e-300)] * 2)
    assert found.log_share([50.0]) == pytest.approx(np.log(found.share([50.0])))
