# SPDX-License-Identifier: Apache-2.0
"""The orchestrator: opens rounds, stores what arrives, opens sums, records blocks.

It holds membership, round state, masked contributions, models and the ledger. It never
holds a raw record, an unmasked update, a decryption key or an organisation's key.

It drives federation/rounds.py: every message is checked, stored as a fact and only then
acted on; ``drive`` does whatever is due. After kill -9 it reads its facts back and goes
on. One thread at a time may call it: its owner holds a lock (app/wiring.py).

Not here: HTTP (api), enrolment (registrar.py), answers for people (views.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from fedxdr.core import canonical
from fedxdr.core.clock import Clock
from fedxdr.core.errors import (
    BadSignature,
    InvalidInput,
    NotFound,
    TooFewParticipants,
    WrongPhase,
)
from fedxdr.core.ids import Digest, OrgId, RoundId, sha256
from fedxdr.core.randomness import Entropy
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation import messages, opening, rounds, wire
from fedxdr.federation.messages import (
    Announcement,
    KeysMessage,
    Proposal,
    ShareMessage,
    SurvivorSet,
    UnmaskingMessage,
)
from fedxdr.federation.plan import MINIMUM_SURVIVORS, Plan, Task
from fedxdr.federation.rounds import (
    ClosePhase,
    Commit,
    Committed,
    Failed,
    FailRound,
    Kind,
    OpenSum,
    Phase,
    PhaseClosed,
    Propose,
    Proposed,
    Received,
    Round,
    SumOpened,
    Wait,
)
from fedxdr.federation.sessions import Step
from fedxdr.ledger.block import contributions_root
from fedxdr.ledger.entries import PlanAdopted, RoundCommitted, RoundFailed
from fedxdr.ledger.statements import AcceptanceStatement, ContributionStatement
from fedxdr.parties.ports import Blobs, FactLog, Registry, Standing, StoredFact
from fedxdr.parties.recording import Recorder

logger = logging.getLogger(__name__)

T = TypeVar("T")

_FACTS: dict[str, type[rounds.Fact]] = {
    kind.__name__: kind
    for kind in (Received, PhaseClosed, SumOpened, Proposed, Committed, Failed)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What an organisation gets back for a message.

    Attributes:
        digest: SHA-256 of the bytes that were stored.
        received_at: when they were stored first.
    """

    digest: Digest
    received_at: datetime


