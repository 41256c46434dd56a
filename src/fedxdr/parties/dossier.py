# SPDX-License-Identifier: Apache-2.0
"""One round as an organisation holds it: what it stored, read back.

A dossier is a value: the session's facts, the announcement as it was signed, the
round's secret entropy and the members' keys from the mirror. What derives from them
(key list, transcript, our place in the masked sum, opened mail) is computed here, so
that checks (checks.py) and answers (participant.py) are functions of a dossier.

Not here: checking; what a dossier reads from ``fetched`` has been checked before.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fedxdr.core import canonical
from fedxdr.core.errors import NotFound
from fedxdr.core.ids import Digest, OrgId, sha256
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import PublicIdentity
from fedxdr.federation import messages, opening, wire
from fedxdr.federation.messages import (
    KeysMessage,
    Proposal,
    ShareMessage,
    SurvivorSet,
)
from fedxdr.federation.plan import Plan
from fedxdr.federation.sessions import Session, Step
from fedxdr.ledger.statements import ContributionStatement
from fedxdr.secagg import client, derivation
from fedxdr.secagg.stages import Mail, Partition


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """What one organisation holds of one round.

    Attributes:
        session: its facts.
        announcement: as the orchestrator signed it.
        entropy: 32 secret bytes of this round; None once they are erased.
        members: identities as the mirror of the ledger has them.
        orchestrator: the orchestrator's key on the ledger.
        head: hash of the mirror's newest block.
        least: fewest survivors the local floor asks for.
    """

    session: Session
    announcement: Envelope
    entropy: bytes | None = field(repr=False)
    members: dict[OrgId, PublicIdentity]
    orchestrator: PublicIdentity
    head: Digest
    least: int

    @property
    def me(self) -> OrgId:
        """This organisation."""
        return self.session.me

    @property
    def plan(self) -> Plan:
        """The plan in force."""
        return self.session.plan

    @property
    def announced(self) -> Digest:
        """Digest by which messages name the announcement."""
        return sha256(self.announcement.payload)

    @property
    def secret_entropy(self) -> bytes:
        """The round's entropy.

        Raises:
            NotFound: the round is over and its secrets are erased.
        """
        if not self.entropy:
            raise NotFound("this round's secrets are erased")
        return self.entropy

    @property
    def secrets(self) -> derivation.RoundSecrets:
        """The round's secrets, derived from its entropy."""
        return derivation.derive_secrets(self.secret_entropy)

    @property
    def key_list(self) -> dict[OrgId, KeysMessage]:
        """The signed key list, in order."""
        return {
            message.org: message
            for message in (
                canonical.decode(envelope.payload, KeysMessage)
                for envelope in wire.unpack_envelopes(
                    self.session.fetched[Step.KEY_LIST]
                )
            )
        }

    @property
    def transcript(self) -> Digest:
        """Digest of announcement and key list."""
        return self.transcript_of(self.session.fetched[Step.KEY_LIST])

    def transcript_of(self, key_list: bytes) -> Digest:
        """Return the transcript that a key list gives."""
        return messages.transcript(self.announcement, wire.unpack_envelopes(key_list))

    @property
    def membership(self) -> client.Membership:
        """Our place in the masked sum."""
        roster = opening.roster_of(self.plan, self.key_list, self.transcript)
        return client.join(self.secrets, roster=roster, me=self.me)

    def read_mail(self, body: bytes) -> list[Mail]:
        """Return the mail in a body, without checking who signed it."""
        return [
            canonical.decode(envelope.payload, ShareMessage).mail
            for envelope in wire.unpack_envelopes(body)
        ]

    def open_mail(self, membership: client.Membership) -> client.OpenedMail:
        """Return our peers' shares, opened."""
        return client.open_mail(
            membership, self.read_mail(self.session.fetched[Step.MAIL])
        )

    @property
    def mine(self) -> ContributionStatement:
        """The statement about our own contribution."""
        statement = Envelope.from_json(self.session.made[Step.CONTRIBUTION])
        return canonical.decode(statement.payload, ContributionStatement)

    @property
    def survivor_set(self) -> SurvivorSet:
        """The set that was asked for."""
        envelope = Envelope.from_json(self.session.fetched[Step.SURVIVOR_SET])
        return canonical.decode(envelope.payload, SurvivorSet)

    @property
    def partition(self) -> Partition:
        """Survivors and drop-outs of that set."""
        asked = self.survivor_set
        return Partition(survivors=asked.survivors, dropouts=asked.dropouts)

    @property
    def proposal(self) -> Proposal:
        """The proposal."""
        envelope = Envelope.from_json(self.session.fetched[Step.PROPOSAL])
        return canonical.decode(envelope.payload, Proposal)
