# SPDX-License-Identifier: Apache-2.0
"""One round as an organisation holds it: what it stored, read back.

A dossier is a value: the session's facts, the announcement as it was signed, the
round's secret entropy and the members' keys from the mirror. What derives from them
(key list, transcript, our place in the masked sum, opened mail) is computed here, so
that checks (checks.py) and answers (participant.py) are functions of a dossier.

What costs (agreeing secrets with every peer, opening their mail) is worked out once per
round and kept in memory beside the dossier (``Workings``).

Not here: checking; what a dossier reads from ``fetched`` has been checked before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

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
from fedxdr.secagg.encrypted.ceremony import Ceremony
from fedxdr.secagg.stages import Partition

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Workings:
    """What was worked out in one round, by name and the bytes it was made from.

    It holds secrets: never stored, and dropped with the session. Two values made from
    the same bytes under the same round entropy are the same, so nothing goes stale.
    """

    _made: dict[tuple[str, bytes], Any] = field(default_factory=dict, repr=False)

    def once(self, what: str, source: bytes, make: Callable[[], T]) -> T:
        """Return what ``make`` gives for these bytes, made at the first call only."""
        key = (what, source)
        if key not in self._made:
            self._made[key] = make()
        found: T = self._made[key]
        return found


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
        workings: of this round and no other.
        ceremony: of the plan's decryption key, None without.
    """

    session: Session
    announcement: Envelope
    entropy: bytes | None = field(repr=False)
    members: dict[OrgId, PublicIdentity]
    orchestrator: PublicIdentity
    head: Digest
    least: int
    workings: Workings = field(default_factory=Workings, compare=False)
    ceremony: Ceremony | None = None

    @property
    def me(self) -> OrgId:
        """This organisation."""
        return self.session.me

    @property
    def plan(self) -> Plan:
        """The plan in force."""
        return self.session.plan

    @property
    def fewest(self) -> int:
        """Fewest organisations in a sum that we take part in: plan and local floor."""
        return max(self.plan.threshold, self.plan.min_survivors, self.least)

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
        entropy = self.secret_entropy
        return self.workings.once(
            "secrets", b"", lambda: derivation.derive_secrets(entropy)
        )

    @property
    def key_list(self) -> dict[OrgId, KeysMessage]:
        """The signed key list, in order."""
        return self._keys_in(self.session.fetched[Step.KEY_LIST])

    @property
    def transcript(self) -> Digest:
        """Digest of announcement and key list."""
        first = (
            Step.COMMITTED_SET
            if self.plan.collection_mode == "paillier"
            else Step.KEY_LIST
        )
        return self.transcript_of(self.session.fetched[first])

    def transcript_of(self, key_list: bytes) -> Digest:
        """Return the transcript that a key list gives."""
        return self.workings.once(
            "transcript",
            key_list,
            lambda: messages.transcript(
                self.announcement, wire.unpack_envelopes(key_list)
            ),
        )

    @property
    def membership(self) -> client.Membership:
        """Our place in the masked sum."""
        return self.membership_of(self.session.fetched[Step.KEY_LIST])

    def membership_of(self, key_list: bytes) -> client.Membership:
        """Return the place in the masked sum that a key list gives us.

        Raises:
            InvalidInput: it does not hold the keys we sent.
            MalformedMessage: a peer's key that cannot be agreed with.
            TooFewParticipants: no sum can be made with so few.
        """

        def join() -> client.Membership:
            roster = opening.roster_of(
                self.plan, self._keys_in(key_list), self.transcript_of(key_list)
            )
            return client.join(self.secrets, roster=roster, me=self.me)

        return self.workings.once("membership", key_list, join)

    def _keys_in(self, key_list: bytes) -> dict[OrgId, KeysMessage]:
        def read() -> dict[OrgId, KeysMessage]:
            found = (
                canonical.decode(envelope.payload, KeysMessage)
                for envelope in wire.unpack_envelopes(key_list)
            )
            return {message.org: message for message in found}

        return self.workings.once("keys", key_list, read)

    @property
    def opened_mail(self) -> client.OpenedMail:
        """Our peers' shares, opened."""
        return self.open_mail(self.session.fetched[Step.MAIL])

    def open_mail(self, body: bytes) -> client.OpenedMail:
        """Return the shares in a body of mail; who signed it is NOT checked.

        Raises:
            InvalidInput: mail that is not for us, comes twice or does not open.
            TooFewParticipants: shares of too few arrived.
        """
        return self.workings.once(
            "mail",
            body,
            lambda: client.open_mail(
                self.membership,
                [
                    canonical.decode(envelope.payload, ShareMessage).mail
                    for envelope in wire.unpack_envelopes(body)
                ],
            ),
        )

    @property
    def mine(self) -> ContributionStatement:
        """The statement about our own contribution."""
        statement, _ = wire.unpack_stored(self.session.made[Step.CONTRIBUTION])
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
