# SPDX-License-Identifier: Apache-2.0
"""What the block of a committed round must satisfy: steps 4 to 9.

Not here: links and other kinds of entry (rules.py); whether sum and model are what the
contributions give, which takes a replay of the round.

Rules that always hold: everybody in the sum stated what it put in; at least the plan's
threshold of the cohort accepted exactly this result; whose key it is says the ledger;
what two places say, they say alike.

Source: design of the ledger, "Signatures: two kinds, kept apart" and "Verification".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from msgspec import UNSET

from fedxdr.core.canonical import jcs
from fedxdr.core.errors import VerificationFailed
from fedxdr.core.ids import OrgId, RoundId
from fedxdr.ledger import statements
from fedxdr.ledger.block import Block, SignedBlock, contributions_root
from fedxdr.ledger.entries import RoundCommitted
from fedxdr.ledger.standing import Member, PlanInForce, Standing
from fedxdr.ledger.statements import (
    AcceptanceStatement,
    ContributionStatement,
    PrivacyClaim,
)
from fedxdr.ledger.steps import Step, located, require

METRICS = ("round", "num_clients", "convergence", "gradient_norm", "survivors_weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundEvidence:
    """What stands behind one committed round, for the trust score.

    Attributes:
        round_id: the round.
        height: of its block.
        cohort: the organisations announced.
        threshold: how many of them had to accept.
        accepted: who did.
        rejected: who said no.
        replayed: who accepted and says that it replayed the round.
        epsilon_left: organisation in the sum -> which share of the plan's epsilon it
            has left, in [0, 1]; None for who claims no mechanism.
    """

    round_id: RoundId
    height: int
    cohort: frozenset[OrgId]
    threshold: int
    accepted: frozenset[OrgId]
    rejected: frozenset[OrgId]
    replayed: frozenset[OrgId]
    epsilon_left: Mapping[OrgId, float | None]


def check_round(
    signed: SignedBlock, entry: RoundCommitted, standing: Standing
) -> RoundEvidence:
    """Return the evidence for a committed round that may follow.

    Args:
        signed: the block and its envelopes.
        entry: the block's entry.
        standing: what is in force before it.

    Raises:
        VerificationFailed: it may not; with height and step.
    """
    block = signed.block
    plan = _plan_in_force(entry, standing)
    _check_kinds(signed)
    _check_contributions(signed, entry, standing)
    accepted = _check_acceptances(signed, entry, standing, plan)
    for organisation in entry.cohort:
        member_of(organisation, standing)
    _check_counts(block, entry, plan)
    _check_metrics(block, entry, standing)
    _check_provenance(block, entry, standing, plan)
    _check_privacy(block, entry, plan)
    _check_lineage(block, entry, standing)
    yes = [statement for statement in accepted if statement.verdict == "accepted"]
    return RoundEvidence(
        round_id=entry.round_id,
        height=block.height,
        cohort=frozenset(entry.cohort),
        threshold=plan.terms.threshold,
        accepted=frozenset(statement.org for statement in yes),
        rejected=frozenset(s.org for s in accepted if s.verdict == "rejected"),
        replayed=frozenset(s.org for s in yes if s.replayed),
        epsilon_left={
            organisation: _epsilon_left(claim, plan)
            for organisation, claim in block.provenance.privacy_params.items()
        },
    )


def member_of(organisation: OrgId, standing: Standing) -> Member:
    """Return a member by name: (6), looked up where a key is needed.

    Raises:
        VerificationFailed: no member before this block.
    """
    member = standing.members.get(organisation)
    if member is None:
        raise VerificationFailed(
            f"{organisation} is no member before this block",
            step=Step.MEMBERSHIP,
            height=standing.height + 1,
        )
    return member


def _plan_in_force(entry: RoundCommitted, standing: Standing) -> PlanInForce:
    """(7): a round runs under the plan in force, and there is one."""
    plan = standing.plan
    if plan is None or plan.digest != entry.plan_digest:
        raise VerificationFailed(
            "the round did not run under the plan in force",
            step=Step.METRICS,
            height=standing.height + 1,
        )
    return plan


def _check_kinds(signed: SignedBlock) -> None:
    """(4), (5): beside a round lie statements 1 and 2 and nothing else."""
    known = (statements.CONTRIBUTION_TYPE, statements.ACCEPTANCE_TYPE)
    for envelope in signed.envelopes:
        require(
            envelope.payload_type in known,
            f"an envelope of kind {envelope.payload_type} beside a round",
            step=Step.CONTRIBUTIONS,
            height=signed.block.height,
        )


def _check_contributions(
    signed: SignedBlock, entry: RoundCommitted, standing: Standing
) -> None:
    """(4): statement 1 of every organisation in the sum, and of nobody else."""
    block, made = signed.block, signed.block.provenance
    at = partial(require, step=Step.CONTRIBUTIONS, height=block.height)
    with located(Step.CONTRIBUTIONS, block.height):
        stated = statements.by_organisation(signed.envelopes, ContributionStatement)
    _require_same(stated, entry.survivors, "contribution statements", block.height)
    _require_same(entry.contributions, entry.survivors, "contributions", block.height)
    at(
        entry.contributions_root == contributions_root(entry.contributions),
        "contributions_root is not that of the contributions",
    )
    for organisation, (envelope, statement) in stated.items():
        with located(Step.CONTRIBUTIONS, block.height):
            keys = member_of(organisation, standing).keys
            statements.require_signer(envelope, keys)
        for name, said, wanted in (
            ("round", statement.round_id, entry.round_id),
            ("plan", statement.plan_digest, entry.plan_digest),
            ("parent model", statement.parent_model, made.parent_model),
            (
                "contribution",
                statement.contribution_digest,
                entry.contributions[organisation],
            ),
            (
                "data volume",
                statement.sample_bucket,
                made.data_volume.get(organisation),
            ),
            ("privacy", statement.privacy, made.privacy_params.get(organisation)),
        ):
            at(said == wanted, f"{organisation} stated another {name}: {said}")


def _check_acceptances(
    signed: SignedBlock, entry: RoundCommitted, standing: Standing, plan: PlanInForce
) -> tuple[AcceptanceStatement, ...]:
    """(5): statement 2 of at least the threshold, about exactly this result."""
    block = signed.block
    at = partial(require, step=Step.ACCEPTANCES, height=block.height)
    with located(Step.ACCEPTANCES, block.height):
        stated = statements.by_organisation(signed.envelopes, AcceptanceStatement)
    at(
        block.org_signatures
        == {org: envelope.digest for org, (envelope, _) in stated.items()},
        "org_signatures are not those of the acceptance statements",
    )
    accepted = 0
    made, figures = block.provenance, dict(block.aggregation_metrics)
    figures.pop("num_clients", None)
    for organisation, (envelope, statement) in stated.items():
        at(organisation in entry.cohort, f"{organisation} was not announced")
        with located(Step.ACCEPTANCES, block.height):
            keys = member_of(organisation, standing).keys
            statements.require_signer(envelope, keys)
        for name, said, wanted in (
            ("round", statement.round_id, entry.round_id),
            ("task", statement.task, entry.task),
            ("orchestrator", statement.builder, _orchestrator(standing)),
            ("plan", statement.plan_digest, entry.plan_digest),
            ("previous block", statement.prev_hash, block.prev_hash),
            ("parent model", statement.parent_model, made.parent_model),
            ("model", statement.model_hash, block.model_hash),
            ("sum", statement.sum_digest, entry.sum_digest),
            ("set of contributions", statement.contributions, entry.contributions),
            (
                "root of contributions",
                statement.contributions_root,
                entry.contributions_root,
            ),
            ("data volume", statement.data_volume, made.data_volume),
            ("privacy", statement.privacy_params, made.privacy_params),
            ("set of figures", statement.figures, figures),
        ):
            at(said == wanted, f"{organisation} spoke of another {name}: {said}")
        accepted += statement.verdict == "accepted"
    at(
        accepted >= plan.terms.threshold,
        f"{accepted} accepted, the plan wants {plan.terms.threshold}",
    )
    return tuple(statement for _, statement in stated.values())


def _orchestrator(standing: Standing) -> str | None:
    return None if standing.log is None else standing.log.keys.fingerprint


def _check_counts(block: Block, entry: RoundCommitted, plan: PlanInForce) -> None:
    """(7): survivors and dropouts are the cohort, and there are enough survivors."""
    at = partial(require, step=Step.METRICS, height=block.height)
    at(
        sorted((*entry.survivors, *entry.dropouts)) == list(entry.cohort),
        "survivors and dropouts do not add up to the cohort",
    )
    at(
        len(entry.survivors) >= plan.terms.min_survivors,
        f"{len(entry.survivors)} survivors, the plan wants {plan.terms.min_survivors}",
    )
    at(
        entry.collection_mode == plan.terms.collection_mode,
        f"collected by {entry.collection_mode}, not as the plan says",
    )


def _check_metrics(block: Block, entry: RoundCommitted, standing: Standing) -> None:
    """(7): every figure is there, finite and not negative; the counts are right."""
    at = partial(require, step=Step.METRICS, height=block.height)
    metrics = block.aggregation_metrics
    for name in METRICS:
        at(name in metrics, f"no figure for {name}")
    for name, value in metrics.items():
        at(math.isfinite(value) and value >= 0, f"{name} is {value}")
    at(
        metrics["num_clients"] == len(entry.survivors),
        f"num_clients is {metrics['num_clients']:g}, want {len(entry.survivors)}",
    )
    at(metrics["survivors_weight"] > 0, "the survivors weigh nothing")
    at(
        float(metrics["round"]).is_integer() and metrics["round"] > standing.last_round,
        f"round {metrics['round']:g} after round {standing.last_round:g}",
    )


def _check_provenance(
    block: Block, entry: RoundCommitted, standing: Standing, plan: PlanInForce
) -> None:
    """(7): what the provenance repeats, it repeats rightly."""
    made = block.provenance
    at = partial(require, step=Step.METRICS, height=block.height)
    at(made.round_id == entry.round_id, "the provenance is of another round")
    at(made.training_orgs == entry.survivors, "training_orgs are not the survivors")
    at(
        made.aggregation_method == plan.terms.aggregation_method,
        f"aggregated by {made.aggregation_method}, not as the plan says",
    )
    _require_same(
        made.data_volume, entry.survivors, "data volumes", block.height, Step.METRICS
    )
    for name, value in made.training_config.items():
        at(
            name not in plan.plan or jcs(plan.plan[name]) == jcs(value),
            f"training_config says another {name} than the plan",
        )
    kinds = {
        kind
        for organisation in entry.survivors
        for kind in member_of(organisation, standing).data_sources
    }
    at(set(made.data_sources) <= kinds, "data_sources that no organisation enrolled")


def _check_privacy(block: Block, entry: RoundCommitted, plan: PlanInForce) -> None:
    """(8): a claim for everybody in the sum, with the plan's figures and no others.

    What epsilon they amount to is recomputed above, where the accountant stands.
    """
    claims = block.provenance.privacy_params
    _require_same(
        claims, entry.survivors, "privacy parameters", block.height, Step.PRIVACY
    )
    at = partial(require, step=Step.PRIVACY, height=block.height)
    promised = _promised(plan)
    mechanism = promised.get("mechanism", "none")
    for organisation, claim in claims.items():
        at(
            claim.mechanism == mechanism,
            f"{organisation} claims the mechanism {claim.mechanism}, the plan has "
            f"{mechanism}",
        )
        if mechanism == "none":
            at(
                claim == PrivacyClaim(mechanism="none"),
                f"{organisation} claims figures of a mechanism that it did not use",
            )
            continue
        for name in ("unit", "delta", "noise_multiplier", "sampling_rate", "steps"):
            at(
                _is_said(getattr(claim, name), promised.get(name)),
                f"{organisation} claims another {name} than the plan has",
            )
        at(
            isinstance(claim.epsilon, float | int)
            and 0 < claim.epsilon <= _number(promised.get("epsilon")),
            f"{organisation} claims an epsilon of {claim.epsilon}, the plan lets it "
            f"spend {promised.get('epsilon')}",
        )


def _promised(plan: PlanInForce) -> Mapping[str, object]:
    """Return what a plan says of privacy."""
    planned = plan.plan.get("privacy")
    return planned if isinstance(planned, dict) else {}


def _epsilon_left(claim: PrivacyClaim, plan: PlanInForce) -> float | None:
    """Return which share of the plan's epsilon a claim that passed (8) leaves."""
    if not isinstance(claim.epsilon, float | int):
        return None
    return max(0.0, 1 - claim.epsilon / _number(_promised(plan).get("epsilon")))


