# SPDX-License-Identifier: Apache-2.0
"""What the parties of a round say to each other.

Each message is a frozen value, signed in an envelope whose payload type is its label
and version. The two statements that end up on the ledger (``ContributionStatement`` and
``AcceptanceStatement``) live in ledger/statements.py and travel the same way.

Rules that always hold:
    1. A message names its round, its sender and what it builds on; it is worth nothing
       in any other round.
    2. Identities are those on the ledger, never those the orchestrator says.
    3. Names and digests in a message have their one form, or there is no message: they
       end up in paths, slots and file names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar, cast

from fedxdr.core import canonical
from fedxdr.core.errors import BadSignature, MalformedMessage
from fedxdr.core.ids import Digest, OrgId, RoundId, digest, org_id, round_id, sha256
from fedxdr.crypto import envelope as dsse
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey, PublicIdentity
from fedxdr.federation.plan import Task
from fedxdr.ledger import statements
from fedxdr.ledger.statements import (
    ACCEPTANCE_TYPE,
    CONTRIBUTION_TYPE,
    AcceptanceStatement,
    ContributionStatement,
    PrivacyClaim,
)
from fedxdr.secagg.committee_stages import (
    AnswerHead,
    HelperKey,
    Report,
    UploadHeader,
)
from fedxdr.secagg.stages import Mail, RoundKeys

MAX_HEAD = 8_192
"""Characters of a head in a message: one with its log's two lines has 3.5 KB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """The orchestrator opens a round.

    Attributes:
        round_id: new for every round.
        number: of the round within the run, from 1.
        task: ``statistics`` or ``training``.
        plan_digest: of the plan in force.
        parent_model: SHA-256 of the model in force.
        prev_hash: hash of the ledger's newest block.
        cohort: who is asked, in order of name.
        opened_at: UTC.
    """

    round_id: RoundId
    number: int
    task: Task
    plan_digest: Digest
    parent_model: Digest
    prev_hash: Digest
    cohort: tuple[OrgId, ...]
    opened_at: datetime

    def __post_init__(self) -> None:
        _want_names(self.round_id, *self.cohort)
        _want_digests(self.plan_digest, self.parent_model, self.prev_hash)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysMessage:
    """An organisation joins a round.

    Attributes:
        announcement: digest of the announcement's payload, as it was received.
        sample_exponent: k of the power-of-two bucket of its sample count; public.
        keys: its keys of this round; None in mode ``clear``.
        head: the newest head of the ledger that it saw, a signed note with the log's
            lines only; empty if there is none. Whoever sees another history knows.
    """

    round_id: RoundId
    org: OrgId
    announcement: Digest
    sample_exponent: int
    keys: RoundKeys | None
    head: str = ""

    def __post_init__(self) -> None:
        _want_names(self.round_id, self.org)
        _want_digests(self.announcement)
        _want_head(self.head)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareMessage:
    """Shares from one organisation to one other, unreadable on the way.

    Attributes:
        transcript: digest of the announcement and the whole signed key list.
        mail: sealed shares and, in one direction per pair, a sealed pair salt.
    """

    round_id: RoundId
    transcript: Digest
    mail: Mail

    def __post_init__(self) -> None:
        _want_names(self.round_id, self.mail.sender, self.mail.recipient)
        _want_digests(self.transcript)


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivorSet:
    """Whose contributions are summed; each survivor signs this very value.

    Attributes:
        survivors: in order of name; their contributions are in the sum.
        dropouts: shared, but did not contribute; their pair masks are removed.
        contributions: digest of each survivor's masked vector.
    """

    round_id: RoundId
    transcript: Digest
    survivors: tuple[OrgId, ...]
    dropouts: tuple[OrgId, ...]
    contributions: dict[OrgId, Digest]

    def __post_init__(self) -> None:
        _want_names(self.round_id, *self.survivors, *self.dropouts, *self.contributions)
        _want_digests(self.transcript, *self.contributions.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmaskingMessage:
    """For each peer its self share (survivor) or its key share (drop-out).

    Attributes:
        survivor_set: digest of the signed set that this answers.
        self_shares: survivor -> share of its self-mask seed, 33 bytes.
        key_shares: drop-out -> share of its mask master key, 33 bytes.
    """

    round_id: RoundId
    org: OrgId
    survivor_set: Digest
    self_shares: dict[OrgId, bytes]
    key_shares: dict[OrgId, bytes]

    def __post_init__(self) -> None:
        _want_names(self.round_id, self.org, *self.self_shares, *self.key_shares)
        _want_digests(self.survivor_set)


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperKeysMessage:
    """A helper joins a round of mode ``committee``.

    Attributes:
        announcement: digest of the announcement's payload, as it was received.
        key: under which seeds are sealed for it.
    """

    round_id: RoundId
    org: OrgId
    announcement: Digest
    key: HelperKey

    def __post_init__(self) -> None:
        _want_names(self.round_id, self.org)
        _want_digests(self.announcement)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderMessage:
    """What helpers get of an organisation's upload in mode ``committee``.

    Attributes:
        header: digest of the vector and a sealed seed for each helper.
    """

    round_id: RoundId
    header: UploadHeader

    def __post_init__(self) -> None:
        _want_names(self.round_id, self.header.sender)


@dataclass(frozen=True, slots=True, kw_only=True)
class VettingMessage:
    """Whose seeds a helper could open, before any helper answers.

    Attributes:
        report: by name, what opened and what did not.
    """

    round_id: RoundId
    report: Report

    def __post_init__(self) -> None:
        _want_names(self.round_id, self.report.helper, *self.report.opened)
        _want_names(self.round_id, *self.report.refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperAnswerMessage:
    """A helper's one answer: what the masks of the included sum to.

    Attributes:
        head: set and digest of the answer, which travels beside it.
    """

    round_id: RoundId
    head: AnswerHead

    def __post_init__(self) -> None:
        _want_names(self.round_id, self.head.helper)
        _want_digests(self.head.included, self.head.sum_digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentMessage:
    """An organisation binds itself to an encrypted update, before anyone uploads.

    Attributes:
        announcement: digest of the announcement's payload, as it was received.
        commitment: of ciphertexts and proof, under the round's terms.
        contribution: SHA-256 of the bytes that will be uploaded.
        head: as in ``KeysMessage``.
    """

    round_id: RoundId
    org: OrgId
    announcement: Digest
    commitment: Digest
    contribution: Digest
    head: str = ""

    def __post_init__(self) -> None:
        _want_names(self.round_id, self.org)
        _want_head(self.head)
        _want_digests(self.announcement, self.commitment, self.contribution)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialMessage:
    """A holder's one partial decryption; its numbers travel beside it.

    Attributes:
        product: digest of the product that it recomputed itself.
        values: SHA-256 of the numbers.
        proof: that its share made them.
    """

    round_id: RoundId
    org: OrgId
    product: Digest
    values: Digest
    proof: bytes

    def __post_init__(self) -> None:
        _want_names(self.round_id, self.org)
        _want_digests(self.product, self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The orchestrator proposes the block of a round.

    Attributes:
        model_hash: SHA-256 of the new snapshot.
        sum_digest: SHA-256 of the opened integer sum (little-endian int64).
        contributions: survivor -> SHA-256 of its masked vector.
        contributions_root: RFC 6962 root over the contributions' digests.
        data_volume: survivor -> its public sample bucket.
        privacy_params: survivor -> what it claims to have done.
        figures: those of the block, without ``num_clients``.
        prev_hash: hash of the block that the new one will follow.
        survivors: in the sum.
        dropouts: not in it.
    """

    round_id: RoundId
    parent_model: Digest
    model_hash: Digest
    sum_digest: Digest
    contributions: dict[OrgId, Digest]
    contributions_root: Digest
    data_volume: dict[OrgId, int]
    privacy_params: dict[OrgId, PrivacyClaim]
    figures: dict[str, float]
    prev_hash: Digest
    survivors: tuple[OrgId, ...]
    dropouts: tuple[OrgId, ...]

    def __post_init__(self) -> None:
        _want_names(self.round_id, *self.survivors, *self.dropouts)
        _want_digests(
            self.parent_model,
            self.model_hash,
            self.sum_digest,
            self.contributions_root,
            self.prev_hash,
            *self.contributions.values(),
        )
        for named in (self.contributions, self.data_volume, self.privacy_params):
            if set(named) != set(self.survivors):
                raise MalformedMessage("a proposal speaks of each survivor, once")


