# SPDX-License-Identifier: Apache-2.0
"""What the Genesis and every change of members, keys or plan must satisfy.

The Genesis is approved by all founders; every later change by a quorum of the members
in force BEFORE it, each approval over this entry, at this place, on this ledger. So an
operator who enrols its own members needs the honest ones' consent for each of them.

Not here: rounds (round_rules.py), links and time (rules.py), that the head before a
change has a quorum of cosignatures (verifier.py).

Rules that always hold: one change per block, numbered without a gap; whoever gets keys
pinned has proven with both signatures that it holds them; no key is pinned twice, to
whomever and however long ago; an Ed25519 key is a canonical point of prime order.

Source: design of the ledger, "Block"; quorum q > (n + f) / 2 with f = (n - 1) // 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import assert_never

from fedxdr.core.ids import Digest, OrgId
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.points import check_ed25519
from fedxdr.crypto.publisher import Publisher
from fedxdr.ledger import entries, statements
from fedxdr.ledger.block import GENESIS_PREV_HASH, Provenance, SignedBlock
from fedxdr.ledger.entries import (
    Change,
    Genesis,
    KeyCeremony,
    MemberEnrolled,
    MemberKeyRotated,
    MemberKeys,
    MemberSuspended,
    ModelRetired,
    OrchestratorReplaced,
    PlanAdopted,
)
from fedxdr.ledger.forms import RESERVED_NAMES
from fedxdr.ledger.note_form import (
    COSIGNATURE_ED25519,
    COSIGNATURE_ML_DSA_44,
    ED25519,
    key_hash,
)
from fedxdr.ledger.round_rules import member_of
from fedxdr.ledger.standing import PlanTerms, Standing
from fedxdr.ledger.statements import (
    ApprovalStatement,
    EnrolmentStatement,
    RotationStatement,
)
from fedxdr.ledger.steps import Step, located, require


def check_genesis(signed: SignedBlock, entry: Genesis, standing: Standing) -> None:
    """(6): every founder enrolled with the keys named, and every founder approved.

    Raises:
        VerificationFailed: not so; with height and step.
    """
    at = partial(require, step=Step.MEMBERSHIP, height=0)
    check_quiet(signed, entry.initial_model, standing.model_version)
    _check_kinds(signed, (statements.ENROLMENT_TYPE, statements.APPROVAL_TYPE))
    with located(Step.MEMBERSHIP, 0):
        enrolled = statements.by_organisation(signed.envelopes, EnrolmentStatement)
        approved = statements.by_organisation(signed.envelopes, ApprovalStatement)
    for what, found in (("enrolments", enrolled), ("approvals", approved)):
        at(
            set(found) == set(entry.founders),
            f"{what} of {sorted(found)}, founders are {sorted(entry.founders)}",
        )
    seen = set(entry.orchestrator.all)
    _check_log(entry, 0)
    for organisation, (envelope, statement) in enrolled.items():
        _check_name(organisation, 0)
        with located(Step.MEMBERSHIP, 0):
            statements.require_signer(envelope, statement.keys)
        at(
            statement.keys.fingerprint == entry.founders[organisation],
            f"{organisation} enrolled with other keys than the Genesis names",
        )
        at(not seen & statement.keys.all, f"a key of {organisation} is somebody else's")
        check_keys(organisation, statement.keys, height=0)
        seen |= statement.keys.all
    used = [statement.invitation_digest for _, statement in enrolled.values()]
    at(len(set(used)) == len(used), "two founders used one invitation")
    keys = {org: statement.keys for org, (_, statement) in enrolled.items()}
    _check_approvals(signed, entry, keys, ledger=GENESIS_PREV_HASH)


def check_change(signed: SignedBlock, entry: Change, standing: Standing) -> None:
    """(6), (7), (9): the change is the next one, makes sense, and has a quorum.

    Raises:
        VerificationFailed: not so; with height and step.
    """
    check_proposed(signed, entry, standing)
    keys = {org: member.keys for org, member in standing.members.items()}
    approved = _check_approvals(signed, entry, keys, ledger=standing.genesis_hash)
    require(
        len(approved) >= standing.quorum,
        f"{len(approved)} of {len(standing.members)} members approved, a quorum is "
        f"{standing.quorum}",
        step=Step.MEMBERSHIP,
        height=signed.block.height,
    )


def check_proposed(signed: SignedBlock, entry: Change, standing: Standing) -> None:
    """(6), (7), (9): all that a change must hold but its approvals.

    So that nobody is asked to approve what could never stand on the ledger.

    Raises:
        VerificationFailed: not so; with height and step.
    """
    height = signed.block.height
    at = partial(require, step=Step.MEMBERSHIP, height=height)
    at(
        entry.change == standing.changes + 1,
        f"change {entry.change} after change {standing.changes}",
    )
    model, version = standing.model_hash, standing.model_version
    own: tuple[str, ...] = ()
    match entry:
        case MemberEnrolled():
            own = (statements.ENROLMENT_TYPE,)
            _check_enrolment(signed, entry, standing)
        case MemberKeyRotated():
            own = (statements.ROTATION_TYPE,)
            _check_rotation(signed, entry, standing)
        case MemberSuspended():
            member_of(entry.org_id, standing)
            at(len(standing.members) > 1, "the last member cannot be suspended")
        case OrchestratorReplaced():
            _check_orchestrator(entry, standing)
        case PlanAdopted():
            _check_plan(entry, height)
        case KeyCeremony():
            _check_ceremony(entry, standing)
        case ModelRetired():
            _check_withdrawal(entry, standing)
            model, version = entry.successor, standing.models[entry.successor]
        case _:
            assert_never(entry)
    check_quiet(signed, model, version)
    _check_kinds(signed, (*own, statements.APPROVAL_TYPE))


def check_quiet(signed: SignedBlock, model: Digest | None, version: str) -> None:
    """(5), (7), (9): a block that is not a committed round brings nothing of one.

    Args:
        signed: the block.
        model: the one that must be in force after it.
        version: that model's name.

    Raises:
        VerificationFailed: not so; with height and step.
    """
    block, height = signed.block, signed.block.height
    require(
        not block.org_signatures,
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
        and block.provenance == Provenance(model_version=version),
        "another model comes into force without a round",
        step=Step.LINEAGE,
        height=height,
    )


def _check_kinds(signed: SignedBlock, kinds: Iterable[str]) -> None:
    """(6): nothing lies beside a block that is not asked for."""
    for envelope in signed.envelopes:
        require(
            envelope.payload_type in kinds,
            f"an envelope of kind {envelope.payload_type} beside such a block",
            step=Step.MEMBERSHIP,
            height=signed.block.height,
        )


def _check_approvals(
    signed: SignedBlock,
    entry: Genesis | Change,
    keys: dict[OrgId, MemberKeys],
    *,
    ledger: Digest,
) -> frozenset[OrgId]:
    """(6): each approval is by a member, over this entry, on this ledger, in time."""
    block = signed.block
    at = partial(require, step=Step.MEMBERSHIP, height=block.height)
    wanted = entries.entry_digest(entry)
    with located(Step.MEMBERSHIP, block.height):
        stated = statements.by_organisation(signed.envelopes, ApprovalStatement)
    for organisation, (envelope, statement) in stated.items():
        at(organisation in keys, f"{organisation} approved and is no member")
        with located(Step.MEMBERSHIP, block.height):
            statements.require_signer(envelope, keys[organisation])
        at(statement.entry == wanted, f"{organisation} approved another entry")
        at(statement.ledger == ledger, f"{organisation} approved on another ledger")
        at(
            statement.expires >= block.timestamp,
            f"the approval of {organisation} had expired",
        )
    return frozenset(stated)


def _check_enrolment(
    signed: SignedBlock, entry: MemberEnrolled, standing: Standing
) -> None:
    """(6): a new name, new keys, a fresh invitation, proof that the keys are held."""
    height = signed.block.height
    at = partial(require, step=Step.MEMBERSHIP, height=height)
    _check_name(entry.org_id, height)
    at(entry.org_id not in standing.members, f"{entry.org_id} is a member already")
    _check_new_keys(entry.org_id, entry.keys, standing)
    at(
        entry.invitation_digest not in standing.invitations,
        f"{entry.org_id} joined with an invitation that was used before",
    )
    (envelope,) = _one(signed, statements.ENROLMENT_TYPE, "enrolment")
    with located(Step.MEMBERSHIP, height):
        stated = statements.verify(envelope, kind=EnrolmentStatement, keys=entry.keys)
    at(
        (stated.org, stated.name, stated.keys, stated.data_sources)
        == (entry.org_id, entry.name, entry.keys, entry.data_sources)
        and stated.invitation_digest == entry.invitation_digest,
        f"{entry.org_id} enrolled itself otherwise than the block says",
    )


def _check_rotation(
    signed: SignedBlock, entry: MemberKeyRotated, standing: Standing
) -> None:
    """(6): a member's new keys, and proof that it holds them."""
    height = signed.block.height
    at = partial(require, step=Step.MEMBERSHIP, height=height)
    member = member_of(entry.org_id, standing)
    at(
        entry.previous == member.keys.fingerprint,
        f"{entry.org_id} has other keys than those to be replaced",
    )
    _check_new_keys(entry.org_id, entry.keys, standing)
    (envelope,) = _one(signed, statements.ROTATION_TYPE, "rotation")
    with located(Step.MEMBERSHIP, height):
        stated = statements.verify(envelope, kind=RotationStatement, keys=entry.keys)
    at(
        (stated.org, stated.keys, stated.previous)
        == (entry.org_id, entry.keys, entry.previous),
        f"{entry.org_id} stated other keys than the block says",
    )


