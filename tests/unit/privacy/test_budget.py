# SPDX-License-Identifier: Apache-2.0
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core import canonical
from fedxdr.core.errors import (
    AlreadyAnswered,
    BelowFloor,
    BudgetExhausted,
    Fault,
    InvalidPlan,
    MalformedMessage,
)
from fedxdr.core.ids import sha256
from fedxdr.privacy import accountant, budget
from fedxdr.privacy.budget import Purse, Reserved, Spent
from fedxdr.privacy.mechanism import Charge

# not sampled, so that the accountant has a closed form and tests are quick
TERMS = {"epsilon": 8.0, "delta": 1e-5, "unit": "event"}
TRAINING = Charge(unit="event", noise_multiplier=4.0, steps=2)
COUNT = Charge(unit="event", noise_multiplier=20.0)
HOSTS = Charge(unit="entity", noise_multiplier=4.0, own=8)
SAMPLED = Charge(unit="event", noise_multiplier=1.0, sampling_rate=0.01, steps=50)
VECTOR, OTHER = sha256(b"vector"), sha256(b"other")


def empty(**terms):
    return Purse(**{**TERMS, **terms})


def filled(purse, charge, times, *, begin=0):
    for number in range(begin, begin + times):
        purse = purse.after(purse.reserve(f"round-{number}/training", charge))
    return purse


def test_a_new_purse_is_full():
    purse = empty()
    assert purse.used() == purse.textbook() == 0.0
    assert purse.remaining() == 8.0
    assert purse.unconfirmed == ()


def test_a_release_is_reserved_then_spent():
    purse = empty()
    paid = purse.reserve("round-1/training", TRAINING)
    assert paid == Reserved(release_id="round-1/training", charge=TRAINING)
    assert purse.used() == 0.0  # a value: nothing happens before the fact is stored
    purse = purse.after(paid)
    assert purse.unconfirmed == ("round-1/training",)
    price = accountant.epsilon([TRAINING], delta=1e-5)
    assert purse.used() == price > 1
    assert purse.remaining() == 8.0 - price
    left = purse.spend("round-1/training", VECTOR)
    assert left == Spent(release_id="round-1/training", digest=VECTOR)
    purse = purse.after(left)
    assert purse.unconfirmed == ()
    assert purse.used() == price  # reserved counts like spent


def test_one_release_pays_once():
    purse = filled(empty(), TRAINING, 1)
    assert purse.reserve("round-0/training", TRAINING) is None
    assert purse.after(None) is purse
    purse = purse.after(purse.spend("round-0/training", VECTOR))
    assert purse.spend("round-0/training", VECTOR) is None
    assert purse.reserve("round-0/training", TRAINING) is None
    assert purse.used() == accountant.epsilon([TRAINING], delta=1e-5)


def test_the_same_release_with_another_charge_is_refused():
    purse = filled(empty(), TRAINING, 1)
    for charge, purpose in ((COUNT, "detector"), (TRAINING, "metrics")):
        with pytest.raises(AlreadyAnswered, match="another charge"):
            purse.reserve("round-0/training", charge, purpose=purpose)
    cheaper = Reserved(release_id="round-0/training", charge=COUNT)
    with pytest.raises(AlreadyAnswered):
        purse.after(cheaper)


def test_the_same_release_with_other_bytes_is_refused():
    # noise drawn twice on one sum: the mean of the two has half the variance
    purse = filled(empty(), TRAINING, 1)
    purse = purse.after(purse.spend("round-0/training", VECTOR))
    with pytest.raises(AlreadyAnswered, match="other bytes"):
        purse.spend("round-0/training", OTHER)
    with pytest.raises(AlreadyAnswered, match="other bytes"):
        purse.after(Spent(release_id="round-0/training", digest=OTHER))


def test_what_was_not_reserved_cannot_be_spent():
    purse = filled(empty(), TRAINING, 1)
    with pytest.raises(Fault, match="never reserved"):
        purse.spend("round-9/training", VECTOR)
    with pytest.raises(Fault, match="never reserved"):
        purse.after(Spent(release_id="round-9/training", digest=VECTOR))
    with pytest.raises(Fault, match="never reserved"):
        empty(spent={"round-9/training": VECTOR})


