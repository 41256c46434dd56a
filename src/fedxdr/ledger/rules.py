# SPDX-License-Identifier: Apache-2.0
"""What one block must satisfy to follow on what is in force: steps 2 and 4 to 9.

One function, ``check``, for the offline verifier (all blocks of a bundle) and for an
organisation's mirror (each block as it comes). It reads; it changes nothing.

Not here: a committed round (round_rules.py), bytes and canonical form (bundle.py), the
head and the models (verifier.py), approval of membership and plans by a quorum (a later
version of the ledger).

Rules that always hold: keys are those that the ledger pins at that height, never those
that a statement brings along; what cannot be checked is refused or becomes a warning
that the caller gets to see, never nothing.

Source: design of the ledger, "Verification, numbered steps".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import assert_never

from fedxdr.core.ids import Digest
from fedxdr.ledger import entries, statements
from fedxdr.ledger.block import Block, Provenance, SignedBlock
from fedxdr.ledger.entries import (
    Genesis,
    KeyCeremony,
    MemberEnrolled,
    PlanAdopted,
    RoundCommitted,
    RoundFailed,
)
from fedxdr.ledger.round_rules import RoundEvidence, check_round, member_of
from fedxdr.ledger.standing import PlanTerms, Standing
from fedxdr.ledger.statements import EnrolmentStatement
from fedxdr.ledger.steps import Step, located, require


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a block that passed leaves to be said.

    Attributes:
        evidence: of a committed round, else None.
        warnings: sentences, with the height in them.
    """

    evidence: RoundEvidence | None = None
    warnings: tuple[str, ...] = ()


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
        case RoundCommitted():
            return Finding(evidence=check_round(signed, block.entry, standing))
        case Genesis():
            _check_quiet(signed, block.entry.initial_model, standing)
        case MemberEnrolled():
            return _check_enrolment(signed, block.entry, standing)
        case PlanAdopted():
            _check_quiet(signed, standing.model_hash, standing)
            _check_plan(block.entry, block.height)
        case KeyCeremony():
            _check_quiet(signed, standing.model_hash, standing)
            _check_ceremony(block.entry, standing)
        case RoundFailed():
            _check_quiet(signed, standing.model_hash, standing)
            _check_failure(block.entry, standing)
        case _:
            assert_never(block.entry)
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


def _check_quiet(
    signed: SignedBlock, model: Digest | None, standing: Standing, *, envelopes: int = 0
) -> None:
    """(5), (7), (9): a block that is not a committed round changes no model."""
    block, height = signed.block, signed.block.height
    require(
        len(signed.envelopes) <= envelopes and not block.org_signatures,
        "signatures that this kind of entry does not have",
        step=Step.ACCEPTANCES,
        height=height,
    )
    require(
        not block.aggregation_metrics,
        "metrics without a round",
        step=Step.METRICS,
        height=height,
    )
    require(
        block.model_hash == model
        and block.provenance == Provenance(model_version=standing.model_version),
        "another model comes into force without a round",
        step=Step.LINEAGE,
        height=height,
    )


def _check_enrolment(
    signed: SignedBlock, entry: MemberEnrolled, standing: Standing
) -> Finding:
    """(6): a new name, a new key, a fresh invitation, proof that the key is held."""
    height = signed.block.height
    _check_quiet(signed, standing.model_hash, standing, envelopes=1)
    at = partial(require, step=Step.MEMBERSHIP, height=height)
    at(entry.org_id not in standing.members, f"{entry.org_id} is a member already")
    at(
        entry.keys.ed25519 not in standing.keys_in_use,
        f"the key of {entry.org_id} belongs to somebody else",
    )
    at(
        entry.invitation_digest not in standing.invitations,
        f"{entry.org_id} joined with an invitation that was used before",
    )
    if not signed.envelopes:
        unproven = f"block {height}: {entry.org_id} did not prove that it holds its key"
        return Finding(warnings=(unproven,))
    (envelope,) = signed.envelopes
    with located(Step.MEMBERSHIP, height):
        stated = statements.verify(envelope, kind=EnrolmentStatement, keys=entry.keys)
    at(
        (stated.org, stated.name, stated.keys, stated.data_sources)
        == (entry.org_id, entry.name, entry.keys, entry.data_sources)
        and stated.invitation_digest == entry.invitation_digest,
        f"{entry.org_id} enrolled itself otherwise than the block says",
    )
    return Finding()


def _check_plan(entry: PlanAdopted, height: int) -> None:
    """(7): the plan is the one that its digest names, and has the terms read here."""
    with located(Step.METRICS, height):
        PlanTerms.of(entry.plan)
    require(
        entries.plan_digest(entry.plan) == entry.plan_digest,
        "the plan's digest is another",
        step=Step.METRICS,
        height=height,
    )


def _check_ceremony(entry: KeyCeremony, standing: Standing) -> None:
    """(6): a key that its fingerprint names, held by members only."""
    height = standing.height + 1
    for organisation in entry.holders:
        member_of(organisation, standing)
    require(
        entries.ceremony_fingerprint(entry.record) == entry.fingerprint,
        "the ceremony's fingerprint is another",
        step=Step.MEMBERSHIP,
        height=height,
    )


def _check_failure(entry: RoundFailed, standing: Standing) -> None:
    """(6), (9): members only, and a round that is on the ledger once."""
    height = standing.height + 1
    for organisation in entry.survivors:
        member_of(organisation, standing)
    require(
        not standing.has_round(entry.round_id),
        f"round {entry.round_id} is on the ledger already",
        step=Step.LINEAGE,
        height=height,
    )
