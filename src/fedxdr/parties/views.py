# SPDX-License-Identifier: Apache-2.0
"""What people and programs are told about rounds, members and the ledger.

Values made from facts and blocks, for the HTTP interface and the command line; the
names of their fields are those of the origin's documents. Nothing here changes
anything, and what is not known is null, never invented.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fedxdr.core import canonical
from fedxdr.core.errors import NotFound
from fedxdr.core.ids import Digest, OrgId
from fedxdr.federation import rounds
from fedxdr.federation.phases import Kind, Phase
from fedxdr.federation.rounds import Round
from fedxdr.ledger import statements
from fedxdr.ledger.block import SignedBlock
from fedxdr.ledger.entries import RoundCommitted, RoundFailed
from fedxdr.ledger.lineage import lineage
from fedxdr.ledger.statements import AcceptanceStatement
from fedxdr.parties.orchestrator import Orchestrator
from fedxdr.parties.ports import Registry
from fedxdr.parties.privacy_views import charges_on_ledger, spent_on_ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganisationView:
    """One member."""

    org_id: OrgId
    org_name: str
    status: str
    data_sources: tuple[str, ...]
    fingerprint: Digest
    enrolled_at_height: int
    last_update: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundStatus:
    """Where a round stands.

    Attributes:
        status: ``in_progress``, ``completed`` or ``failed``.
        phase: the last complete step.
        orgs_submitted: contributions stored.
        orgs_expected: organisations announced.
        convergence_metric: L2 norm of new minus old model, once there is one.
        waiting_for: organisations whose message is awaited now.
        deadline: when the present phase closes.
        reason: why it failed.
        height: of its block.
    """

    round_id: str
    round_number: int
    task: str
    status: str
    phase: str
    orgs_submitted: int
    orgs_expected: int
    convergence_metric: float | None
    waiting_for: tuple[OrgId, ...]
    deadline: datetime | None
    reason: str | None
    height: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationStatus:
    """The federation at a glance; null where nothing is known yet.

    Attributes:
        privacy_budget_used: epsilon of the organisation that spent most, as the ledger
            has it; null without a privacy mechanism.
    """

    current_round: int
    total_orgs: int
    active_orgs: int
    global_model_version: str
    last_aggregation: datetime | None
    training_accuracy: float | None
    privacy_budget_used: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestry:
    """The lineage of a model, newest first."""

    model_hash: Digest
    lineage: tuple[dict[str, Any], ...]
    train_history: tuple[dict[str, Any], ...]


def organisations(
    orchestrator: Orchestrator, registry: Registry
) -> list[OrganisationView]:
    """Return the members, in order of name."""
    views = []
    for org, member in sorted(orchestrator.recorder.in_force.members.items()):
        kept = registry.registration(org)
        views.append(
            OrganisationView(
                org_id=org,
                org_name=member.name,
                status="active",
                data_sources=member.data_sources,
                fingerprint=member.keys.fingerprint,
                enrolled_at_height=member.since,
                last_update=kept.last_update if kept else None,
            )
        )
    return views


def round_status(orchestrator: Orchestrator, round_: Round) -> RoundStatus:
    """Return where a round stands."""
    row = round_.row
    waiting: tuple[OrgId, ...] = ()
    if row is not None:
        sent = round_.sent(row.takes)
        waiting = tuple(o for o in round_.expected(row) if o not in sent)
    elif round_.phase is Phase.PROPOSED:
        answered = round_.sent(Kind.ACCEPTANCE)
        waiting = tuple(o for o in round_.survivors if o not in answered)
    names = {Phase.COMMITTED: "completed", Phase.FAILED: "failed"}
    return RoundStatus(
        round_id=round_.announcement.round_id,
        round_number=round_.announcement.number,
        task=round_.announcement.task,
        status=names.get(round_.phase, "in_progress"),
        phase=str(round_.phase),
        orgs_submitted=len(round_.survivors),
        orgs_expected=len(round_.announcement.cohort),
        convergence_metric=orchestrator.figures(round_).get("convergence"),
        waiting_for=waiting,
        deadline=rounds.deadline(round_),
        reason=round_.failure.sentence if round_.failure else None,
        height=round_.height,
    )


def federation_status(orchestrator: Orchestrator) -> FederationStatus:
    """Return the federation at a glance."""
    recorder = orchestrator.recorder
    in_force = recorder.in_force
    last = _last_committed(orchestrator)
    accuracy = last.block.aggregation_metrics.get("held_out_accuracy") if last else None
    active: tuple[OrgId, ...] = ()
    if last is not None and isinstance(last.block.entry, RoundCommitted):
        active = last.block.entry.survivors
    return FederationStatus(
        current_round=in_force.attempted,
        total_orgs=len(in_force.members),
        active_orgs=len(active) if last else len(in_force.members),
        global_model_version=recorder.model_version,
        last_aggregation=last.block.timestamp if last else None,
        training_accuracy=accuracy,
        privacy_budget_used=_budget_used(orchestrator),
    )


def _budget_used(orchestrator: Orchestrator) -> float | None:
    """Return epsilon of the organisation that spent most; null without a promise."""
    recorder = orchestrator.recorder
    plan = recorder.in_force.plan
    if plan is None or not plan.privacy.is_on:
        return None
    charges = charges_on_ledger(recorder.blocks(begin=0, end=recorder.size()))
    return spent_on_ledger(charges, plan.privacy).epsilon_used


def block_view(signed: SignedBlock) -> dict[str, Any]:
    """Return one whole block with its hash and signatures as JSON."""
    value: dict[str, Any] = canonical.builtins(signed.block)
    value["hash"] = signed.block.hash
    value["signatures"] = {
        statements.parse(e.payload, AcceptanceStatement).org: e.to_value()
        for e in signed.envelopes
        if e.digest in signed.block.org_signatures.values()
    }
    value["envelopes"] = [e.to_value() for e in signed.envelopes]
    return value


def ancestry(orchestrator: Orchestrator, model_hash: Digest) -> Ancestry:
    """Return the lineage of a model back to the genesis model.

    Raises:
        NotFound: no block made this model.
    """
    recorder = orchestrator.recorder
    stored = recorder.blocks(begin=0, end=recorder.size())
    if all(signed.block.model_hash != model_hash for signed in stored):
        raise NotFound("no block of this ledger has that model")
    ancestors = lineage((signed.block for signed in stored), model_hash)
    history = []
    for signed in stored:
        entry = signed.block.entry
        if isinstance(entry, RoundCommitted | RoundFailed):
            history.append(
                {
                    "round_id": entry.round_id,
                    "block_height": signed.block.height,
                    "status": (
                        "completed" if isinstance(entry, RoundCommitted) else "failed"
                    ),
                    "metrics": signed.block.aggregation_metrics,
                }
            )
    return Ancestry(
        model_hash=model_hash,
        lineage=tuple(canonical.builtins(ancestor) for ancestor in ancestors),
        train_history=tuple(reversed(history)),
    )


def _last_committed(orchestrator: Orchestrator) -> SignedBlock | None:
    recorder = orchestrator.recorder
    for height in reversed(range(recorder.size())):
        (signed,) = recorder.blocks(begin=height, end=height + 1)
        if isinstance(signed.block.entry, RoundCommitted):
            return signed
    return None
