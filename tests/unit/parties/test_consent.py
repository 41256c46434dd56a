# SPDX-License-Identifier: Apache-2.0
"""What an agent approves alone, what it leaves to a person, and that it asks once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fedxdr.core import canonical
from fedxdr.core.errors import MalformedMessage, Unavailable, WrongPhase
from fedxdr.core.ids import OrgId, sha256
from fedxdr.federation.floor import Floor
from fedxdr.ledger import entries, statements
from fedxdr.ledger.entries import (
    KeyCeremony,
    MemberKeyRotated,
    MemberKeys,
    MemberSuspended,
    ModelRetired,
    OrchestratorReplaced,
    PlanAdopted,
)
from fedxdr.ledger.statements import ApprovalStatement
from fedxdr.parties import consent

A, B, C, D = (OrgId(f"org-{letter}") for letter in "abcd")


@pytest.fixture
def federation(plain_world):
    made = plain_world(n=4)
    made.fed.step()
    return made


def plan_entry(federation, **wishes) -> PlanAdopted:
    plan = canonical.builtins(federation.orchestrator._plan_for(4, wishes))
    return PlanAdopted(change=1, plan=plan, plan_digest=entries.plan_digest(plan))


def asked(caplog) -> int:
    return sum("waits for a person" in record.message for record in caplog.records)


def test_an_approval_names_ledger_entry_and_its_end(federation):
    change = federation.orchestrator.propose_plan({})
    now = federation.fed.clock.now()
    ledger = federation.fed.recorder.in_force.genesis_hash
    key = federation.key(A)
    envelope = consent.approve(change, me=A, identity=key, ledger=ledger, now=now)
    assert statements.verify(
        envelope, kind=ApprovalStatement, keys=key.public
    ) == ApprovalStatement(
        org=A,
        ledger=ledger,
        entry=change.digest,
        expires=now + timedelta(days=7),
        issued_at=now,
    )


@pytest.mark.parametrize(
    "floor",
    [
        Floor(min_survivors=4),
        Floor(modes=("committee",)),
        Floor(allow_no_privacy_mechanism=False),
    ],
)
def test_a_plan_below_the_floor_is_for_a_person(federation, floor):
    entry = plan_entry(federation)
    assert consent.may_decide(entry, floor=Floor())
    assert not consent.may_decide(entry, floor=floor)


def test_a_plan_that_is_none_is_not_decided(federation):
    wrong = {**plan_entry(federation).plan, "unknown": 1}
    entry = PlanAdopted(change=1, plan=wrong, plan_digest=entries.plan_digest(wrong))
    with pytest.raises(MalformedMessage):
        consent.may_decide(entry, floor=Floor())


def test_members_keys_models_and_orchestrators_are_for_a_person(federation):
    genesis = federation.fed.recorder.in_force.genesis
    keys = MemberKeys.of(federation.key(A).public)
    enrolled = federation.apply("org-new").entry
    for entry in (
        genesis,
        enrolled,
        MemberKeyRotated(change=1, org_id=A, keys=keys, previous=sha256(b"x")),
        MemberSuspended(change=1, org_id=A, reason="x"),
        OrchestratorReplaced(
            change=1,
            orchestrator=keys,
            publisher=genesis.publisher,
            origin="other.example/ledger",
        ),
        ModelRetired(
            change=1, model_hash=sha256(b"x"), successor=sha256(b"y"), reason="x"
        ),
    ):
        assert not consent.may_decide(entry, floor=Floor())
    ceremony = KeyCeremony(change=1, record={}, fingerprint=sha256(b"x"), holders=())
    assert consent.may_decide(ceremony, floor=Floor())


# The agent.


def test_agents_within_their_floor_put_a_plan_into_force(federation):
    change = federation.orchestrator.propose_plan({})
    federation.participant(A).step(wait_s=0)
    found = federation.orchestrator.governance.proposal(change.digest)
    assert (found.approved_by, found.outcome) == ((A,), "")
    federation.fed.step()
    assert federation.fed.recorder.in_force.plan is not None


def test_a_plan_below_the_floor_is_never_approved_by_the_agent(federation, caplog):
    for org in (C, D):
        federation.insist(org, Floor(min_survivors=4))
    change = federation.orchestrator.propose_plan({})
    for _ in range(3):
        federation.fed.step()
    found = federation.orchestrator.governance.proposal(change.digest)
    assert (found.approved_by, found.outcome) == ((A, B), "")
    assert federation.fed.recorder.in_force.plan is None
    # said once by each of them, not at every look
    assert asked(caplog) == 2
    federation.approve(change, C)  # a person's
    assert federation.fed.recorder.in_force.plan is not None


@pytest.mark.parametrize("kind", ["enrolment", "suspension"])
def test_changes_of_members_are_never_approved_by_an_agent(federation, caplog, kind):
    if kind == "enrolment":
        change = federation.apply("org-new")
    else:
        change = federation.orchestrator.governance.propose(
            MemberSuspended(change=1, org_id=D, reason="x"), by="operator"
        )
    for _ in range(3):
        federation.fed.step()
    found = federation.orchestrator.governance.proposal(change.digest)
    assert (found.approved_by, found.outcome) == ((), "")
    assert asked(caplog) == 4


def test_where_a_person_is_asked_for_everything_the_agent_approves_nothing(
    federation, caplog
):
    federation.participant(A).follower._asks = True
    change = federation.orchestrator.propose_plan({})
    federation.participant(A).step(wait_s=0)
    assert federation.orchestrator.governance.proposal(change.digest).approved_by == ()
    assert asked(caplog) == 1


def test_an_agent_that_begins_again_renews_what_expired(federation):
    change = federation.orchestrator.propose_plan({})
    governance = federation.orchestrator.governance
    federation.participant(A).step(wait_s=0)
    for days, left in ((6, (A,)), (1, ())):
        federation.fed.clock.advance(seconds=days * 86_400)
        assert governance.proposal(change.digest).approved_by == left
    federation.restart(A)
    federation.participant(A).step(wait_s=0)
    assert governance.proposal(change.digest).approved_by == (A,)


def test_an_approval_that_expired_is_renewed_while_the_change_is_open(
    federation, caplog
):
    for org in (C, D):
        federation.insist(org, Floor(min_survivors=4))
    change = federation.orchestrator.propose_plan({})
    governance = federation.orchestrator.governance
    federation.fed.step()
    federation.fed.clock.advance(seconds=7 * 86_400)
    assert governance.proposal(change.digest).approved_by == ()
    for _ in range(3):
        federation.fed.step()
    assert governance.proposal(change.digest).approved_by == (A, B)
    # whom a person has to decide for is told once more, not at every look
    assert asked(caplog) == 4
    federation.approve(change, C)
    assert federation.fed.recorder.in_force.plan is not None


def test_a_plan_that_was_withdrawn_on_the_way_is_considered_when_wanted_again(
    federation,
):
    governance, link = federation.orchestrator.governance, federation.links[A]
    change = federation.orchestrator.propose_plan({})
    honest = link.approve

    def too_late(digest, approval):
        link.approve = honest
        governance.withdraw(digest)
        honest(digest, approval)

    link.approve = too_late
    federation.participant(A).step(wait_s=0)
    assert governance.proposal(change.digest).outcome == "withdrawn"
    federation.orchestrator.propose_plan({})
    federation.participant(A).step(wait_s=0)
    assert governance.proposal(change.digest).approved_by == (A,)


def test_an_approval_that_was_lost_on_the_way_is_sent_again(federation):
    link, lost = federation.links[A], []

    def lose(_):
        lost.append(1)
        del link.lies["lose"]
        raise Unavailable("lost")

    honest = link.approve

    def approve(digest, approval):
        if "lose" in link.lies:
            lose(None)
        honest(digest, approval)

    link.approve, link.lies["lose"] = approve, lose
    change = federation.orchestrator.propose_plan({})
    with pytest.raises(Unavailable):
        federation.participant(A).step(wait_s=0)
    governance = federation.orchestrator.governance
    assert governance.proposal(change.digest).approved_by == ()
    federation.participant(A).step(wait_s=0)
    assert governance.proposal(change.digest).approved_by == (A,)


def test_a_change_that_others_decided_meanwhile_stops_nobody(federation):
    """Its quorum was reached between our look at the standing and our approval."""
    link = federation.links[D]

    def too_late(digest, approval):
        del digest, approval
        raise WrongPhase("this change is closed: it was adopted")

    link.approve = too_late
    federation.orchestrator.propose_plan({})
    federation.participant(D).step(wait_s=0)


def test_a_change_ahead_of_our_mirror_is_considered_when_we_are_there(federation):
    agent = federation.participant(D)
    old = federation.orchestrator.recorder.size()
    federation.fed.start_round()  # change 1
    federation.go_on(gone=lambda org, _: org == D)
    federation.go_on()
    change = federation.orchestrator.propose_plan({"clip_norm": 3.0})
    assert change.entry.change == 2
    # change 2 is shown to an agent that has not been shown change 1
    stale = federation.fork(old)
    fresh = type(agent.mirror)(
        store=stale.recorder._store, blobs=agent._desk.blobs, clock=federation.fed.clock
    )
    follower = agent.follower
    known, follower._mirror = follower._mirror, fresh
    follower._considered.clear()
    follower.consent((change.digest,))
    governance = federation.orchestrator.governance
    assert governance.proposal(change.digest).approved_by == ()
    follower._mirror = known
    federation.orchestrator.heads.require_quorum()
    agent.follow_ledger(federation.orchestrator.recorder.size())
    follower.consent((change.digest,))
    assert governance.proposal(change.digest).approved_by == (D,)


def test_an_agent_of_a_member_that_is_none_approves_nothing(federation):
    federation.participant(A).follower._me = OrgId("org-z")
    change = federation.orchestrator.propose_plan({})
    federation.participant(A).follower.consent((change.digest,))
    assert federation.orchestrator.governance.proposal(change.digest).approved_by == ()