class Orchestrator:
    """The driver of rounds.

    Args:
        facts: facts and messages of rounds.
        blobs: masked contributions, sums and models.
        recorder: the ledger.
        registry: members' last signs of life.
        clock: the time.
        entropy: for round names.
        identity: the orchestrator's key.
        plan_for: makes the plan for a number of members and wishes of the operator.
    """

    def __init__(
        self,
        *,
        facts: FactLog,
        blobs: Blobs,
        recorder: Recorder,
        registry: Registry,
        clock: Clock,
        entropy: Entropy,
        identity: IdentityKey,
        plan_for: Callable[[int, Mapping[str, Any]], Plan],
    ) -> None:
        self.recorder = recorder
        self.blobs = blobs
        self._facts = facts
        self._registry = registry
        self._clock = clock
        self._entropy = entropy
        self._identity = identity
        self._plan_for = plan_for
        self._round: Round | None = None
        # what was read from the newest round's messages, which never change
        self._made: dict[tuple[object, ...], Any] = {}
        self.version = 0
        known = facts.rounds()
        if known:
            self._round = self.load(known[-1])

    # What is there.

    @property
    def current(self) -> Round | None:
        """The newest round, running or ended."""
        return self._round

    def standing(self) -> Standing:
        """Return what is told to whoever asks for news."""
        round_ = self._round
        return Standing(
            round_id=round_.announcement.round_id if round_ else None,
            phase=round_.phase if round_ else None,
            height=self.recorder.size() - 1,
        )

    def load(self, round_id: RoundId) -> Round:
        """Return a round as its stored facts tell it.

        Raises:
            NotFound: there is no such round.
        """
        newest = self._round
        if newest is not None and newest.announcement.round_id == round_id:
            return newest
        announcement = canonical.decode(
            self.announcement(round_id).payload, Announcement
        )
        round_ = rounds.begin(announcement, self._plan_of(announcement))
        for stored in self._facts.facts(round_id):
            fact = canonical.decode(stored.body, _FACTS[stored.name])
            round_ = rounds.apply(round_, fact)
        return round_

    def announcement(self, round_id: RoundId) -> Envelope:
        """Return the signed announcement of a round.

        Raises:
            NotFound: there is no such round.
        """
        stored = self._facts.opening(round_id)
        if stored is None:
            raise NotFound(f"there is no round {round_id}")
        return Envelope.from_json(stored)

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
        """
        if self._round is not None and not self._round.is_ended:
            raise WrongPhase(
                f"round {self._round.announcement.round_id} is running; it stands at "
                f"{self._round.phase}"
            )
        plan = self._plan_in_force(wishes or {})
        now = self._clock.now()
        in_force = self.recorder.in_force
        if task is None:
            task = "training" if "statistics" in in_force.tasks else "statistics"
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
            self.recorder.record(
                PlanAdopted(plan=canonical.builtins(wanted), plan_digest=wanted.digest)
            )
        return wanted

    def _plan_of(self, announcement: Announcement) -> Plan:
        """Return the plan that an announcement names, from the ledger."""
        plan = self.recorder.in_force.plan
        if plan is not None and plan.digest == announcement.plan_digest:
            return plan
        for signed in reversed(self.recorder.blocks(begin=0, end=self.recorder.size())):
            entry = signed.block.entry
            if (
                isinstance(entry, PlanAdopted)
                and entry.plan_digest == announcement.plan_digest
            ):
                return canonical.from_builtins(entry.plan, Plan)
        raise NotFound("the plan of this round is not on the ledger")

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
        round_ = self._running(round_id)
        message, vector, accepts = self._check(round_, kind, org, body)
        digest = sha256(message)
        if not rounds.judge(round_, kind=kind, org=org, digest=digest):
            received_at = self._received_at(round_, kind, org)
            return Receipt(digest=digest, received_at=received_at)
        if vector is not None:
            self.blobs.put(vector)
        fact = Received(
            kind=kind, org=org, digest=digest, at=self._clock.now(), accepts=accepts
        )
        self._store(fact, slot=f"{kind}/{org}", message=message)
        if kind is Kind.CONTRIBUTION:
            self._registry.touch(org, at=fact.at)
        self.drive()
        return Receipt(digest=digest, received_at=fact.at)

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

    def _check(
        self, round_: Round, kind: Kind, org: OrgId, body: bytes
    ) -> tuple[bytes, bytes | None, bool]:
        """Return message bytes, vector (of a contribution) and verdict, all checked."""
        match kind:
            case Kind.KEYS:
                self._check_keys(round_, org, Envelope.from_json(body))
            case Kind.SHARES:
                self._check_shares(round_, org, body)
            case Kind.CONTRIBUTION:
                return self._check_contribution(round_, org, body)
            case Kind.SURVIVOR_SIGNATURE:
                mine = self._open(Envelope.from_json(body), SurvivorSet, org)
                if mine != self.survivor_set(round_):
                    raise InvalidInput("signed another survivor set than was asked")
            case Kind.UNMASKING:
                self._check_unmasking(round_, org, Envelope.from_json(body))
            case Kind.ACCEPTANCE:
                return body, None, self._check_acceptance(round_, org, body)
        return body, None, True

    def _check_keys(self, round_: Round, org: OrgId, envelope: Envelope) -> None:
        message = self._open(envelope, KeysMessage, org)
        _same_round(round_, message.round_id, org, message.org)
        announced = sha256(self.announcement(message.round_id).payload)
        if message.announcement != announced:
            raise InvalidInput("answers another announcement")
        if not 0 <= message.sample_exponent <= round_.plan.max_weight_exponent:
            raise InvalidInput(
                f"sample exponent: 0 to {round_.plan.max_weight_exponent}"
            )
        if (message.keys is None) != (round_.plan.collection_mode == "clear"):
            raise InvalidInput("round keys go with mode secagg, and only with it")

    def _check_shares(self, round_: Round, org: OrgId, body: bytes) -> None:
        transcript = self.transcript(round_)
        recipients = []
        for envelope in wire.unpack_envelopes(body):
            message = self._open(envelope, ShareMessage, org)
            _same_round(round_, message.round_id, org, message.mail.sender)
            if message.transcript != transcript:
                raise InvalidInput("shares for another key list")
            recipients.append(message.mail.recipient)
        if recipients != [o for o in round_.sent(Kind.KEYS) if o != org]:
            raise InvalidInput(
                "one share message for each other organisation, in order"
            )

    def _check_contribution(
        self, round_: Round, org: OrgId, body: bytes
    ) -> tuple[bytes, bytes | None, bool]:
        plan, announcement = round_.plan, round_.announcement
        task = announcement.task
        size = opening.vector_size(plan, task)
        contribution = wire.unpack_contribution(body, size=size)
        statement = self._open(contribution.statement, ContributionStatement, org)
        _same_round(round_, statement.round_id, org, statement.org)
        if (statement.plan_digest, statement.parent_model) != (
            announcement.plan_digest,
            announcement.parent_model,
        ):
            raise InvalidInput("made under another plan or from another parent model")
        if statement.contribution_digest != sha256(contribution.vector):
            raise InvalidInput("the statement is about another vector")
        if statement.privacy.mechanism != plan.privacy_mechanism:
            raise InvalidInput("claims another privacy mechanism than the plan")
        keys = self.keys(round_).get(org)
        if keys is not None and keys.sample_exponent != statement.sample_exponent:
            raise InvalidInput("another sample bucket than in the round keys")
        if plan.collection_mode == "clear":
            opening.screen(plan, task, contribution.vector)
        return contribution.statement.to_json(), contribution.vector, True

    def _check_unmasking(self, round_: Round, org: OrgId, envelope: Envelope) -> None:
        message = self._open(envelope, UnmaskingMessage, org)
        _same_round(round_, message.round_id, org, message.org)
        asked = self.survivor_set(round_)
        if message.survivor_set != sha256(canonical.encode(asked)):
            raise InvalidInput("answers another survivor set")
        if set(message.self_shares) != set(asked.survivors) or set(
            message.key_shares
        ) != set(asked.dropouts):
            raise InvalidInput(
                "one self share for each survivor, one key share for each drop-out"
            )

    def _check_acceptance(self, round_: Round, org: OrgId, body: bytes) -> bool:
        statement = self._open(Envelope.from_json(body), AcceptanceStatement, org)
        _same_round(round_, statement.round_id, org, statement.org)
        proposal = self.proposal(round_)
        if (
            statement.prev_hash,
            statement.parent_model,
            statement.model_hash,
            statement.sum_digest,
            statement.contributions_root,
        ) != (
            proposal.prev_hash,
            proposal.parent_model,
            proposal.model_hash,
            proposal.sum_digest,
            proposal.contributions_root,
        ):
            raise InvalidInput("a statement about another proposal")
        return statement.verdict == "accepted"

    def _open(
        self, envelope: Envelope, type_: type[messages.M], org: OrgId
    ) -> messages.M:
        return messages.open_from(
            envelope, type_, org=org, members=self.recorder.in_force.identities
        )

    # What the round has brought together.

    def _once(self, round_: Round, what: str, kind: Kind, make: Callable[[], T]) -> T:
        """Return what ``make`` gives, read once for one set of senders of a kind.

        A stored message never changes, so what is made of them changes only with who
        sent one.
        """
        newest = self._round
        if newest is None or newest.announcement != round_.announcement:
            return make()
        key = (what, kind, round_.sent(kind))
        if key not in self._made:
            self._made[key] = make()
        found: T = self._made[key]
        return found

    def envelopes(self, round_: Round, kind: Kind) -> dict[OrgId, Envelope]:
        """Return the signed messages of one kind, by sender, in order."""
        return self._once(
            round_,
            "envelopes",
            kind,
            lambda: {
                org: Envelope.from_json(self._message(round_, f"{kind}/{org}"))
                for org in round_.sent(kind)
            },
        )

    def keys(self, round_: Round) -> dict[OrgId, KeysMessage]:
        """Return the key list."""
        return self._once(
            round_,
            "keys",
            Kind.KEYS,
            lambda: {
                org: canonical.decode(envelope.payload, KeysMessage)
                for org, envelope in self.envelopes(round_, Kind.KEYS).items()
            },
        )

    def transcript(self, round_: Round) -> Digest:
        """Return the digest of announcement and key list."""
        return self._once(
            round_,
            "transcript",
            Kind.KEYS,
            lambda: messages.transcript(
                self.announcement(round_.announcement.round_id),
                list(self.envelopes(round_, Kind.KEYS).values()),
            ),
        )

    def shares(self, round_: Round) -> dict[OrgId, dict[OrgId, Envelope]]:
        """Return the mail of a round, by sender and recipient."""
        return self._once(
            round_,
            "shares",
            Kind.SHARES,
            lambda: {
                org: {
                    canonical.decode(e.payload, ShareMessage).mail.recipient: e
                    for e in wire.unpack_envelopes(
                        self._message(round_, f"{Kind.SHARES}/{org}")
                    )
                }
                for org in round_.sent(Kind.SHARES)
            },
        )

    def contributions(self, round_: Round) -> dict[OrgId, Digest]:
        """Return the digest of each survivor's contribution."""
        return self._once(
            round_,
            "contributions",
            Kind.CONTRIBUTION,
            lambda: {
                org: canonical.decode(
                    envelope.payload, ContributionStatement
                ).contribution_digest
                for org, envelope in self.envelopes(round_, Kind.CONTRIBUTION).items()
            },
        )

    def survivor_set(self, round_: Round) -> SurvivorSet:
        """Return the set that is summed, for the survivors to sign."""
        return SurvivorSet(
            round_id=round_.announcement.round_id,
            transcript=self.transcript(round_),
            survivors=round_.survivors,
            dropouts=round_.dropouts,
            contributions=self.contributions(round_),
        )

    def proposal(self, round_: Round) -> Proposal:
        """Return the proposal of a round.

        Raises:
            NotFound: there is none yet.
        """
        return canonical.decode(self.proposal_envelope(round_).payload, Proposal)

    def proposal_envelope(self, round_: Round) -> Envelope:
        """Return the signed proposal of a round.

        Raises:
            NotFound: there is none yet.
        """
        return Envelope.from_json(self._message(round_, "proposal"))

    def _message(self, round_: Round, slot: str) -> bytes:
        stored = self._facts.message(round_.announcement.round_id, slot)
        if stored is None:
            raise NotFound(f"round {round_.announcement.round_id} has no {slot} yet")
        return stored

    def figures(self, round_: Round) -> dict[str, float]:
        """Return the figures of a round's opened sum; empty before it is open."""
        if round_.opened is None:
            return {}
        found: dict[str, float] = canonical.parse_jcs(self._message(round_, "figures"))
        return found

    def fetch(self, round_id: RoundId, step: Step, org: OrgId) -> bytes:
        """Return what an organisation fetches in a step of its session.

        Raises:
            NotFound: it is not there yet, or there is no such round or step.
        """
        round_ = self.load(round_id)
        place = list(Phase).index(round_.phase)
        match step:
            case Step.KEY_LIST if place >= list(Phase).index(Phase.KEYS):
                return wire.pack_envelopes(
                    list(self.envelopes(round_, Kind.KEYS).values())
                )
            case Step.MAIL if place >= list(Phase).index(Phase.SHARES):
                return wire.pack_envelopes(
                    [mail[org] for mail in self.shares(round_).values() if org in mail]
                )
            case Step.SURVIVOR_SET if place >= list(Phase).index(Phase.CONTRIBUTIONS):
                asked = self.survivor_set(round_)
                return messages.sign(asked, self._identity).to_json()
            case Step.QUORUM if place >= list(Phase).index(Phase.SURVIVORS):
                return wire.pack_envelopes(
                    list(self.envelopes(round_, Kind.SURVIVOR_SIGNATURE).values())
                )
            case Step.PROPOSAL:
                return self.proposal_envelope(round_).to_json()
            case _:
                raise NotFound(f"round {round_id} has no {step} yet")

    def evidence(self, round_id: RoundId) -> wire.Evidence:
        """Return what members need to replay a round whose sum was opened.

        Raises:
            NotFound: no such round, or its sum is not open.
        """
        round_ = self.load(round_id)
        if round_.opened is None:
            raise NotFound(f"the sum of round {round_id} is not open")
        apart = set(round_.dropouts)
        # only mail between a survivor and a drop-out holds salts that are needed
        shares = [
            envelope
            for sender, mail in self.shares(round_).items()
            for recipient, envelope in mail.items()
            if (sender in apart) != (recipient in apart)
        ]
        return wire.Evidence(
            contributions=tuple(self.envelopes(round_, Kind.CONTRIBUTION).values()),
            shares=tuple(shares),
            answers=tuple(self.envelopes(round_, Kind.UNMASKING).values()),
        )

    # Doing what is due.

    def drive(self) -> datetime | None:
        """Do all that is due; return when something may be due again."""
        while self._round is not None:
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
        self._store(
            SumOpened(
                model_hash=opened.model_hash,
                sum_digest=opened.sum_digest,
                at=self._clock.now(),
            ),
            slot="figures",
            message=canonical.jcs(
                {
                    "round": round_.announcement.number,
                    "convergence": opened.convergence,
                    "gradient_norm": opened.gradient_norm,
                    "survivors_weight": opened.survivors_weight,
                    **opened.metrics,
                }
            ),
        )

    def reopen(self, round_: Round) -> opening.Opened:
        """Return what the stored contributions and answers give: replay."""
        task = round_.announcement.task
        parent = self.blobs.get(round_.announcement.parent_model)
        digests = self.contributions(round_)

        def vector_of(org: OrgId) -> bytes:
            return self.blobs.get(digests[org])

        if round_.plan.collection_mode == "clear":
            return opening.open_clear(
                plan=round_.plan,
                task=task,
                parent=parent,
                keys=self.keys(round_),
                survivors=round_.survivors,
                vector_of=vector_of,
            )
        return opening.open_masked(
            plan=round_.plan,
            task=task,
            parent=parent,
            keys=self.keys(round_),
            survivor_set=self.survivor_set(round_),
            answers={
                org: canonical.decode(envelope.payload, UnmaskingMessage)
                for org, envelope in self.envelopes(round_, Kind.UNMASKING).items()
            },
            shares=(
                canonical.decode(envelope.payload, ShareMessage)
                for mail in self.shares(round_).values()
                for envelope in mail.values()
            ),
            vector_of=vector_of,
        )

    def _propose(self, round_: Round) -> None:
        if round_.opened is None:
            raise NotFound("nothing to propose: the sum is not open")
        head = self.recorder.in_force.head_hash
        proposal = Proposal(
            round_id=round_.announcement.round_id,
            parent_model=round_.announcement.parent_model,
            model_hash=round_.opened.model_hash,
            sum_digest=round_.opened.sum_digest,
            contributions_root=contributions_root(self.contributions(round_)),
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
            head = self._record_round(round_)
        self._store(Committed(height=head.height, at=self._clock.now()))

    def _record_round(self, round_: Round) -> Any:  # noqa: ANN401 - a Block
        if round_.opened is None:
            raise NotFound("nothing to commit: the sum is not open")
        in_force = self.recorder.in_force
        plan = round_.plan
        return self.recorder.record_round(
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
                *self.envelopes(round_, Kind.CONTRIBUTION).values(),
                *self.envelopes(round_, Kind.ACCEPTANCE).values(),
            ],
        )

    def _fail(self, round_: Round, reason: str, sentence: str) -> None:
        round_id = round_.announcement.round_id
        entry = self.recorder.in_force.head.entry
        if not (isinstance(entry, RoundFailed) and entry.round_id == round_id):
            self.recorder.record(
                RoundFailed(
                    round_id=round_id,
                    phase=str(round_.phase),
                    reason=reason,
                    sentence=sentence[:500],
                    survivors=round_.survivors,
                )
            )
        self._store(Failed(reason=reason, sentence=sentence, at=self._clock.now()))
        logger.warning("round failed", extra={"round_id": round_id, "reason": reason})


def _same_round(round_: Round, round_id: RoundId, org: OrgId, said: OrgId) -> None:
    if round_id != round_.announcement.round_id:
        raise InvalidInput(f"a message of round {round_id}")
    if said != org:
        raise BadSignature(f"{org} signed a message in the name of {said}")
