# SPDX-License-Identifier: Apache-2.0
"""What people are told about privacy: what protects, what is spent, how long it lasts.

Two sources for the same figures: the ledger, where every organisation's claims of every
round stand (the worst organisation counts), and an organisation's own purse, which also
knows what it reserved and what never came into a block.

It does NOT decide anything: a purse refuses (privacy/budget.py), the ledger's rules
refuse claims that cannot be true, and what is not known is null, never invented.

Rules that always hold: epsilon is the accountant's upper bound at the plan's delta; the
textbook figure stands beside it and is never used; ``rounds_until_budget_exhausted`` is
found with the accountant, not by dividing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fedxdr.core import canonical
from fedxdr.core.ids import OrgId
from fedxdr.federation.plan import Plan
from fedxdr.federation.protection import Privacy
from fedxdr.ledger.block import SignedBlock
from fedxdr.ledger.entries import RoundCommitted
from fedxdr.ledger.statements import PrivacyClaim
from fedxdr.privacy import accountant
from fedxdr.privacy.budget import Purse
from fedxdr.privacy.mechanism import Charge

Charges = Mapping[Charge, int]
"""How many times each charge was used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Where a privacy budget stands; null where there is none.

    Attributes:
        mechanism: of the plan in force, ``none`` without a promise.
        unit: whom the budget protects.
        org_id: whose figures these are; of a federation the one that spent most.
        epsilon_total: the budget.
        epsilon_used: spent of it, an upper bound; null also where no finite number
            holds, and then nothing remains.
        epsilon_remaining: total less used, >= 0; it does not buy in proportion.
        delta: of the promise; it is not used up, every epsilon here holds at it.
        rounds_trained: training rounds that are charged.
        rounds_until_budget_exhausted: how many more rounds of this plan fit.
        textbook_epsilon: what sqrt(2 ln(1.25 / delta)) / sigma with linear composition
            would say was used: for comparison only.
    """

    mechanism: str
    unit: str | None = None
    org_id: OrgId | None = None
    epsilon_total: float | None = None
    epsilon_used: float | None = None
    epsilon_remaining: float | None = None
    delta: float | None = None
    rounds_trained: int = 0
    rounds_until_budget_exhausted: int | None = None
    textbook_epsilon: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spender:
    org: OrgId | None = None
    charges: Charges = field(default_factory=dict)


def protection(plan: Plan | None) -> dict[str, Any]:
    """Return what protects contributions under a plan, and what does not.

    Args:
        plan: the plan in force, None before the first.

    Returns:
        ``differential_privacy`` with epsilon, delta and clipping_norm (of an example
        under ``dp-sgd``, else of the update); ``homomorphic_encryption``,
        ``secure_aggregation`` and ``gradient_sanitization``: enabled or disabled.
    """
    mode: str = plan.collection_mode if plan else ""
    masks = ("secagg", "secagg-groups", "committee", "shared-robust")
    return {
        "differential_privacy": _promise(plan),
        "homomorphic_encryption": "enabled" if mode == "paillier" else "disabled",
        "secure_aggregation": "enabled" if mode in masks else "disabled",
        "gradient_sanitization": "enabled",
    }


def charge_of(claim: PrivacyClaim) -> Charge | None:
    """Return what a claim on the ledger cost, None for a claim of nothing.

    Args:
        claim: of a block; its figures were judged when the block was appended.

    Raises:
        InvalidPlan: figures that no mechanism has.
        MalformedMessage: a claim of something without the figures it is charged by.
    """
    if claim.mechanism == "none":
        return None
    told: dict[str, Any] = canonical.builtins(claim)
    figures = {
        name: told[name]
        for name in (
            "unit",
            "noise_multiplier",
            "sampling_rate",
            "steps",
            "own",
            "occurrences",
        )
        if name in told
    }
    kind = (
        "discrete-gaussian"
        if claim.mechanism == "discrete-gaussian"
        else "sampled-gaussian"
    )
    charge: Charge = canonical.from_builtins({**figures, "mechanism": kind}, Charge)
    return charge


def charges_on_ledger(blocks: Iterable[SignedBlock]) -> dict[OrgId, Charges]:
    """Return organisation -> what its claims in committed rounds cost.

    Args:
        blocks: of a ledger that was verified.

    Raises:
        InvalidPlan: a claim with figures that no mechanism has.
        MalformedMessage: a claim without the figures it is charged by.
    """
    found: dict[OrgId, Counter[Charge]] = {}
    for signed in blocks:
        if not isinstance(signed.block.entry, RoundCommitted):
            continue
        for org, claim in signed.block.provenance.privacy_params.items():
            charge = charge_of(claim)
            if charge is not None:
                found.setdefault(org, Counter())[charge] += 1
    return dict(found)


def spent_on_ledger(
    charges_by_org: Mapping[OrgId, Charges], privacy: Privacy
) -> Spending:
    """Return where the budget of the organisation that spent most stands.

    Args:
        charges_by_org: organisation -> how many times each charge was used; charges of
            another unit than the plan's are another budget and do not count.
        privacy: the promise of the plan in force.

    Raises:
        InvalidPlan: figures the accountant refuses.
    """
    if not privacy.is_on:
        return Spending(mechanism=privacy.mechanism)
    used, worst = -1.0, _Spender()
    known: dict[frozenset[tuple[Charge, int]], float] = {}
    for org, charges in sorted(charges_by_org.items()):
        counted = {c: n for c, n in charges.items() if c.unit == privacy.unit}
        key = frozenset(counted.items())
        if key not in known:  # most organisations were in the same rounds
            known[key] = accountant.epsilon(counted, delta=privacy.delta)
        if known[key] > used:
            used, worst = known[key], _Spender(org=org, charges=counted)
    return _spending(
        privacy,
        worst,
        used=max(used, 0.0),
        rounds=sum(worst.charges.values()),
        total=privacy.epsilon,
    )


def spent_from_purse(
    purse: Purse | None, privacy: Privacy, *, org: OrgId | None
) -> Spending:
    """Return where an organisation's own budget stands.

    Args:
        purse: with everything it reserved; None before there is one.
        privacy: the promise of the plan in force.
        org: whose purse it is.

    Raises:
        InvalidPlan: figures the accountant refuses.
    """
    if purse is None or not privacy.is_on:
        return Spending(mechanism=privacy.mechanism, org_id=org)
    return _spending(
        privacy,
        _Spender(org=org, charges=purse.charges),
        used=purse.used(),
        rounds=purse.count("detector"),
        total=purse.epsilon,
    )


def budget_body(spending: Spending) -> dict[str, Any]:
    """Return the answer of ``GET /privacy/budget``."""
    told: dict[str, Any] = canonical.builtins(spending)
    return told


def privacy_budget_body(spending: Spending) -> dict[str, Any]:
    """Return the answer of ``GET /privacy/privacy-budget``: the same figures."""
    return {
        "remaining_epsilon": spending.epsilon_remaining,
        "remaining_delta": spending.delta,
        "total_used": spending.epsilon_used,
    }


def _spending(
    privacy: Privacy, spender: _Spender, *, used: float, rounds: int, total: float
) -> Spending:
    textbook = accountant.textbook_epsilon(spender.charges, delta=privacy.delta)
    return Spending(
        mechanism=privacy.mechanism,
        unit=privacy.unit,
        org_id=spender.org,
        epsilon_total=total,
        epsilon_used=used if math.isfinite(used) else None,
        epsilon_remaining=max(0.0, total - used),
        delta=privacy.delta,
        rounds_trained=rounds,
        rounds_until_budget_exhausted=accountant.uses_left(
            spender.charges, privacy.charge, epsilon=total, delta=privacy.delta
        ),
        textbook_epsilon=textbook if math.isfinite(textbook) else None,
    )


def _promise(plan: Plan | None) -> dict[str, Any]:
    privacy = plan.privacy if plan else None
    if plan is None or privacy is None or not privacy.is_on:
        return {
            "mechanism": "none",
            "epsilon": None,
            "delta": None,
            "clipping_norm": plan.clip_norm if plan else None,
        }
    charge = privacy.charge
    return {
        "mechanism": privacy.mechanism,
        "epsilon": privacy.epsilon,
        "delta": privacy.delta,
        "clipping_norm": privacy.clipping_norm or plan.clip_norm,
        "unit": privacy.unit,
        "noise_multiplier": charge.noise_multiplier,
        "sampling_rate": charge.sampling_rate,
        "steps_per_round": charge.steps,
        "own": charge.own,
        "occurrences": charge.occurrences,
        "adaptive_clipping": privacy.adaptive_quantile > 0,
    }