Message = (
    Announcement
    | KeysMessage
    | ShareMessage
    | SurvivorSet
    | UnmaskingMessage
    | HelperKeysMessage
    | HeaderMessage
    | VettingMessage
    | HelperAnswerMessage
    | CommitmentMessage
    | PartialMessage
    | Proposal
    | ContributionStatement
    | AcceptanceStatement
)
M = TypeVar("M", bound=Message)

PAYLOAD_TYPES: dict[type, str] = {
    Announcement: "application/vnd.fedxdr.announcement.v1+json",
    KeysMessage: "application/vnd.fedxdr.round-keys.v2+json",
    ShareMessage: "application/vnd.fedxdr.share.v1+json",
    SurvivorSet: "application/vnd.fedxdr.survivor-set.v1+json",
    UnmaskingMessage: "application/vnd.fedxdr.unmasking.v1+json",
    HelperKeysMessage: "application/vnd.fedxdr.helper-keys.v1+json",
    HeaderMessage: "application/vnd.fedxdr.upload-header.v1+json",
    VettingMessage: "application/vnd.fedxdr.vetting.v1+json",
    HelperAnswerMessage: "application/vnd.fedxdr.helper-answer.v1+json",
    CommitmentMessage: "application/vnd.fedxdr.commitment.v2+json",
    PartialMessage: "application/vnd.fedxdr.partial-decryption.v1+json",
    Proposal: "application/vnd.fedxdr.proposal.v2+json",
    ContributionStatement: CONTRIBUTION_TYPE,
    AcceptanceStatement: ACCEPTANCE_TYPE,
}


