# SPDX-License-Identifier: Apache-2.0
"""What the orchestrator's stored facts and messages say about its rounds.

The orchestrator's counterpart of dossier.py: key list, transcript, survivor set,
proposal. Everything is read from storage and remembered while it cannot change.

Not here: what is made of them in a mode (collecting/), taking messages (reception.py)
and acting on them (orchestrator.py); nothing in this file changes anything.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from fedxdr.core import canonical
from fedxdr.core.errors import (
    NotFound,
)
from fedxdr.core.ids import Digest, OrgId, RoundId
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation import messages, rounds, wire
from fedxdr.federation.messages import (
    Announcement,
    KeysMessage,
    Proposal,
    ShareMessage,
    SurvivorSet,
)
from fedxdr.federation.phases import TABLE, Kind
from fedxdr.federation.plan import Plan
from fedxdr.federation.rounds import (
    Committed,
    Failed,
    PhaseClosed,
    Proposed,
    Received,
    Round,
    SumOpened,
)
from fedxdr.ledger.entries import PlanAdopted, RoundCommitted, RoundFailed
from fedxdr.ledger.statements import ContributionStatement
from fedxdr.parties.ports import Blobs, FactLog
from fedxdr.parties.recording import Recorder

T = TypeVar("T")

_FACTS: dict[str, type[rounds.Fact]] = {
    kind.__name__: kind
    for kind in (Received, PhaseClosed, SumOpened, Proposed, Committed, Failed)
}


class RoundRecords:
    """Rounds as storage tells them.

    Args:
        facts: facts and messages of rounds.
        blobs: masked contributions, sums and models.
        recorder: the ledger.
        identity: the orchestrator's key; signs survivor sets.
    """

    def __init__(
        self,
        *,
        facts: FactLog,
        blobs: Blobs,
        recorder: Recorder,
        identity: IdentityKey,
    ) -> None:
        self.recorder = recorder
        self.blobs = blobs
        self._facts = facts
        self._identity = identity
        self._round: Round | None = None
        # what was read from the newest round's messages, which never change
        self._made: dict[tuple[object, ...], Any] = {}

    @property
    def current(self) -> Round | None:
        """The newest round, running or ended."""
        return self._round

    def sign(self, message: messages.Message) -> Envelope:
        """Return a message signed by the orchestrator."""
        return messages.sign(message, self._identity)

    def end_of(self, round_id: RoundId, *, now: datetime) -> Committed | Failed | None:
        """Return how the ledger says that a round ended, None if it does not."""
        if not self.recorder.has_round(round_id):
            return None
        for height in reversed(range(self.recorder.size())):
            (signed,) = self.recorder.blocks(begin=height, end=height + 1)
            match signed.block.entry:
                case RoundCommitted(round_id=name) if name == round_id:
                    return Committed(height=height, at=now)
                case RoundFailed(round_id=name, reason=why, sentence=sentence) if (
                    name == round_id
                ):
                    return Failed(reason=why, sentence=sentence, at=now)
                case _:
                    pass
        return None

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

    def once(self, round_: Round, what: str, kind: Kind, make: Callable[[], T]) -> T:
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
        return self.once(
            round_,
            "envelopes",
            kind,
            lambda: {
                org: wire.unpack_stored(self._message(round_, f"{kind}/{org}"))[0]
                for org in round_.sent(kind)
            },
        )

    def mail(self, round_: Round, kind: Kind) -> dict[OrgId, tuple[Envelope, ...]]:
        """Return what travelled beside the messages of one kind, by sender."""
        return self.once(
            round_,
            "mail",
            kind,
            lambda: {
                org: wire.unpack_stored(self._message(round_, f"{kind}/{org}"))[1]
                for org in round_.sent(kind)
            },
        )

    def keys(self, round_: Round) -> dict[OrgId, KeysMessage]:
        """Return the key list."""
        return self.once(
            round_,
            "keys",
            Kind.KEYS,
            lambda: {
                org: canonical.decode(envelope.payload, KeysMessage)
                for org, envelope in self.envelopes(round_, Kind.KEYS).items()
            },
        )

    def transcript(self, round_: Round) -> Digest:
        """Return the digest of announcement and of all that came first: key list."""
        first = TABLE[round_.plan.collection_mode][0].takes
        return self.once(
            round_,
            "transcript",
            first,
            lambda: messages.transcript(
                self.announcement(round_.announcement.round_id),
                list(self.envelopes(round_, first).values()),
            ),
        )

    def shares(self, round_: Round) -> dict[OrgId, dict[OrgId, Envelope]]:
        """Return the mail of a round, by sender and recipient."""
        return self.once(
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

    def statements(self, round_: Round) -> dict[OrgId, ContributionStatement]:
        """Return the statement about every contribution that arrived."""
        return self.once(
            round_,
            "statements",
            Kind.CONTRIBUTION,
            lambda: {
                org: canonical.decode(envelope.payload, ContributionStatement)
                for org, envelope in self.envelopes(round_, Kind.CONTRIBUTION).items()
            },
        )

    def uploads(self, round_: Round) -> dict[OrgId, Digest]:
        """Return the digest of every contribution that arrived."""
        stated = self.statements(round_)
        return {org: said.contribution_digest for org, said in stated.items()}

    def contributions(self, round_: Round) -> dict[OrgId, Digest]:
        """Return the digest of each survivor's contribution."""
        uploads = self.uploads(round_)
        return {org: uploads[org] for org in round_.survivors}

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
