# SPDX-License-Identifier: Apache-2.0
"""One block: the fields that every block has around its entry.

All fields of the origin's block are here, and they stand in every block, empty where an
entry has nothing to say. The bytes of a block are its RFC 8785 form; ``hash`` is the
RFC 6962 leaf hash SHA-256(0x00 || bytes) in hexadecimal, so that chain and tree are one
thing. The hash is not inside the bytes it hashes, and neither are the signatures: they
lie beside the block in DSSE envelopes and are bound by ``signatures_digest``.

Not here: storage, and whether what a block says is true (verifier.py).

Rules that always hold: at most 65,535 bytes (a C2SP tlog-tiles entry); the first block
is the Genesis at height 0 after 64 zeros, and no other block is either.

Sources: origin's architecture, sections 3.5 and 6; RFC 6962 section 2.1; RFC 8785.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from fedxdr.core.canonical import decode, encode, jcs
from fedxdr.core.errors import MalformedMessage, TooLarge
from fedxdr.core.ids import Digest, OrgId, RoundId, digest, org_id, round_id, sha256
from fedxdr.crypto.envelope import Envelope
from fedxdr.ledger import entries, forms, merkle, statements
from fedxdr.ledger.entries import Entry, Genesis, RoundCommitted, Task
from fedxdr.ledger.statements import (
    AcceptanceStatement,
    ContributionStatement,
    PrivacyClaim,
)

BLOCK_BYTES_LIMIT = 65_535
GENESIS_PREV_HASH = Digest("0" * 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the model in force comes from.

    In the block of a committed round all of it is that round's. In every other block
    ``model_version`` names the model in force and the rest is empty.

    Attributes:
        model_version: the model's name for people.
        parent_model: SHA-256 of the model file the round started from, or None.
        round_id: the round, or None.
        training_orgs: the organisations in the sum, sorted.
        training_config: JSON object; what it names, the plan names alike.
        data_sources: kinds of telemetry of the organisations in the sum, sorted.
        data_volume: organisation -> its public sample bucket, a power of two.
        aggregation_method: as the plan says, or None.
        privacy_params: organisation -> what it claims to have done.
    """

    model_version: str
    parent_model: Digest | None = None
    round_id: RoundId | None = None
    training_orgs: tuple[OrgId, ...] = ()
    training_config: dict[str, Any] = field(default_factory=dict)
    data_sources: tuple[str, ...] = ()
    data_volume: dict[OrgId, int] = field(default_factory=dict)
    aggregation_method: str | None = None
    privacy_params: dict[OrgId, PrivacyClaim] = field(default_factory=dict)

    def __post_init__(self) -> None:
        forms.require_text(self.model_version, "a model's version")
        if self.parent_model is not None:
            digest(self.parent_model)
        if self.round_id is not None:
            round_id(self.round_id)
        forms.require_organisations(self.training_orgs)
        forms.require_sorted(self.data_sources, "data sources")
        forms.require_shallow(self.training_config, "a training_config")
        for organisation in (*self.data_volume, *self.privacy_params):
            org_id(organisation)