def sign(message: Message, signer: IdentityKey) -> Envelope:
    """Return the message in a signed envelope; a statement is signed twice."""
    if isinstance(message, ContributionStatement | AcceptanceStatement):
        return statements.sign(message, signer)
    return dsse.sign(PAYLOAD_TYPES[type(message)], canonical.encode(message), signer)


def open_signed(envelope: Envelope, type_: type[M], *, by: PublicIdentity) -> M:
    """Return the message inside, if it is of that type and signed by that key.

    Raises:
        BadSignature: another type or key, or a signature that does not verify.
        MalformedMessage: not in canonical form.
    """
    if issubclass(type_, ContributionStatement | AcceptanceStatement):
        payload = dsse.verify_twice(
            envelope, public_key=by, payload_type=PAYLOAD_TYPES[type_]
        )
    else:
        payload = dsse.verify(
            envelope, public_key=by, payload_type=PAYLOAD_TYPES[type_]
        )
    if type_ is AcceptanceStatement:
        return cast("M", statements.parse(payload, AcceptanceStatement))
    return canonical.decode(payload, type_)


def open_from(
    envelope: Envelope,
    type_: type[M],
    *,
    org: OrgId,
    members: dict[OrgId, PublicIdentity],
) -> M:
    """Return the message inside, if a member signed it.

    Args:
        envelope: as received.
        type_: the kind of message expected.
        org: the member who must have signed.
        members: identities as the ledger has them.

    Raises:
        BadSignature: no such member, or not signed by it.
        MalformedMessage: not in canonical form.
    """
    identity = members.get(org)
    if identity is None:
        raise BadSignature(f"{org} is no member on the ledger")
    return open_signed(envelope, type_, by=identity)


def open_by_sender(
    envelope: Envelope, type_: type[M], *, members: dict[OrgId, PublicIdentity]
) -> tuple[OrgId, M]:
    """Return who signed a message and the message, if it says so itself or by its key.

    Args:
        envelope: as received.
        type_: the kind of message expected.
        members: identities as the ledger has them.

    Raises:
        BadSignature: no member signed it, or another one than it says.
        MalformedMessage: not in canonical form.
    """
    org = signer_of(envelope, members)
    message = open_from(envelope, type_, org=org, members=members)
    match message:
        case ShareMessage(mail=mail):
            said = mail.sender
        case SurvivorSet():
            said = org
        case KeysMessage() | UnmaskingMessage() | HelperKeysMessage():
            said = message.org
        case CommitmentMessage() | PartialMessage():
            said = message.org
        case HeaderMessage(header=header):
            said = header.sender
        case VettingMessage(report=report):
            said = report.helper
        case HelperAnswerMessage(head=head):
            said = head.helper
        case ContributionStatement() | AcceptanceStatement():
            said = message.org
        case _:
            raise MalformedMessage("no message of an organisation")
    if said != org:
        raise BadSignature(f"{org} signed a message in the name of {said}")
    return org, message


def signer_of(envelope: Envelope, members: dict[OrgId, PublicIdentity]) -> OrgId:
    """Return the member whose keys an envelope names; the signature is NOT checked.

    Raises:
        BadSignature: not signed once, or twice in a statement, by a member's keys.
    """
    keyids = [signature.keyid for signature in envelope.signatures]
    for org, identity in members.items():
        if keyids in ([identity.keyid], [identity.keyid, identity.ml_dsa_keyid]):
            return org
    raise BadSignature("signed by a key that is no member's on the ledger")


def heads_in(envelopes: Iterable[Envelope]) -> list[tuple[OrgId, bytes]]:
    """Return who shows which head of the ledger in messages that join a round.

    No envelope's signature is checked, nor a head's: a head counts by the log's own
    signatures, whoever hands it on. What is no such message is passed over.

    Args:
        envelopes: of ``KeysMessage`` or ``CommitmentMessage``.
    """
    found: list[tuple[OrgId, bytes]] = []
    for envelope in envelopes:
        try:
            message: KeysMessage | CommitmentMessage
            if envelope.payload_type == PAYLOAD_TYPES[KeysMessage]:
                message = canonical.decode(envelope.payload, KeysMessage)
            elif envelope.payload_type == PAYLOAD_TYPES[CommitmentMessage]:
                message = canonical.decode(envelope.payload, CommitmentMessage)
            else:
                continue
        except MalformedMessage:
            continue
        if message.head:
            found.append((message.org, message.head.encode()))
    return found


def transcript(announcement: Envelope, keys: list[Envelope]) -> Digest:
    """Return the digest that binds a round: announcement and signed key list.

    Args:
        announcement: the orchestrator's envelope (it holds plan and parent digests).
        keys: the envelopes of all who joined, in order of organisation.
    """
    return sha256(
        b"fedxdr/transcript/v1\x00",
        sha256(announcement.payload).encode(),
        *(sha256(e.payload).encode() for e in keys),
    )


def _want_names(round_: RoundId, *orgs: OrgId) -> None:
    round_id(round_)
    for org in orgs:
        org_id(org)


def _want_head(head: str) -> None:
    if len(head) > MAX_HEAD:
        raise MalformedMessage(f"a head by its log alone has at most {MAX_HEAD} bytes")


def _want_digests(*found: Digest) -> None:
    for text in found:
        digest(text)
