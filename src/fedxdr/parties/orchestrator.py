# SPDX-License-Identifier: Apache-2.0
"""The orchestrator: opens rounds, stores what arrives, opens sums, records blocks.

It holds membership, round state, masked contributions, models and the ledger. It never
holds a raw record, an unmasked update, a decryption key or an organisation's key.

It drives federation/rounds.py: every message is checked, stored as a fact and only then
acted on; ``drive`` does whatever is due. After kill -9 it reads its facts back and goes
on. One thread at a time may call it: its owner holds a lock (api/service.py).

Not here: what a message must hold (reception.py, collecting/), what stored messages say
(round_records.py, serving.py), the ledger in its hands (keeping.py), HTTP (api),
enrolment (registrar.py), answers for people (views.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from typing_extensions import override

from fedxdr.core import canonical
from fedxdr.core.clock import Clock
from fedxdr.core.errors import (
    InvalidInput,
    InvalidPlan,
    NotFound,
    TooFewParticipants,
    TooLarge,
    WrongPhase,
)
from fedxdr.core.ids import Digest, OrgId, RoundId, sha256
from fedxdr.core.randomness import Entropy
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation import messages, rounds
from fedxdr.federation.messages import (
    Announcement,
    Proposal,
)
from fedxdr.federation.phases import Kind
from fedxdr.federation.plan import MINIMUM_SURVIVORS, Plan, Task
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
    Round,
    SumOpened,
    Wait,
)
from fedxdr.ledger.block import SignedBlock, contributions_root
from fedxdr.ledger.entries import PlanAdopted, RoundCommitted, RoundFailed
from fedxdr.parties.catching_up import RestoredMark
from fedxdr.parties.changes import ProposedChange
from fedxdr.parties.collecting.catalogue import mode_of
from fedxdr.parties.governance import ADOPTED
from fedxdr.parties.keeping import LedgerKeeping
from fedxdr.parties.ports import (
    Blobs,
    ChangeStore,
    CheckpointStore,
    FactLog,
    Fence,
    Registry,
    StoredFact,
)
from fedxdr.parties.reception import Checked
from fedxdr.parties.recording import Recorder

logger = logging.getLogger(__name__)

OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What an organisation gets back for a message.

    Attributes:
        digest: SHA-256 of the bytes that were stored.
        received_at: when they were stored first.
    """

    digest: Digest
    received_at: datetime


