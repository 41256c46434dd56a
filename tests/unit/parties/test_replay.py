# SPDX-License-Identifier: Apache-2.0
"""Members redo the round: whatever the orchestrator made up is rejected by them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fedxdr.core import canonical
from fedxdr.core.ids import OrgId, RoundId, sha256
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation import messages, opening, wire
from fedxdr.federation.floor import Floor
from fedxdr.federation.messages import Proposal
from fedxdr.federation.phases import Phase
from fedxdr.federation.sessions import Step
from fedxdr.ledger import statements
from fedxdr.ledger.block import contributions_root
from fedxdr.ledger.statements import AcceptanceStatement, ContributionStatement
from fedxdr.models import snapshot

A, B, C, D = (OrgId(f"org-{letter}") for letter in "abcd")
OTHER = sha256(b"other")
CLEAR = {
    "collection_mode": "clear",
    "acknowledge_clear": True,
    "aggregation_method": "FedAvg",
}


def verdict(federation, org) -> AcceptanceStatement:
    bodies = [b for s, b in federation.links[org].sent if s is Step.ACCEPTANCE]
    return stated(bodies[-1])


def stated(body: bytes) -> AcceptanceStatement:
    payload = Envelope.from_json(body).payload
    return statements.parse(payload, AcceptanceStatement)


def test_an_honest_round_is_accepted_and_replayed(world):
    federation = world(n=4)
    federation.play(gone=lambda org, phase: org == D and phase is Phase.SHARES)
    for org in (A, B, C):
        said = verdict(federation, org)
        assert said.verdict == "accepted"
        assert said.replayed
        assert said.reason == ""


def test_whoever_does_not_replay_says_so(world):
    federation = world(n=3, does_replay=False)
    federation.play()
    said = verdict(federation, A)
    assert (said.verdict, said.replayed) == ("accepted", False)


def lying(federation, change) -> None:
    """Let the orchestrator open the sum honestly and propose something else."""
    honest = federation.orchestrator.reopen
    federation.orchestrator.reopen = lambda round_: change(honest(round_))


@pytest.mark.parametrize("does_replay", [True, False])
def test_a_model_that_is_not_the_sums_is_rejected(world, does_replay):
    federation = world(n=4, does_replay=does_replay)
    federation.play()
    before = federation.fed.recorder.in_force.model

    def backdoor(opened: opening.Opened) -> opening.Opened:
        read = snapshot.load(opened.snapshot)
        vector = read.vector.copy()
        vector[-1] += 1
        file = snapshot.save(
            vector, layout=read.card.layout, architecture=read.card.architecture
        )
        return dataclasses.replace(opened, snapshot=file, model_hash=sha256(file))

    lying(federation, backdoor)
    round_ = federation.play()
    if does_replay:
        assert round_.phase is Phase.FAILED
        assert round_.failure.reason == "rejected"
        assert "another model" in verdict(federation, A).reason
        assert not verdict(federation, A).replayed
        assert federation.fed.recorder.in_force.model == before
    else:
        # this is what replay is for
        assert round_.phase is Phase.COMMITTED


def test_another_sum_is_rejected(world):
    federation = world(n=4)
    lying(federation, lambda o: dataclasses.replace(o, sum_digest=OTHER))
    # the orchestrator stores the sum under another name than it says
    assert federation.play().failure.reason == "rejected"


def test_one_organisation_that_rejects_does_not_stop_a_quorum(world):
    federation = world(n=4)
    federation.links[B].lies["evidence"] = lambda _: b"{}"
    round_ = federation.play()
    assert verdict(federation, B).verdict == "rejected"
    assert round_.rejections == {B}
    assert round_.phase is Phase.COMMITTED


def evidence_changed(federation, org, change) -> None:
    def lie(body: bytes) -> bytes:
        return wire.pack_evidence(change(wire.unpack_evidence(body)))

    federation.links[org].lies["evidence"] = lie


def restated(federation, org, envelope, **changed) -> Envelope:
    statement = canonical.decode(envelope.payload, ContributionStatement)
    return messages.sign(dataclasses.replace(statement, **changed), federation.key(org))


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        (
            "a statement left out",
            lambda _, e: dataclasses.replace(e, contributions=e.contributions[1:]),
            "other contributions",
        ),
        (
            "another contribution of a colluder",
            lambda f, e: dataclasses.replace(
                e,
                contributions=(
                    e.contributions[0],
                    restated(f, B, e.contributions[1], contribution_digest=OTHER),
                    *e.contributions[2:],
                ),
            ),
            "other contributions",
        ),
        (
            "a statement about another round",
            lambda f, e: dataclasses.replace(
                e,
                contributions=(
                    e.contributions[0],
                    restated(f, B, e.contributions[1], round_id=RoundId("round-9")),
                    *e.contributions[2:],
                ),
            ),
            "another round",
        ),
        (
            "a statement signed by another",
            lambda f, e: dataclasses.replace(
                e,
                contributions=(
                    e.contributions[0],
                    restated(f, C, e.contributions[1]),
                    *e.contributions[2:],
                ),
            ),
            "in the name of org-b",
        ),
        (
            "too few answers",
            lambda _, e: dataclasses.replace(e, answers=e.answers[:2]),
            "answers",
        ),
        (
            "no mail of the drop-out",
            lambda _, e: dataclasses.replace(e, shares=()),
            "mail",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_evidence_that_is_not_the_rounds_is_rejected(world, name, change, why):
    del name
    federation = world(n=4)
    evidence_changed(federation, A, lambda e: change(federation, e))
    federation.play(gone=lambda org, phase: org == D and phase is Phase.SHARES)
    assert why in verdict(federation, A).reason


def test_a_contribution_that_does_not_hash_to_its_name_is_rejected(world):
    federation = world(n=4)
    federation.links[A].lies["contribution"] = lambda v: v[:-1] + b"\x07"
    federation.play()
    assert "hash" in verdict(federation, A).reason


# Mode clear: nobody signs a survivor set, members hold the proposal to its word.


@pytest.fixture
def clear(world):
    federation = world(n=4, plan=CLEAR, floor=Floor(modes=("clear",)))
    federation.play()
    return federation


def test_an_honest_clear_round_is_accepted(clear):
    assert clear.play().phase is Phase.COMMITTED
    assert verdict(clear, A).verdict == "accepted"


def proposing(true: Proposal, survivors, **changed) -> Proposal:
    """Return a proposal, whole in itself, about other survivors."""
    for name in ("contributions", "data_volume", "privacy_params"):
        said = {org: getattr(true, name)[org] for org in survivors}
        changed[name] = changed.get(name, lambda value: value)(said)
    changed.setdefault(
        "contributions_root", contributions_root(changed["contributions"])
    )
    return dataclasses.replace(true, survivors=survivors, **changed)


def judged(clear, org, survivors, **changed) -> AcceptanceStatement:
    """Return what one says about a proposal that is signed, but not the true one."""

    def proposal(body: bytes) -> bytes:
        true = canonical.decode(Envelope.from_json(body).payload, Proposal)
        lie = proposing(true, survivors, **changed)
        return messages.sign(lie, clear.fed.identity).to_json()

    clear.links[org].lies[Step.PROPOSAL] = proposal
    clear.start()
    clear.go_on(until=Phase.PROPOSED)
    agent = clear.participant(org)
    agent.follow_ledger(clear.orchestrator.recorder.size())
    agent._fetch(agent.session, Step.PROPOSAL)
    agent._make(agent.session, Step.ACCEPTANCE)
    return stated(agent.session.made[Step.ACCEPTANCE])


def test_a_clear_round_without_our_contribution_is_rejected(clear):
    evidence_changed(
        clear, A, lambda e: dataclasses.replace(e, contributions=e.contributions[1:])
    )
    said = judged(clear, A, (B, C, D))
    assert said.verdict == "rejected"
    assert "our contribution was left out" in said.reason


@pytest.mark.parametrize(
    ("survivors", "changed", "why"),
    [
        ((A, B, C), {}, "other contributors"),
        (
            (A, B, C, D),
            {"contributions": lambda true: dict.fromkeys(true, OTHER)},
            "otherwise than org-a stated",
        ),
    ],
)
def test_a_clear_proposal_about_other_contributions_is_rejected(
    clear, survivors, changed, why
):
    said = judged(clear, A, survivors, **changed)
    assert said.verdict == "rejected"
    assert why in said.reason


def test_a_clear_proposal_about_another_contribution_than_ours_is_rejected(clear):
    """Ours is named truly; the evidence shows that another's is not."""
    said = judged(clear, A, (A, B, C, D), contributions=lambda true: {**true, B: OTHER})
    assert said.verdict == "rejected"
    assert "other contributions" in said.reason