def _is_said(said: object, promised: object) -> bool:
    """Return whether both are one JSON value; in Python 1 is True as well."""
    return said is not UNSET and jcs(said) == jcs(promised)


def _number(value: object) -> float:
    return float(value) if isinstance(value, float | int) else 0.0


def _check_lineage(block: Block, entry: RoundCommitted, standing: Standing) -> None:
    """(9): the parent is the model in force; no round and no model comes twice."""
    at = partial(require, step=Step.LINEAGE, height=block.height)
    at(
        not standing.has_round(entry.round_id),
        f"round {entry.round_id} is on the ledger already",
    )
    parent = block.provenance.parent_model
    at(
        parent == standing.model_hash,
        f"the parent is {parent}, in force is {standing.model_hash}",
    )
    at(
        block.model_hash == parent or block.model_hash not in standing.models,
        f"model {block.model_hash[:16]}… was in force before",
    )


def _require_same(
    found: Iterable[OrgId],
    wanted: Iterable[OrgId],
    what: str,
    height: int,
    step: Step = Step.CONTRIBUTIONS,
) -> None:
    """Refuse what is not there for exactly the organisations wanted."""
    missing, other = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    require(
        not missing and not other,
        f"{what}: missing of {missing}, and of others {other}",
        step=step,
        height=height,
    )
