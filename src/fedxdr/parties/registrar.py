# SPDX-License-Identifier: Apache-2.0
"""The orchestrator's desk for members: invites, enrols, publishes, recognises requests.

Not here: what an application must hold (enrolment.py).

Rules that always hold: a member and its key stand on the ledger before it is told so;
an enrolment, and a record of a key ceremony, wait until no round is running; a nonce is
accepted once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import timedelta

from fedxdr.core import canonical
from fedxdr.core.clock import Clock
from fedxdr.core.errors import (
    BadSignature,
    InvalidInput,
    NotFound,
    Refused,
    UnknownSender,
    WrongPhase,
)
from fedxdr.core.ids import OrgId, org_id, sha256
from fedxdr.core.randomness import Entropy
from fedxdr.crypto import requests, tokens
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey, PublicIdentity, TokenKey
from fedxdr.ledger import statements
from fedxdr.ledger.block import Block
from fedxdr.ledger.entries import KeyCeremony, MemberEnrolled
from fedxdr.ledger.statements import EnrolmentStatement
from fedxdr.parties import enrolment
from fedxdr.parties.enrolment import Application, InvitationToken, Receipt
from fedxdr.parties.orchestrator import Orchestrator
from fedxdr.parties.ports import Registration, Registry
from fedxdr.secagg.encrypted.ceremony import Ceremony

TOKEN_LIFETIME_S = 30 * 86_400
OPERATOR = "operator"
_RESERVED = (OPERATOR, "orchestrator", "auditor")


class NameTaken(Refused):
    """The name or key belongs to a member already."""

    code = "name-taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """What a new member is told.

    Attributes:
        receipt: signed by the orchestrator.
        token: bearer token that lets it read.
    """

    receipt: Envelope
    token: str


class Registrar:
    """Members, invitations, tokens and request signatures.

    Args:
        orchestrator: whose members these are.
        registry: invitations, registrations, nonces.
        clock: the time.
        entropy: for invitations.
        identity: the orchestrator's key.
        operator: the operator's public key.
        token_key: signs bearer tokens.
    """

    def __init__(
        self,
        *,
        orchestrator: Orchestrator,
        registry: Registry,
        clock: Clock,
        entropy: Entropy,
        identity: IdentityKey,
        operator: PublicIdentity,
        token_key: TokenKey,
    ) -> None:
        self._orchestrator = orchestrator
        self._registry = registry
        self._clock = clock
        self._entropy = entropy
        self._identity = identity
        self._operator = operator
        self._token_key = token_key

    @property
    def identity(self) -> PublicIdentity:
        """The orchestrator's public key."""
        return self._identity.public

    def invite(self, org: str, *, server: str, lifetime_s: int) -> InvitationToken:
        """Return a new invitation for a name.

        Args:
            org: the name the organisation will have.
            server: base address under which the orchestrator is reached.
            lifetime_s: seconds until it expires, > 0.

        Raises:
            NameTaken: a member has this name.
            MalformedMessage: not a name.
        """
        name = org_id(org)
        if name in _RESERVED:
            raise NameTaken(f"{name} is a reserved name; choose another")
        if name in self._orchestrator.recorder.in_force.members:
            raise NameTaken(f"{name} is a member already; choose another name")
        token, kept = enrolment.new_invitation(
            org=name,
            server=server,
            orchestrator=self.identity,
            expires=self._clock.now() + timedelta(seconds=lifetime_s),
            entropy=self._entropy,
        )
        self._registry.invite(kept)
        return token

    def applicant(
        self, request: requests.Request, application: Application
    ) -> requests.Proof:
        """Return the proof that the key which is to be enrolled signed the request.

        Raises:
            BadSignature: not signed, expired, over another request or by another key.
            MalformedMessage: the application holds no enrolment.
        """
        statement = statements.read(application.enrolment)
        if not isinstance(statement, EnrolmentStatement):
            raise BadSignature("the application holds no enrolment statement")
        return requests.verify(
            request, identity=statement.keys.identity, now=self._clock.now()
        )

    def enrol(
        self, application: Application, *, proof: requests.Proof | None = None
    ) -> Enrolled:
        """Make an organisation a member.

        Args:
            application: what it sent.
            proof: of the request that carried it; its nonce is used up, so that
                whoever overheard the request cannot fetch the answer with it.

        Raises:
            ReplayedRequest: this very request was received before.
            InvitationRefused: unknown, used, expired, or for another name.
            BadSignature: the enrolment's signature is wrong.
            NameTaken: a member has this name or key.
            WrongPhase: a round is running.
        """
        now = self._clock.now()
        invitation = self._registry.invitation(application.invitation_id)
        again = self._enrolled_before(application)
        if invitation is not None and again is not None:
            # a retry after a lost answer: the same key, proven again, however late
            invitation = dataclasses.replace(
                invitation, used_at=None, expires=now + timedelta(seconds=1)
            )
        statement = enrolment.check_application(
            application, invitation=invitation, orchestrator=self.identity, now=now
        )
        if proof is not None:
            self._use_nonce(proof)
        recorder = self._orchestrator.recorder
        block = again or self._record(statement, application)
        genesis = recorder.blocks(begin=0, end=1)[0].block
        receipt = enrolment.sign_receipt(
            Receipt(
                org=statement.org,
                keyid=statement.keys.identity.keyid,
                enrolment=sha256(application.enrolment.payload),
                federation=recorder.in_force.genesis.federation,
                origin=recorder.in_force.genesis.origin,
                genesis=genesis.hash,
                height=block.height,
                block=block.hash,
                registered_at=now,
            ),
            self._identity,
        )
        if self._registry.registration(statement.org) is None:
            self._registry.use(
                application.invitation_id,
                Registration(
                    org=statement.org,
                    receipt=canonical.jcs(receipt.to_value()),
                    endpoint=application.endpoint,
                    capabilities=application.capabilities,
                ),
                at=now,
            )
        self._orchestrator.version += 1
        return Enrolled(receipt=receipt, token=self.issue_token(statement.org))

    def _enrolled_before(self, application: Application) -> Block | None:
        """Return the block that enrolled this very key with this very invitation."""
        recorder = self._orchestrator.recorder
        keyids = [s.keyid for s in application.enrolment.signatures]
        for member in recorder.in_force.members.values():
            if [member.keys.identity.keyid] == keyids:
                block = recorder.blocks(begin=member.since, end=member.since + 1)[0]
                entry = block.block.entry
                if (
                    isinstance(entry, MemberEnrolled)
                    and entry.invitation_digest == application.invitation_id
                ):
                    return block.block
        return None

    def _record(self, statement: EnrolmentStatement, application: Application) -> Block:
        """Put a new member on the ledger."""
        recorder = self._orchestrator.recorder
        members = recorder.in_force.members
        if statement.org in members or statement.keys.identity.keyid in {
            member.keys.identity.keyid for member in members.values()
        }:
            raise NameTaken(f"{statement.org} (or its key) is a member already")
        running = self._orchestrator.current
        if running is not None and not running.is_ended:
            raise WrongPhase("a round is running: try again when it is over")
        return recorder.record(
            MemberEnrolled(
                org_id=statement.org,
                name=statement.name,
                keys=statement.keys,
                data_sources=statement.data_sources,
                invitation_digest=statement.invitation_digest,
            ),
            envelopes=[application.enrolment],
        )

    def publish(self, record: Ceremony) -> Block:
        """Put the record of a key ceremony on the ledger; return its block.

        Handing in the newest one again changes nothing. It waits until no round is
        running, as an enrolment does: an announcement names the block it follows.

        Args:
            record: the ceremony's public record. Whether its dealer can be trusted
                nobody sees here; every holder decides for itself by installing its
                share.

        Raises:
            InvalidInput: a holder that is no member.
            WrongPhase: a round is running.
        """
        recorder = self._orchestrator.recorder
        in_force = recorder.in_force
        strangers = sorted(set(record.key.holders) - set(in_force.members))
        if strangers:
            raise InvalidInput(
                f"{', '.join(strangers)} hold a share and are no members: invite them "
                "first"
            )
        known = list(in_force.ceremonies)
        if known and known[-1] == record.fingerprint:
            return self.ceremony_block(record)
        running = self._orchestrator.current
        if running is not None and not running.is_ended:
            raise WrongPhase("a round is running: try again when it is over")
        block = recorder.record(
            KeyCeremony(
                record=canonical.builtins(record),
                fingerprint=record.fingerprint,
                holders=record.key.holders,
            )
        )
        self._orchestrator.version += 1
        return block

    def ceremony_block(self, record: Ceremony) -> Block:
        """Return the newest block that holds a ceremony's record.

        Raises:
            NotFound: there is none.
        """
        recorder = self._orchestrator.recorder
        for height in reversed(range(recorder.size())):
            (signed,) = recorder.blocks(begin=height, end=height + 1)
            match signed.block.entry:
                case KeyCeremony(fingerprint=found) if found == record.fingerprint:
                    return signed.block
                case _:
                    pass
        raise NotFound("that ceremony is not on the ledger")

    def issue_token(self, org: OrgId) -> str:
        """Return a bearer token that lets an organisation read for 30 days."""
        return tokens.issue(
            key=self._token_key,
            subject=org,
            role="organisation",
            issuer=self._orchestrator.recorder.in_force.genesis.federation,
            now=self._clock.now(),
            lifetime_s=TOKEN_LIFETIME_S,
        )

    def bearer(self, token: str) -> str:
        """Return who bears a token.

        Raises:
            Unauthorised: it is not ours, or has expired.
        """
        return tokens.check(
            token,
            public_key=self._token_key.public,
            issuer=self._orchestrator.recorder.in_force.genesis.federation,
            now=self._clock.now(),
        ).subject

    def signer(self, request: requests.Request, *, is_write: bool) -> str:
        """Return who signed a request: an organisation's name, or ``operator``.

        Args:
            request: as it arrived.
            is_write: whether its nonce is to be used up.

        Raises:
            BadSignature: not signed, expired, or over another request.
            UnknownSender: signed by a key that is not on the ledger.
            ReplayedRequest: the nonce was used before.
        """
        name, identity = self._by_keyid(request.headers)
        now = self._clock.now()
        proof = requests.verify(request, identity=identity, now=now)
        if is_write:
            self._use_nonce(proof)
        return name

    def _use_nonce(self, proof: requests.Proof) -> None:
        self._registry.use_nonce(
            proof.keyid,
            proof.nonce,
            expires=proof.expires + timedelta(seconds=requests.CLOCK_SKEW_S),
        )
        self._registry.forget_nonces(before=self._clock.now())

    def _by_keyid(
        self, headers: MutableMapping[str, str]
    ) -> tuple[str, PublicIdentity]:
        keyid = requests.claimed_keyid(headers)
        if keyid == self._operator.keyid:
            return OPERATOR, self._operator
        for org, identity in self._orchestrator.recorder.in_force.identities.items():
            if identity.keyid == keyid:
                return org, identity
        raise UnknownSender(
            f"key {keyid[:16]}… is no member's on the ledger: join first"
        )
