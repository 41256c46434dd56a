# SPDX-License-Identifier: Apache-2.0
"""Attacks on the ledger: blocks that nobody approved, heads that nobody cosigned.

The attacker owns the log's key: it writes whatever block it likes into its own ledger
(``force``) and signs any head. What it wants is an organisation that believes it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from tests.attacks.malicious_orchestrator import loot
from tests.attacks.malicious_orchestrator.attack import Attack
from tests.attacks.malicious_orchestrator.known_rules import (
    APPROVED_BY_QUORUM,
    APPROVED_THIS,
    BLOCKS_LINK,
    HEAD_HAS_QUORUM,
    HEAD_OVER_BLOCKS,
    QUORUM_AWAITED,
    SIGNED_TWICE,
)
from tests.attacks.malicious_orchestrator.loot import NOTHING, Loot
from tests.attacks.malicious_orchestrator.puppeteer import Reply
from tests.attacks.malicious_orchestrator.rules import removed
from tests.attacks.malicious_orchestrator.scripts_rounds import joined
from tests.attacks.malicious_orchestrator.stage import Stage

from fedxdr.core import canonical
from fedxdr.core.errors import WaitingForQuorum
from fedxdr.core.ids import OrgId, RoundId
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation.phases import Phase
from fedxdr.federation.plan import Plan
from fedxdr.ledger import heads
from fedxdr.ledger.block import SignedBlock
from fedxdr.ledger.entries import (
    Change,
    MemberEnrolled,
    MemberSuspended,
    PlanAdopted,
    RoundFailed,
)
from fedxdr.ledger.statements import APPROVAL_TYPE
from fedxdr.parties.recording import Recorder
from fedxdr.storage.memory import MemoryBlobs, MemoryBlockStore

_OTHER = {"clip_norm": 3.0}
"""Wishes that make another plan."""


def force(stage: Stage, entry: Change, envelopes: Sequence[Envelope] = ()) -> None:
    """Write a change into the attacker's own ledger, approved or not."""
    own = (APPROVED_BY_QUORUM, APPROVED_THIS, SIGNED_TWICE)
    with removed(own), stage.service.lock:
        stage.fed.recorder.record(entry, envelopes=envelopes)
        stage.orchestrator.version += 1


def adoption(stage: Stage, plan: Plan) -> PlanAdopted:
    """Return the next change that adopts a plan."""
    return PlanAdopted(
        change=stage.orchestrator.governance.next_number,
        plan=canonical.builtins(plan),
        plan_digest=plan.digest,
    )


def other_plan(stage: Stage) -> Plan:
    """Return a plan that nobody was asked about."""
    members = len(stage.fed.recorder.in_force.members)
    return stage.orchestrator._plan_for(members, _OTHER)


def enrol_by_itself(stage: Stage) -> None:
    """Write whoever has applied into the ledger."""
    for change in stage.orchestrator.governance.proposals():
        if isinstance(change.entry, MemberEnrolled):
            number = stage.orchestrator.governance.next_number
            entry = dataclasses.replace(change.entry, change=number)
            force(stage, entry, change.envelopes)
            _look(stage)


def _look(stage: Stage) -> None:
    """Let everybody follow the ledger and cosign what it believes."""
    for org in stage.orgs:
        stage.step(org)


def enrol_without_approval(stage: Stage) -> Loot:
    """The operator writes an accomplice into the ledger; no member was asked."""
    victim, sybil = stage.orgs[0], OrgId(stage.colluders[0])
    stage.settle()
    enrol_by_itself(stage)
    members = stage.agents[victim].participant.mirror.in_force.members
    return Loot(
        won=sybil in members,
        gain=f"{sybil} as a member in the eyes of {victim}, of the next cohort and of "
        "every quorum",
    )


def enrol_sybils(stage: Stage) -> Loot:
    """Accomplices come in, everybody else is put out, and a round is opened."""
    victim, *others = (o for o in stage.orgs if o not in stage.colluders)
    stage.settle()
    enrol_by_itself(stage)
    for org in others:
        number = stage.orchestrator.governance.next_number
        entry = MemberSuspended(change=number, org_id=org, reason="gone")
        force(stage, entry)
        _look(stage)
    try:
        stage.start()
    except WaitingForQuorum:
        return NOTHING
    cohort = (victim, *stage.colluders)
    stage.go(until=Phase.PROPOSED, only=cohort)
    found = loot.without_colluders(stage, cohort, loot.opened_sum(stage))
    return loot.compare(stage, victim, found)


