# SPDX-License-Identifier: Apache-2.0
"""What organisations sign for the ledger, each kind apart.

- Statement 1, at upload, by EVERY organisation in the sum: "this masked contribution,
  this parent, this plan, these privacy parameters".
- Statement 2, after the proposal, by at least the plan's threshold: "accepted (or
  rejected); I replayed it: yes or no".
- The enrolment statement, on joining, by the new member: "these keys are mine".

They travel in DSSE envelopes whose payload type names kind and version.

Not here: whether what is stated agrees with a block (verifier.py).

Rules that always hold: a statement names the hash of the block BEFORE its own, never
its own, so there is no circle; a rejection gives its reason.

Source: design of the ledger, "Signatures: two kinds, kept apart".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar

from msgspec import UNSET, UnsetType

from fedxdr.core.canonical import decode, encode
from fedxdr.core.errors import BadSignature, MalformedMessage
from fedxdr.core.ids import Digest, OrgId, RoundId, digest, org_id, round_id
from fedxdr.crypto import envelope as dsse
from fedxdr.crypto.envelope import Envelope, Signer
from fedxdr.ledger.entries import (
    TEXT_LIMIT,
    MemberKeys,
    require_sorted,
    require_text,
    require_utc,
)

CONTRIBUTION_TYPE = "application/vnd.fedxdr.contribution-statement.v1+json"
ACCEPTANCE_TYPE = "application/vnd.fedxdr.acceptance-statement.v1+json"
ENROLMENT_TYPE = "application/vnd.fedxdr.enrolment-statement.v1+json"

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
        prev_hash: hash of the block before the proposed one.
        parent_model: SHA-256 of the model file the round started from.
        model_hash: SHA-256 of the proposed model's file, as downloaded.
        sum_digest: SHA-256 of the opened integer sum's bytes.
        contributions_root: Merkle root over the contributions in the sum.
        replayed: whether it recomputed sum and model from the contributions.
        verdict: ``accepted`` or ``rejected``.
        reason: why, for people; at most 500 characters, empty only when accepted.
        issued_at: UTC, by its own clock.
    """

    org: OrgId
    round_id: RoundId
    prev_hash: Digest
    parent_model: Digest
    model_hash: Digest
    sum_digest: Digest
    contributions_root: Digest
    replayed: bool
    verdict: Verdict
    reason: str = ""
    issued_at: datetime

    def __post_init__(self) -> None:
        org_id(self.org)
        round_id(self.round_id)
        for found in (
            self.prev_hash,
            self.parent_model,
            self.model_hash,
            self.sum_digest,
            self.contributions_root,
        ):
            digest(found)
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


Statement = ContributionStatement | AcceptanceStatement | EnrolmentStatement

T = TypeVar("T", ContributionStatement, AcceptanceStatement, EnrolmentStatement)

_PAYLOAD_TYPES: dict[type[Statement], str] = {
    ContributionStatement: CONTRIBUTION_TYPE,
    AcceptanceStatement: ACCEPTANCE_TYPE,
    EnrolmentStatement: ENROLMENT_TYPE,
}
_KINDS: dict[str, type[Statement]] = {
    payload_type: kind for kind, payload_type in _PAYLOAD_TYPES.items()
}


def sign(statement: Statement, signer: Signer) -> Envelope:
    """Return the statement in an envelope signed by signer."""
    payload_type = _PAYLOAD_TYPES[type(statement)]
    return dsse.sign(payload_type, encode(statement), signer)


def read(envelope: Envelope) -> Statement:
    """Return what an envelope states, WITHOUT checking who signed it.

    Raises:
        MalformedMessage: not one of the kinds of statement, or not in canonical form.
    """
    kind = _KINDS.get(envelope.payload_type)
    if kind is None:
        raise MalformedMessage(f"no statement is called {envelope.payload_type}")
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
        statement = decode(envelope.payload, kind)
        if statement.org in found:
            raise MalformedMessage(f"{statement.org} states the same thing twice")
        found[statement.org] = (envelope, statement)
    return found


def verify(envelope: Envelope, *, kind: type[T], keys: MemberKeys) -> T:
    """Return what an envelope states, if these keys signed it.

    Args:
        envelope: as received or stored.
        kind: the kind of statement wanted.
        keys: those that the ledger pins for the organisation.

    Raises:
        BadSignature: another kind or signer, or a wrong signature.
        MalformedMessage: a further signature, or not in canonical form.
    """
    if envelope.payload_type != _PAYLOAD_TYPES[kind]:
        raise BadSignature(
            f"signed as {envelope.payload_type}, want {_PAYLOAD_TYPES[kind]}"
        )
    require_signer(envelope, keys)
    return decode(envelope.payload, kind)


def require_signer(envelope: Envelope, keys: MemberKeys) -> None:
    """Return if an envelope carries one signature, and these keys made it.

    Raises:
        BadSignature: another signer, or a wrong signature.
        MalformedMessage: a further signature.
    """
    if len(envelope.signatures) != 1:
        raise MalformedMessage(
            f"a statement has one signature, got {len(envelope.signatures)}"
        )
    dsse.verify(envelope, public_key=keys.identity, payload_type=envelope.payload_type)
