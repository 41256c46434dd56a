# SPDX-License-Identifier: Apache-2.0
"""How an organisation becomes a member: an invitation, a proof, a receipt.

The operator hands over one line. It carries the orchestrator's address, the name the
organisation will have, a 128-bit secret, the fingerprint of the orchestrator's keys
and, once the federation is founded, size and root of its ledger. The organisation makes
its own keys, checks the fingerprint, and proves that it knows the secret without
sending it: HMAC-SHA256 over its signed enrolment and the key it believes to talk to.
Whoever sits in between learns nothing he could use elsewhere.

An invitation makes nobody a member: it lets an organisation apply. The founders decide
about the Genesis, the members about everybody after them (governance.py).

Rules that always hold:
    1. Private keys and the invitation's secret never travel.
    2. An invitation works once, for one name, until it expires.
    3. The receipt is signed by the key whose fingerprint was in the invitation.
    4. The ledger that the organisation follows extends the one that was pinned.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from typing_extensions import override

from fedxdr.core import canonical
from fedxdr.core.errors import (
    BadSignature,
    FedxdrError,
    InvalidSettings,
    InvitationRefused,
)
from fedxdr.core.ids import Digest, OrgId, org_id, sha256
from fedxdr.core.randomness import Entropy
from fedxdr.crypto import envelope as dsse
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey, PublicIdentity
from fedxdr.ledger import statements
from fedxdr.ledger.entries import MemberKeys
from fedxdr.ledger.merkle import HASH_BYTES
from fedxdr.ledger.statements import ENROLMENT_TYPE, EnrolmentStatement
from fedxdr.parties.ports import Invitation

RECEIPT_TYPE = "application/vnd.fedxdr.receipt.v2+json"
SECRET_BYTES = 16
PIN_BYTES = 32
_SIZE_BYTES = 4
_SCHEME = "fedxdr+"
_SERVER_SCHEMES = ("fedxdr+http", "fedxdr+https")


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationToken:
    """The one line that the operator hands over.

    Attributes:
        server: base address of the orchestrator, ``http://host:port``.
        org: the name the organisation will have.
        secret: 16 bytes.
        pin: fingerprint of the orchestrator's keys.
        size: of the ledger when it was made; 0 before the federation is founded.
        root: Merkle root over so many blocks, 32 bytes; empty with size 0.
    """

    server: str
    org: OrgId
    secret: bytes = field(repr=False)
    pin: str
    size: int = 0
    root: bytes = b""

    @override
    def __str__(self) -> str:
        """Return ``fedxdr+http://host:port/org#`` and 64 or 112 characters."""
        packed = self.secret + bytes.fromhex(self.pin)
        if self.size:
            packed += self.size.to_bytes(_SIZE_BYTES, "big") + self.root
        fragment = base64.urlsafe_b64encode(packed).decode()
        return f"{_SCHEME}{self.server}/{self.org}#{fragment}"

    @classmethod
    def parse(cls, text: str) -> InvitationToken:
        """Return the token written as ``text``.

        Raises:
            InvalidSettings: it is cut off, mistyped or something else.
        """
        wrong = InvalidSettings(
            "this is no invitation: paste the whole line that `fedxdr invite` printed, "
            "in quotes, beginning with fedxdr+http"
        )
        try:
            parts = urlsplit(text.strip())
            packed = base64.b64decode(parts.fragment, altchars=b"-_", validate=True)
            org = org_id(parts.path.strip("/"))
        except (binascii.Error, ValueError, FedxdrError) as error:
            raise wrong from error
        if parts.scheme not in _SERVER_SCHEMES or not parts.netloc:
            raise wrong
        begin = SECRET_BYTES + PIN_BYTES
        if len(packed) not in {begin, begin + _SIZE_BYTES + HASH_BYTES}:
            raise wrong
        size = int.from_bytes(packed[begin:][:_SIZE_BYTES], "big")
        if (size == 0) != (len(packed) == begin):
            raise wrong
        return cls(
            server=f"{parts.scheme.removeprefix(_SCHEME)}://{parts.netloc}",
            org=org,
            secret=packed[:SECRET_BYTES],
            pin=packed[SECRET_BYTES:begin].hex(),
            size=size,
            root=packed[begin + _SIZE_BYTES :],
        )

    @property
    def invitation_id(self) -> Digest:
        """Name of the invitation: a hash of the secret."""
        return sha256(b"fedxdr/invitation/v1\x00", self.secret)

    @property
    def proof_key(self) -> bytes:
        """Key of the proof; the orchestrator keeps this, not the secret."""
        label = b"fedxdr/invitation-proof/v1"
        return hmac.new(self.secret, label, hashlib.sha256).digest()