def test_an_exhausted_purse_refuses_and_says_what_more_would_buy():
    fit = empty().rounds_until_exhausted(TRAINING)
    assert 3 < fit < 100
    purse = filled(empty(), TRAINING, fit)
    assert purse.used() <= 8.0
    assert purse.rounds_until_exhausted(TRAINING) == 0
    with pytest.raises(BudgetExhausted) as caught:
        purse.reserve("round-x/training", TRAINING)
    message = str(caught.value)
    more = accountant.uses_left(purse.charges, TRAINING, epsilon=12.0, delta=1e-5)
    assert more > 0
    assert f"epsilon 12 would buy {more} more" in message
    assert "epsilon 16 would buy" in message
    assert f"{purse.used():.4g} of 8" in message
    # a retry of what was paid for is no new release
    assert purse.reserve("round-0/training", TRAINING) is None
    # and something cheaper may still fit, or not, but is never above the budget
    assert accountant.epsilon({TRAINING: fit + 1}, delta=1e-5) > 8.0


def test_a_round_that_never_fits_says_so():
    purse = empty(epsilon=0.1)
    with pytest.raises(BudgetExhausted, match=r"0\.2 would not be enough"):
        purse.reserve("round-1/training", TRAINING)


def test_one_purse_pays_for_everything_that_is_opened():
    purse = empty()
    for purpose in budget.PURPOSES:
        purse = purse.after(purse.reserve(f"round-1/{purpose}", COUNT, purpose=purpose))
    assert purse.charges == {COUNT: len(budget.PURPOSES)}
    assert purse.used() == accountant.epsilon({COUNT: 5}, delta=1e-5)
    assert [purse.count(purpose) for purpose in budget.PURPOSES] == [1] * 5


def test_rounds_left_come_from_the_accountant_not_from_dividing():
    purse = filled(empty(), TRAINING, 1)
    divided = int(purse.remaining() / purse.used())
    counted = purse.rounds_until_exhausted(TRAINING)
    assert counted > 1.5 * divided
    filled(purse, TRAINING, counted, begin=1)
    with pytest.raises(BudgetExhausted):
        filled(purse, TRAINING, counted + 1, begin=1)


def test_sampled_rounds_are_accounted_with_their_sampling():
    purse = filled(empty(), SAMPLED, 3)
    assert purse.used() == accountant.epsilon({SAMPLED: 3}, delta=1e-5)
    assert purse.textbook() > 10 * purse.used()


def test_one_purse_has_one_unit():
    with pytest.raises(BelowFloor, match="unit event"):
        empty().reserve("round-1/training", HOSTS)
    with pytest.raises(BelowFloor):
        empty().after(Reserved(release_id="round-1/training", charge=HOSTS))
    with pytest.raises(BelowFloor):
        empty().rounds_until_exhausted(HOSTS)
    with pytest.raises(BelowFloor):
        Purse.of(
            [Reserved(release_id="round-1/training", charge=TRAINING)],
            **{**TERMS, "unit": "entity"},
        )


def test_a_smaller_budget_forgets_nothing():
    purse = filled(empty(), TRAINING, 4)
    facts = list(purse.reserved.values())
    smaller = Purse.of(facts, **{**TERMS, "epsilon": 1.0})
    assert smaller.used() == purse.used() > 1.0
    assert smaller.remaining() == 0.0
    assert smaller.rounds_until_exhausted(TRAINING) == 0
    with pytest.raises(BudgetExhausted):
        smaller.reserve("round-x/training", COUNT)


