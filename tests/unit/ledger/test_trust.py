# SPDX-License-Identifier: Apache-2.0
"""The score is what its reasons add up to, in [0, 1], and more is never less."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.ledger import policy, trust
from fedxdr.ledger.round_rules import RoundEvidence
from fedxdr.ledger.statements import PrivacyClaim
from fedxdr.ledger.verifier import verify

ALL = frozenset(("alpha", "bravo", "charlie", "delta", "echo"))
NOBODY = frozenset()
WEIGHTS = {name: getattr(trust, name) for name in dir(trust) if name.startswith("W")}


def evidence(**changes):
    truth = {
        "round_id": "r",
        "height": 5,
        "cohort": ALL,
        "threshold": 3,
        "accepted": ALL,
        "rejected": NOBODY,
        "replayed": ALL,
        "epsilon_left": dict.fromkeys(ALL, 1.0),
    }
    return RoundEvidence(**truth | changes)


def score(rounds, **changes):
    return trust.score(
        rounds, **{"pinned": True, "cosigned": 5, "cosigners": 5} | changes
    )


def test_the_weights_add_up_to_one():
    assert len(WEIGHTS) == 7
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    assert min(WEIGHTS.values()) > 0


def test_everything_done_is_one():
    found = score([evidence()])
    assert found.score == 1
    assert len(found.reasons) == 7


def test_nothing_known_is_zero():
    assert score([], pinned=False, cosigned=4).score == 0


@pytest.mark.parametrize(
    ("changes", "others", "wanted"),
    [
        ({}, {"pinned": False}, 0.9),
        ({}, {"cosigned": 4}, 0.85),
        ({}, {"cosigned": 7, "cosigners": 10}, 0.85),
        ({}, {"cosigned": 8, "cosigners": 10}, 0.85 + 0.15 / 3),
        ({}, {"cosigned": 2, "cosigners": 2}, 0.85),
        ({"epsilon_left": dict.fromkeys(ALL)}, {}, 0.85),
        ({"epsilon_left": dict.fromkeys(ALL, 0.0)}, {}, 0.95),
        ({"epsilon_left": dict.fromkeys(ALL, 0.5)}, {}, 0.975),
        (
            {"epsilon_left": dict.fromkeys(ALL) | {"alpha": 0.5}},
            {},
            0.85 + 0.1 / 5 + 0.05 * 0.5 / 5,
        ),
        ({"replayed": NOBODY}, {}, 0.8),
        ({"replayed": frozenset(("alpha",))}, {}, 0.8 + 0.2 / 5),
        ({"threshold": 5}, {}, 0.9),
        (
            {"accepted": ALL - {"echo"}, "replayed": ALL - {"echo"}},
            {},
            (0.3 + 0.2) * 0.8 + 0.1 * 0.5 + 0.15 + 0.1 + 0.1 + 0.05,
        ),
    ],
)
def test_each_share_counts_with_its_weight(changes, others, wanted):
    found = score([evidence(**changes)], **others)
    assert found.score == pytest.approx(wanted, abs=5e-4)


def test_all_rounds_count():
    rounds = [evidence(), evidence(replayed=NOBODY)]
    found = score(rounds)
    assert found.score == pytest.approx(0.9)
    assert (
        "5 of 10: announced organisations accepted after a replay of the round "
        "(weight 0.2)" in found.reasons
    )
    assert (
        "1 of 1: cosigners of the newest head beyond its quorum of 4 (weight 0.15)"
        in (found.reasons)
    )


# Reputation


def test_reputation_is_the_share_of_rounds_with_the_majority():
    no = frozenset(("echo",))
    rounds = [
        evidence(),
        evidence(accepted=ALL - no, rejected=no),
        evidence(accepted=ALL - no),
        evidence(cohort=ALL - no, accepted=ALL - no),
    ]
    assert trust.reputations(rounds) == {
        "alpha": 1,
        "bravo": 1,
        "charlie": 1,
        "delta": 1,
        "echo": pytest.approx(1 / 3),
    }


def test_who_objects_with_the_majority_is_right():
    yes, no = frozenset(("alpha", "bravo")), ALL - {"alpha", "bravo"}
    found = trust.reputations([evidence(threshold=2, accepted=yes, rejected=no)])
    assert found == dict.fromkeys(yes, 0) | dict.fromkeys(no, 1)


def test_a_draw_has_no_majority():
    yes, no = frozenset(("alpha", "bravo")), frozenset(("charlie", "delta"))
    found = trust.reputations([evidence(threshold=2, accepted=yes, rejected=no)])
    assert found == dict.fromkeys(ALL, 0)


def test_an_acceptance_is_worth_the_reputation_of_who_gave_it():
    echo = frozenset(("echo",))
    rounds = [evidence(), evidence(accepted=ALL - echo, rejected=echo, replayed=NOBODY)]
    (reason, *_) = score(rounds).reasons
    assert reason == (
        "8.5 of 10: announced organisations accepted, each by its reputation "
        "(least: echo, 0.50) (weight 0.3)"
    )


def test_a_minority_that_accepts_against_the_others_is_worth_nothing():
    yes, no = frozenset(("alpha", "bravo")), ALL - {"alpha", "bravo"}
    found = score([evidence(threshold=2, accepted=yes, rejected=no)])
    assert found.reasons[0].startswith("0 of 5: announced")


# Properties

NAMES = st.sampled_from(sorted(ALL))
SETS = st.frozensets(NAMES)


@st.composite
def rounds_(draw):
    cohort = draw(st.frozensets(NAMES, min_size=1))
    accepted = cohort & (draw(SETS) or cohort) or cohort
    threshold = draw(st.integers(1, len(accepted)))
    left = st.none() | st.floats(0, 1)
    return evidence(
        cohort=cohort,
        accepted=accepted,
        rejected=(cohort & draw(SETS)) - accepted,
        threshold=threshold,
        replayed=accepted & draw(SETS),
        epsilon_left={org: draw(left) for org in cohort & draw(SETS)},
    )


@st.composite
def ledgers(draw):
    cosigners = draw(st.integers(1, 100))
    cosigned = draw(st.integers(policy.quorum(cosigners), cosigners))
    others = {
        "pinned": draw(st.booleans()),
        "cosigned": cosigned,
        "cosigners": cosigners,
    }
    return draw(st.lists(rounds_(), max_size=5)), others


@settings(max_examples=50, deadline=None)
@given(ledgers())
def test_a_score_lies_between_nothing_and_one(ledger):
    rounds, others = ledger
    found = trust.score(rounds, **others)
    assert 0 <= found.score <= 1
    assert len(found.reasons) == 7
    assert all(0 <= each <= 1 for each in trust.reputations(rounds).values())


@settings(max_examples=50, deadline=None)
@given(ledgers())
def test_a_pin_and_a_further_cosigner_never_lower_it(ledger):
    rounds, others = ledger
    before = trust.score(rounds, **others).score
    assert trust.score(rounds, **others | {"pinned": True}).score >= before
    if others["cosigned"] < others["cosigners"]:
        more = others | {"cosigned": others["cosigned"] + 1}
        assert trust.score(rounds, **more).score >= before


@settings(max_examples=50, deadline=None)
@given(ledgers(), st.data())
def test_more_of_anything_in_a_round_never_lowers_it(ledger, data):
    rounds, others = ledger
    if not rounds:
        return
    at = data.draw(st.integers(0, len(rounds) - 1))
    one, before = rounds[at], trust.score(rounds, **others).score

    def with_other(**changes):
        other = dataclasses.replace(one, **changes)
        return trust.score([*rounds[:at], other, *rounds[at + 1 :]], **others).score

    assert with_other(replayed=one.accepted) >= before
    for org, left in one.epsilon_left.items():
        more = data.draw(st.floats(left or 0, 1))
        assert with_other(epsilon_left={**one.epsilon_left, org: more}) >= before
    silent = one.cohort - one.accepted - one.rejected
    if silent and len(one.accepted) > len(one.rejected):
        more = one.accepted | {min(silent)}
        assert with_other(accepted=more) >= before
    if one.threshold > 1:
        lower = with_other(threshold=one.threshold - 1)
        # (more room beyond a lower threshold: the share of it may fall or rise)
        assert 0 <= lower <= 1


# Through the verifier


def test_the_verifier_hands_in_what_counts(federation):
    told = federation(("alpha", "bravo", "charlie", "delta")).founded()
    key = told.orchestrator.public.ed25519
    data = told.commit().export(cosigners=("alpha", "bravo", "charlie"))
    found = verify(data, pinned_orchestrator_key=key).trust
    assert found.score == pytest.approx(0.3 + 0.2 + 0.1 + 0.1)
    assert found.reasons == (
        "4 of 4: announced organisations accepted, each by its reputation (weight 0.3)",
        (
            "4 of 4: announced organisations accepted after a replay of the round "
            "(weight 0.2)"
        ),
        "0 of 1: cosigners of the newest head beyond its quorum of 3 (weight 0.15)",
        "2 of 2: acceptances beyond the plan's threshold (weight 0.1)",
        "0 of 4: contributions with a privacy mechanism (weight 0.1)",
        "1 of 1: orchestrator's key known from elsewhere (weight 0.1)",
        "0 of 4: contributions' share of the planned epsilon is left (weight 0.05)",
    )


def test_the_verifier_tells_what_is_left_of_epsilon(federation):
    plan = {
        "mechanism": "dp-sgd",
        "unit": "entity",
        "epsilon": 2.0,
        "delta": 1e-5,
        "noise_multiplier": 1.25,
        "sampling_rate": 0.01,
        "steps": 40,
    }
    told = federation().founded().adopt(privacy=plan)
    for spent in (0.5, 1.0, 2.0):
        claim = PrivacyClaim(**plan | {"epsilon": spent})
        told.commit(contribution_lies={"privacy": claim})
    # left are 3/4, 1/2 and nothing, of three organisations each
    reasons = verify(told.export()).trust.reasons
    assert "9 of 9: contributions with a privacy mechanism (weight 0.1)" in reasons
    assert reasons[-1].startswith("3.75 of 9: contributions' share")


def test_the_verifier_tells_who_objected(federation):
    told = federation().founded()
    contributed = [told.contribution(org, "round-1") for org in told.keys]
    no = {"verdict": "rejected", "reason": "My receipt is missing."}
    accepted = [
        told.acceptance("alpha", "round-1", b"model 1", contributed, replayed=False),
        told.acceptance("bravo", "round-1", b"model 1", contributed),
        told.acceptance("charlie", "round-1", b"model 1", contributed, **no),
    ]
    told.commit(contributed=contributed, accepted=accepted)
    reasons = verify(told.export()).trust.reasons
    assert reasons[0].startswith("2 of 3: announced")
    assert "(least: charlie, 0.00)" in reasons[0]
    assert reasons[1].startswith("1 of 3: announced")