def new_invitation(
    *,
    org: OrgId,
    server: str,
    orchestrator: PublicIdentity,
    expires: datetime,
    entropy: Entropy,
    size: int = 0,
    root: bytes = b"",
) -> tuple[InvitationToken, Invitation]:
    """Return the line to hand over and what the orchestrator keeps of it.

    Args:
        org: who may use it.
        server: base address of the orchestrator.
        orchestrator: its keys.
        expires: until when.
        entropy: for the secret.
        size: of the ledger, as its members cosigned it; 0 without.
        root: over so many blocks.
    """
    token = InvitationToken(
        server=server.rstrip("/"),
        org=org,
        secret=entropy.draw(SECRET_BYTES),
        pin=orchestrator.fingerprint,
        size=size,
        root=root,
    )
    kept = Invitation(
        invitation_id=token.invitation_id,
        proof_key=token.proof_key,
        org=org,
        expires=expires,
    )
    return token, kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What an organisation sends to join.

    Attributes:
        enrolment: its signed ``EnrolmentStatement``.
        invitation_id: which invitation it uses.
        proof: HMAC-SHA256, 32 bytes.
        endpoint: where it can be reached; may be empty.
        capabilities: collection modes and helper roles it offers.
    """

    enrolment: Envelope
    invitation_id: Digest
    proof: bytes
    endpoint: str = ""
    capabilities: tuple[str, ...] = ()

    def statement(self) -> EnrolmentStatement:
        """Return what the organisation says of itself; whether it may, nobody checked.

        Raises:
            BadSignature: the application holds no enrolment.
            MalformedMessage: it holds nothing that can be read.
        """
        found = statements.read(self.enrolment)
        if not isinstance(found, EnrolmentStatement):
            raise BadSignature("the application holds no enrolment statement")
        return found


def apply_to_join(
    token: InvitationToken,
    *,
    orchestrator: PublicIdentity,
    key: IdentityKey,
    name: str,
    data_sources: tuple[str, ...],
    now: datetime,
) -> Application:
    """Return the application of an organisation that holds a token.

    Args:
        token: the invitation.
        orchestrator: the key that answered at the token's address.
        key: the organisation's own new key.
        name: its name, for people.
        data_sources: kinds of telemetry it trains on.
        now: the present instant.

    Raises:
        InvitationRefused: the key at that address is not the one that was pinned.
    """
    if not hmac.compare_digest(orchestrator.fingerprint, token.pin):
        raise InvitationRefused(
            "the server at this address is not the one that the invitation pins "
            f"({orchestrator.fingerprint[:16]}…, pinned {token.pin[:16]}…); "
            "nothing was sent: ask the operator for a new invitation"
        )
    statement = EnrolmentStatement(
        org=token.org,
        name=name,
        keys=MemberKeys.of(key.public),
        data_sources=tuple(sorted(set(data_sources))),
        invitation_digest=token.invitation_id,
        issued_at=now,
    )
    envelope = statements.sign(statement, key)
    return Application(
        enrolment=envelope,
        invitation_id=token.invitation_id,
        proof=_proof(token.proof_key, envelope, orchestrator),
        capabilities=("secagg",),
    )


def check_application(
    application: Application,
    *,
    invitation: Invitation | None,
    orchestrator: PublicIdentity,
    now: datetime,
) -> EnrolmentStatement:
    """Return the enrolment of an application that may be accepted.

    Args:
        application: as received.
        invitation: what is kept under its ``invitation_id``, None if nothing is.
        orchestrator: our own key.
        now: the present instant.

    Raises:
        InvitationRefused: unknown, used, expired, or for another name.
        BadSignature: the proof or the enrolment's signature is wrong.
    """
    if invitation is None:
        raise InvitationRefused("no such invitation: ask the operator for one")
    proof = _proof(invitation.proof_key, application.enrolment, orchestrator)
    if not hmac.compare_digest(proof, application.proof):
        raise InvitationRefused("the proof does not match the invitation")
    if invitation.used_at is not None:
        raise InvitationRefused(
            "this invitation was used before; each works once: ask for a new one"
        )
    if invitation.expires <= now:
        raise InvitationRefused("this invitation has expired: ask for a new one")
    statement = application.statement()
    statements.verify(
        application.enrolment, kind=EnrolmentStatement, keys=statement.keys
    )
    if statement.org != invitation.org:
        raise InvitationRefused("this invitation is for another organisation")
    if statement.invitation_digest != invitation.invitation_id:
        raise InvitationRefused("the enrolment names another invitation")
    return statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the orchestrator signs when an application has arrived.

    Attributes:
        org: the organisation.
        fingerprint: of its keys.
        enrolment: digest of its enrolment's payload.
        federation: the federation's name.
        origin: the ledger's name.
        received_at: UTC.
    """

    org: OrgId
    fingerprint: Digest
    enrolment: Digest
    federation: str
    origin: str
    received_at: datetime


def sign_receipt(receipt: Receipt, signer: IdentityKey) -> Envelope:
    """Return the receipt in an envelope signed by the orchestrator."""
    return dsse.sign(RECEIPT_TYPE, canonical.encode(receipt), signer)


def check_receipt(
    envelope: Envelope, *, orchestrator: PublicIdentity, key: IdentityKey, org: OrgId
) -> Receipt:
    """Return the receipt if the pinned key signed it for this organisation and key.

    Raises:
        BadSignature: any other receipt.
    """
    payload = dsse.verify(envelope, public_key=orchestrator, payload_type=RECEIPT_TYPE)
    receipt = canonical.decode(payload, Receipt)
    if (receipt.org, receipt.fingerprint) != (org, key.public.fingerprint):
        raise BadSignature("the receipt is for another organisation or key")
    return receipt


def _proof(key: bytes, enrolment: Envelope, orchestrator: PublicIdentity) -> bytes:
    message = b"\x00".join(
        (
            b"fedxdr/join/v1",
            ENROLMENT_TYPE.encode(),
            sha256(enrolment.to_json()).encode(),
            orchestrator.keyid.encode(),
        )
    )
    return hmac.new(key, message, hashlib.sha256).digest()
