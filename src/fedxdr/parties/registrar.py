# SPDX-License-Identifier: Apache-2.0
"""The orchestrator's desk for members: invites, takes applications, founds.

Not here: what an application must hold (enrolment.py), who decides (governance.py), who
is known by which key or token (recognising.py).

Rules that always hold: an application and a key ceremony become proposals, which the
members decide; who has applied may read and approve the founding, and nothing else.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import timedelta

from fedxdr.core import canonical
from fedxdr.core.clock import Clock
from fedxdr.core.errors import (
    InvalidInput,
    NotFound,
    Refused,
    TooFewParticipants,
    Unavailable,
    WrongPhase,
)
from fedxdr.core.ids import Digest, OrgId, org_id, sha256
from fedxdr.core.randomness import Entropy
from fedxdr.crypto import requests
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey, PublicIdentity, TokenKey
from fedxdr.ledger import change_rules, statements
from fedxdr.ledger.block import Block
from fedxdr.ledger.entries import Genesis, KeyCeremony, MemberEnrolled, MemberKeys
from fedxdr.ledger.forms import RESERVED_NAMES
from fedxdr.ledger.statements import EnrolmentStatement
from fedxdr.parties import enrolment
from fedxdr.parties.changes import ProposedChange
from fedxdr.parties.enrolment import Application, InvitationToken, Receipt
from fedxdr.parties.governance import ADOPTED
from fedxdr.parties.orchestrator import OPERATOR, Orchestrator
from fedxdr.parties.ports import Registration, Registry
from fedxdr.parties.recognising import Recogniser
from fedxdr.secagg.encrypted.ceremony import Ceremony


class NameTaken(Refused):
    """The name or key belongs to a member already."""

    code = "name-taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """What an organisation that applied is told.

    Attributes:
        receipt: signed by the orchestrator.
        status: ``founding``, ``pending`` (the members decide) or ``active``.
        token: bearer token that lets it read.
    """

    receipt: Envelope
    status: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Charter:
    """What the Genesis will say beside its founders.

    Attributes:
        federation: the federation's name.
        origin: the ledger's name.
        publisher: P-256 key for model files, DER SubjectPublicKeyInfo.
        initial_model: SHA-256 of the first model's file.
        layout_digest: of that model.
        protocol_version: of the round protocol.
    """

    federation: str
    origin: str
    publisher: bytes
    initial_model: Digest
    layout_digest: Digest
    protocol_version: int = 1


class Registrar:
    """Invitations, applications, the founding and key ceremonies.

    Args:
        orchestrator: whose members these are.
        registry: invitations, registrations, nonces.
        clock: the time.
        entropy: for invitations.
        identity: the orchestrator's key.
        operator: the operator's public key.
        token_key: signs bearer tokens.
        charter: what the Genesis says, or will say.

    Attributes:
        recogniser: knows who asks.
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
        charter: Charter,
    ) -> None:
        self._orchestrator = orchestrator
        self._registry = registry
        self._clock = clock
        self._entropy = entropy
        self._identity = identity
        self._charter = charter
        self.recogniser = Recogniser(
            orchestrator=orchestrator,
            registry=registry,
            clock=clock,
            operator=operator,
            token_key=token_key,
            federation=charter.federation,
        )

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
        if name in RESERVED_NAMES:
            raise NameTaken(f"{name} is a reserved name; choose another")
        if name in self.recogniser.members:
            raise NameTaken(f"{name} is a member already; choose another name")
        size, root = self._cosigned_head()
        token, kept = enrolment.new_invitation(
            org=name,
            server=server,
            orchestrator=self.identity,
            expires=self._clock.now() + timedelta(seconds=lifetime_s),
            entropy=self._entropy,
            size=size,
            root=root,
        )
        self._registry.invite(kept)
        return token

    @property
    def origin(self) -> str:
        """The ledger's name in the heads that this orchestrator signs."""
        return self._charter.origin

    @property
    def federation(self) -> str:
        """The federation's name."""
        return self._charter.federation

    @property
    def is_founded(self) -> bool:
        """Whether the ledger has its Genesis."""
        return self._orchestrator.recorder.is_begun

    def _cosigned_head(self) -> tuple[int, bytes]:
        """Return size and root of the newest head with a quorum; 0 without one."""
        try:
            size = self._orchestrator.heads.newest_quorum()
        except Unavailable:
            return 0, b""
        return size, bytes.fromhex(self._orchestrator.recorder.root_at(size))

    def applicant(
        self, request: requests.Request, application: Application
    ) -> requests.Proof:
        """Return the proof that the key which is to be enrolled signed the request.

        Raises:
            BadSignature: not signed, expired, over another request or by another key;
                or the application holds no enrolment.
            MalformedMessage: the application cannot be read.
        """
        identity = application.statement().keys.identity
        return requests.verify(request, identity=identity, now=self._clock.now())

    def enrol(
        self, application: Application, *, proof: requests.Proof | None = None
    ) -> Enrolled:
        """Take an organisation's application; its members decide about it.

        Args:
            application: what it sent.
            proof: of the request that carried it; its nonce is used up, so that
                whoever overheard the request cannot fetch the answer with it.

        Raises:
            ReplayedRequest: this very request was received before.
            InvitationRefused: unknown, used, expired, or for another name.
            BadSignature: the enrolment's signature is wrong.
            NameTaken: a member or applicant has this name or key.
            InvalidInput: keys that no member may have.
        """
        now = self._clock.now()
        invitation = self._registry.invitation(application.invitation_id)
        is_unused = invitation is not None and invitation.used_at is None
        again = invitation is not None and self._applied_before(application)
        if invitation is not None and again:
            # a retry after a lost answer: the same key, proven again, however late
            invitation = dataclasses.replace(
                invitation, used_at=None, expires=now + timedelta(seconds=1)
            )
        statement = enrolment.check_application(
            application, invitation=invitation, orchestrator=self.identity, now=now
        )
        if proof is not None:
            self.recogniser.use_nonce(proof)
        if not again:
            self._propose(statement, application)
        known = self._registry.registration(statement.org)
        if known is None or is_unused:
            receipt = enrolment.sign_receipt(
                Receipt(
                    org=statement.org,
                    fingerprint=statement.keys.fingerprint,
                    enrolment=sha256(application.enrolment.payload),
                    federation=self._charter.federation,
                    origin=self._charter.origin,
                    received_at=now,
                ),
                self._identity,
            )
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
        else:
            receipt = Envelope.from_json(known.receipt)
        self._orchestrator.version += 1
        return Enrolled(
            receipt=receipt,
            status=self.status_of(statement.org),
            token=self.recogniser.issue_token(statement.org),
        )

    def status_of(self, org: OrgId) -> str:
        """Return ``active``, ``pending``, ``founding`` or ``unknown``."""
        if org in self.recogniser.members:
            return "active"
        if org in self._orchestrator.governance.applications():
            return "pending" if self.is_founded else "founding"
        return "unknown"

    def _applied_before(self, application: Application) -> bool:
        """Return whether this very key applied with this very invitation."""
        statement = application.statement()
        member = self.recogniser.members.get(statement.org)
        if member is not None:
            return member.keys == statement.keys
        change = self._orchestrator.governance.applications().get(statement.org)
        return (
            change is not None
            and isinstance(change.entry, MemberEnrolled)
            and change.entry.keys == statement.keys
            and change.entry.invitation_digest == application.invitation_id
        )

    def _propose(
        self, statement: EnrolmentStatement, application: Application
    ) -> ProposedChange:
        """File an application as a change that the members decide."""
        governance = self._orchestrator.governance
        self._check_keys(statement)
        taken = self.recogniser.applied()
        taken |= {org: member.keys for org, member in self.recogniser.members.items()}
        if statement.org in taken or any(
            keys.all & statement.keys.all for keys in taken.values()
        ):
            raise NameTaken(f"{statement.org} (or its key) is a member already")
        return governance.propose(
            MemberEnrolled(
                change=governance.next_number,
                org_id=statement.org,
                name=statement.name,
                keys=statement.keys,
                data_sources=statement.data_sources,
                invitation_digest=statement.invitation_digest,
            ),
            envelopes=[application.enrolment],
            by=statement.org,
        )

    def _check_keys(self, statement: EnrolmentStatement) -> None:
        """Refuse keys that no member may have: one founder's would stop all others.

        Raises:
            NameTaken: a key of the orchestrator's.
            VerificationFailed: the ledger would never take them.
        """
        if statement.keys.all & MemberKeys.of(self.identity).all:
            raise NameTaken(f"a key of {statement.org} is the orchestrator's")
        change_rules.check_keys(
            statement.org,
            statement.keys,
            height=self._orchestrator.recorder.size(),
        )

    def found(self) -> ProposedChange:
        """Propose the Genesis, with all who applied as founders; each must approve.

        Raises:
            WrongPhase: the federation is founded already.
            TooFewParticipants: nobody has applied.
        """
        if self.is_founded:
            raise WrongPhase("the federation is founded already")
        governance = self._orchestrator.governance
        applied = governance.applications()
        if not applied:
            raise TooFewParticipants("nobody has joined yet: invite the founders first")
        envelopes = [e for change in applied.values() for e in change.envelopes]
        enrolled = statements.by_organisation(envelopes, EnrolmentStatement)
        charter = self._charter
        founders = {org: said.keys.fingerprint for org, (_, said) in enrolled.items()}
        for change in governance.proposals():
            if isinstance(change.entry, Genesis):
                if change.entry.founders == founders:
                    return change
                governance.withdraw(change.digest, why="there are other founders now")
        self._orchestrator.version += 1
        return governance.propose(
            Genesis(
                federation=charter.federation,
                origin=charter.origin,
                orchestrator=MemberKeys.of(self.identity),
                publisher=charter.publisher,
                created=self._clock.now(),
                protocol_version=charter.protocol_version,
                initial_model=charter.initial_model,
                layout_digest=charter.layout_digest,
                founders=founders,
            ),
            envelopes=envelopes,
            by=OPERATOR,
        )

    def publish(self, record: Ceremony) -> Block:
        """Propose the record of a key ceremony; return its block once it stands.

        Handing in the newest one again changes nothing.

        Args:
            record: the ceremony's public record. Whether its dealer can be trusted
                nobody sees here; every holder decides for itself by installing its
                share.

        Raises:
            InvalidInput: a holder that is no member.
            WaitingForQuorum: too few members have approved it yet; ask again.
        """
        recorder, governance = (
            self._orchestrator.recorder,
            self._orchestrator.governance,
        )
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
        filed = governance.propose(
            KeyCeremony(
                change=governance.next_number,
                record=canonical.builtins(record),
                fingerprint=record.fingerprint,
                holders=record.key.holders,
            ),
            by=OPERATOR,
        )
        self._orchestrator.version += 1
        governance.advance()
        if governance.proposal(filed.digest).outcome != ADOPTED:
            raise governance.waiting_for(filed.digest)
        return self.ceremony_block(record)

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