def _in_force(stage: Stage, victim: OrgId, plan: Plan) -> Loot:
    """Return whether an organisation goes by a plan."""
    stage.step(victim)
    found = stage.agents[victim].participant.mirror.in_force.plan
    return Loot(
        won=found == plan,
        gain=f"a plan in force for {victim} that nobody has approved",
    )


def adopt_without_approval(stage: Stage) -> Loot:
    """The operator writes a plan into the ledger; no member was asked."""
    stage.settle()
    plan = other_plan(stage)
    force(stage, adoption(stage, plan))
    return _in_force(stage, stage.orgs[0], plan)


def replay_approvals(stage: Stage) -> Loot:
    """The plan before the present one comes back, with the approvals of then."""
    stage.settle()
    recorder = stage.fed.recorder
    first, head = recorder.in_force.plan, recorder.size() - 1
    assert first is not None
    (adopted,) = recorder.blocks(begin=head, end=head + 1)
    assert isinstance(adopted.block.entry, PlanAdopted)
    stage.start(**_OTHER)
    stage.go()
    force(stage, adoption(stage, first), adopted.envelopes)
    return _in_force(stage, stage.orgs[0], first)


def strip_signatures(stage: Stage) -> Loot:
    """A plan is adopted with approvals of which the ML-DSA signatures are cut off.

    As somebody has to who can forge Ed25519, with a quantum computer, and ML-DSA not.
    """
    stage.settle()
    plan = other_plan(stage)
    stage.swallow("approval")
    with stage.service.lock:
        stage.orchestrator.propose_plan(_OTHER)
    for org in stage.orgs:
        stage.step(org)
    signed = [
        Envelope.from_json(post.body)
        for post in stage.wire.posts
        if post.name == "approval"
    ][-len(stage.orgs) :]
    assert {envelope.payload_type for envelope in signed} == {APPROVAL_TYPE}
    stripped = [
        dataclasses.replace(envelope, signatures=envelope.signatures[:1])
        for envelope in signed
    ]
    force(stage, adoption(stage, plan), stripped)
    return _in_force(stage, stage.orgs[0], plan)


# Heads.


def start_without_quorum(stage: Stage) -> Loot:
    """A round is opened on a block that one organisation alone has seen."""
    victim = stage.orgs[0]
    stage.settle()
    stage.start()
    stage.fail()
    with removed((QUORUM_AWAITED,)):
        stage.start()
    stage.step(victim)
    announced = stage.orchestrator.announcement(stage.round_id)
    return joined(stage, victim, announced)


class OtherHistory:
    """A ledger beside the attacker's, from some height on, and its signed heads."""

    def __init__(self, stage: Stage, *, up_to: int) -> None:
        self._stage = stage
        self.recorder = Recorder(
            store=MemoryBlockStore(), blobs=MemoryBlobs(), clock=stage.fed.clock
        )
        for signed in stage.fed.recorder.blocks(begin=0, end=up_to):
            self.recorder.append(signed)

    def fail_round(self, name: str) -> None:
        """Add a block; any will do."""
        self.recorder.record(
            RoundFailed(
                round_id=RoundId(name),
                phase="keys",
                reason="lost",
                sentence="another history",
                survivors=(),
            )
        )

    def head(self, size: int) -> bytes:
        """Return the log's signed head over the first blocks of this ledger."""
        return heads.sign(
            self._stage.fed.identity,
            origin=self.recorder.in_force.log.origin,
            size=size,
            root=self.recorder.root_at(size),
            at=self._stage.fed.clock.now(),
        )

    def show(self, org: OrgId) -> None:
        """Show this ledger to one organisation in place of the attacker's."""
        size = self.recorder.size()
        mirror = self._stage.agents[org].participant.mirror

        def standing(reply: Reply) -> bytes:
            value = json.loads(reply.body)
            return json.dumps({**value, "height": size - 1}).encode()

        blocks = self.recorder.blocks(begin=mirror.size(), end=size)
        answers = self._stage.wire.answers
        answers[org, "standing"] = standing
        answers[org, "checkpoint"] = lambda _: self.head(size)
        answers[org, "blocks"] = lambda _: json.dumps(
            [_as_sent(signed) for signed in blocks]
        ).encode()


