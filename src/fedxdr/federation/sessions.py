# SPDX-License-Identifier: Apache-2.0
"""An organisation's side of one round, as a machine without input or output.

The way through a round is one line of steps: make and send something, or wait for
something and check it. What was made is stored before it is sent, and only ever sent
again byte for byte; what was fetched is stored after it was checked. So a restarted
agent reads its facts back and goes on with the step where it was killed.

Rules that always hold:
    1. Nothing is made twice: a stored message is the only one of its step.
    2. An organisation that missed keys, shares or contribution has dropped out; it
       answers nothing more in this round.
    3. What was missed later (a signature, an answer, an acceptance) is skipped: others
       carry the round.

The table below is the protocol; tests and docs read it from here.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, assert_never

from fedxdr.core.ids import OrgId
from fedxdr.federation.messages import Announcement
from fedxdr.federation.phases import Phase
from fedxdr.federation.plan import Plan


class Step(StrEnum):
    """One step of an organisation through a round."""

    KEYS = "keys"
    KEY_LIST = "key-list"
    COMMITMENT = "commitment"
    COMMITTED_SET = "committed-set"
    SHARES = "shares"
    MAIL = "mail"
    CONTRIBUTION = "contribution"
    HEADERS = "headers"
    VETTING = "vetting"
    SURVIVOR_SET = "survivor-set"
    SURVIVOR_SIGNATURE = "survivor-signature"
    QUORUM = "quorum"
    UNMASKING = "unmasking"
    PROPOSAL = "proposal"
    ACCEPTANCE = "acceptance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        step: the step.
        does: ``send`` what this side makes, or ``fetch`` what the other side has.
        phase: the orchestrator's phase from which on it makes sense.
        is_vital: whether missing it means having dropped out.
        who: everyone, or only those whom the plan names as helpers.
    """

    step: Step
    does: Literal["send", "fetch"]
    phase: Phase
    is_vital: bool = False
    who: Literal["everyone", "helpers"] = "everyone"


