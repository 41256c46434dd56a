# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidInput
from fedxdr.core.randomness import generator
from fedxdr.simulation.privacy_audit import audit, epsilon_lower_bound, p_value


@pytest.mark.parametrize("guesses", [10, 100, 1000, 20_000])
def test_all_right_without_delta_is_known_in_closed_form(guesses: int) -> None:
    # P[W = r] = q^r is the error: q = error^(1/r), epsilon = ln(q / (1 - q))
    q = 0.05 ** (1 / guesses)
    found = epsilon_lower_bound(guesses, guesses, total=guesses, delta=0.0)
    assert found == pytest.approx(math.log(q / (1 - q)), abs=1e-6)


def test_one_guess_of_one_proves_nothing_at_95_percent() -> None:
    assert epsilon_lower_bound(1, 1, total=1, delta=0.0) == 0.0
    assert epsilon_lower_bound(0, 0, total=5, delta=0.0) == 0.0


def test_at_epsilon_0_the_p_value_is_that_of_a_fair_coin() -> None:
    wanted = sum(math.comb(20, k) for k in range(15, 21)) / 2**20
    found = p_value(0.0, guesses=20, correct=15, total=20, delta=0.0)
    assert found == pytest.approx(wanted)


def test_delta_costs_by_hand() -> None:
    # two canaries, two guesses, both right, epsilon 0: the chance is 1/4, of one right
    # 1/2, of none 1/4; the largest of 1/2 and 3/4 over 2 times 4 delta comes on top
    found = p_value(0.0, guesses=2, correct=2, total=2, delta=0.01)
    assert found == pytest.approx(0.25 + 0.02)


@given(data=st.data(), total=st.integers(1, 60), epsilon=st.floats(0, 6))
@settings(max_examples=80, deadline=None)
def test_more_right_is_less_likely_and_more_epsilon_more_likely(
    data, total, epsilon
) -> None:
    guesses = data.draw(st.integers(1, total))
    correct = data.draw(st.integers(0, guesses - 1))
    numbers = {"guesses": guesses, "total": total, "delta": 1e-4}
    here = p_value(epsilon, correct=correct, **numbers)
    assert p_value(epsilon, correct=correct + 1, **numbers) <= here + 1e-3
    assert p_value(epsilon + 0.5, correct=correct, **numbers) >= here - 1e-12
    bound = epsilon_lower_bound(guesses, correct, total=total, delta=1e-4)
    more = epsilon_lower_bound(guesses, correct + 1, total=total, delta=1e-4)
    assert bound <= more + 1e-9


def test_the_bound_is_where_the_p_value_meets_the_error() -> None:
    bound = epsilon_lower_bound(500, 430, total=2000, delta=1e-5, confidence=0.9)
    numbers = {"guesses": 500, "correct": 430, "total": 2000, "delta": 1e-5}
    assert p_value(bound - 1e-6, **numbers) < 0.1
    assert p_value(bound + 1e-6, **numbers) >= 0.1


@pytest.mark.parametrize("epsilon", [0.0, 0.7, 2.0])
def test_randomised_response_is_convicted_no_more_often_than_promised(epsilon) -> None:
    # exactly epsilon-private: answers with the coin by chance e^eps / (1 + e^eps)
    draw = generator(7, int(10 * epsilon))
    runs, m, convicted = 300, 200, 0
    for _ in range(runs):
        coins = draw.random(m) < 0.5
        is_true = draw.random(m) < 1 / (1 + math.exp(-epsilon))
        scores = np.where(coins == is_true, 1.0, -1.0) * (1 + draw.random(m))
        verdict = audit(scores, coins, delta=0.0, guesses=(20, 100, 200))
        convicted += verdict.convicts(epsilon)
    assert convicted / runs < 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


def test_twice_the_claimed_epsilon_is_convicted() -> None:
    draw = generator(8)
    coins = draw.random(3000) < 0.5
    is_true = draw.random(3000) < 1 / (1 + math.exp(-2.0))
    scores = np.where(coins == is_true, 1.0, -1.0)
    verdict = audit(scores, coins, delta=1e-6, guesses=(3000,))
    assert verdict.convicts(1.0)
    assert not verdict.convicts(2.0)
    assert verdict.correct == int(is_true.sum())


def test_the_surest_guesses_are_made_first() -> None:
    coins = np.array([True, False, True, False])
    scores = np.array([5.0, -4.0, -0.1, 0.2])  # the two unsure ones are wrong
    sure = audit(scores, coins, delta=0.0, guesses=(2,), confidence=0.5)
    assert (sure.guesses, sure.correct, sure.total) == (2, 2, 4)
    all_ = audit(scores, coins, delta=0.0, guesses=(4,), confidence=0.5)
    assert all_.correct == 2


def test_several_numbers_of_guesses_share_the_error() -> None:
    coins = np.ones(100, bool)
    scores = np.ones(100)
    alone = audit(scores, coins, delta=0.0, guesses=(100,))
    shared = audit(scores, coins, delta=0.0, guesses=(50, 100))
    wanted = epsilon_lower_bound(100, 100, total=100, delta=0.0, confidence=0.975)
    assert shared.epsilon == pytest.approx(wanted)
    assert shared.epsilon < alone.epsilon


@pytest.mark.parametrize(
    "numbers",
    [
        {"guesses": 5, "correct": 6, "total": 10, "delta": 0.0},
        {"guesses": 5, "correct": -1, "total": 10, "delta": 0.0},
        {"guesses": 11, "correct": 6, "total": 10, "delta": 0.0},
        {"guesses": 5, "correct": 5, "total": 10, "delta": 1.5},
        {"guesses": 5, "correct": 5, "total": 10, "delta": math.nan},
    ],
)
def test_impossible_numbers_are_refused(numbers) -> None:
    with pytest.raises(InvalidInput):
        p_value(1.0, **numbers)
    guesses, correct = numbers.pop("guesses"), numbers.pop("correct")
    with pytest.raises(InvalidInput):
        epsilon_lower_bound(guesses, correct, **numbers)


def test_impossible_claims_are_refused() -> None:
    with pytest.raises(InvalidInput):
        p_value(-1.0, guesses=1, correct=1, total=1, delta=0.0)
    with pytest.raises(InvalidInput):
        epsilon_lower_bound(1, 1, total=1, delta=0.0, confidence=1.0)
    with pytest.raises(InvalidInput):
        audit(np.zeros(3), np.zeros(2, bool), delta=0.0, guesses=(1,))
    for guesses in ((), (0,), (4,)):
        with pytest.raises(InvalidInput):
            audit(np.zeros(3), np.zeros(3, bool), delta=0.0, guesses=guesses)
