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

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import msgspec

from fedxdr.core.canonical import fingerprint
from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import Digest, OrgId, RoundId, digest, org_id, round_id
from fedxdr.crypto.keys import PublicIdentity

PLAN_LABEL = "fedxdr/plan/v1"
CEREMONY_LABEL = "fedxdr/paillier/ceremony/v1"
TEXT_LIMIT = 500
NESTING_LIMIT = 32

Task = Literal["training", "statistics"]

_ORIGIN = re.compile(r"[!-*,-~]{1,255}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberKeys:
    """The public identity keys of a member, as the ledger pins them.

    Attributes:
        ed25519: 32 bytes, RFC 8032.
    """

    ed25519: bytes

    def __post_init__(self) -> None:
        self.identity  # noqa: B018 - building it checks the length

    @classmethod
    def of(cls, identity: PublicIdentity) -> MemberKeys:
        """Return the keys of an identity as the ledger writes them."""
        return cls(ed25519=identity.ed25519)

    @property
    def identity(self) -> PublicIdentity:
        """The keys in the form that crypto/ verifies with."""
        return PublicIdentity(ed25519=self.ed25519)


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """The first entry: which federation this is and who keeps its ledger.

    Attributes:
        federation: the federation's name, for people.
        origin: the ledger's name in signed heads: 1 to 255 printable ASCII characters
            without blank and plus, best a URL without scheme (C2SP tlog-checkpoint).
        orchestrator: keys that sign the heads of this ledger.
        created: UTC.
        protocol_version: of the round protocol, >= 1.
        initial_model: SHA-256 of the bytes of the first model's file.
        layout_digest: ``core.layout.Layout.digest`` of that model.
    """

    type: Literal["fedxdr/genesis/v1"] = "fedxdr/genesis/v1"
    federation: str
    origin: str
    orchestrator: MemberKeys
    created: datetime
    protocol_version: int
    initial_model: Digest
    layout_digest: Digest

    def __post_init__(self) -> None:
        require_text(self.federation, "the federation's name")
        if not _ORIGIN.match(self.origin):
            raise MalformedMessage(
                "an origin has 1 to 255 printable ASCII characters, no blank, no plus"
            )
        require_utc(self.created)
        if self.protocol_version < 1:
            raise MalformedMessage("a protocol version is 1 or more")
        digest(self.initial_model)
        digest(self.layout_digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberEnrolled:
    """An organisation is a member from the next block on.

    Attributes:
        org_id: the member's name on the ledger.
        name: the organisation's name, for people.
        keys: its identity keys.
        data_sources: kinds of telemetry it trains on, sorted, for example
            ``("suricata-eve", "zeek-conn")``.
        invitation_digest: SHA-256 of the invitation it used; each is used once.
    """

    type: Literal["fedxdr/member-enrolled/v1"] = "fedxdr/member-enrolled/v1"
    org_id: OrgId
    name: str
    keys: MemberKeys
    data_sources: tuple[str, ...]
    invitation_digest: Digest

    def __post_init__(self) -> None:
        org_id(self.org_id)
        require_text(self.name, "an organisation's name")
        for kind in self.data_sources:
            require_text(kind, "a data source")
        require_sorted(self.data_sources, "data sources")
        digest(self.invitation_digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAdopted:
    """A plan is in force from the next block on.

    Attributes:
        plan: the plan as a JSON object; federation/plan.py gives it meaning, the ledger
            reads the keys of ``standing.PlanTerms`` only.
        plan_digest: ``plan_digest(plan)``.
    """

    type: Literal["fedxdr/plan-adopted/v1"] = "fedxdr/plan-adopted/v1"
    plan: dict[str, Any]
    plan_digest: Digest

    def __post_init__(self) -> None:
        require_shallow(self.plan, "a plan")
        digest(self.plan_digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCeremony:
    """A shared decryption key exists: who holds a share, and how shares are checked.

    Attributes:
        record: the ceremony's public record as a JSON object; secagg gives it meaning,
            the ledger reads who holds a share.
        fingerprint: ``ceremony_fingerprint(record)``; a plan names the key by it.
        holders: those who hold a share, sorted; members.
    """

    type: Literal["fedxdr/key-ceremony/v1"] = "fedxdr/key-ceremony/v1"
    record: dict[str, Any]
    fingerprint: Digest
    holders: tuple[OrgId, ...]

    def __post_init__(self) -> None:
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


Entry = (
    Genesis | MemberEnrolled | PlanAdopted | KeyCeremony | RoundCommitted | RoundFailed
)

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


def _children(value: object) -> Iterable[object]:
    """Return what lies directly in a list or object, and None, so that [] counts."""
    match value:
        case dict():
            return (None, *value.values())
        case list() | tuple():
            return (None, *value)
        case _:
            return ()


def _sorted_json(value: object) -> bytes:
    """Return JSON in which equal values have equal bytes; never hashed or signed."""
    return msgspec.json.encode(value, order="sorted")


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


def require_text(text: str, what: str) -> None:
    """Refuse a text that is empty, longer than 500 characters or not printable.

    Raises:
        MalformedMessage: such a text.
    """
    if not 1 <= len(text) <= TEXT_LIMIT or not text.isprintable():
        raise MalformedMessage(f"{what} has 1 to {TEXT_LIMIT} printable characters")


def require_utc(instant: datetime) -> None:
    """Refuse a time that is not in UTC.

    Raises:
        MalformedMessage: a naive time, or one with another offset.
    """
    if instant.utcoffset() != timedelta(0):
        raise MalformedMessage("a time on the ledger is in UTC and says so")


def require_shallow(value: object, what: str) -> None:
    """Refuse a JSON value nested deeper than 32 lists or objects.

    So that whether a block can be read does not hang on how deep a stack may grow.

    Raises:
        MalformedMessage: such a value.
    """
    level = [value]
    for _ in range(NESTING_LIMIT + 1):
        level = [inner for outer in level for inner in _children(outer)]
        if not level:
            return
    raise MalformedMessage(f"{what} is nested deeper than {NESTING_LIMIT}")


def require_sorted(names: tuple[str, ...], what: str) -> None:
    """Refuse names that are not strictly ascending.

    Raises:
        MalformedMessage: another order, or a name twice.
    """
    if list(names) != sorted(set(names)):
        raise MalformedMessage(f"{what} are sorted, each once")


def require_organisations(organisations: tuple[OrgId, ...]) -> None:
    """Refuse anything but well-formed names of organisations, sorted, each once.

    Raises:
        MalformedMessage: such a list.
    """
    for organisation in organisations:
        org_id(organisation)
    require_sorted(organisations, "organisations")


def in_order(organisations: Iterable[OrgId]) -> tuple[OrgId, ...]:
    """Return a set of organisations in the order in which entries hold them."""
    return tuple(sorted(set(organisations)))