def test_a_purse_from_a_backup_learns_from_the_ledger():
    purse = filled(empty(), TRAINING, 2)
    on_ledger = {f"round-{n}/training": TRAINING for n in range(5)}
    facts = budget.forgotten(purse, on_ledger)
    assert [f.release_id for f in facts] == [f"round-{n}/training" for n in (2, 3, 4)]
    for fact in facts:
        purse = purse.after(fact)
    assert purse.charges == {TRAINING: 5}
    assert budget.forgotten(purse, on_ledger) == ()
    with pytest.raises(AlreadyAnswered):
        budget.forgotten(purse, {"round-0/training": COUNT})
    with pytest.raises(BelowFloor):
        budget.forgotten(purse, {"round-9/training": HOSTS})


@pytest.mark.parametrize(
    "terms",
    [
        {"epsilon": 0.0},
        {"epsilon": -1.0},
        {"epsilon": math.nan},
        {"epsilon": math.inf},
        {"delta": 0.0},
        {"delta": 1.0},
        {"delta": math.nan},
        {"delta": 1e-13},
    ],
)
def test_a_budget_that_is_none_is_refused(terms):
    with pytest.raises(InvalidPlan):
        empty(**terms)


@pytest.mark.parametrize("name", ["", "Round-1", "-a", "a/", "a" * 129, "a b", "a\n"])
def test_other_names_are_refused(name):
    with pytest.raises(MalformedMessage):
        empty().reserve(name, TRAINING)
    with pytest.raises(MalformedMessage):
        Spent(release_id=name, digest=VECTOR)


def test_other_purposes_and_digests_are_refused():
    with pytest.raises(MalformedMessage):
        Reserved(release_id="a", charge=TRAINING, purpose="fun")
    with pytest.raises(MalformedMessage):
        Spent(release_id="a", digest="no digest")


def test_facts_have_one_form_in_bytes():
    for fact in (
        Reserved(release_id="round-1/training", charge=SAMPLED, purpose="policy"),
        Spent(release_id="round-1/training", digest=VECTOR),
    ):
        assert canonical.decode(canonical.encode(fact), type(fact)) == fact


# --- crashes


class Crash(Exception):
    pass


class Agent:
    """An organisation that stores facts in a list and dies where it is told to."""

    def __init__(self, log, world, dies_in):
        self.log, self.world, self.dies_in = log, world, dies_in
        self.purse = Purse.of(log, **TERMS)

    def point(self):
        self.dies_in -= 1
        if self.dies_in == 0:
            raise Crash

    def store(self, fact):
        self.point()
        if fact is not None:
            self.log.append(fact)
            self.purse = self.purse.after(fact)
        self.point()

    def release(self, name, charge):
        self.store(self.purse.reserve(name, charge))
        # fresh noise each time: the vector of a repeated round is another one
        self.world["noise"] += 1
        vector = sha256(str(self.world["noise"]).encode())
        self.store(self.purse.spend(name, vector))
        self.world["left"].setdefault(name, set()).add((vector, charge))
        self.point()


@settings(max_examples=60, deadline=None)
@given(
    plan=st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from([TRAINING, COUNT])),
        max_size=25,
    ),
    deaths=st.lists(st.integers(1, 12), max_size=12),
)
def test_dying_anywhere_gives_nothing_back(plan, deaths):
    log, world, deaths = [], {"noise": 0, "left": {}}, [*deaths]
    agent = Agent(log, world, deaths.pop() if deaths else 0)
    used = 0.0
    for number, charge in plan:
        for _ in range(3):  # what was cut short is tried again
            try:
                agent.release(f"round-{number}", charge)
            except (BudgetExhausted, AlreadyAnswered):
                break
            except Crash:
                agent = Agent(log, world, deaths.pop() if deaths else 0)
            assert agent.purse.used() >= used
            used = agent.purse.used()
    # whatever left was paid for, once, and all of it is within the budget
    paid = {f.release_id: f.charge for f in log if isinstance(f, Reserved)}
    assert len(paid) == sum(isinstance(f, Reserved) for f in log)
    released = []
    for name, vectors in world["left"].items():
        ((_, charge),) = vectors
        assert paid[name] == charge
        released.append(charge)
    assert accountant.epsilon(released, delta=1e-5) <= agent.purse.used() <= 8.0