def _one(signed: SignedBlock, kind: str, what: str) -> tuple[Envelope]:
    """(6): exactly one envelope of a kind."""
    found = [e for e in signed.envelopes if e.payload_type == kind]
    require(
        len(found) == 1,
        f"{len(found)} {what} statements, want one",
        step=Step.MEMBERSHIP,
        height=signed.block.height,
    )
    return (found[0],)


def _check_name(organisation: OrgId, height: int) -> None:
    """(6): a name that means nobody else, in a policy, a request or a token."""
    require(
        organisation not in RESERVED_NAMES,
        f"an organisation called {organisation}, which is the name of somebody else",
        step=Step.MEMBERSHIP,
        height=height,
    )


def _check_new_keys(organisation: str, keys: MemberKeys, standing: Standing) -> None:
    """(6): keys that nobody has or had, good points, no two alike."""
    height = standing.height + 1
    require(
        not keys.all & standing.keys_seen,
        f"the key of {organisation} belongs or belonged to somebody",
        step=Step.MEMBERSHIP,
        height=height,
    )
    check_keys(organisation, keys, height=height)


def check_keys(holder: str, keys: MemberKeys, *, height: int) -> None:
    """(6): four different keys, those of Ed25519 canonical and of prime order.

    And none of the lines that they sign on heads looks like another's: the ID of a key
    has 32 bits, so that two with one ID are quickly made, and a policy with both would
    be none.

    Args:
        holder: under whose name they sign heads.
        keys: what is to be pinned.
        height: of the block that would pin them.

    Raises:
        VerificationFailed: not so; with height and step.
    """
    ids = {
        key_hash(name=holder, kind=ED25519, public_key=keys.tlog_ed25519),
        key_hash(name=holder, kind=COSIGNATURE_ED25519, public_key=keys.tlog_ed25519),
        key_hash(
            name=holder, kind=COSIGNATURE_ML_DSA_44, public_key=keys.tlog_ml_dsa_44
        ),
    }
    require(
        len(ids) == 3,
        f"two keys of {holder} have one ID in signed heads: make other ones",
        step=Step.MEMBERSHIP,
        height=height,
    )
    require(
        len(keys.all) == len(keys.__slots__),
        f"{holder} has one key twice",
        step=Step.MEMBERSHIP,
        height=height,
    )
    with located(Step.MEMBERSHIP, height):
        check_ed25519(keys.ed25519)
        check_ed25519(keys.tlog_ed25519)


