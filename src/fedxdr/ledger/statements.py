# SPDX-License-Identifier: Apache-2.0
"""What organisations sign for the ledger, each kind apart.

- Statement 1, at upload, by EVERY organisation in the sum: "this masked contribution,
  this parent, this plan, these privacy parameters".
- Statement 2, after the proposal, by at least the plan's threshold: "accepted (or
  rejected); I replayed it: yes or no", in the form of in-toto (provenance.py).
- The enrolment statement, on joining, and the rotation statement, on changing keys, by
  the keys' holder: "these keys are mine".
- The approval, by a member: "this entry may stand on our ledger", for the entries that
  a quorum of the members decides.

They travel in DSSE envelopes whose payload type names kind and version, signed by
Ed25519 and by ML-DSA-65.

Not here: whether what is stated agrees with a block (verifier.py).

Rules that always hold: a statement names the hash of the block BEFORE its own, never
its own, so there is no circle; a rejection gives its reason; both signatures are there
and good, or the statement is not signed.

Source: design of the ledger, "Signatures: two kinds, kept apart".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar

from msgspec import UNSET, UnsetType

from fedxdr.core.canonical import (
    builtins,
    decode,
    encode,
    from_builtins,
    jcs,
    parse_jcs,
)
from fedxdr.core.errors import BadSignature, MalformedMessage
from fedxdr.core.ids import Digest, OrgId, RoundId, digest, org_id, round_id
from fedxdr.crypto import envelope as dsse
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey, PublicIdentity
from fedxdr.ledger.entries import MemberKeys, Task
from fedxdr.ledger.forms import (
    TEXT_LIMIT,
    require_organisations,
    require_sorted,
    require_text,
    require_utc,
)
from fedxdr.ledger.provenance import from_in_toto, to_in_toto

CONTRIBUTION_TYPE = "application/vnd.fedxdr.contribution-statement.v1+json"
ACCEPTANCE_TYPE = "application/vnd.in-toto+json"
ENROLMENT_TYPE = "application/vnd.fedxdr.enrolment-statement.v2+json"
ROTATION_TYPE = "application/vnd.fedxdr.rotation-statement.v1+json"
APPROVAL_TYPE = "application/vnd.fedxdr.approval.v1+json"

SAMPLE_EXPONENT_MAX = 40

Verdict = Literal["accepted", "rejected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyClaim:
    """What an organisation says it did to protect its records in one round.

    What was not done is not claimed: ``PrivacyClaim(mechanism="none")`` is written as
    ``{"mechanism": "none"}`` and nothing else. A field that is not set is not written.
    Claims that cannot be true are representable, so that they can be found and named:
    see step 8 of verifier.py.

    Attributes:
        mechanism: ``none``, ``dp-sgd``, ``discrete-gaussian``.
        unit: whom it hides: ``event``, ``entity``, ``organisation``.
        epsilon: > 0, all that this organisation has spent in the run, this round
            included, as its purse says.
        delta: in (0, 1).
        clipping_norm: L2 bound per record or per update, > 0.
        noise_multiplier: noise in units of the clipping norm, > 0.
        sampling_rate: in (0, 1].
        steps: noisy sums of this round, >= 1.
        own: examples that are one unit's own, >= 0.
        occurrences: other examples that one unit can change, >= 0.
    """

    mechanism: str
    unit: str | UnsetType = UNSET
    epsilon: float | UnsetType = UNSET
    delta: float | UnsetType = UNSET
    clipping_norm: float | UnsetType = UNSET
    noise_multiplier: float | UnsetType = UNSET
    sampling_rate: float | UnsetType = UNSET
    steps: int | UnsetType = UNSET
    own: int | UnsetType = UNSET
    occurrences: int | UnsetType = UNSET

    def __post_init__(self) -> None:
        require_text(self.mechanism, "a mechanism")


NO_PRIVACY = PrivacyClaim(mechanism="none")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContributionStatement:
    """Statement 1: what one organisation put into the sum of one round.

    Attributes:
        org: who states it.
        round_id: the round.
        plan_digest: of the plan it followed.
        parent_model: SHA-256 of the model file it started from.
        contribution_digest: SHA-256 of the bytes of the masked vector it uploads.
        sample_exponent: in [0, 40]; its public sample bucket is 2**sample_exponent.
        privacy: what it did to protect its records.
        issued_at: UTC, by its own clock.
    """

    org: OrgId
    round_id: RoundId
    plan_digest: Digest
    parent_model: Digest
    contribution_digest: Digest
    sample_exponent: int
    privacy: PrivacyClaim
    issued_at: datetime

    def __post_init__(self) -> None:
        org_id(self.org)
        round_id(self.round_id)
        for found in (self.plan_digest, self.parent_model, self.contribution_digest):
            digest(found)
        if not 0 <= self.sample_exponent <= SAMPLE_EXPONENT_MAX:
            raise MalformedMessage(
                f"a sample exponent lies in [0, {SAMPLE_EXPONENT_MAX}], got "
                f"{self.sample_exponent}"
            )
        require_utc(self.issued_at)

    @property
    def sample_bucket(self) -> int:
        """The public number of samples: a power of two."""
        return 1 << self.sample_exponent


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceStatement:
    """Statement 2: what one organisation says about a proposed block.

    Attributes:
        org: who states it.
        round_id: the round.
        task: what the round was for.
        builder: fingerprint of the orchestrator's keys on the ledger.
        plan_digest: of the plan the round ran under.
        prev_hash: hash of the block before the proposed one.
        parent_model: SHA-256 of the model file the round started from.
        model_hash: SHA-256 of the proposed model's file, as downloaded.
        sum_digest: SHA-256 of the opened integer sum's bytes.
        contributions: organisation in the sum -> SHA-256 of its masked vector.
        contributions_root: Merkle root over them.
        data_volume: organisation in the sum -> its public sample bucket.
        privacy_params: organisation in the sum -> what it claims to have done.
        figures: those of the block, without ``num_clients``.
        replayed: whether it recomputed sum, model and figures from the contributions.
        verdict: ``accepted`` or ``rejected``.
        reason: why, for people; at most 500 characters, empty only when accepted.
        issued_at: UTC, by its own clock.
    """

    org: OrgId
    round_id: RoundId
    task: Task
    builder: Digest
    plan_digest: Digest
    prev_hash: Digest
    parent_model: Digest
    model_hash: Digest
    sum_digest: Digest
    contributions: dict[OrgId, Digest]
    contributions_root: Digest
    data_volume: dict[OrgId, int]
    privacy_params: dict[OrgId, PrivacyClaim]
    figures: dict[str, float]
    replayed: bool
    verdict: Verdict
    reason: str = ""
    issued_at: datetime

    def __post_init__(self) -> None:
        org_id(self.org)
        round_id(self.round_id)
        for found in (
            self.builder,
            self.plan_digest,
            self.prev_hash,
            self.parent_model,
            self.model_hash,
            self.sum_digest,
            self.contributions_root,
            *self.contributions.values(),
        ):
            digest(found)
        for organisations in (
            self.contributions,
            self.data_volume,
            self.privacy_params,
        ):
            require_organisations(tuple(sorted(organisations)))
        if len(self.reason) > TEXT_LIMIT:
            raise MalformedMessage(f"a reason has at most {TEXT_LIMIT} characters")
        if self.verdict == "rejected":
            require_text(self.reason, "the reason of a rejection")
        require_utc(self.issued_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentStatement:
    """What a new member signs with the keys it enrols: that it holds them.

    Attributes:
        org: the name it joins under.
        name: the organisation's name, for people.
        keys: the identity keys, one of which signs this statement.
        data_sources: kinds of telemetry, sorted.
        invitation_digest: SHA-256 of the invitation it uses.
        issued_at: UTC, by its own clock.
    """

    org: OrgId
    name: str
    keys: MemberKeys
    data_sources: tuple[str, ...]
    invitation_digest: Digest
    issued_at: datetime

    def __post_init__(self) -> None:
        org_id(self.org)
        require_text(self.name, "an organisation's name")
        require_sorted(self.data_sources, "data sources")
        digest(self.invitation_digest)
        require_utc(self.issued_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationStatement:
    """What a member signs with its NEW keys: that it holds them.

    Attributes:
        org: the member.
        keys: the new keys, which sign this statement.
        previous: fingerprint of the keys that they replace.
        issued_at: UTC, by its own clock.
    """

    org: OrgId
    keys: MemberKeys
    previous: Digest
    issued_at: datetime

    def __post_init__(self) -> None:
        org_id(self.org)
        digest(self.previous)
        require_utc(self.issued_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalStatement:
    """One member's consent to one entry at one place in a ledger's history.

    The entry holds the number of the change that it is, so an approval is worth nothing
    for the same entry later, nor on another ledger.

    Attributes:
        org: who approves.
        ledger: hash of the ledger's block 0; 64 zeros for the block 0 itself.
        entry: ``entries.entry_digest`` of the entry.
        expires: UTC; a block dated later may not use it.
        issued_at: UTC, by its own clock.
    """

    org: OrgId
    ledger: Digest
    entry: Digest
    expires: datetime
    issued_at: datetime

    def __post_init__(self) -> None:
        org_id(self.org)
        digest(self.ledger)
        digest(self.entry)
        require_utc(self.expires)
        require_utc(self.issued_at)


Statement = (
    ContributionStatement
    | AcceptanceStatement
    | EnrolmentStatement
    | RotationStatement
    | ApprovalStatement
)

T = TypeVar(
    "T",
    ContributionStatement,
    AcceptanceStatement,
    EnrolmentStatement,
    RotationStatement,
    ApprovalStatement,
)

_PAYLOAD_TYPES: dict[type[Statement], str] = {
    ContributionStatement: CONTRIBUTION_TYPE,
    AcceptanceStatement: ACCEPTANCE_TYPE,
    EnrolmentStatement: ENROLMENT_TYPE,
    RotationStatement: ROTATION_TYPE,
    ApprovalStatement: APPROVAL_TYPE,
}
_KINDS: dict[str, type[Statement]] = {
    payload_type: kind for kind, payload_type in _PAYLOAD_TYPES.items()
}


def sign(statement: Statement, key: IdentityKey) -> Envelope:
    """Return the statement in an envelope signed by both keys of an identity."""
    payload_type = _PAYLOAD_TYPES[type(statement)]
    return dsse.sign_twice(payload_type, payload_of(statement), key)


def payload_of(statement: Statement) -> bytes:
    """Return the bytes of a statement that are signed."""
    if isinstance(statement, AcceptanceStatement):
        return jcs(to_in_toto(builtins(statement)))
    return encode(statement)


def parse(payload: bytes, kind: type[T]) -> T:
    """Return the statement of a kind whose signed bytes are exactly ``payload``.

    Raises:
        MalformedMessage: another kind, or not in canonical form.
    """
    if kind is not AcceptanceStatement:
        return decode(payload, kind)
    found = from_builtins(from_in_toto(parse_jcs(payload)), kind)
    if payload_of(found) != payload:
        raise MalformedMessage("not the canonical form of an acceptance")
    return found


def read(envelope: Envelope) -> Statement:
    """Return what an envelope states, WITHOUT checking who signed it.

    Raises:
        MalformedMessage: not one of the kinds of statement, or not in canonical form.
    """
    kind = _KINDS.get(envelope.payload_type)
    if kind is None:
        raise MalformedMessage(f"no statement is called {envelope.payload_type}")
    if kind is AcceptanceStatement:
        return parse(envelope.payload, AcceptanceStatement)
    return decode(envelope.payload, kind)


def by_organisation(
    envelopes: Iterable[Envelope], kind: type[T]
) -> dict[OrgId, tuple[Envelope, T]]:
    """Return the statements of one kind by the organisation that they name.

    Args:
        envelopes: of any kinds; those of others are passed over.
        kind: the kind wanted.

    Returns:
        organisation -> the envelope and what it states, signer NOT checked.

    Raises:
        MalformedMessage: two of that kind name one organisation, or one is not in
            canonical form.
    """
    found: dict[OrgId, tuple[Envelope, T]] = {}
    for envelope in envelopes:
        if envelope.payload_type != _PAYLOAD_TYPES[kind]:
            continue
        statement = parse(envelope.payload, kind)
        if statement.org in found:
            raise MalformedMessage(f"{statement.org} states the same thing twice")
        found[statement.org] = (envelope, statement)
    return found


def verify(
    envelope: Envelope, *, kind: type[T], keys: MemberKeys | PublicIdentity
) -> T:
    """Return what an envelope states, if both of these keys signed it.

    Args:
        envelope: as received or stored.
        kind: the kind of statement wanted.
        keys: those that the ledger pins for the organisation.

    Raises:
        BadSignature: another kind or signer, or a wrong signature.
        MalformedMessage: not in canonical form.
    """
    if envelope.payload_type != _PAYLOAD_TYPES[kind]:
        raise BadSignature(
            f"signed as {envelope.payload_type}, want {_PAYLOAD_TYPES[kind]}"
        )
    require_signer(envelope, keys)
    return parse(envelope.payload, kind)


def require_signer(envelope: Envelope, keys: MemberKeys | PublicIdentity) -> None:
    """Return if both of these keys signed an envelope, and nobody else.

    Raises:
        BadSignature: another signer, a further one, or a wrong signature.
    """
    identity = keys.identity if isinstance(keys, MemberKeys) else keys
    dsse.verify_twice(envelope, public_key=identity, payload_type=envelope.payload_type)