def _as_sent(signed: SignedBlock) -> dict[str, object]:
    return {
        "body": signed.block.body().decode(),
        "envelopes": [envelope.to_json().decode() for envelope in signed.envelopes],
    }


def split_view(stage: Stage) -> Loot:
    """One organisation is shown another newest block than all others.

    The log signs two roots for one size; a round is opened to the one that is alone.
    """
    victim, others = stage.orgs[0], stage.orgs[1:]
    stage.settle()
    stage.start()
    seen = OtherHistory(stage, up_to=stage.fed.recorder.size())
    stage.fail()
    seen.fail_round("round-1-of-nobody")
    seen.show(victim)
    for org in others:
        stage.step(org)
    true = stage.round.announcement
    lonely = stage.sign(
        dataclasses.replace(
            true,
            round_id=RoundId("round-2-lonely"),
            number=true.number + 1,
            prev_hash=seen.recorder.in_force.head_hash,
        )
    )
    shown = stage.wire.answers[victim, "standing"]
    stage.wire.answers[victim, "standing"] = lambda reply: json.dumps(
        {
            **json.loads(shown(reply)),
            "round_id": "round-2-lonely",
            "phase": str(Phase.ANNOUNCED),
        }
    ).encode()
    stage.answer("announcement", lonely.to_json(), org=victim)
    stage.swallow("checkpoint", "keys", org=victim)
    stage.step(victim)
    stage.step(victim)
    return joined(stage, victim, lonely)


def rewrite(stage: Stage) -> Loot:
    """A block that was handed out is replaced by another, and the ledger goes on."""
    victim = stage.orgs[0]
    stage.settle()
    seen = OtherHistory(stage, up_to=stage.fed.recorder.size())
    stage.start()
    stage.fail()
    stage.step(victim)  # it has the block now, and has cosigned the head over it
    seen.fail_round("round-1-of-nobody")
    seen.fail_round("round-2-of-nobody")
    seen.show(victim)
    stage.step(victim)
    mirror = stage.agents[victim].participant.mirror
    return Loot(
        won=mirror.in_force.head_hash == seen.recorder.in_force.head_hash,
        gain=f"a mirror at {victim} that goes on with another history than it holds",
    )


_LAST_IS_NEW = {"founders": 3, "colluders": ("org-d",)}

ATTACKS = (
    Attack(
        name="sybil-members",
        aim="enrol accomplices and suspend the others until a sum is one organisation "
        "and them",
        rules=(APPROVED_BY_QUORUM,),
        script=enrol_sybils,
        stage={"n": 6, "founders": 3, "colluders": ("org-d", "org-e", "org-f")},
    ),
    Attack(
        name="member-unapproved",
        aim="write a member into the ledger that no member has approved",
        rules=(APPROVED_BY_QUORUM,),
        script=enrol_without_approval,
        is_long=True,
        stage=_LAST_IS_NEW,
    ),
    Attack(
        name="plan-unapproved",
        aim="write a plan into the ledger that no member has approved",
        rules=(APPROVED_BY_QUORUM,),
        script=adopt_without_approval,
    ),
    Attack(
        name="approvals-replayed",
        aim="bring an earlier plan back with the approvals that it had then",
        rules=(APPROVED_THIS,),
        script=replay_approvals,
        is_long=True,
    ),
    Attack(
        name="approvals-stripped",
        aim="adopt a plan with approvals without their ML-DSA signatures",
        rules=(SIGNED_TWICE,),
        script=strip_signatures,
    ),
    Attack(
        name="head-without-quorum",
        aim="open a round on a block that hardly anybody has cosigned",
        rules=(HEAD_HAS_QUORUM,),
        script=start_without_quorum,
    ),
    Attack(
        name="split-view",
        aim="show one organisation another newest block than all others (two roots for "
        "one size), and open a round to it",
        rules=(HEAD_HAS_QUORUM,),
        script=split_view,
        is_long=True,
    ),
    Attack(
        name="history-rewritten",
        aim="replace a block that was handed out, and go on from there",
        rules=(BLOCKS_LINK, HEAD_OVER_BLOCKS),
        script=rewrite,
        backstop="does not follow the newest block",
    ),
)