def _check_orchestrator(entry: OrchestratorReplaced, standing: Standing) -> None:
    """(6): keys and a name that this ledger never had."""
    _check_new_keys(entry.origin, entry.orchestrator, standing)
    _check_log(entry, standing.height + 1)
    require(
        all(entry.origin != log.origin for log in standing.logs),
        f"the ledger was called {entry.origin} before",
        step=Step.MEMBERSHIP,
        height=standing.height + 1,
    )


def _check_log(entry: Genesis | OrchestratorReplaced, height: int) -> None:
    """(6): keys that can sign heads and models, under a name that is no member's."""
    require(
        any(mark in entry.origin for mark in "./"),
        f"an origin with a dot or a slash, not {entry.origin}: names of members have "
        "neither",
        step=Step.MEMBERSHIP,
        height=height,
    )
    check_keys(entry.origin, entry.orchestrator, height=height)
    with located(Step.MEMBERSHIP, height):
        Publisher(der=entry.publisher)


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
    for organisation in entry.holders:
        member_of(organisation, standing)
    require(
        entries.ceremony_fingerprint(entry.record) == entry.fingerprint,
        "the ceremony's fingerprint is another",
        step=Step.MEMBERSHIP,
        height=standing.height + 1,
    )


def _check_withdrawal(entry: ModelRetired, standing: Standing) -> None:
    """(9): a model of this ledger, withdrawn once, with one in force after it."""
    at = partial(require, step=Step.LINEAGE, height=standing.height + 1)
    at(entry.model_hash in standing.models, "no block names the model to withdraw")
    at(entry.model_hash not in standing.retired, "that model is withdrawn already")
    at(entry.successor in standing.models, "no block names the model to return to")
    at(
        entry.successor not in standing.retired and entry.successor != entry.model_hash,
        "the model to return to is withdrawn",
    )
    at(
        standing.model_hash in (entry.model_hash, entry.successor),
        "the model in force changes though another one is withdrawn",
    )