TABLE: dict[str, tuple[Row, ...]] = {
    "secagg": (
        Row(step=Step.KEYS, does="send", phase=Phase.ANNOUNCED, is_vital=True),
        Row(step=Step.KEY_LIST, does="fetch", phase=Phase.KEYS, is_vital=True),
        Row(step=Step.SHARES, does="send", phase=Phase.KEYS, is_vital=True),
        Row(step=Step.MAIL, does="fetch", phase=Phase.SHARES, is_vital=True),
        Row(step=Step.CONTRIBUTION, does="send", phase=Phase.SHARES, is_vital=True),
        Row(
            step=Step.SURVIVOR_SET,
            does="fetch",
            phase=Phase.CONTRIBUTIONS,
            is_vital=True,
        ),
        Row(step=Step.SURVIVOR_SIGNATURE, does="send", phase=Phase.CONTRIBUTIONS),
        Row(step=Step.QUORUM, does="fetch", phase=Phase.SURVIVORS, is_vital=True),
        Row(step=Step.UNMASKING, does="send", phase=Phase.SURVIVORS),
        Row(step=Step.PROPOSAL, does="fetch", phase=Phase.PROPOSED),
        Row(step=Step.ACCEPTANCE, does="send", phase=Phase.PROPOSED),
    ),
    "clear": (
        Row(step=Step.KEYS, does="send", phase=Phase.ANNOUNCED, is_vital=True),
        Row(step=Step.KEY_LIST, does="fetch", phase=Phase.SHARES, is_vital=True),
        Row(step=Step.CONTRIBUTION, does="send", phase=Phase.SHARES, is_vital=True),
        Row(step=Step.PROPOSAL, does="fetch", phase=Phase.PROPOSED),
        Row(step=Step.ACCEPTANCE, does="send", phase=Phase.PROPOSED),
    ),
    "committee": (
        Row(step=Step.KEYS, does="send", phase=Phase.ANNOUNCED, who="helpers"),
        Row(step=Step.KEY_LIST, does="fetch", phase=Phase.KEYS, is_vital=True),
        Row(step=Step.CONTRIBUTION, does="send", phase=Phase.KEYS),
        Row(step=Step.HEADERS, does="fetch", phase=Phase.CONTRIBUTIONS, who="helpers"),
        Row(step=Step.VETTING, does="send", phase=Phase.CONTRIBUTIONS, who="helpers"),
        Row(step=Step.SURVIVOR_SET, does="fetch", phase=Phase.SURVIVORS, who="helpers"),
        Row(step=Step.UNMASKING, does="send", phase=Phase.SURVIVORS, who="helpers"),
        Row(step=Step.PROPOSAL, does="fetch", phase=Phase.PROPOSED, is_vital=True),
        Row(step=Step.ACCEPTANCE, does="send", phase=Phase.PROPOSED),
    ),
    "paillier": (
        Row(step=Step.COMMITMENT, does="send", phase=Phase.ANNOUNCED, is_vital=True),
        Row(
            step=Step.COMMITTED_SET,
            does="fetch",
            phase=Phase.COMMITMENTS,
            is_vital=True,
        ),
        Row(
            step=Step.CONTRIBUTION, does="send", phase=Phase.COMMITMENTS, is_vital=True
        ),
        Row(
            step=Step.SURVIVOR_SET,
            does="fetch",
            phase=Phase.CONTRIBUTIONS,
            is_vital=True,
        ),
        Row(step=Step.SURVIVOR_SIGNATURE, does="send", phase=Phase.CONTRIBUTIONS),
        Row(step=Step.QUORUM, does="fetch", phase=Phase.SURVIVORS, is_vital=True),
        Row(step=Step.UNMASKING, does="send", phase=Phase.SURVIVORS),
        Row(step=Step.PROPOSAL, does="fetch", phase=Phase.PROPOSED),
        Row(step=Step.ACCEPTANCE, does="send", phase=Phase.PROPOSED),
    ),
}
_ORDER = {phase: place for place, phase in enumerate(Phase)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Fact: an outgoing message is stored; from now on it is the only one."""

    step: Step
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """Fact: the orchestrator has confirmed the message."""

    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """Fact: the orchestrator no longer takes this step."""

    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Fact: an incoming message was checked and is stored."""

    step: Step
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Fact: this session is over.

    Attributes:
        reason: ``committed``, ``dropped-out``, ``sat-out``, ``failed``.
        sentence: why, for people.
    """

    reason: str
    sentence: str


Fact = Made | Acknowledged | Missed | Fetched | Ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """Due: make this step's message and store it as ``Made``."""

    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Due: send the stored bytes; then store ``Acknowledged`` or ``Missed``."""

    step: Step
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """Due: fetch, check and store as ``Fetched`` (or ``Missed``)."""

    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Due: store ``Ended`` and erase the round's secrets."""

    reason: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do until the orchestrator's round has moved on."""


Due = Make | Send | Fetch | End | Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """All that the facts say about this organisation's part in one round.

    Attributes:
        me: this organisation.
        announcement: as signed by the orchestrator.
        plan: the plan in force.
        made: outgoing messages by step.
        fetched: checked incoming messages by step.
        acknowledged: steps that the orchestrator has confirmed.
        missed: steps that came too late.
        ended: how it ended, None while it goes on.
    """

    me: OrgId
    announcement: Announcement
    plan: Plan
    made: dict[Step, bytes] = field(default_factory=dict)
    fetched: dict[Step, bytes] = field(default_factory=dict)
    acknowledged: frozenset[Step] = frozenset()
    missed: frozenset[Step] = frozenset()
    ended: Ended | None = None


def apply(session: Session, fact: Fact) -> Session:
    """Return the session after one more stored fact.

    A second ``Made`` or ``Fetched`` of one step changes nothing: the first one counts.
    """
    match fact:
        case Made():
            return dataclasses.replace(
                session, made={fact.step: fact.body, **session.made}
            )
        case Fetched():
            return dataclasses.replace(
                session, fetched={fact.step: fact.body, **session.fetched}
            )
        case Acknowledged():
            return dataclasses.replace(
                session, acknowledged=session.acknowledged | {fact.step}
            )
        case Missed():
            return dataclasses.replace(session, missed=session.missed | {fact.step})
        case Ended():
            return dataclasses.replace(session, ended=session.ended or fact)
        case _:
            assert_never(fact)


def due(session: Session, phase: Phase) -> Due:
    """Return the one thing to do next.

    Args:
        session: this organisation's part as it stands.
        phase: where the orchestrator says the round stands.
    """
    if session.ended is not None:
        return Wait()
    if phase is Phase.COMMITTED and Step.CONTRIBUTION in session.acknowledged:
        # others carried the round to its end; nothing more is asked of us
        return End(reason="committed", sentence="the block is on the ledger")
    for row in TABLE[session.plan.collection_mode]:
        step = row.step
        if row.who == "helpers" and session.me not in session.plan.helpers:
            continue
        if step in session.missed:
            if row.is_vital:
                return End(
                    reason="dropped-out",
                    sentence=f"the {step} step was missed; the round goes on without "
                    "this organisation",
                )
            continue
        if step in session.acknowledged or step in session.fetched:
            continue
        if phase is Phase.FAILED:
            return End(reason="failed", sentence="the orchestrator reports: failed")
        if _ORDER[phase] < _ORDER[row.phase]:
            return Wait()
        if row.does == "fetch":
            return Fetch(step=step)
        if step in session.made:
            return Send(step=step, body=session.made[step])
        return Make(step=step)
    if phase is Phase.COMMITTED:
        return End(reason="committed", sentence="the block is on the ledger")
    if phase is Phase.FAILED:
        return End(reason="failed", sentence="the orchestrator reports: failed")
    return Wait()
