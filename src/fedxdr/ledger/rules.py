# SPDX-License-Identifier: Apache-2.0
"""What one block must satisfy to follow on what is in force: steps 2 and 4 to 9.

One function, ``check``, for the offline verifier (all blocks of a bundle) and for an
organisation's mirror (each block as it comes). It reads; it changes nothing.

Not here: a committed round (round_rules.py), what members decide (change_rules.py),
bytes and canonical form (bundle.py), heads, their quorum and the models (verifier.py).

Rules that always hold: keys are those that the ledger pins at that height, never those
that a statement brings along; what cannot be checked is refused.

Source: design of the ledger, "Verification, numbered steps".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from fedxdr.ledger.block import Block, SignedBlock
from fedxdr.ledger.change_rules import check_change, check_genesis, check_quiet
from fedxdr.ledger.entries import Genesis, RoundCommitted, RoundFailed
from fedxdr.ledger.round_rules import RoundEvidence, check_round, member_of
from fedxdr.ledger.standing import Standing
from fedxdr.ledger.steps import Step, require


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a block that passed leaves to be said.

    Attributes:
        evidence: of a committed round, else None.
    """

    evidence: RoundEvidence | None = None


def check(signed: SignedBlock, standing: Standing) -> Finding:
    """Return what remains to be said of a block that may follow.

    Args:
        signed: the block; its bytes, hash and ``signatures_digest`` already checked.
        standing: what is in force before it.

    Raises:
        VerificationFailed: it may not; with height and step.
    """
    block = signed.block
    _check_links(block, standing)
    match block.entry:
        case RoundCommitted() as entry:
            return Finding(evidence=check_round(signed, entry, standing))
        case RoundFailed() as entry:
            _check_failure(signed, entry, standing)
        case Genesis() as entry:
            check_genesis(signed, entry, standing)
        case _:
            check_change(signed, block.entry, standing)
    return Finding()


def _check_links(block: Block, standing: Standing) -> None:
    """(2): height, previous hash and time follow on."""
    at = partial(require, step=Step.LINKS, height=standing.height + 1)
    at(
        block.height == standing.height + 1,
        f"the block says height {block.height}",
    )
    at(
        block.prev_hash == standing.last_hash,
        f"prev_hash {block.prev_hash[:16]}…, want {standing.last_hash[:16]}…",
    )
    at(
        standing.timestamp is None or block.timestamp >= standing.timestamp,
        "dated before the block it follows",
    )


def _check_failure(signed: SignedBlock, entry: RoundFailed, standing: Standing) -> None:
    """(6), (9): members only, and a round that is on the ledger once."""
    height = standing.height + 1
    check_quiet(signed, standing.model_hash, standing.model_version)
    require(
        not signed.envelopes,
        "envelopes beside a round that failed",
        step=Step.ACCEPTANCES,
        height=height,
    )
    for organisation in entry.survivors:
        member_of(organisation, standing)
    require(
        not standing.has_round(entry.round_id),
        f"round {entry.round_id} is on the ledger already",
        step=Step.LINEAGE,
        height=height,
    )
