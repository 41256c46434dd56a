# SPDX-License-Identifier: Apache-2.0
"""What can stand on the ledger: a closed union of versioned entries.

An entry is the subject of one block (see block.py). Its ``type`` names kind and
version; the meaning of a type never changes: what must say more becomes ``…/v2`` and
``…/v1`` stays readable.

Not here: who may write which entry and what must hold between entries (standing.py,
verifier.py), and the fields that every block has (block.py).

Rules that always hold: names of organisations, digests and times are well formed; lists
of organisations are sorted and without repetition, so that equal sets have equal bytes.

Source: design of the ledger, "Block".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

import msgspec

from fedxdr.core.canonical import fingerprint
from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import Digest, OrgId, RoundId, digest, org_id, round_id
from fedxdr.crypto.keys import PublicIdentity
from fedxdr.ledger.forms import (
    require_change,
    require_organisations,
    require_origin,
    require_publisher,
    require_shallow,
    require_sorted,
    require_text,
    require_utc,
)

ENTRY_LABEL = "fedxdr/entry/v1"
PLAN_LABEL = "fedxdr/plan/v1"
CEREMONY_LABEL = "fedxdr/paillier/ceremony/v1"

Task = Literal["training", "statistics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberKeys:
    """The public identity keys of a member or orchestrator, as the ledger pins them.

    Attributes:
        ed25519: 32 bytes, RFC 8032; requests, messages, statements.
        ml_dsa_65: 1,952 bytes, FIPS 204; statements.
        tlog_ed25519: 32 bytes; cosignatures, or the log's own signature.
        tlog_ml_dsa_44: 1,312 bytes; the same.
    """

    ed25519: bytes
    ml_dsa_65: bytes
    tlog_ed25519: bytes
    tlog_ml_dsa_44: bytes

    def __post_init__(self) -> None:
        self.identity  # noqa: B018 - building it checks the lengths

    @classmethod
    def of(cls, identity: PublicIdentity) -> MemberKeys:
        """Return the keys of an identity as the ledger writes them."""
        return cls(
            ed25519=identity.ed25519,
            ml_dsa_65=identity.ml_dsa_65,
            tlog_ed25519=identity.tlog_ed25519,
            tlog_ml_dsa_44=identity.tlog_ml_dsa_44,
        )

    @property
    def identity(self) -> PublicIdentity:
        """The keys in the form that crypto/ verifies with."""
        return PublicIdentity(
            ed25519=self.ed25519,
            ml_dsa_65=self.ml_dsa_65,
            tlog_ed25519=self.tlog_ed25519,
            tlog_ml_dsa_44=self.tlog_ml_dsa_44,
        )

    @property
    def all(self) -> frozenset[bytes]:
        """Each of the four public keys."""
        return frozenset(
            (self.ed25519, self.ml_dsa_65, self.tlog_ed25519, self.tlog_ml_dsa_44)
        )

    @property
    def fingerprint(self) -> Digest:
        """What people compare, as words: a digest over all four keys."""
        return self.identity.fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """The first entry: which federation this is, who founds it, who keeps its ledger.

    Every founder's enrolment (with its keys) and approval lie beside the block. The
    founders are members from the next block on.

    Attributes:
        federation: the federation's name, for people.
        origin: the ledger's name in signed heads: 1 to 255 printable ASCII characters
            without blank and plus, best a URL without scheme (C2SP tlog-checkpoint).
        orchestrator: keys of who signs the heads of this ledger.
        publisher: ECDSA P-256 key that signs model files, as DER SubjectPublicKeyInfo:
            the one kind that strangers' tools take.
        created: UTC.
        protocol_version: of the round protocol, >= 1.
        initial_model: SHA-256 of the bytes of the first model's file.
        layout_digest: ``core.layout.Layout.digest`` of that model.
        founders: organisation -> fingerprint of its keys, at least one.
    """

    type: Literal["fedxdr/genesis/v2"] = "fedxdr/genesis/v2"
    federation: str
    origin: str
    orchestrator: MemberKeys
    publisher: bytes
    created: datetime
    protocol_version: int
    initial_model: Digest
    layout_digest: Digest
    founders: dict[OrgId, Digest]

    def __post_init__(self) -> None:
        require_text(self.federation, "the federation's name")
        require_origin(self.origin)
        require_publisher(self.publisher)
        require_utc(self.created)
        if self.protocol_version < 1:
            raise MalformedMessage("a protocol version is 1 or more")
        digest(self.initial_model)
        digest(self.layout_digest)
        if not self.founders:
            raise MalformedMessage("a federation has at least one founder")
        for organisation, keys in self.founders.items():
            org_id(organisation)
            digest(keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberEnrolled:
    """An organisation is a member from the next block on.

    Attributes:
        change: which change of members, keys or plan this is, from 1.
        org_id: the member's name on the ledger.
        name: the organisation's name, for people.
        keys: its identity keys.
        data_sources: kinds of telemetry it trains on, sorted, for example
            ``("suricata-eve", "zeek-conn")``.
        invitation_digest: SHA-256 of the invitation it used; each is used once.
    """

    type: Literal["fedxdr/member-enrolled/v2"] = "fedxdr/member-enrolled/v2"
    change: int
    org_id: OrgId
    name: str
    keys: MemberKeys
    data_sources: tuple[str, ...]
    invitation_digest: Digest

    def __post_init__(self) -> None:
        require_change(self.change)
        org_id(self.org_id)
        require_text(self.name, "an organisation's name")
        for kind in self.data_sources:
            require_text(kind, "a data source")
        require_sorted(self.data_sources, "data sources")
        digest(self.invitation_digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberKeyRotated:
    """A member has other keys from the next block on; its statement lies beside.

    Attributes:
        change: which change of members, keys or plan this is, from 1.
        org_id: the member.
        keys: its new keys, none of which was ever on this ledger.
        previous: fingerprint of the keys that they replace.
    """

    type: Literal["fedxdr/member-key-rotated/v1"] = "fedxdr/member-key-rotated/v1"
    change: int
    org_id: OrgId
    keys: MemberKeys
    previous: Digest

    def __post_init__(self) -> None:
        require_change(self.change)
        org_id(self.org_id)
        digest(self.previous)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSuspended:
    """An organisation is no member any more from the next block on.

    It can be enrolled again, under a new invitation, with new keys.

    Attributes:
        change: which change of members, keys or plan this is, from 1.
        org_id: the member.
        reason: for people.
    """

    type: Literal["fedxdr/member-suspended/v1"] = "fedxdr/member-suspended/v1"
    change: int
    org_id: OrgId
    reason: str

    def __post_init__(self) -> None:
        require_change(self.change)
        org_id(self.org_id)
        require_text(self.reason, "the reason of a suspension")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorReplaced:
    """Another orchestrator keeps the ledger from this block on, under a new name.

    How a federation goes on when its orchestrator is gone: the new one serves a
    member's mirror. Heads over this block and all later ones are its own.

    Attributes:
        change: which change of members, keys or plan this is, from 1.
        orchestrator: keys of the new one.
        publisher: its P-256 key for model files, DER SubjectPublicKeyInfo.
        origin: the ledger's name in heads from now on; none that it had before.
    """

    type: Literal["fedxdr/orchestrator-replaced/v1"] = "fedxdr/orchestrator-replaced/v1"
    change: int
    orchestrator: MemberKeys
    publisher: bytes
    origin: str

    def __post_init__(self) -> None:
        require_change(self.change)
        require_origin(self.origin)
        require_publisher(self.publisher)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRetired:
    """A model must not be used any more; an earlier one may come back into force.

    Attributes:
        change: which change of members, keys or plan this is, from 1.
        model_hash: the model that is withdrawn.
        successor: the model in force from now on: the one in force before, unless that
            is the one withdrawn; then an earlier one of its lineage.
        reason: for people.
    """

    type: Literal["fedxdr/model-retired/v1"] = "fedxdr/model-retired/v1"
    change: int
    model_hash: Digest
    successor: Digest
    reason: str

    def __post_init__(self) -> None:
        require_change(self.change)
        digest(self.model_hash)
        digest(self.successor)
        require_text(self.reason, "the reason of a withdrawal")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAdopted:
    """A plan is in force from the next block on.

    Attributes:
        change: which change of members, keys or plan this is, from 1.
        plan: the plan as a JSON object; federation/plan.py gives it meaning, the ledger
            reads the keys of ``standing.PlanTerms`` only.
        plan_digest: ``plan_digest(plan)``.
    """

    type: Literal["fedxdr/plan-adopted/v2"] = "fedxdr/plan-adopted/v2"
    change: int
    plan: dict[str, Any]
    plan_digest: Digest

    def __post_init__(self) -> None:
        require_change(self.change)
        require_shallow(self.plan, "a plan")
        digest(self.plan_digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCeremony:
    """A shared decryption key exists: who holds a share, and how shares are checked.

    Attributes:
        change: which change of members, keys or plan this is, from 1.
        record: the ceremony's public record as a JSON object; secagg gives it meaning,
            the ledger reads who holds a share.
        fingerprint: ``ceremony_fingerprint(record)``; a plan names the key by it.
        holders: those who hold a share, sorted; members.
    """

    type: Literal["fedxdr/key-ceremony/v2"] = "fedxdr/key-ceremony/v2"
    change: int
    record: dict[str, Any]
    fingerprint: Digest
    holders: tuple[OrgId, ...]

    def __post_init__(self) -> None:
        require_change(self.change)
        require_shallow(self.record, "a ceremony's record")
        digest(self.fingerprint)
        require_organisations(self.holders)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundCommitted:
    """A round's sum was opened and accepted; the block's model is in force.

    Attributes:
        round_id: unique on the ledger.
        task: ``training`` (a new model) or ``statistics`` (sums for feature scaling).
        plan_digest: of the plan under which the round ran.
        collection_mode: how contributions were collected, as the plan says.
        cohort: the organisations announced, sorted.
        survivors: those in the sum, sorted; together with ``dropouts`` the cohort.
        dropouts: those announced but not in the sum, sorted.
        contributions: survivor -> SHA-256 of its masked vector's bytes.
        contributions_root: ``block.contributions_root(contributions)``.
        sum_digest: SHA-256 of the opened integer sum's bytes.
    """

    type: Literal["fedxdr/round-committed/v1"] = "fedxdr/round-committed/v1"
    round_id: RoundId
    task: Task
    plan_digest: Digest
    collection_mode: str
    cohort: tuple[OrgId, ...]
    survivors: tuple[OrgId, ...]
    dropouts: tuple[OrgId, ...] = ()
    contributions: dict[OrgId, Digest]
    contributions_root: Digest
    sum_digest: Digest

    def __post_init__(self) -> None:
        round_id(self.round_id)
        require_text(self.collection_mode, "a collection mode")
        for found in (self.plan_digest, self.contributions_root, self.sum_digest):
            digest(found)
        for organisations in (self.cohort, self.survivors, self.dropouts):
            require_organisations(organisations)
        for organisation, contribution in self.contributions.items():
            org_id(organisation)
            digest(contribution)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundFailed:
    """A round ended without a new model; the previous one stays in force.

    Attributes:
        round_id: unique on the ledger.
        phase: the phase of the round in which it failed, for example ``shares``.
        reason: stable code, for example ``too-few-participants``.
        sentence: the reason for people, without secrets.
        survivors: organisations still in the round when it failed, sorted.
    """

    type: Literal["fedxdr/round-failed/v1"] = "fedxdr/round-failed/v1"
    round_id: RoundId
    phase: str
    reason: str
    sentence: str
    survivors: tuple[OrgId, ...] = field(default=())

    def __post_init__(self) -> None:
        round_id(self.round_id)
        require_text(self.phase, "a phase")
        require_text(self.reason, "a reason code")
        require_text(self.sentence, "a reason")
        require_organisations(self.survivors)


Change = (
    MemberEnrolled
    | MemberKeyRotated
    | MemberSuspended
    | OrchestratorReplaced
    | PlanAdopted
    | KeyCeremony
    | ModelRetired
)
"""What a quorum of the members decides."""

Entry = Genesis | Change | RoundCommitted | RoundFailed

_KINDS: Mapping[str, type[Entry]] = {
    kind.__dataclass_fields__["type"].default: kind for kind in get_args(Entry)
}


def parse(value: Any) -> Entry:  # noqa: ANN401 - any JSON value
    """Return the entry that a JSON value states, by its ``type``.

    Raises:
        MalformedMessage: an unknown type, or not exactly the fields of that type.
    """
    tag = value.get("type") if isinstance(value, dict) else None
    kind = _KINDS.get(tag) if isinstance(tag, str) else None
    if kind is None:
        raise MalformedMessage(f"an entry is one of {', '.join(sorted(_KINDS))}")
    try:
        entry = msgspec.convert(value, kind, strict=True)
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        raise MalformedMessage(f"not an entry {tag}: {error}") from error
    if _sorted_json(entry) != _sorted_json(value):
        raise MalformedMessage(f"an entry {tag} with unknown or missing fields")
    return entry


def _sorted_json(value: object) -> bytes:
    """Return JSON in which equal values have equal bytes; never hashed or signed."""
    return msgspec.json.encode(value, order="sorted")


def entry_digest(entry: Entry) -> Digest:
    """Return the digest by which approvals name an entry.

    SHA-256("fedxdr/entry/v1" || 0x00 || RFC 8785 form of the entry).
    """
    return fingerprint(ENTRY_LABEL, entry)


def plan_digest(plan: Mapping[str, Any]) -> Digest:
    """Return the digest by which messages, statements and entries name a plan.

    SHA-256("fedxdr/plan/v1" || 0x00 || RFC 8785 form of the plan).
    """
    return fingerprint(PLAN_LABEL, dict(plan))


def ceremony_fingerprint(record: Mapping[str, Any]) -> Digest:
    """Return the digest by which plans and people name a ceremony's key.

    SHA-256("fedxdr/paillier/ceremony/v1" || 0x00 || RFC 8785 form of the record).
    """
    return fingerprint(CEREMONY_LABEL, dict(record))
