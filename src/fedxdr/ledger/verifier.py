# SPDX-License-Identifier: Apache-2.0
"""The offline audit of an exported ledger, in numbered steps.

Needs the bundle's bytes and nothing else: no server, database, torch or network. The
steps, by the numbers of steps.py:

0. the container has its one canonical form;
1. each block has its one canonical form; 2. heights, hashes and times link up;
3. ``signatures_digest`` binds the envelopes beside the block;
4. statement 1 of EVERY organisation in the sum, and it says what the block says;
5. statement 2 of at least the plan's threshold, naming previous block and new model;
6. whoever takes part is a member by then, under the key the ledger pins;
7. plan, counts and metrics within bounds; 8. no privacy claimed that was not made;
9. every model has its parent, back to the Genesis;
10. the Merkle root over all blocks is the one that the orchestrator signed;
11. the models' files are those that the blocks name, the newest one's among them.

Not here: witnesses, approvals and replay; a ledger that only its orchestrator signed
may have been shown differently to others, and the report says so.

Rules that always hold: a fault inside a block is reported with its height and step
before any fault of the whole; a check returns a report or raises, never anything else.

Source: design of the ledger, "Verification, numbered steps".
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fedxdr.core.errors import VerificationFailed
from fedxdr.core.ids import Digest, OrgId, RoundId
from fedxdr.ledger import bundle as bundles
from fedxdr.ledger import head as heads
from fedxdr.ledger.bundle import Bundle
from fedxdr.ledger.entries import Genesis
from fedxdr.ledger.head import Head
from fedxdr.ledger.lineage import lineage
from fedxdr.ledger.round_rules import RoundEvidence
from fedxdr.ledger.rules import check
from fedxdr.ledger.standing import Standing
from fedxdr.ledger.steps import Step, located, require
from fedxdr.ledger.trust import Trust, score

_UNPINNED = "no orchestrator key was pinned: the bundle itself says who published it"
_UNWITNESSED = (
    "only the orchestrator signed the head: no witness says that others saw the same"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an audit that found no fault found.

    Attributes:
        federation: its name.
        origin: the ledger's name.
        blocks_verified: how many.
        last_block_hash: of the newest block.
        root: the Merkle root over all blocks, as signed.
        head_timestamp: when the orchestrator signed it, UTC.
        members: the organisations enrolled, sorted.
        rounds: the rounds committed, oldest first.
        rounds_failed: the rounds failed, oldest first.
        model_hash: SHA-256 of the file of the model in force.
        model_version: its name for people.
        models_verified: SHA-256 of the files in the bundle that were checked.
        generations: how many models there are from the Genesis to the one in force.
        warnings: what was not proven, in sentences.
        trust: a score in [0, 1] with its reasons.
    """

    federation: str
    origin: str
    blocks_verified: int
    last_block_hash: Digest
    root: Digest
    head_timestamp: datetime
    members: tuple[OrgId, ...]
    rounds: tuple[RoundId, ...]
    rounds_failed: tuple[RoundId, ...]
    model_hash: Digest
    model_version: str
    models_verified: tuple[Digest, ...]
    generations: int
    warnings: tuple[str, ...]
    trust: Trust


def verify(data: bytes, *, pinned_orchestrator_key: bytes | None = None) -> Report:
    """Return the report on a bundle in which nothing is wrong.

    Args:
        data: the bundle's bytes.
        pinned_orchestrator_key: the orchestrator's Ed25519 key, 32 bytes, as known from
            elsewhere (an invitation); without it the bundle itself says who signed it,
            and the report warns.

    Raises:
        VerificationFailed: the first fault found, with step and, where there is one,
            height.
    """
    bundle = bundles.read(data)
    standing = Standing()
    warnings: list[str] = []
    evidence: list[RoundEvidence] = []
    for signed, hash_ in zip(bundle.blocks, bundle.hashes, strict=True):
        finding = check(signed, standing)
        standing.follow(signed.block, hash_)
        warnings.extend(finding.warnings)
        if finding.evidence is not None:
            evidence.append(finding.evidence)
    genesis, model_hash = standing.genesis, standing.model_hash
    if genesis is None or model_hash is None:
        raise VerificationFailed("no Genesis", step=Step.CONTAINER)
    ancestors = lineage((s.block for s in bundle.blocks), model_hash)
    head = _check_head(bundle, genesis, standing, pinned_orchestrator_key)
    _check_models(bundle, standing)
    if pinned_orchestrator_key is None:
        warnings.append(_UNPINNED)
    warnings.append(_UNWITNESSED)
    warnings.extend(
        f"block {found.height}: {found.rejected} of {found.cohort} rejected the result"
        for found in evidence
        if found.rejected
    )
    return Report(
        federation=genesis.federation,
        origin=genesis.origin,
        blocks_verified=len(bundle.blocks),
        last_block_hash=bundle.hashes[-1],
        root=head.root,
        head_timestamp=head.timestamp,
        members=tuple(sorted(standing.members)),
        rounds=tuple(standing.committed),
        rounds_failed=tuple(standing.failed),
        model_hash=model_hash,
        model_version=standing.model_version,
        models_verified=tuple(bundle.models),
        generations=len(ancestors),
        warnings=tuple(warnings),
        trust=score(evidence, pinned=pinned_orchestrator_key is not None),
    )


def _check_head(
    bundle: Bundle, genesis: Genesis, standing: Standing, pinned: bytes | None
) -> Head:
    """(10): the orchestrator of the Genesis signed this root over these blocks."""
    key = genesis.orchestrator.ed25519
    require(
        pinned is None or hmac.compare_digest(pinned, key),
        "the orchestrator's key is not the pinned one",
        step=Step.HEAD,
    )
    with located(Step.HEAD):
        head = heads.verify(bundle.head, public_key=genesis.orchestrator.identity)
    for what, found, wanted in (
        ("origin of the container", bundle.origin, genesis.origin),
        ("origin", head.origin, genesis.origin),
        ("size", head.size, len(bundle.hashes)),
        ("root", head.root, heads.root_of(bundle.hashes)),
    ):
        require(found == wanted, f"{what} is {found}, want {wanted}", step=Step.HEAD)
    require(
        standing.timestamp is not None and head.timestamp >= standing.timestamp,
        "the head is dated before the newest block",
        step=Step.HEAD,
    )
    return head


def _check_models(bundle: Bundle, standing: Standing) -> None:
    """(11): every file is a model of this ledger, and the one in force is there."""
    unknown = [found for found in bundle.models if found not in standing.models]
    require(
        not unknown, f"no block names the files {_short(unknown)}", step=Step.MODELS
    )
    require(
        standing.model_hash in bundle.models,
        "the file of the model in force is missing",
        step=Step.MODELS,
    )


def _short(digests: Sequence[Digest]) -> str:
    return ", ".join(f"{found[:16]}…" for found in digests)
