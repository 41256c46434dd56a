# SPDX-License-Identifier: Apache-2.0
"""The orchestrator's machine as scripts: facts in, what is due out."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import AlreadyAnswered, UnknownSender, WrongPhase
from fedxdr.core.ids import OrgId, sha256
from fedxdr.federation import rounds
from fedxdr.federation.phases import ENDED, TABLE, Kind, Phase
from fedxdr.federation.rounds import (
    ClosePhase,
    Commit,
    Committed,
    Failed,
    FailRound,
    OpenSum,
    PhaseClosed,
    Propose,
    Proposed,
    Received,
    SumOpened,
    Wait,
)

SECAGG, CLEAR = TABLE["secagg"], TABLE["clear"]
IN_CLEAR = {"collection_mode": "clear", "acknowledge_clear": True}
DIGEST = sha256(b"x")


@dataclass(kw_only=True)
class Playbook:
    """A round, its clock, and every fact that was applied."""

    round: rounds.Round
    now: datetime
    facts: list[rounds.Fact] = field(default_factory=list)

    @property
    def orgs(self) -> tuple[OrgId, ...]:
        return self.round.announcement.cohort

    def due(self):
        return rounds.due(self.round, self.now)

    def apply(self, fact: rounds.Fact) -> None:
        self.facts.append(fact)
        self.round = rounds.apply(self.round, fact)

    def receive(self, kind: Kind, *orgs: OrgId, accepts: bool = True) -> None:
        for org in orgs:
            digest = sha256(f"{kind}{org}".encode())
            assert rounds.judge(self.round, kind=kind, org=org, digest=digest)
            self.apply(
                Received(
                    kind=kind, org=org, digest=digest, at=self.now, accepts=accepts
                )
            )

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def close(self) -> None:
        assert self.due() == ClosePhase(phase=self.round.phase)
        self.apply(PhaseClosed(phase=self.round.phase, at=self.now))

    def go_to(self, phase: Phase) -> None:
        """Let everybody answer everything until the round stands at a phase."""
        while self.round.phase is not phase:
            row = self.round.row
            if row is not None:
                self.receive(row.takes, *self.round.expected(row))
                self.close()
            elif self.round.phase is Phase.UNMASKING:
                assert self.due() == OpenSum()
                self.apply(SumOpened(model_hash=DIGEST, sum_digest=DIGEST, at=self.now))
            else:
                assert self.due() == Propose()
                self.apply(Proposed(prev_hash=DIGEST, at=self.now))


@pytest.fixture
def playbook(plan, announcement):
    def build(n: int = 4, **changed) -> Playbook:
        said = announcement(n)
        return Playbook(
            round=rounds.begin(said, plan(n, **changed)), now=said.opened_at
        )

    return build


# The table.


def test_the_table_is_the_protocol_of_the_design():
    assert [(row.phase, row.takes, row.then) for row in SECAGG] == [
        (Phase.ANNOUNCED, Kind.KEYS, Phase.KEYS),
        (Phase.KEYS, Kind.SHARES, Phase.SHARES),
        (Phase.SHARES, Kind.CONTRIBUTION, Phase.CONTRIBUTIONS),
        (Phase.CONTRIBUTIONS, Kind.SURVIVOR_SIGNATURE, Phase.SURVIVORS),
        (Phase.SURVIVORS, Kind.UNMASKING, Phase.UNMASKING),
    ]
    assert [(row.phase, row.takes, row.then) for row in CLEAR] == [
        (Phase.ANNOUNCED, Kind.KEYS, Phase.SHARES),
        (Phase.SHARES, Kind.CONTRIBUTION, Phase.UNMASKING),
    ]
    order = list(Phase)
    for row in (*SECAGG, *CLEAR):
        assert order.index(row.phase) < order.index(row.then)


@pytest.mark.parametrize("how", [{}, IN_CLEAR], ids=["secagg", "clear"])
def test_a_whole_round(playbook, how):
    book = playbook(**how)
    book.go_to(Phase.PROPOSED)
    assert book.due() == Wait(until=book.now + timedelta(seconds=30))
    book.receive(Kind.ACCEPTANCE, *book.orgs)
    assert book.due() == Commit()
    book.apply(Committed(height=7, at=book.now))
    assert book.round.phase is Phase.COMMITTED
    assert book.round.height == 7
    assert book.round.survivors == book.orgs
    assert book.round.dropouts == ()
    assert book.round.is_ended
    assert book.due() == Wait(until=None)


@pytest.mark.parametrize("row", SECAGG, ids=lambda row: str(row.phase))
class TestEachPhase:
    def test_it_waits_until_its_deadline_for_everybody(self, playbook, row):
        book = playbook()
        book.go_to(row.phase)
        end = book.now + timedelta(
            seconds=getattr(book.round.plan.deadlines, row.deadline)
        )
        assert book.due() == Wait(until=end) == Wait(until=rounds.deadline(book.round))
        book.receive(row.takes, *book.orgs[:-1])
        assert book.due() == Wait(until=end)

    def test_it_closes_at_once_when_everybody_has_answered(self, playbook, row):
        book = playbook()
        book.go_to(row.phase)
        book.receive(row.takes, *book.orgs)
        book.close()
        assert book.round.phase is row.then

    def test_it_closes_at_its_deadline_with_enough(self, playbook, row):
        book = playbook()
        book.go_to(row.phase)
        book.receive(row.takes, *book.orgs[:3])
        book.wait(getattr(book.round.plan.deadlines, row.deadline) - 0.001)
        assert isinstance(book.due(), Wait)
        book.wait(0.001)
        book.close()
        assert book.round.phase is row.then

    def test_it_fails_at_its_deadline_with_too_few(self, playbook, row):
        book = playbook()
        book.go_to(row.phase)
        book.receive(row.takes, *book.orgs[:2])
        book.wait(getattr(book.round.plan.deadlines, row.deadline))
        due = book.due()
        assert isinstance(due, FailRound)
        assert due.reason == "too-few-participants"
        assert f"2 of 4 sent their {row.takes} message" in due.sentence
        assert "needs 3" in due.sentence

    def test_it_takes_one_kind_of_message_only(self, playbook, row):
        book = playbook()
        book.go_to(row.phase)
        for kind in Kind:
            if kind is row.takes or book.orgs[0] in book.round.arrived.get(kind, {}):
                continue
            with pytest.raises(WrongPhase, match=f"stands at {row.phase}"):
                rounds.judge(book.round, kind=kind, org=book.orgs[0], digest=DIGEST)

    def test_late_messages_are_refused(self, playbook, row):
        book = playbook()
        book.go_to(row.phase)
        book.receive(row.takes, *book.orgs[:3])
        book.wait(getattr(book.round.plan.deadlines, row.deadline))
        book.close()
        with pytest.raises(WrongPhase):
            rounds.judge(book.round, kind=row.takes, org=book.orgs[3], digest=DIGEST)

    def test_the_same_bytes_again_are_the_same_answer_for_ever(self, playbook, row):
        book = playbook()
        book.go_to(row.phase)
        book.receive(row.takes, *book.orgs)
        digest = book.round.arrived[row.takes][book.orgs[0]]
        how = {"kind": row.takes, "org": book.orgs[0], "digest": digest}
        assert rounds.judge(book.round, **how) is False
        book.close()
        assert rounds.judge(book.round, **how) is False
        book.apply(Failed(reason="x", sentence="y", at=book.now))
        assert rounds.judge(book.round, **how) is False

    def test_other_bytes_are_refused(self, playbook, row):
        book = playbook()
        book.go_to(row.phase)
        book.receive(row.takes, book.orgs[0])
        with pytest.raises(AlreadyAnswered):
            rounds.judge(book.round, kind=row.takes, org=book.orgs[0], digest=DIGEST)

    def test_strangers_are_refused(self, playbook, row):
        book = playbook()
        book.go_to(row.phase)
        with pytest.raises(UnknownSender):
            rounds.judge(
                book.round, kind=row.takes, org=OrgId("stranger"), digest=DIGEST
            )

    def test_whoever_was_left_behind_is_not_awaited(self, playbook, row):
        if row.expected == "cohort":
            pytest.skip("in the first phase nobody is left behind")
        book = playbook()
        before = next(r for r in SECAGG if r.takes is row.expected)
        book.go_to(before.phase)
        book.receive(before.takes, *book.orgs[:3])
        book.wait(getattr(book.round.plan.deadlines, before.deadline))
        book.close()
        book.go_to(row.phase)
        left = book.orgs[3]
        assert left not in book.round.expected(row)
        with pytest.raises(UnknownSender, match="not awaited"):
            rounds.judge(book.round, kind=row.takes, org=left, digest=DIGEST)
        book.receive(row.takes, *book.orgs[:3])
        book.close()


def test_drop_outs_are_those_who_shared_and_did_not_contribute(playbook):
    book = playbook(n=7)
    book.receive(Kind.KEYS, *book.orgs[:6])
    book.wait(30)
    book.close()
    book.receive(Kind.SHARES, *book.orgs[:6])
    book.close()
    book.receive(Kind.CONTRIBUTION, *book.orgs[1:6])
    book.wait(600)
    book.close()
    assert book.round.survivors == book.orgs[1:6]
    assert book.round.dropouts == book.orgs[:1]


def test_min_survivors_above_the_threshold_counts(playbook):
    book = playbook(n=5, min_survivors=5)
    book.go_to(Phase.SHARES)
    book.receive(Kind.CONTRIBUTION, *book.orgs[:4])
    book.wait(600)
    assert "needs 5" in book.due().sentence
    # signatures and answers need the threshold only
    book = playbook(n=5, min_survivors=5)
    book.go_to(Phase.CONTRIBUTIONS)
    book.receive(Kind.SURVIVOR_SIGNATURE, *book.orgs[:4])
    book.wait(30)
    book.close()


@pytest.mark.parametrize("kind", [Kind.KEYS, Kind.SHARES, Kind.CONTRIBUTION])
def test_too_many_missing_of_the_cohort_fail_the_round(playbook, kind):
    book = playbook(n=10, max_failure_rate=0.2)
    row = next(row for row in SECAGG if row.takes is kind)
    book.go_to(row.phase)
    book.receive(kind, *book.orgs[:7])
    book.wait(600)
    assert book.due() == FailRound(
        reason="failure-rate",
        sentence="3 of 10 organisations are missing; the plan bears a share of 0.2",
    )


def test_the_failure_rate_counts_over_the_whole_round(playbook):
    book = playbook(n=10, max_failure_rate=0.2)
    for row in SECAGG[:2]:
        book.receive(row.takes, *book.orgs[: 9 if row is SECAGG[0] else 8])
        book.wait(30)
        book.close()
    book.receive(Kind.CONTRIBUTION, *book.orgs[:7])
    book.wait(600)
    assert book.due().reason == "failure-rate"


def test_exactly_the_rate_is_borne(playbook):
    book = playbook(n=10, max_failure_rate=0.3)
    book.receive(Kind.KEYS, *book.orgs[:7])
    book.wait(30)
    book.close()


# The proposal.


def proposed(playbook, n: int = 4, **how) -> Playbook:
    book = playbook(n=n, **how)
    book.go_to(Phase.PROPOSED)
    return book


def test_it_waits_for_all_verdicts_until_the_deadline(playbook):
    book = proposed(playbook)
    book.receive(Kind.ACCEPTANCE, *book.orgs[:3])
    assert book.due() == Wait(until=book.now + timedelta(seconds=30))
    book.wait(30)
    assert book.due() == Commit()


def test_after_the_deadline_it_waits_for_the_missing_signatures(playbook):
    book = proposed(playbook)
    book.receive(Kind.ACCEPTANCE, *book.orgs[:2])
    book.wait(10_000)
    assert book.due() == Wait(until=None)
    book.receive(Kind.ACCEPTANCE, book.orgs[2])
    assert book.due() == Commit()


def test_a_minority_of_rejections_is_borne(playbook):
    book = proposed(playbook)
    book.receive(Kind.ACCEPTANCE, book.orgs[0], accepts=False)
    assert isinstance(book.due(), Wait)
    book.receive(Kind.ACCEPTANCE, *book.orgs[1:])
    assert book.round.rejections == {book.orgs[0]}
    assert book.due() == Commit()


def test_as_soon_as_no_quorum_is_possible_the_round_is_rejected(playbook):
    book = proposed(playbook)
    book.receive(Kind.ACCEPTANCE, *book.orgs[:2], accepts=False)
    assert book.due() == FailRound(
        reason="rejected",
        sentence="the organisations reject the proposed model: org-00, org-01",
    )


def test_only_survivors_have_a_verdict(playbook):
    book = playbook()
    book.go_to(Phase.SHARES)
    book.receive(Kind.CONTRIBUTION, *book.orgs[:3])
    book.wait(600)
    book.close()
    book.go_to(Phase.PROPOSED)
    with pytest.raises(UnknownSender):
        rounds.judge(book.round, kind=Kind.ACCEPTANCE, org=book.orgs[3], digest=DIGEST)
    book.receive(Kind.ACCEPTANCE, *book.orgs[:3])
    assert book.due() == Commit()


@pytest.mark.parametrize(
    "phase",
    [p for p in Phase if p not in {Phase.COMMITMENTS, Phase.PROPOSED, *ENDED}],
)
def test_verdicts_come_after_the_proposal(playbook, phase):
    book = playbook()
    book.go_to(phase)
    with pytest.raises(WrongPhase):
        rounds.judge(book.round, kind=Kind.ACCEPTANCE, org=book.orgs[0], digest=DIGEST)


@pytest.mark.parametrize("phase", ENDED)
@pytest.mark.parametrize("kind", list(Kind))
def test_a_round_that_is_over_takes_nothing(playbook, phase, kind):
    book = playbook()
    book.apply(
        Committed(height=1, at=book.now)
        if phase is Phase.COMMITTED
        else Failed(reason="r", sentence="s", at=book.now)
    )
    with pytest.raises(WrongPhase):
        rounds.judge(book.round, kind=kind, org=book.orgs[0], digest=DIGEST)
    assert book.due() == Wait(until=None)
    assert rounds.deadline(book.round) is None


def test_a_closed_phase_of_another_mode_changes_nothing(playbook):
    book = playbook(**IN_CLEAR)
    before = book.round
    assert (
        rounds.apply(before, PhaseClosed(phase=Phase.SURVIVORS, at=book.now)) == before
    )


# Whatever happens, in whatever order.

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["message", "everybody", "wait", "drive", "drive"]),
        st.sampled_from(list(Kind)),
        st.integers(0, 5),
        st.booleans(),
        st.sampled_from([0.0, 1.0, 29.0, 31.0, 700.0]),
    ),
    max_size=60,
)


@settings(max_examples=150)
@given(steps=STEPS, n=st.integers(3, 5), mode=st.sampled_from(["secagg", "clear"]))
def test_whatever_comes_the_rules_hold(steps, n, mode, plan, announcement):
    how = IN_CLEAR if mode == "clear" else {}
    said = announcement(n)
    book = Playbook(round=rounds.begin(said, plan(n, **how)), now=said.opened_at)
    opened = 0
    for what, kind, place, accepts, seconds in steps:
        if what == "wait":
            book.wait(seconds)
        elif what == "everybody" and book.round.row is not None:
            row = book.round.row
            sent = book.round.sent(row.takes)
            book.receive(
                row.takes, *(o for o in book.round.expected(row) if o not in sent)
            )
        elif what == "message":
            org = OrgId(f"org-{place:02d}")
            digest = sha256(f"{kind}{org}{seconds < 30}".encode())
            try:
                is_new = rounds.judge(book.round, kind=kind, org=org, digest=digest)
            except (WrongPhase, UnknownSender, AlreadyAnswered):
                continue
            if is_new:
                book.apply(
                    Received(
                        kind=kind, org=org, digest=digest, at=book.now, accepts=accepts
                    )
                )
        else:
            opened += act(book)
    check(book, opened)


def act(book: Playbook) -> int:
    """Do what is due; return whether the sum was opened."""
    match book.due():
        case ClosePhase(phase=phase):
            book.apply(PhaseClosed(phase=phase, at=book.now))
        case OpenSum():
            enough = max(book.round.plan.threshold, book.round.plan.min_survivors)
            assert len(book.round.survivors) >= enough
            if book.round.plan.collection_mode == "secagg":
                threshold = book.round.plan.threshold
                assert len(book.round.sent(Kind.SURVIVOR_SIGNATURE)) >= threshold
                assert len(book.round.sent(Kind.UNMASKING)) >= threshold
            book.apply(SumOpened(model_hash=DIGEST, sum_digest=DIGEST, at=book.now))
            return 1
        case Propose():
            book.apply(Proposed(prev_hash=DIGEST, at=book.now))
        case Commit():
            accepted = len(book.round.sent(Kind.ACCEPTANCE)) - len(
                book.round.rejections
            )
            assert accepted >= book.round.plan.threshold
            book.apply(Committed(height=1, at=book.now))
        case FailRound(reason=reason, sentence=sentence):
            book.apply(Failed(reason=reason, sentence=sentence, at=book.now))
        case Wait():
            pass
    return 0


def check(book: Playbook, opened: int) -> None:
    # the facts alone give the same round again
    again = rounds.begin(book.round.announcement, book.round.plan)
    for fact in book.facts:
        again = rounds.apply(again, fact)
    assert again == book.round
    assert opened <= 1
    assert (book.round.opened is not None) == bool(opened)
    # each phase was closed once, in order
    closed = [f.phase for f in book.facts if isinstance(f, PhaseClosed)]
    assert (
        closed
        == [row.phase for row in TABLE[book.round.plan.collection_mode]][: len(closed)]
    )
    # whoever sent something later sent everything before
    chain = [Kind.KEYS, Kind.SHARES, Kind.CONTRIBUTION]
    if book.round.plan.collection_mode == "clear":
        chain.remove(Kind.SHARES)
    for earlier, later in itertools.pairwise(chain):
        assert set(book.round.sent(later)) <= set(book.round.sent(earlier))
    assert set(book.round.sent(Kind.UNMASKING)) <= set(book.round.survivors)
    assert not set(book.round.survivors) & set(book.round.dropouts)
    counted = [(f.kind, f.org) for f in book.facts if isinstance(f, Received)]
    assert len(counted) == len(set(counted))
    # it came to an end by itself or can go on
    if book.round.is_ended:
        assert (book.round.failure is None) == (book.round.phase is Phase.COMMITTED)
