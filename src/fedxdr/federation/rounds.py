# SPDX-License-Identifier: Apache-2.0
"""The orchestrator's side of one round, as a machine without input or output.

Facts go in (``apply``), what is due comes out (``due``), time is an argument. The state
is nothing but the facts in their order, so a restarted orchestrator reads its facts
back and goes on where it was killed.

Rules that always hold:
    1. A fact is stored before it is applied; ``apply`` never refuses a stored fact.
    2. One organisation counts once: the same bytes again are the same answer, other
       bytes are refused (``judge``).
    3. A phase closes once, with the set that was there; what comes later is refused.
    4. The sum is opened once. After that the round can wait, be committed or be
       rejected by its organisations, and never goes back.
    5. Too few at any step fail the round before anything is opened.

The tables are in phases.py.

Source: Bonawitz et al. 2017 (CCS), figure 4, with signed sets; design 2.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import assert_never

from fedxdr.core.errors import AlreadyAnswered, UnknownSender, WrongPhase
from fedxdr.core.ids import Digest, OrgId
from fedxdr.federation.messages import Announcement
from fedxdr.federation.phases import (
    BEFORE_CONTRIBUTION,
    ENDED,
    TABLE,
    Kind,
    Phase,
    Row,
)
from fedxdr.federation.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Fact: a valid message of an organisation has been stored.

    Attributes:
        accepts: the verdict of an acceptance.
        excludes: whose contribution its sender says cannot be in the sum.
    """

    kind: Kind
    org: OrgId
    digest: Digest
    at: datetime
    accepts: bool = True
    excludes: tuple[OrgId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseClosed:
    """Fact: the phase takes no more messages."""

    phase: Phase
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SumOpened:
    """Fact: the sum was opened and the new model is stored.

    Attributes:
        model_hash: SHA-256 of the new snapshot.
        sum_digest: SHA-256 of the opened integer sum.
        proof: SHA-256 of what shows that the sum is right, in modes that have that.
    """

    model_hash: Digest
    sum_digest: Digest
    at: datetime
    proof: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """Fact: the signed proposal is stored; it names the ledger's head."""

    prev_hash: Digest
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """Fact: the block is on the ledger."""

    height: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Fact: the round ended without a new model.

    Attributes:
        reason: a stable word, for example ``too-few-participants``.
        sentence: what happened, for people.
    """

    reason: str
    sentence: str
    at: datetime


Fact = Received | PhaseClosed | SumOpened | Proposed | Committed | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosePhase:
    """Due: store ``PhaseClosed`` for this phase."""

    phase: Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSum:
    """Due: reconstruct, open the sum, make the new model, store ``SumOpened``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Propose:
    """Due: sign and store the proposal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """Due: append the block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailRound:
    """Due: store ``Failed`` and record it on the ledger."""

    reason: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing is due before that instant; None: until a message comes."""

    until: datetime | None


Due = ClosePhase | OpenSum | Propose | Commit | FailRound | Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """All that the facts say about one round.

    Attributes:
        announcement: who was asked for what, on which parent.
        plan: the plan in force.
        phase: the last complete step.
        since: when that step was completed.
        arrived: for each kind of message, the digest of what each organisation sent.
        rejections: organisations that replayed or checked and said no.
        excluded: whose contribution a helper could not open its part of.
        opened: the opened sum, once there is one.
        proposed: the proposal, once there is one.
        height: of the committed block.
        failure: why the round ended without a model.
    """

    announcement: Announcement
    plan: Plan
    phase: Phase = Phase.ANNOUNCED
    since: datetime
    arrived: dict[Kind, dict[OrgId, Digest]] = field(default_factory=dict)
    rejections: frozenset[OrgId] = frozenset()
    excluded: frozenset[OrgId] = frozenset()
    opened: SumOpened | None = None
    proposed: Proposed | None = None
    height: int | None = None
    failure: Failed | None = None

    def sent(self, kind: Kind) -> tuple[OrgId, ...]:
        """Return, in order of name, who sent that kind of message."""
        return tuple(sorted(self.arrived.get(kind, {})))

    def expected(self, row: Row) -> tuple[OrgId, ...]:
        """Return whose message a phase awaits."""
        match row.expected:
            case "cohort":
                return self.announcement.cohort
            case "helpers":
                return self.plan.helpers
            case "survivors":
                return self.survivors
            case kind:
                return self.sent(kind)

    @property
    def row(self) -> Row | None:
        """The table's line for this phase, None where it takes no message."""
        for row in TABLE[self.plan.collection_mode]:
            if row.phase is self.phase:
                return row
        return None

    @property
    def survivors(self) -> tuple[OrgId, ...]:
        """Whose contribution is in the sum."""
        return tuple(o for o in self.sent(Kind.CONTRIBUTION) if o not in self.excluded)

    @property
    def dropouts(self) -> tuple[OrgId, ...]:
        """Who sent what had to come before a contribution, and is not in the sum."""
        before = BEFORE_CONTRIBUTION[self.plan.collection_mode]
        return tuple(o for o in self.sent(before) if o not in self.survivors)

    @property
    def is_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.phase in ENDED


def begin(announcement: Announcement, plan: Plan) -> Round:
    """Return a round that has just been announced."""
    return Round(announcement=announcement, plan=plan, since=announcement.opened_at)


def judge(round_: Round, *, kind: Kind, org: OrgId, digest: Digest) -> bool:
    """Say whether a message is new here.

    Args:
        round_: the round as it stands.
        kind: what the message is.
        org: who signed it.
        digest: SHA-256 of its bytes.

    Returns:
        True if it is to be stored, False if the very same bytes were stored before (a
        retry: give the same answer again).

    Raises:
        AlreadyAnswered: other bytes than those the organisation sent before.
        UnknownSender: not one of those whose message is awaited.
        WrongPhase: too early, too late, or the round has ended.
    """
    before = round_.arrived.get(kind, {}).get(org)
    if before == digest:
        return False
    if before is not None:
        raise AlreadyAnswered(
            f"{org} has sent another {kind} message in this round; only the first "
            "counts, and it can be sent again byte for byte"
        )
    if kind is Kind.ACCEPTANCE:
        if round_.phase is not Phase.PROPOSED:
            raise _misplaced(round_, kind)
        expected: tuple[OrgId, ...] = round_.survivors
    else:
        row = round_.row
        if row is None or row.takes is not kind:
            raise _misplaced(round_, kind)
        expected = round_.expected(row)
    if org not in expected:
        raise UnknownSender(f"{org} is not awaited with a {kind} message here")
    return True


def apply(round_: Round, fact: Fact) -> Round:
    """Return the round after one more stored fact."""
    match fact:
        case Received():
            arrived = {k: dict(v) for k, v in round_.arrived.items()}
            arrived.setdefault(fact.kind, {})[fact.org] = fact.digest
            rejections = round_.rejections
            if fact.kind is Kind.ACCEPTANCE and not fact.accepts:
                rejections |= {fact.org}
            return dataclasses.replace(
                round_,
                arrived=arrived,
                rejections=rejections,
                excluded=round_.excluded | set(fact.excludes),
            )
        case PhaseClosed():
            for row in TABLE[round_.plan.collection_mode]:
                if row.phase is fact.phase:
                    return dataclasses.replace(round_, phase=row.then, since=fact.at)
            return round_
        case SumOpened():
            return dataclasses.replace(
                round_, phase=Phase.AGGREGATED, since=fact.at, opened=fact
            )
        case Proposed():
            return dataclasses.replace(
                round_, phase=Phase.PROPOSED, since=fact.at, proposed=fact
            )
        case Committed():
            return dataclasses.replace(
                round_, phase=Phase.COMMITTED, since=fact.at, height=fact.height
            )
        case Failed():
            return dataclasses.replace(
                round_, phase=Phase.FAILED, since=fact.at, failure=fact
            )
        case _:
            assert_never(fact)


def due(round_: Round, now: datetime) -> Due:
    """Return the one thing to do next.

    Args:
        round_: the round as it stands.
        now: the present instant.
    """
    match round_.phase:
        case Phase.COMMITTED | Phase.FAILED:
            return Wait(until=None)
        case Phase.UNMASKING:
            return OpenSum()
        case Phase.AGGREGATED:
            return Propose()
        case Phase.PROPOSED:
            return _due_acceptances(round_, now)
        case _:
            return _due_phase(round_, now)


def deadline(round_: Round) -> datetime | None:
    """Return when the present phase closes, None where no message is awaited."""
    row = round_.row
    if row is None:
        return None
    seconds: float = getattr(round_.plan.deadlines, row.deadline)
    return round_.since + timedelta(seconds=seconds)


def _due_phase(round_: Round, now: datetime) -> Due:
    row, end = round_.row, deadline(round_)
    if row is None or end is None:
        return Wait(until=None)
    expected = round_.expected(row)
    there = round_.arrived.get(row.takes, {})
    if len(there) < len(expected) and now < end:
        return Wait(until=end)
    plan = round_.plan
    fewest = {
        "all": len(expected),
        "survivors": max(plan.threshold, plan.min_survivors),
        "threshold": plan.threshold,
    }[row.needs]
    if len(there) < fewest:
        return FailRound(
            reason="too-few-participants",
            sentence=f"{len(there)} of {len(expected)} sent their {row.takes} message "
            f"in time; the plan needs {fewest}",
        )
    announced = len(round_.announcement.cohort)
    missing = announced - len(there)
    if row.needs == "survivors" and missing > plan.max_failure_rate * announced:
        return FailRound(
            reason="failure-rate",
            sentence=f"{missing} of {announced} organisations are missing; the plan "
            f"bears a share of {plan.max_failure_rate:g}",
        )
    if row.takes is Kind.VETTING:
        fewest = max(plan.threshold, plan.min_survivors)
        if len(round_.survivors) < fewest:
            return FailRound(
                reason="too-few-participants",
                sentence=f"{len(round_.survivors)} contributions opened at every "
                f"helper; the plan needs {fewest}; left out: "
                f"{', '.join(sorted(round_.excluded))}",
            )
    return ClosePhase(phase=round_.phase)


def _due_acceptances(round_: Round, now: datetime) -> Due:
    answers = round_.arrived.get(Kind.ACCEPTANCE, {})
    accepted = len(answers) - len(round_.rejections)
    missing = len(round_.survivors) - len(answers)
    end = round_.since + timedelta(seconds=round_.plan.deadlines.survivors_s)
    if accepted + missing < round_.plan.threshold:
        return FailRound(
            reason="rejected",
            sentence="the organisations reject the proposed model: "
            + ", ".join(sorted(round_.rejections)),
        )
    if accepted >= round_.plan.threshold and (missing == 0 or now >= end):
        return Commit()
    return Wait(until=end if now < end else None)


def _misplaced(round_: Round, kind: Kind) -> WrongPhase:
    return WrongPhase(
        f"round {round_.announcement.round_id} stands at {round_.phase}: it takes no "
        f"{kind} message now"
    )
