# SPDX-License-Identifier: Apache-2.0
"""A promise in rounds: paid before the fit, bound before it leaves, on the ledger."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fedxdr.core import canonical
from fedxdr.core.errors import InvalidInput, InvalidPlan, VerificationFailed
from fedxdr.core.ids import OrgId
from fedxdr.core.layout import Layout, Segment
from fedxdr.federation import opening
from fedxdr.federation.floor import Floor
from fedxdr.federation.phases import Phase
from fedxdr.federation.plan import Plan
from fedxdr.federation.protection import Privacy, claim_of
from fedxdr.parties import reception
from fedxdr.parties.auditing import check_spending
from fedxdr.parties.collecting import contributing
from fedxdr.privacy import accountant, sparsify
from fedxdr.privacy.budget import Reserved, Spent

A, B, C, D = (OrgId(f"org-{letter}") for letter in "abcd")
EVENT = Privacy(
    mechanism="dp-sgd",
    unit="event",
    epsilon=8.0,
    delta=1e-5,
    noise_multiplier=2.0,
    sampling_rate=0.01,
    steps=10,
    clipping_norm=1.0,
    own=1,
    context=16,
    index_keys=1,
)
SUM = Privacy(
    mechanism="discrete-gaussian",
    unit="organisation",
    epsilon=50.0,
    delta=1e-5,
    noise_multiplier=1.0,
    sampling_rate=1.0,
    steps=1,
    own=1,
)
LARGE = Layout(
    segments=(
        Segment(name="statistics.mean", shape=(3,)),
        Segment(name="weights.w", shape=(10_000,)),
    )
)
PLAN = {
    "privacy": EVENT,
    "max_weight_exponent": 0,
    "architecture": {"features": "alerts-event"},
}


@pytest.fixture
def private(world):
    return lambda n=3, **how: world(n=n, plan={**PLAN, **how.pop("plan", {})}, **how)


def blocks_of(federation):
    recorder = federation.fed.recorder
    return recorder.blocks(begin=0, end=recorder.size())


def claims(federation):
    return federation.fed.recorder.in_force.head.provenance.privacy_params


def test_a_round_is_paid_for_and_the_block_says_so(private):
    federation = private()
    round_ = federation.play()
    assert (round_.phase, round_.announcement.task) == (Phase.COMMITTED, "training")
    name = f"{round_.announcement.round_id}/training"
    for org in federation.orgs:
        reserved, spent = federation.participant(org)._desk.purse.facts()
        assert reserved == Reserved(release_id=name, charge=EVENT.charge)
        sent = federation.orchestrator.contributions(round_)[org]
        assert spent == Spent(release_id=name, digest=sent)
    cost = accountant.epsilon([EVENT.charge], delta=EVENT.delta)
    claim = claim_of(EVENT, clip_norm=10.0, epsilon=cost)
    assert claims(federation) == dict.fromkeys(federation.orgs, claim)
    assert claim.occurrences == 16
    # nothing but the update was in the sum: no counts, no metrics
    assert federation.opened_sum(round_).size == 8
    statistics = canonical.builtins(federation.fed.recorder.in_force.head)
    assert "held_out_accuracy" not in statistics["aggregation_metrics"]


def test_what_is_spent_is_recomputed_by_anybody(private):
    federation = private()
    for _ in range(2):
        federation.play()
    spent = check_spending(blocks_of(federation))
    twice = accountant.epsilon([EVENT.charge] * 2, delta=EVENT.delta)
    assert spent == dict.fromkeys(federation.orgs, twice)


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        ({"epsilon": 0.98}, "it amounts to"),
        ({"epsilon": 1e9}, "at most the plan's"),
        ({"occurrences": 0}, "another privacy mechanism"),
    ],
)
def test_a_claim_that_would_spoil_the_ledger_is_refused(private, monkeypatch, lie, why):
    monkeypatch.setattr(contributing, "claim_of", lying(lie))
    federation = private()
    federation.start()
    with pytest.raises(InvalidInput, match=why):
        federation.go_on()


def lying(lie):
    honest = contributing.claim_of

    def claim_of_a_liar(privacy, *, clip_norm, epsilon):
        changed = dict(lie)
        if "epsilon" in changed:
            changed["epsilon"] *= epsilon
        claim = honest(privacy, clip_norm=clip_norm, epsilon=epsilon)
        return dataclasses.replace(claim, **changed)

    return claim_of_a_liar


def test_an_under_report_on_the_ledger_is_found_by_anybody(private, monkeypatch):
    # orchestrator and members together: nobody refuses it at the door
    monkeypatch.setattr(contributing, "claim_of", lying({"epsilon": 0.98}))
    monkeypatch.setattr(reception, "is_under_report", lambda _claim, _epsilon: False)
    federation = private()
    federation.play()
    with pytest.raises(VerificationFailed, match="what it did amounts to"):
        check_spending(blocks_of(federation))


def test_other_figures_than_the_plans_on_the_ledger_are_found(private):
    federation = private()
    federation.play()
    blocks = blocks_of(federation)
    block = blocks[-1].block
    claims = block.provenance.privacy_params
    fewer = {o: dataclasses.replace(c, occurrences=0) for o, c in claims.items()}
    made = dataclasses.replace(block.provenance, privacy_params=fewer)
    forged = dataclasses.replace(block, provenance=made)
    blocks[-1] = dataclasses.replace(blocks[-1], block=forged)
    with pytest.raises(VerificationFailed, match="another privacy mechanism"):
        check_spending(blocks)


def test_an_exhausted_purse_refuses_to_train_and_says_what_would_help(private):
    once = accountant.epsilon([EVENT.charge], delta=EVENT.delta)
    twice = accountant.epsilon([EVENT.charge] * 2, delta=EVENT.delta)
    budget = dataclasses.replace(EVENT, epsilon=(once + twice) / 2)
    federation = private(plan={"privacy": budget})
    assert federation.play().phase is Phase.COMMITTED
    calls = federation.learners[A].calls
    round_ = federation.play()
    assert round_.opened is None
    assert federation.learners[A].calls == calls
    assert "purse is exhausted" in federation.why(A)
    assert "would buy" in federation.why(A)


@pytest.mark.parametrize("is_after", [False, True])
def test_killed_at_every_write_a_round_is_never_given_back(private, is_after):
    federation = private()
    fuse = federation.make_mortal(B)
    federation.play()
    for left in range(1, fuse.count + 1, 2):
        federation = private()
        fuse = federation.make_mortal(B)
        fuse.left, fuse.is_after = left, is_after
        round_ = federation.play()
        facts = federation.participant(B)._desk.purse.facts()
        calls = federation.learners[B].calls
        paid = sum(isinstance(fact, Reserved) for fact in facts)
        if calls:
            assert paid == 1, left
        if round_.opened is not None and B in round_.survivors:
            assert any(isinstance(fact, Spent) for fact in facts), left


def test_a_purse_from_a_backup_learns_from_the_ledger_what_it_forgot(private):
    federation = private()
    federation.play()
    agent = federation.participant(B)
    forgot = type(agent._desk.purse)()
    agent._desk = dataclasses.replace(agent._desk, purse=forgot)
    agent._counted_under = None
    assert forgot.facts() == []
    agent.step(wait_s=0)
    (fact,) = forgot.facts()
    assert fact.charge == EVENT.charge


def test_no_statistics_round_is_held(private):
    federation = private()
    with pytest.raises(InvalidPlan, match="constants of the plan"):
        federation.start("statistics")


# Noise inside the sum.


@pytest.mark.parametrize("mode", ["secagg", "committee"])
def test_the_sum_carries_the_noise_of_all_and_nobody_alone(world, mode, monkeypatch):
    plan = {"privacy": SUM, "max_weight_exponent": 0, "clip_norm": 1.0}
    if mode == "committee":
        plan |= {"collection_mode": "committee", "helpers": (A, B)}
    drawn = []
    honest = contributing.discrete_gaussian

    def keeping(std, size, stream):
        drawn.append((std, honest(std, size, stream)))
        return drawn[-1][1]

    monkeypatch.setattr(contributing, "discrete_gaussian", keeping)
    federation = world(n=3, plan=plan, floor=Floor(modes=(mode,)))
    round_ = federation.play()
    assert round_.phase is Phase.COMMITTED, round_.failure
    assert len(drawn) == 3
    # the captured vectors are those before the noise
    plain = federation.plain_sum(round_)
    noise = sum(values for _, values in drawn)
    assert np.array_equal(federation.opened_sum(round_), plain + noise)
    assert np.abs(noise).min() > 0
    # each adds its part of the variance that the fewest survivors must have
    made = federation.fed.recorder.in_force.plan
    scale = contributing.quantise.scale_of(bound=1.0, bits=24, participants=3)
    clip_steps = scale / 3
    assert opening.upload_width(made) == 32
    for std, _ in drawn:
        assert std == pytest.approx(clip_steps / np.sqrt(3), rel=1e-3)


def test_noise_that_could_leave_the_ring_is_refused_by_the_plan(world):
    federation = world(
        n=3,
        plan={"privacy": SUM, "max_weight_exponent": 0, "quantisation_bits": 31},
    )
    with pytest.raises(InvalidPlan, match="fewer quantisation_bits"):
        federation.start()


# Part of the coordinates.


@pytest.mark.parametrize("mode", ["secagg", "committee", "clear"])
def test_a_common_mask_sends_the_same_part_of_everyone_and_keeps_the_rest(world, mode):
    plan = {"sparsification": "common-mask", "kept_fraction": 0.5}
    if mode == "committee":
        plan |= {
            "collection_mode": "committee",
            "helpers": (A, B),
            "max_weight_exponent": 0,
        }
    if mode == "clear":
        plan |= {"collection_mode": "clear", "acknowledge_clear": True}
    federation = world(n=3, plan=plan, floor=Floor(modes=(mode,)))
    federation.play("statistics")
    before = federation.fed.vector.copy()
    round_ = federation.play("training")
    assert round_.phase is Phase.COMMITTED, round_.failure
    made = federation.fed.recorder.in_force.plan
    indices = opening.common_indices(made, round_.announcement.parent_model)
    assert len(indices) == 4
    begin, _ = made.layout.span("weights.")
    changed = np.flatnonzero(federation.fed.vector != before) - begin
    assert set(changed) <= set(indices)
    # error feedback: what was left out comes with the next update
    agent = federation.participant(A)
    note = canonical.parse_jcs(agent._desk.notes.get("residual"))
    left = np.frombuffer(agent._desk.blobs.get(note["after"]), dtype=np.float32)
    assert (left[indices] == 0).all()
    assert np.count_nonzero(left) == 4
    second = federation.play("training")
    assert second.announcement.parent_model != round_.announcement.parent_model
    other = opening.common_indices(made, second.announcement.parent_model)
    assert not np.array_equal(indices, other)


def test_a_round_that_failed_gives_its_part_back_to_the_residual(world):
    plan = {"sparsification": "common-mask", "kept_fraction": 0.5}
    federation = world(n=3, plan=plan)
    federation.play("statistics")
    federation.start("training")
    federation.go_on(gone=lambda org, phase: org == C and phase is Phase.SURVIVORS)
    agent = federation.participant(A)
    first = canonical.parse_jcs(agent._desk.notes.get("residual"))
    assert federation.round.failure is not None
    federation.play("training")
    again = canonical.parse_jcs(agent._desk.notes.get("residual"))
    assert again["before"] == first["before"]
    assert again["parent"] == first["parent"]


def test_in_the_clear_each_may_send_its_largest(world):
    plan = {
        "sparsification": "top-k",
        "kept_fraction": 0.25,
        "collection_mode": "clear",
        "acknowledge_clear": True,
    }
    federation = world(n=3, plan=plan, floor=Floor(modes=("clear",)))
    federation.play("statistics")
    round_ = federation.play("training")
    assert round_.phase is Phase.COMMITTED
    chosen = set()
    for digest in federation.orchestrator.contributions(round_).values():
        sent = federation.orchestrator.blobs.get(digest)
        indices, _ = sparsify.decode(sent, size=9)
        assert len(indices) == 3  # two of the update, and the metric
        chosen.add(tuple(indices))
    assert len(chosen) > 1


def test_sparse_vectors_are_shorter_than_dense_ones(world):
    del world
    plan = Plan(
        federation="f",
        run_id="r",
        participants=3,
        threshold=3,
        layout=LARGE,
        architecture={},
        collection_mode="clear",
        acknowledge_clear=True,
        sparsification="top-k",
        kept_fraction=0.01,
    )
    values = np.zeros(10_001, np.float32)
    values[::100] = 1.0
    sent = opening.pack_clear(plan, "training", values)
    assert len(sent) < 4 * 10_001 / 10
    assert np.array_equal(opening.screen(plan, "training", sent), values)
    assert len(sent) <= opening.clear_bytes(plan, "training")


# The same names are not the same sum.


OTHER_SUMS = {
    "weights": {"max_weight_exponent": 0},
    "statistics bound": {"statistics_bound": 1.0},
    "a layout of another name": {
        "layout": Layout(
            segments=(
                Segment(name="statistics.mean", shape=(3,)),
                Segment(name="weights.renamed", shape=(8,)),
            )
        )
    },
    "helpers": {
        "collection_mode": "committee",
        "helpers": (A, B),
        "max_weight_exponent": 0,
    },
}


@pytest.mark.parametrize("change", OTHER_SUMS)
def test_statistics_are_not_opened_twice_under_other_terms(world, change):
    federation = world(n=4, floor=Floor(modes=("secagg", "committee")))
    federation.learners[D].count = 1 << 10
    federation.play("statistics")
    federation.fed.start_round(task="statistics", wishes=OTHER_SUMS[change])
    gone = (lambda org, _: org == D) if "layout" in change else (lambda *_: False)
    round_ = federation.go_on(gone=gone)
    assert round_.opened is None
    assert "another survivor set" in federation.why(A) or (
        "another mode or to other helpers" in federation.why(A)
    )


@pytest.mark.parametrize(
    "change", [{"clip_norm": 0.5}, {"collection_mode": "committee", "helpers": (C, D)}]
)
def test_training_on_one_parent_is_not_opened_twice_under_other_terms(world, change):
    plan = {"collection_mode": "committee", "helpers": (A, B), "max_weight_exponent": 0}
    federation = world(n=4, plan=plan, floor=Floor(modes=("committee",)))
    federation.play("statistics")
    federation.start("training")
    # the helpers have answered, the orchestrator says that it came to nothing
    federation.go_on(gone=lambda org, phase: org == B and phase is Phase.SURVIVORS)
    assert federation.round.opened is None
    federation.fed.start_round(task="training", wishes=change)
    assert federation.go_on().opened is None
    assert "another" in federation.why(A)
