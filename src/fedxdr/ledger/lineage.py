# SPDX-License-Identifier: Apache-2.0
"""Where a model comes from: from one model back to the Genesis, block by block.

Not here: whether the blocks are authentic (verifier.py checks that first).

Rules that always hold: a lineage is unbroken and has no branches: every model has one
block that brought it into force and one parent, and the walk ends at the Genesis.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from fedxdr.core.errors import NotFound, VerificationFailed
from fedxdr.core.ids import Digest, OrgId, RoundId
from fedxdr.ledger.block import Block
from fedxdr.ledger.entries import Genesis, RoundCommitted
from fedxdr.ledger.statements import PrivacyClaim
from fedxdr.ledger.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor:
    """One model of a lineage and how it came about.

    Attributes:
        model_hash: SHA-256 of the model's file.
        parent_model: that of the model before it; None for the first.
        model_version: its name for people.
        block_height: of the block that brought it into force.
        timestamp: of that block, UTC.
        round_id: the round; None for the first model.
        training_orgs: the organisations in the sum, sorted.
        data_volume: organisation -> public sample bucket.
        aggregation_method: None for the first model.
        privacy_params: organisation -> what it claims to have done.
        aggregation_metrics: the round's figures.
    """

    model_hash: Digest
    parent_model: Digest | None
    model_version: str
    block_height: int
    timestamp: datetime
    round_id: RoundId | None
    training_orgs: tuple[OrgId, ...]
    data_volume: dict[OrgId, int]
    aggregation_method: str | None
    privacy_params: dict[OrgId, PrivacyClaim]
    aggregation_metrics: dict[str, float]


def lineage(blocks: Iterable[Block], model_hash: Digest) -> tuple[Ancestor, ...]:
    """Return a model and its ancestors, newest first, the Genesis' model last.

    Args:
        blocks: in order of height, from the Genesis.
        model_hash: SHA-256 of the model's file.

    Raises:
        NotFound: no block brought such a model into force.
        VerificationFailed: a gap (a parent that no earlier block has) or a branch (two
            blocks that bring one model into force).
    """
    known: dict[Digest, Ancestor] = {}
    for block in blocks:
        if not brings_model(block):
            continue
        if block.model_hash in known:
            raise VerificationFailed(
                f"model {block.model_hash[:16]}… was in force before",
                step=Step.LINEAGE,
                height=block.height,
            )
        known[block.model_hash] = _ancestor(block)
    if model_hash not in known:
        raise NotFound(f"no model {model_hash[:16]}… on the ledger")
    walk = [known[model_hash]]
    while (parent := walk[-1].parent_model) is not None:
        before = known.get(parent)
        if before is None or before.block_height >= walk[-1].block_height:
            raise VerificationFailed(
                f"no earlier block has the parent {parent[:16]}…",
                step=Step.LINEAGE,
                height=walk[-1].block_height,
            )
        walk.append(before)
    return tuple(walk)


def brings_model(block: Block) -> bool:
    """Return whether a block puts another model into force than the one before it."""
    match block.entry:
        case Genesis():
            return True
        case RoundCommitted():
            return block.model_hash != block.provenance.parent_model
        case _:
            return False


def _ancestor(block: Block) -> Ancestor:
    made = block.provenance
    return Ancestor(
        model_hash=block.model_hash,
        parent_model=made.parent_model,
        model_version=made.model_version,
        block_height=block.height,
        timestamp=block.timestamp,
        round_id=made.round_id,
        training_orgs=made.training_orgs,
        data_volume=made.data_volume,
        aggregation_method=made.aggregation_method,
        privacy_params=made.privacy_params,
        aggregation_metrics=block.aggregation_metrics,
    )