@dataclass(frozen=True, kw_only=True)  # no slots: bytes and hash are kept, once made
class Block:
    """A block without its signatures.

    Attributes:
        height: 0 for the Genesis, then one more each.
        timestamp: UTC; never before that of the previous block.
        prev_hash: hash of the previous block.
        model_hash: SHA-256 of the file of the model in force after this block.
        org_signatures: organisation -> SHA-256 of its statement 2 (the DSSE envelope).
        aggregation_metrics: figures of the round: ``round``, ``num_clients``,
            ``convergence`` (L2 norm of new minus old model), ``gradient_norm``,
            ``survivors_weight`` and others, all finite; empty for other entries.
        provenance: see there.
        entry: what this block is about.
        signatures_digest: ``signatures_digest`` of the envelopes beside the block.
    """

    height: int
    timestamp: datetime
    prev_hash: Digest
    model_hash: Digest
    org_signatures: dict[OrgId, Digest]
    aggregation_metrics: dict[str, float]
    provenance: Provenance
    entry: Entry
    signatures_digest: Digest

    def __post_init__(self) -> None:
        _require_body(self)

    def body(self) -> bytes:
        """Return the block's bytes, those that are hashed.

        Raises:
            MalformedMessage: a number that is not finite, or 2^53 and more.
            TooLarge: more than 65,535 bytes.
        """
        return self._body

    @cached_property
    def hash(self) -> Digest:
        """SHA-256(0x00 || body), in hexadecimal."""
        return hash_of(self.body())

    @cached_property
    def _body(self) -> bytes:
        data = encode(self)
        if len(data) > BLOCK_BYTES_LIMIT:
            raise TooLarge(f"a block of {len(data)} bytes, limit {BLOCK_BYTES_LIMIT}")
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class _Body:
    """A block as it is read, its entry not yet given a kind."""

    height: int
    timestamp: datetime
    prev_hash: Digest
    model_hash: Digest
    org_signatures: dict[OrgId, Digest]
    aggregation_metrics: dict[str, float]
    provenance: Provenance
    entry: dict[str, Any]
    signatures_digest: Digest

    def __post_init__(self) -> None:
        for value in self.entry.values():
            forms.require_shallow(value, "a field of an entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBlock:
    """A block and the envelopes beside it.

    Attributes:
        block: the block.
        envelopes: in ascending order of their digests; see ``in_order``.
    """

    block: Block
    envelopes: tuple[Envelope, ...] = ()


def parse(data: bytes) -> Block:
    """Return the block whose bytes are exactly ``data``.

    Raises:
        MalformedMessage: not canonical, not the fields of a block, or too long.
    """
    if len(data) > BLOCK_BYTES_LIMIT:
        raise MalformedMessage(
            f"a block of {len(data)} bytes, limit {BLOCK_BYTES_LIMIT}"
        )
    body = decode(data, _Body)
    found = Block(
        height=body.height,
        timestamp=body.timestamp,
        prev_hash=body.prev_hash,
        model_hash=body.model_hash,
        org_signatures=body.org_signatures,
        aggregation_metrics=body.aggregation_metrics,
        provenance=body.provenance,
        entry=entries.parse(body.entry),
        signatures_digest=body.signatures_digest,
    )
    vars(found)["_body"] = data  # there is no other form, as decode has seen
    return found


def hash_of(body: bytes) -> Digest:
    """Return the hash of a block's stored bytes: SHA-256(0x00 || body), hexadecimal."""
    return Digest(merkle.leaf_hash(body).hex())


def in_order(envelopes: Iterable[Envelope]) -> tuple[Envelope, ...]:
    """Return envelopes in the order in which they lie beside a block."""
    return tuple(sorted(envelopes, key=lambda envelope: envelope.digest))


def signatures_digest(digests: Iterable[Digest]) -> Digest:
    """Return what binds envelopes to a block.

    SHA-256 over the RFC 8785 form of the ascending list of the envelopes' digests.

    Args:
        digests: ``envelope.digest`` of each envelope, in any order.
    """
    return sha256(jcs(sorted(digests)))


def contributions_root(contributions: Mapping[OrgId, Digest]) -> Digest:
    """Return the Merkle root over the contributions in a sum, in hexadecimal.

    Leaf of an organisation: RFC 8785 form of ``[organisation, digest]``; leaves in
    ascending order of the organisations.

    Args:
        contributions: organisation -> SHA-256 of its masked vector's bytes.
    """
    leaves = [
        merkle.leaf_hash(jcs([organisation, contributions[organisation]]))
        for organisation in sorted(contributions)
    ]
    return Digest(merkle.root(leaves).hex())


def next_block(
    previous: Block | None,
    *,
    entry: Entry,
    timestamp: datetime,
    envelopes: Sequence[Envelope] = (),
    model_hash: Digest | None = None,
    aggregation_metrics: Mapping[str, float] | None = None,
    provenance: Provenance | None = None,
) -> SignedBlock:
    """Return the block that follows another, with its envelopes in order.

    Args:
        previous: the newest block, None to begin a ledger with a Genesis.
        entry: what the block is about.
        timestamp: UTC, not before that of the previous block.
        envelopes: what was signed about it.
        model_hash: the model in force after the block; unchanged if None.
        aggregation_metrics: of a committed round.
        provenance: of a committed round; else the version in force, or ``v0`` at first.

    Raises:
        MalformedMessage: the result is not a block: a clock that ran backwards, a
            Genesis that is not the first, a statement not in canonical form.
    """
    if previous is None:
        in_force = entry.initial_model if isinstance(entry, Genesis) else None
        version, height, prev_hash = "v0", 0, GENESIS_PREV_HASH
    else:
        in_force, version = previous.model_hash, previous.provenance.model_version
        height, prev_hash = previous.height + 1, previous.hash
        if timestamp < previous.timestamp:
            raise MalformedMessage("a block is not dated before the one it follows")
    if model_hash is None:
        model_hash = in_force
    if model_hash is None:
        raise MalformedMessage("a ledger begins with a Genesis")
    block = Block(
        height=height,
        timestamp=timestamp,
        prev_hash=prev_hash,
        model_hash=model_hash,
        org_signatures=_acceptances(envelopes),
        aggregation_metrics={
            name: float(value) for name, value in (aggregation_metrics or {}).items()
        },
        provenance=provenance or Provenance(model_version=version),
        entry=entry,
        signatures_digest=signatures_digest(e.digest for e in envelopes),
    )
    block.body()
    return SignedBlock(block=block, envelopes=in_order(envelopes))


def committed_block(
    previous: Block,
    *,
    round_id: RoundId,
    task: Task,
    plan: Mapping[str, Any],
    cohort: Iterable[OrgId],
    sum_digest: Digest,
    model_hash: Digest,
    model_version: str,
    metrics: Mapping[str, float],
    training_config: Mapping[str, Any],
    data_sources: Iterable[str],
    timestamp: datetime,
    envelopes: Sequence[Envelope],
) -> SignedBlock:
    """Return the block of a committed round, filled from the statements about it.

    Contributions, data volumes and privacy parameters are those of the statements 1
    among the envelopes; who stated one is a survivor, the rest of the cohort dropped
    out.

    Args:
        previous: the newest block; its model is the parent.
        round_id: the round.
        task: ``training`` or ``statistics``.
        plan: the plan in force, with ``collection_mode`` and ``aggregation_method``.
        cohort: the organisations announced.
        sum_digest: SHA-256 of the opened integer sum's bytes.
        model_hash: SHA-256 of the new model's file; the parent's if none is new.
        model_version: its name for people.
        metrics: see ``Block.aggregation_metrics``; ``num_clients`` is filled in.
        training_config: what the provenance says of the plan.
        data_sources: kinds of telemetry of the survivors.
        timestamp: UTC.
        envelopes: statements 1 and 2.

    Raises:
        MalformedMessage: see ``next_block``; or the plan lacks a key.
    """
    contributed = {
        org: statement
        for org, (_, statement) in statements.by_organisation(
            envelopes, ContributionStatement
        ).items()
    }
    survivors = forms.in_order(contributed)
    contributions = {org: contributed[org].contribution_digest for org in survivors}
    entry = RoundCommitted(
        round_id=round_id,
        task=task,
        plan_digest=entries.plan_digest(plan),
        collection_mode=_text(plan, "collection_mode"),
        cohort=forms.in_order(cohort),
        survivors=survivors,
        dropouts=forms.in_order(set(cohort) - set(survivors)),
        contributions=contributions,
        contributions_root=contributions_root(contributions),
        sum_digest=sum_digest,
    )
    provenance = Provenance(
        model_version=model_version,
        parent_model=previous.model_hash,
        round_id=round_id,
        training_orgs=survivors,
        training_config=dict(training_config),
        data_sources=tuple(sorted(set(data_sources))),
        data_volume={org: contributed[org].sample_bucket for org in survivors},
        aggregation_method=_text(plan, "aggregation_method"),
        privacy_params={org: contributed[org].privacy for org in survivors},
    )
    return next_block(
        previous,
        entry=entry,
        timestamp=timestamp,
        envelopes=envelopes,
        model_hash=model_hash,
        aggregation_metrics={**metrics, "num_clients": len(survivors)},
        provenance=provenance,
    )


def _acceptances(envelopes: Sequence[Envelope]) -> dict[OrgId, Digest]:
    """Return organisation -> digest of its statement 2."""
    accepted = statements.by_organisation(envelopes, AcceptanceStatement)
    return {org: envelope.digest for org, (envelope, _) in accepted.items()}


def _text(plan: Mapping[str, Any], key: str) -> str:
    value = plan.get(key)
    if not isinstance(value, str):
        raise MalformedMessage(f"the plan has no text {key}")
    return value


def _require_body(block: Block) -> None:
    """Refuse a block whose own fields do not fit together."""
    forms.require_utc(block.timestamp)
    for found in (block.prev_hash, block.model_hash, block.signatures_digest):
        digest(found)
    for organisation, signature in block.org_signatures.items():
        org_id(organisation)
        digest(signature)
    if block.height < 0:
        raise MalformedMessage("a height is 0 or more")
    first = (
        block.height == 0,
        block.prev_hash == GENESIS_PREV_HASH,
        isinstance(block.entry, Genesis),
    )
    if len(set(first)) != 1:
        raise MalformedMessage(
            "height 0, 64 zeros before it and a Genesis go together or not at all"
        )
