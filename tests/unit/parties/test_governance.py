# SPDX-License-Identifier: Apache-2.0
"""Who decides: approvals that do not count, and what happens when one does."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from fedxdr.core import canonical
from fedxdr.core.errors import (
    BadSignature,
    InvalidInput,
    MalformedMessage,
    NotFound,
    UnknownSender,
    WaitingForQuorum,
    WrongPhase,
)
from fedxdr.core.ids import OrgId, sha256
from fedxdr.crypto import envelope as dsse
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger.entries import (
    Genesis,
    MemberEnrolled,
    MemberSuspended,
    PlanAdopted,
    plan_digest,
)
from fedxdr.parties.changes import ProposedChange
from fedxdr.parties.governance import ADOPTED, MOST_OPEN, WITHDRAWN
from fedxdr.parties.recording import Recorder
from fedxdr.storage.memory import MemoryBlobs, MemoryBlockStore

A, B, C, D = (OrgId(f"org-{letter}") for letter in "abcd")
NAME = "in the name of org-b"
NEW, LATE = OrgId("org-new"), OrgId("org-late")


@pytest.fixture
def federation(plain_world):
    """Return four members, of whom three decide, on a head that all have cosigned."""
    made = plain_world(n=4)
    made.fed.step()
    return made


def desk(federation):
    return federation.orchestrator.governance


def members(federation):
    return federation.fed.recorder.in_force.cohort


def suspension(federation, org=D) -> ProposedChange:
    governance = desk(federation)
    entry = MemberSuspended(
        change=governance.next_number, org_id=org, reason="left the federation"
    )
    return governance.propose(entry, by="org-a")


# Approvals.


def test_a_quorum_decides_and_no_fewer(federation):
    change = federation.apply("org-new")
    size = federation.fed.recorder.size()
    federation.approve(change, A, B)
    # the same ones again are no more of them
    federation.approve(change, A, B, A)
    assert federation.fed.recorder.size() == size
    assert desk(federation).proposal(change.digest).approved_by == (A, B)
    federation.approve(change, C)
    assert NEW in members(federation)
    assert desk(federation).proposal(change.digest).outcome == ADOPTED


@pytest.mark.parametrize("who", ["org-z", "operator", "org-new"])
def test_whoever_is_no_member_has_no_say(federation, who):
    """The applicant itself included."""
    change = federation.apply("org-new")
    federation.fed.keys.setdefault(OrgId(who), federation.fed.operator)
    approval = federation.approval(change, who)
    with pytest.raises(UnknownSender, match=f"{who} has no say"):
        desk(federation).approve(change.digest, OrgId(who), approval)
    assert desk(federation).proposal(change.digest).approved_by == ()


def test_approvals_that_do_not_count(federation):
    change = federation.apply("org-new")
    now = federation.fed.clock.now()
    stranger = IdentityKey.generate(federation.fed.entropy)
    good = federation.approval(change, A)
    for wrong, error, why in (
        (federation.approval(change, A, entry=sha256(b"x")), InvalidInput, "another"),
        (federation.approval(change, A, ledger=sha256(b"x")), InvalidInput, "another"),
        (federation.approval(change, A, expires=now), InvalidInput, "expired"),
        (federation.approval(change, A, key=stranger), BadSignature, ""),
        (federation.approval(change, A, key=federation.fed.keys[B]), BadSignature, ""),
        (
            federation.approval(change, B, key=federation.fed.keys[A]),
            BadSignature,
            NAME,
        ),
        (federation.approval(change, B), BadSignature, ""),
        # one of the two signatures only, either of them
        (dataclasses.replace(good, signatures=good.signatures[:1]), BadSignature, ""),
        (dataclasses.replace(good, signatures=good.signatures[1:]), BadSignature, ""),
        (
            dsse.sign_twice("application/other", good.payload, federation.key(A)),
            BadSignature,
            "signed as",
        ),
    ):
        with pytest.raises(error, match=why or None):
            desk(federation).approve(change.digest, A, wrong)
        assert desk(federation).proposal(change.digest).approved_by == ()
    desk(federation).approve(change.digest, A, good)
    assert desk(federation).proposal(change.digest).approved_by == (A,)


def test_an_approval_that_expired_meanwhile_does_not_count(federation):
    change = federation.apply("org-new")
    now = federation.fed.clock.now()
    soon = federation.approval(change, A, expires=now + timedelta(seconds=60))
    desk(federation).approve(change.digest, A, soon)
    federation.fed.clock.advance(seconds=60)
    federation.approve(change, B, C)
    assert NEW not in members(federation)
    assert desk(federation).proposal(change.digest).outcome == ""
    federation.approve(change, A)
    assert NEW in members(federation)


def test_an_approval_that_does_not_count_is_not_shown(federation):
    """Nor does whoever waits for the change count on it."""
    change = federation.apply("org-new")
    soon = federation.fed.clock.now() + timedelta(seconds=60)
    desk(federation).approve(
        change.digest, A, federation.approval(change, A, expires=soon)
    )
    federation.approve(change, B)
    for advanced, shown, missing in ((59, (A, B), "org-c"), (1, (B,), "org-a, org-c")):
        federation.fed.clock.advance(seconds=advanced)
        assert desk(federation).proposal(change.digest).approved_by == shown
        (listed,) = desk(federation).proposals()
        assert listed.to_value()["approved_by"] == list(shown)
        waiting = str(desk(federation).waiting_for(change.digest))
        assert f"approved by {len(shown)} of the 3" in waiting
        assert f"not yet by {missing}, org-d" in waiting
    federation.approve(change, A, C)
    # what was decided stays as it was, however long ago
    federation.fed.clock.advance(seconds=30 * 86_400)
    closed = desk(federation).proposal(change.digest)
    assert (closed.outcome, closed.approved_by) == (ADOPTED, (A, B, C))


def test_with_a_slow_clock_no_approval_is_used_that_the_ledger_calls_expired(
    federation,
):
    federation.apply("org-new")
    now = federation.fed.clock.now()
    # the newest block is dated later than the clock shows now
    federation.fed.clock.advance(seconds=120)
    federation.play()
    federation.fed.step()
    federation.fed.clock._now = now
    change = desk(federation).applications()[NEW]
    renewed = federation.approval(change, A, expires=now + timedelta(seconds=60))
    desk(federation).approve(change.digest, A, renewed)
    federation.approve(change, B, C)
    assert desk(federation).proposal(change.digest).outcome == ""
    federation.approve(change, D)
    assert NEW in members(federation)


class Ticking:
    """A clock on which a millisecond passes whenever somebody looks at it."""

    def __init__(self, now):
        self._now = now

    def now(self):
        self._now += timedelta(milliseconds=1)
        return self._now


def test_an_approval_that_expires_while_it_is_used_withdraws_nothing(federation):
    """Wherever between counting and dating the block that may be."""
    clock = Ticking(federation.fed.clock.now())
    federation.fed.recorder._clock = desk(federation)._clock = clock
    outcomes = []
    for lifetime_ms in range(1, 14):
        federation.fed.clock._now = clock.now()
        entry = MemberSuspended(change=1, org_id=D, reason=f"reason {lifetime_ms}")
        change = desk(federation).propose(entry, by="operator")
        federation.approve(change, A, B)
        soon = clock.now() + timedelta(milliseconds=lifetime_ms + 0.5)
        last = federation.approval(change, C, expires=soon)
        desk(federation).approve(change.digest, C, last)
        outcomes.append(desk(federation).proposal(change.digest).outcome)
        if outcomes[-1]:
            break
        desk(federation).withdraw(change.digest)
    assert outcomes == [""] * (len(outcomes) - 1) + [ADOPTED]
    assert len(outcomes) > 1


@pytest.mark.parametrize("wrong", ["entry", "ledger", "signature"])
def test_a_wrong_approval_that_is_stored_takes_nothing_from_the_others(
    federation, wrong
):
    """However it came there."""
    change = suspension(federation)
    good = federation.approval(change, A)
    if wrong == "signature":
        first, second = good.signatures
        broken = dataclasses.replace(first, sig=bytes(len(first.sig)))
        junk = dataclasses.replace(good, signatures=(broken, second))
    else:
        junk = federation.approval(change, A, **{wrong: sha256(b"x")})
    desk(federation)._store.approve(change.digest, A, junk.to_json())
    federation.approve(change, B, C)
    assert desk(federation).proposal(change.digest).outcome == ""
    federation.approve(change, D)
    assert desk(federation).proposal(change.digest).outcome == ADOPTED


def test_what_cannot_stand_gives_way_to_the_next_and_says_why(federation):
    """As if a release before this one had filed it."""
    governance, fed = desk(federation), federation.fed
    entry = MemberSuspended(change=1, org_id=OrgId("org-z"), reason="no member")
    governance._file(entry, envelopes=(), by="operator")
    (first,) = governance.proposals()
    second = suspension(federation)
    for change in (first, second):
        for org in (A, B, C):
            approval = federation.approval(change, org).to_json()
            governance._store.approve(change.digest, org, approval)
    size = fed.recorder.size()
    assert governance.advance().height == size
    assert governance.proposal(second.digest).outcome == ADOPTED
    withdrawn = governance.proposal(first.digest)
    assert withdrawn.outcome == WITHDRAWN
    assert "org-z" in withdrawn.why
    assert ProposedChange.from_value(withdrawn.to_value()) == withdrawn


def test_an_approval_is_worth_nothing_for_the_same_entry_later(federation):
    change = federation.apply("org-new")
    approvals = {org: federation.approval(change, org) for org in (A, B)}
    for org, approval in approvals.items():
        desk(federation).approve(change.digest, org, approval)
    federation.fed.start_round()  # a plan is adopted: the application is change 2 now
    federation.go_on()
    renewed = desk(federation).applications()[NEW]
    assert renewed.digest != change.digest
    assert renewed.entry == dataclasses.replace(change.entry, change=2)
    assert renewed.approved_by == ()
    for org, approval in approvals.items():
        with pytest.raises(InvalidInput, match="another change"):
            desk(federation).approve(renewed.digest, org, approval)
        with pytest.raises(WrongPhase, match="withdrawn"):
            desk(federation).approve(change.digest, org, approval)


def test_a_change_that_nobody_proposed(federation):
    change = federation.apply("org-new")
    with pytest.raises(NotFound):
        desk(federation).approve(sha256(b"x"), A, federation.approval(change, A))
    with pytest.raises(NotFound):
        desk(federation).withdraw(sha256(b"x"))


# Adoption.


def test_nothing_is_adopted_on_a_head_without_a_quorum(plain_world):
    federation = plain_world(n=4)  # nobody has cosigned the Genesis yet
    change = federation.apply("org-new")
    federation.approve(change, A, B, C, D)
    assert NEW not in members(federation)
    for org in (A, B):
        federation.participant(org).step(wait_s=0)
        assert NEW not in members(federation)
    # the third cosignature makes the quorum, and the change is adopted by it
    federation.participant(C).step(wait_s=0)
    assert NEW in members(federation)


def test_nothing_is_adopted_while_a_round_runs(federation):
    federation.start()
    size = federation.fed.recorder.size()
    change = federation.apply("org-new")
    federation.approve(change, A, B, C, D)
    assert federation.fed.recorder.size() == size
    federation.go_on()
    assert federation.round.announcement.cohort == (A, B, C, D)
    federation.fed.step()
    assert NEW in members(federation)


def test_what_is_open_is_proposed_anew_when_another_change_is_adopted(federation):
    first, second = federation.apply("org-new"), federation.apply("org-late")
    other = suspension(federation)
    federation.approve(second, A, B)
    federation.approve(first, A, B, C)
    assert [c.entry.change for c in desk(federation).proposals()] == [2, 2]
    late = desk(federation).applications()[LATE]
    assert late.approved_by == ()
    assert late.envelopes == second.envelopes
    assert late.proposed_by == second.proposed_by
    for old in (second, other):
        assert desk(federation).proposal(old.digest).outcome == WITHDRAWN
    # and the members before it decide about it, on a head that they cosigned
    federation.approve(late, A, B, C, NEW)
    assert LATE not in members(federation)
    federation.fed.step()
    assert members(federation) == tuple(sorted((A, B, C, D, NEW, LATE)))


def test_whoever_has_as_many_open_changes_as_may_be_stops_no_adoption(federation):
    """They get their new numbers, and the orchestrator starts again."""
    for number in range(MOST_OPEN):
        entry = MemberSuspended(change=1, org_id=D, reason=f"reason {number}")
        desk(federation).propose(entry, by="org-a")
    federation.approve(federation.apply("org-new"), A, B, C)
    assert NEW in members(federation)
    federation.restart_orchestrator()
    open_ = desk(federation).proposals()
    assert [change.entry.change for change in open_] == [2] * MOST_OPEN


# Plans.


def plan_of(federation) -> float:
    return federation.fed.recorder.in_force.plan.clip_norm


def test_a_plan_that_failed_is_not_adopted_before_or_after_the_next_one(federation):
    """The members were away when it was wished for; then something else was."""
    with pytest.raises(WaitingForQuorum):
        federation.orchestrator.start_round(wishes={"clip_norm": 3.0})
    (failed,) = desk(federation).proposals()
    federation.approve(failed, A, B)  # one too few
    federation.fed.start_round(wishes={"clip_norm": 5.0})
    assert plan_of(federation) == 5.0
    assert federation.fed.recorder.in_force.changes == 1
    assert desk(federation).proposal(failed.digest).outcome == WITHDRAWN
    with pytest.raises(WrongPhase, match="withdrawn"):
        federation.approve(failed, C)
    federation.go_on()
    for _ in range(3):
        federation.fed.step()
    assert plan_of(federation) == 5.0
    assert desk(federation).proposals() == []


def test_a_plan_that_is_wished_for_again_has_its_approvals_still(federation):
    first = federation.orchestrator.propose_plan({"clip_norm": 3.0})
    federation.approve(first, A, B)
    federation.orchestrator.propose_plan({"clip_norm": 5.0})
    again = federation.orchestrator.propose_plan({"clip_norm": 3.0})
    assert (again.digest, again.approved_by) == (first.digest, (A, B))
    assert desk(federation).open_digests() == (first.digest,)
    federation.approve(first, C)
    assert plan_of(federation) == 3.0


def test_failed_plans_never_use_up_what_a_proposer_may_have_open(federation):
    for clip_norm in range(1, MOST_OPEN + 3):
        federation.orchestrator.propose_plan({"clip_norm": float(clip_norm)})
    (open_,) = desk(federation).proposals()
    assert open_.entry.plan["clip_norm"] == MOST_OPEN + 2


def test_a_plan_takes_no_other_changes_place_nor_anothers_plan(federation):
    other = suspension(federation)
    mine = federation.orchestrator.propose_plan({"clip_norm": 3.0})
    plan = canonical.builtins(federation.orchestrator._plan_for(4, {"clip_norm": 4.0}))
    theirs = desk(federation).propose(
        PlanAdopted(change=1, plan=plan, plan_digest=plan_digest(plan)), by="org-b"
    )
    assert set(desk(federation).open_digests()) == {
        other.digest, mine.digest, theirs.digest,
    }  # fmt: skip


def test_killed_between_a_plan_and_what_it_takes_the_place_of(federation, killed):
    first = federation.orchestrator.propose_plan({"clip_norm": 3.0})
    fuse = federation.make_orchestrator_mortal()
    fuse.left, fuse.is_after = 1, True
    with pytest.raises(killed):
        federation.orchestrator.propose_plan({"clip_norm": 5.0})
    federation.restart_orchestrator()
    second = federation.orchestrator.propose_plan({"clip_norm": 5.0})
    assert desk(federation).open_digests() == (second.digest,)
    assert desk(federation).proposal(first.digest).outcome == WITHDRAWN


def test_what_the_other_change_made_impossible_is_withdrawn(federation):
    first, again = suspension(federation), suspension(federation, C)
    same = desk(federation).propose(
        dataclasses.replace(first.entry, reason="something else"), by="org-b"
    )
    federation.approve(first, A, B, C)
    assert D not in members(federation)
    assert desk(federation).proposal(same.digest).outcome == WITHDRAWN
    (open_,) = desk(federation).proposals()
    assert open_.entry == dataclasses.replace(again.entry, change=2)


def test_killed_at_every_write_of_an_adoption_nothing_is_lost(plain_world, killed):
    """Neither the change, nor what else was open, nor its outcome."""
    left = 0
    while True:
        left += 1
        for is_after in (False, True):
            federation = plain_world(n=4)
            federation.fed.step()
            change, other = federation.apply("org-new"), federation.apply("org-late")
            federation.approve(change, A, B)
            fuse = federation.make_orchestrator_mortal()
            fuse.left, fuse.is_after = left, is_after
            approval = federation.approval(change, C)
            try:
                federation.orchestrator.approve(change.digest, C, approval)
            except killed:
                federation.restart_orchestrator()
                if not desk(federation).proposal(change.digest).outcome:
                    federation.approve(change, C)
                was_killed = True
            else:
                was_killed = False
            assert desk(federation).proposal(change.digest).outcome == ADOPTED
            assert NEW in members(federation)
            (open_,) = desk(federation).proposals()
            assert open_.entry == dataclasses.replace(other.entry, change=2)
            assert not desk(federation).open_digests()[1:]
        if not was_killed:
            break
    assert left > 4


# Proposals.


def test_a_change_that_could_never_stand_is_not_filed(federation):
    governance = desk(federation)
    plan = canonical.builtins(federation.orchestrator._plan_for(4, {}))
    genesis = federation.fed.recorder.in_force.genesis
    for wrong in (
        genesis,
        MemberSuspended(change=2, org_id=A, reason="the number of a later change"),
        MemberSuspended(change=1, org_id=OrgId("org-z"), reason="no member"),
        PlanAdopted(change=1, plan=plan, plan_digest=sha256(b"x")),
    ):
        with pytest.raises(InvalidInput):
            governance.propose(wrong, by="operator")
    assert not governance.proposals()


def test_before_the_founding_only_founders_are_proposed(federation):
    governance = desk(federation)
    governance._recorder = Recorder(
        store=MemoryBlockStore(), blobs=MemoryBlobs(), clock=federation.fed.clock
    )
    with pytest.raises(InvalidInput, match="not founded yet"):
        governance.propose(
            MemberSuspended(change=1, org_id=A, reason="x"), by="operator"
        )


def test_the_same_change_again_is_the_same(federation):
    change = suspension(federation)
    federation.approve(change, A)
    again = desk(federation).propose(change.entry, by="org-b")
    assert again == desk(federation).proposal(change.digest)
    assert again.approved_by == (A,)
    assert len(desk(federation).proposals()) == 1


def test_a_change_is_proposed_without_approvals(federation):
    """With junk beside it, whose suspension it is would keep it from the ledger."""
    governance = desk(federation)
    change = suspension(federation)
    entry = change.entry
    governance.withdraw(change.digest)
    for junk in (
        federation.approval(change, D, entry=sha256(b"x")),
        federation.approval(change, D),
    ):
        with pytest.raises(InvalidInput, match="without approvals"):
            governance.propose(entry, envelopes=[junk], by="org-d")
    assert governance.proposals() == []
    # filed first by its subject without anything, it is the others' all the same
    first = governance.propose(entry, by="org-d")
    assert governance.propose(entry, by="org-a") == first
    federation.approve(first, A, B, C)
    assert D not in members(federation)


def test_what_was_withdrawn_is_whoever_proposes_it_again(federation):
    governance = desk(federation)
    entry = MemberSuspended(change=1, org_id=D, reason="left the federation")
    change = governance.propose(entry, by="org-d")
    federation.approve(change, A)
    governance.withdraw(change.digest, why="a mistake")
    closed = governance.proposal(change.digest)
    assert (closed.outcome, closed.why) == (WITHDRAWN, "a mistake")
    federation.fed.clock.advance(seconds=1)
    again = governance.propose(entry, by="org-b")
    assert (again.proposed_by, again.why) == ("org-b", "")
    assert again.proposed_at > change.proposed_at
    assert again.approved_by == (A,), "over this very entry"


def test_what_was_withdrawn_is_approved_no_more(federation):
    change = suspension(federation)
    federation.approve(change, A, B)
    desk(federation).withdraw(change.digest)
    assert federation.orchestrator.standing().changes == ()
    assert desk(federation).proposals() == []
    with pytest.raises(WrongPhase, match="withdrawn"):
        federation.approve(change, C)
    with pytest.raises(WrongPhase, match="withdrawn"):
        desk(federation).withdraw(change.digest)
    federation.fed.step()
    assert D in members(federation)


def test_a_restart_knows_proposals_and_approvals(federation):
    change = federation.apply("org-new")
    federation.approve(change, A, B)
    federation.restart_orchestrator()
    assert desk(federation).open_digests() == (change.digest,)
    assert desk(federation).proposal(change.digest).approved_by == (A, B)
    federation.approve(change, C)
    assert NEW in members(federation)


def test_whoever_was_suspended_has_no_say_any_more(federation):
    federation.admit("org-new")
    federation.fed.step()
    out, other = suspension(federation, D), suspension(federation, C)
    federation.approve(other, D)
    federation.approve(out, A, B, C, NEW)
    federation.fed.step()
    assert D not in members(federation)
    (other,) = desk(federation).proposals()
    with pytest.raises(UnknownSender, match="org-d has no say"):
        federation.approve(other, D)


def test_who_waits_for_whom_is_said(federation):
    change = federation.apply("org-new")
    federation.approve(change, B)
    error = desk(federation).waiting_for(change.digest)
    assert isinstance(error, WaitingForQuorum)
    assert "1 of the 3" in str(error)
    assert "not yet by org-a, org-c, org-d" in str(error)


# As it travels.


def test_a_proposal_travels_whole_and_under_its_own_digest(federation):
    change = federation.apply("org-new")
    federation.approve(change, A)
    (change,) = desk(federation).proposals()
    value = canonical.parse_jcs(canonical.jcs(change.to_value()))
    assert ProposedChange.from_value(value) == change
    other = MemberSuspended(change=1, org_id=A, reason="x")
    for wrong in (
        {**value, "digest": sha256(b"x")},
        {**value, "entry": canonical.builtins(other)},
        {**value, "proposed_at": "yesterday"},
        {**value, "approved_by": "org-a"},
        {k: v for k, v in value.items() if k != "entry"},
        {},
        None,
    ):
        with pytest.raises(MalformedMessage):
            ProposedChange.from_value(wrong)


def test_rounds_are_nothing_that_members_decide(federation):
    federation.play()
    (signed,) = federation.fed.recorder.blocks(begin=2, end=3)
    value = {
        **suspension(federation).to_value(),
        "entry": canonical.builtins(signed.block.entry),
    }
    with pytest.raises(MalformedMessage, match="rounds are no changes"):
        ProposedChange.from_value(value)


# The founding.


@pytest.fixture
def unfounded(plain_world, monkeypatch):
    """Return a federation whose founders have applied, and approved nothing."""
    from fedxdr.simulation.federation import SimulatedFederation  # noqa: PLC0415 - patched

    monkeypatch.setattr(SimulatedFederation, "_found", lambda _: None)
    return plain_world(n=3)


def test_one_missing_founder_and_there_is_no_genesis(unfounded):
    genesis = unfounded.fed.registrar.found()
    assert isinstance(genesis.entry, Genesis)
    unfounded.approve(genesis, A, B)
    assert not unfounded.fed.recorder.is_begun
    unfounded.restart_orchestrator()
    assert not unfounded.fed.recorder.is_begun
    unfounded.approve(genesis, C)
    assert members(unfounded) == (A, B, C)
    # no application of theirs is left open
    assert desk(unfounded).proposals() == []


def test_before_the_founding_nobody_is_enrolled_by_anybody(unfounded):
    change = desk(unfounded).applications()[A]
    with pytest.raises(UnknownSender):
        desk(unfounded).approve(change.digest, B, unfounded.approval(change, B))
    assert desk(unfounded).advance() is None
    assert not unfounded.fed.recorder.is_begun


def test_whoever_is_no_founder_does_not_found(unfounded):
    genesis = unfounded.fed.registrar.found()
    unfounded.fed.keys[NEW] = IdentityKey.generate(unfounded.fed.entropy)
    with pytest.raises(UnknownSender, match="org-new has no say"):
        unfounded.approve(genesis, NEW)
    with pytest.raises(BadSignature):
        desk(unfounded).approve(
            genesis.digest, A, unfounded.approval(genesis, A, key=unfounded.fed.keys[B])
        )


def test_whoever_applies_too_late_for_the_genesis_is_not_lost(unfounded):
    genesis = unfounded.fed.registrar.found()
    late = unfounded.apply("org-late")
    unfounded.approve(genesis, A, B, C)
    assert members(unfounded) == (A, B, C)
    assert unfounded.fed.registrar.status_of(LATE) == "pending"
    change = desk(unfounded).applications()[LATE]
    assert isinstance(change.entry, MemberEnrolled)
    assert change.digest == late.digest
    # the agents stand where the federation was founded
    unfounded.fed.step()
    unfounded.approve(change, A, B)
    assert LATE in members(unfounded)


def test_another_founder_makes_another_genesis(unfounded):
    first = unfounded.fed.registrar.found()
    assert unfounded.fed.registrar.found() == first
    unfounded.approve(first, A)
    unfounded.apply("org-late")
    second = unfounded.fed.registrar.found()
    assert set(second.entry.founders) == {A, B, C, LATE}
    assert second.approved_by == ()
    with pytest.raises(WrongPhase):
        unfounded.approve(first, B)


def test_a_founder_with_other_keys_makes_another_genesis(unfounded):
    first = unfounded.fed.registrar.found()
    desk(unfounded).withdraw(desk(unfounded).applications()[C].digest)
    unfounded.fed.clock.advance(seconds=1)
    unfounded.apply(C, IdentityKey.generate(unfounded.fed.entropy))
    second = unfounded.fed.registrar.found()
    assert set(second.entry.founders) == set(first.entry.founders)
    assert second.entry.founders[C] != first.entry.founders[C]
    unfounded.approve(second, A, B, C)
    assert members(unfounded) == (A, B, C)


def test_founded_once_is_founded(federation):
    with pytest.raises(WrongPhase, match="founded already"):
        federation.fed.registrar.found()