def test_a_clear_round_of_too_few_is_rejected(clear):
    evidence_changed(
        clear, A, lambda e: dataclasses.replace(e, contributions=e.contributions[:2])
    )
    said = judged(clear, A, (A, B))
    assert said.verdict == "rejected"
    assert "aggregate of 2" in said.reason


def test_a_wild_update_that_the_orchestrator_let_in_is_rejected(clear, monkeypatch):
    """The colluder's update is above the bound; every honest member finds it."""
    clear.learners[D].learn = _wild(clear.learners[D])
    clipped = opening.payload

    def unclipped(plan, task, update, metrics):
        if update.values[0] > 1e3:
            return np.concatenate(
                [update.values, np.zeros(1, dtype=np.float32)]
            ).astype(np.float32)
        return clipped(plan, task, update, metrics)

    monkeypatch.setattr(opening, "payload", unclipped)
    screen = opening.screen
    # the orchestrator looks away when it receives and when it opens
    lenient = {"on": True}
    monkeypatch.setattr(
        opening,
        "screen",
        lambda plan, task, vector: (
            np.frombuffer(vector, dtype="<f4").copy()
            if lenient["on"]
            else screen(plan, task, vector)
        ),
    )
    clear.start()
    clear.go_on(until=Phase.PROPOSED)
    lenient["on"] = False
    assert clear.go_on().failure.reason == "rejected"
    assert "norm-over-bound" in verdict(clear, A).reason


def _wild(learner):
    honest = learner.learn

    def learn(**how):
        learned = honest(**how)
        values = np.full_like(learned.update.values, 1e6)
        return dataclasses.replace(
            learned, update=dataclasses.replace(learned.update, values=values)
        )

    return learn