class Orchestrator(LedgerKeeping):
    """The driver of rounds.

    Args:
        facts: facts and messages of rounds.
        blobs: masked contributions, sums and models.
        recorder: the ledger.
        checkpoints: its signed heads.
        changes: proposed changes of members, keys and plan.
        registry: members' last signs of life.
        clock: the time.
        entropy: for round names.
        identity: the orchestrator's key.
        plan_for: makes the plan for a number of members and wishes of the operator.
        fence: which heads it signed; see ``LedgerKeeping``.
        mark: whether it was set back to a backup.
    """

    def __init__(
        self,
        *,
        facts: FactLog,
        blobs: Blobs,
        recorder: Recorder,
        checkpoints: CheckpointStore,
        changes: ChangeStore,
        registry: Registry,
        clock: Clock,
        entropy: Entropy,
        identity: IdentityKey,
        plan_for: Callable[[int, Mapping[str, Any]], Plan],
        fence: Fence | None = None,
        mark: RestoredMark | None = None,
    ) -> None:
        super().__init__(
            facts=facts,
            blobs=blobs,
            recorder=recorder,
            checkpoints=checkpoints,
            changes=changes,
            clock=clock,
            identity=identity,
            fence=fence,
            mark=mark,
        )
        self._registry = registry
        self._entropy = entropy
        self._plan_for = plan_for
        known = facts.rounds()
        if known:
            self._round = self.load(known[-1])
            self._end_as_recorded()
        self.catching_up.begin()

    # Opening a round.

    def start_round(
        self, *, task: Task | None = None, wishes: Mapping[str, Any] | None = None
    ) -> Round:
        """Open the next round; adopt a plan first if there is none that fits.

        Args:
            task: what the round is for; None: statistics once, then training.
            wishes: fields of the plan that differ from the settings; a plan with them
                is adopted first.

        Raises:
            WrongPhase: a round is running.
            TooFewParticipants: fewer members than a sum needs.
            WaitingForQuorum: the plan waits for approvals, or the newest block for
                cosignatures, or all of it for what members saw; ask again.
        """
        self._require_over()
        if self._round is not None and not self._round.is_ended:
            raise WrongPhase(
                f"round {self._round.announcement.round_id} is running; it stands at "
                f"{self._round.phase}"
            )
        plan = self._plan_in_force(wishes or {})
        self.heads.require_quorum()
        now = self._clock.now()
        in_force = self.recorder.in_force
        if task is None:
            # under a privacy mechanism statistics are constants of the plan
            is_known = plan.privacy.is_on or "statistics" in in_force.tasks
            task = "training" if is_known else "statistics"
        if task == "statistics" and plan.privacy.is_on:
            raise InvalidPlan(
                "statistics are not noised: under a privacy mechanism they are "
                "constants of the plan, and no round is held for them"
            )
        number = in_force.attempted + 1
        announcement = Announcement(
            round_id=RoundId(f"round-{number}-{self._entropy.draw(6).hex()}"),
            number=number,
            task=task,
            plan_digest=plan.digest,
            parent_model=in_force.model,
            prev_hash=in_force.head_hash,
            cohort=in_force.cohort,
            opened_at=now,
        )
        envelope = messages.sign(announcement, self._identity)
        self._facts.begin(announcement.round_id, envelope.to_json())
        self._round = rounds.begin(announcement, plan)
        self._made.clear()
        self.version += 1
        logger.info(
            "round announced",
            extra={"round_id": announcement.round_id, "task": task},
        )
        return self._round

    def _plan_in_force(self, wishes: Mapping[str, Any]) -> Plan:
        in_force = self.recorder.in_force
        members = len(in_force.members)
        if members < MINIMUM_SURVIVORS:
            raise TooFewParticipants(
                f"{members} members; a round needs at least {MINIMUM_SURVIVORS}: "
                "invite more organisations"
            )
        wanted = self._plan_for(members, wishes)
        if members < wanted.min_survivors:
            raise TooFewParticipants(
                f"{members} members; a sum needs at least {wanted.min_survivors}"
            )
        if in_force.plan != wanted:
            change = self.propose_plan(wishes)
            if change.outcome != ADOPTED:
                raise self.governance.waiting_for(change.digest)
        return wanted

    def propose_plan(self, wishes: Mapping[str, Any]) -> ProposedChange:
        """Ask the members for the plan that some wishes make.

        Args:
            wishes: fields of the plan that differ from the settings.

        Returns:
            The proposal; adopted already if its quorum is there.
        """
        self._require_over()
        plan = self._plan_for(len(self.recorder.in_force.members), wishes)
        entry = PlanAdopted(
            change=self.governance.next_number,
            plan=canonical.builtins(plan),
            plan_digest=plan.digest,
        )
        filed = self.governance.propose(entry, by=OPERATOR)
        self.version += 1
        self.governance.advance()
        return self.governance.proposal(filed.digest)

    # Taking messages.

    def receive(
        self, round_id: RoundId, kind: Kind, org: OrgId, body: bytes
    ) -> Receipt:
        """Check, store and act on one message of an organisation.

        Args:
            round_id: the round it is for.
            kind: what it is.
            org: who signed the request.
            body: the exact bytes; for a contribution, CBOR.

        Returns:
            The receipt; the same one for the same bytes again.

        Raises:
            InvalidInput: the message is not what it should be.
            Refused: it comes too early, too late or a second time.
        """
        self._require_over()
        round_ = self._running(round_id)
        checked = self._check(round_, kind, org, body)
        message, vector = checked.message, checked.vector
        digest = sha256(message)
        if not rounds.judge(round_, kind=kind, org=org, digest=digest):
            received_at = self._received_at(round_, kind, org)
            return Receipt(digest=digest, received_at=received_at)
        if vector is not None:
            self.blobs.put(vector)
        fact = Received(
            kind=kind,
            org=org,
            digest=digest,
            at=self._clock.now(),
            accepts=checked.accepts,
            excludes=checked.excludes,
        )
        self._store(fact, slot=f"{kind}/{org}", message=message)
        if kind is Kind.CONTRIBUTION:
            self._registry.touch(org, at=fact.at)
        self.drive()
        return Receipt(digest=digest, received_at=fact.at)

    def _check(self, round_: Round, kind: Kind, org: OrgId, body: bytes) -> Checked:
        """Return a message that may be stored."""
        take = mode_of(round_.plan).takes.get(kind)
        if take is None:
            raise WrongPhase(
                f"mode {round_.plan.collection_mode} takes no {kind} message"
            )
        return take(self, round_, org, body)

    def _running(self, round_id: RoundId) -> Round:
        round_ = self._round
        if round_ is None or round_.announcement.round_id != round_id:
            ended = self.load(round_id)
            raise WrongPhase(
                f"round {round_id} is over ({ended.phase}); it takes no messages"
            )
        return round_

    def _received_at(self, round_: Round, kind: Kind, org: OrgId) -> datetime:
        for stored in self._facts.facts(round_.announcement.round_id):
            if stored.name == "Received":
                fact = canonical.decode(stored.body, Received)
                if (fact.kind, fact.org) == (kind, org):
                    return fact.at
        raise NotFound("no such message is stored")

    # Doing what is due.

    def drive(self) -> datetime | None:
        """Do all that is due; return when something may be due again."""
        while self._round is not None and not self.catching_up.is_on:
            match rounds.due(self._round, self._clock.now()):
                case Wait(until=until):
                    return until
                case ClosePhase(phase=phase):
                    self._store(PhaseClosed(phase=phase, at=self._clock.now()))
                case OpenSum():
                    self._open_sum(self._round)
                case Propose():
                    self._propose(self._round)
                case Commit():
                    self._commit(self._round)
                case FailRound(reason=reason, sentence=sentence):
                    self._fail(self._round, reason, sentence)
        return None

    @override
    def _go_on(self) -> None:
        """Begin work again after a backup: no round that it interrupted goes on."""
        super()._go_on()
        self._end_as_recorded()
        if self._round is not None and not self._round.is_ended:
            sentence = "the orchestrator was set back to a backup while it was running"
            self._fail(self._round, "restored", sentence)

    def _end_as_recorded(self) -> None:
        """End the newest round if the ledger says how: it was killed, or set back."""
        if self._round is not None and not self._round.is_ended:
            fact = self.end_of(self._round.announcement.round_id, now=self._clock.now())
            if fact is not None:
                self._store(fact)

    def _store(
        self, fact: rounds.Fact, *, slot: str = "", message: bytes | None = None
    ) -> None:
        if self._round is None:
            raise NotFound("no round is running")
        self._facts.append(
            self._round.announcement.round_id,
            StoredFact(
                name=type(fact).__name__,
                body=canonical.encode(fact),
                slot=slot,
                message=message,
            ),
        )
        before = self._round.phase
        self._round = rounds.apply(self._round, fact)
        self.version += 1
        if self._round.phase is not before:
            logger.info(
                "round moved on",
                extra={
                    "round_id": self._round.announcement.round_id,
                    "phase": str(self._round.phase),
                },
            )

    def _open_sum(self, round_: Round) -> None:
        try:
            opened = self.reopen(round_)
        except InvalidInput as error:
            self._fail(round_, "cannot-open", f"the sum cannot be opened: {error}")
            return
        self.blobs.put(opened.snapshot)
        self.blobs.put(opened.sum.astype("<i8").tobytes())
        proof = self.blobs.put(opened.proof) if opened.proof else None
        self._store(
            SumOpened(
                model_hash=opened.model_hash,
                sum_digest=opened.sum_digest,
                at=self._clock.now(),
                proof=proof,
            ),
            slot="figures",
            message=canonical.jcs(opened.figures(round_.announcement.number)),
        )

    def _propose(self, round_: Round) -> None:
        if round_.opened is None:
            raise NotFound("nothing to propose: the sum is not open")
        head = self.recorder.in_force.head_hash
        contributions = self.contributions(round_)
        stated = self.statements(round_)
        proposal = Proposal(
            round_id=round_.announcement.round_id,
            parent_model=round_.announcement.parent_model,
            model_hash=round_.opened.model_hash,
            sum_digest=round_.opened.sum_digest,
            contributions=contributions,
            contributions_root=contributions_root(contributions),
            data_volume={org: stated[org].sample_bucket for org in contributions},
            privacy_params={org: stated[org].privacy for org in contributions},
            figures=self.figures(round_),
            prev_hash=head,
            survivors=round_.survivors,
            dropouts=round_.dropouts,
        )
        self._store(
            Proposed(prev_hash=head, at=self._clock.now()),
            slot="proposal",
            message=messages.sign(proposal, self._identity).to_json(),
        )

    def _commit(self, round_: Round) -> None:
        head = self.recorder.in_force.head
        entry = head.entry
        round_id = round_.announcement.round_id
        # killed between block and fact: the block is there already
        if not (isinstance(entry, RoundCommitted) and entry.round_id == round_id):
            try:
                head = self.heads.append(self._draft_round(round_))
            except TooLarge as error:
                # names so many or so long that no block holds them: it would not fit
                # the next time either
                self._fail(round_, "too-large", str(error))
                return
        self._store(Committed(height=head.height, at=self._clock.now()))

    def _draft_round(self, round_: Round) -> SignedBlock:
        if round_.opened is None:
            raise NotFound("nothing to commit: the sum is not open")
        in_force = self.recorder.in_force
        plan = round_.plan
        statements = self.envelopes(round_, Kind.CONTRIBUTION)
        return self.recorder.draft_round(
            round_id=round_.announcement.round_id,
            task=round_.announcement.task,
            plan=canonical.builtins(plan),
            cohort=round_.announcement.cohort,
            sum_digest=round_.opened.sum_digest,
            model_hash=round_.opened.model_hash,
            model_version=f"v{in_force.committed + 1}",
            metrics=self.figures(round_),
            training_config=canonical.builtins(plan.training),
            data_sources={
                source
                for org in round_.survivors
                for source in in_force.members[org].data_sources
            },
            envelopes=[
                *(statements[org] for org in round_.survivors),
                *self.envelopes(round_, Kind.ACCEPTANCE).values(),
            ],
        )

    def _fail(self, round_: Round, reason: str, sentence: str) -> None:
        round_id = round_.announcement.round_id
        entry = self.recorder.in_force.head.entry
        if not (isinstance(entry, RoundFailed) and entry.round_id == round_id):
            failed = RoundFailed(
                round_id=round_id,
                phase=str(round_.phase),
                reason=reason,
                sentence=sentence[:500],
                survivors=round_.survivors,
            )
            self.heads.append(self.recorder.draft(failed))
        self._store(Failed(reason=reason, sentence=sentence, at=self._clock.now()))
        logger.warning("round failed", extra={"round_id": round_id, "reason": reason})
