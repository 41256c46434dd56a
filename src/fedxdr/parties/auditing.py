# SPDX-License-Identifier: Apache-2.0
"""Does the ledger say what privacy was really spent: epsilon, recomputed by a stranger.

Every block carries mechanism, sampling rate, steps, noise multiplier, clip, occurrences
and delta of each organisation in the sum, and the epsilon that it says it has spent so
far. From the plan in force the former follow, and from those the latter.

It does NOT show that the noise was drawn: only an audit of the organisation can (see
docs/explanation/privacy-attacks.md).

Rules that always hold: an organisation may have spent more than the ledger shows
(rounds that failed), never less; one hundredth is for the accountant's own grid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import partial

from fedxdr.core.canonical import from_builtins
from fedxdr.core.errors import InvalidInput
from fedxdr.core.ids import OrgId
from fedxdr.federation.plan import Plan
from fedxdr.federation.protection import check_claim
from fedxdr.ledger.block import SignedBlock
from fedxdr.ledger.entries import PlanAdopted, RoundCommitted
from fedxdr.ledger.statements import PrivacyClaim
from fedxdr.ledger.steps import Step, require
from fedxdr.privacy import accountant
from fedxdr.privacy.mechanism import Charge

UNDER_REPORT = 0.01
"""By what part of itself a claimed epsilon may lie below the recomputed one."""


def check_spending(blocks: Iterable[SignedBlock]) -> dict[OrgId, float]:
    """Return what every organisation has spent, recomputed from its claims.

    Args:
        blocks: of a ledger that was verified, from its first one on.

    Returns:
        organisation -> epsilon at the delta of its newest claim; organisations that
        claim no mechanism are not in it.

    Raises:
        VerificationFailed: an organisation under-reports, or claims other figures than
            the plan in force at that height; with height and step.
        MalformedMessage: a plan that is none.
    """
    charges: dict[tuple[OrgId, str], Counter[Charge]] = {}
    found: dict[OrgId, float] = {}
    known: dict[tuple[frozenset[tuple[Charge, int]], float], float] = {}
    plan: Plan | None = None
    for signed in blocks:
        block = signed.block
        at = partial(require, step=Step.PRIVACY, height=block.height)
        if isinstance(block.entry, PlanAdopted):
            plan = from_builtins(block.entry.plan, Plan)
        if not isinstance(block.entry, RoundCommitted) or plan is None:
            continue
        for org, claim in sorted(block.provenance.privacy_params.items()):
            try:
                check_claim(claim, plan.privacy, clip_norm=plan.clip_norm)
            except InvalidInput as error:
                at(False, f"{org} {error}")
            if not plan.privacy.is_on:
                continue
            charge = plan.privacy.charge
            spent = charges.setdefault((org, charge.unit), Counter())
            spent[charge] += 1
            # organisations that did the same have spent the same: asked once
            key = (frozenset(spent.items()), plan.privacy.delta)
            if key not in known:
                known[key] = accountant.epsilon(spent, delta=plan.privacy.delta)
            found[org] = known[key]
            at(
                not is_under_report(claim, found[org]),
                f"{org} claims epsilon {claim.epsilon}; what it did amounts to "
                f"{found[org]:.4g}",
            )
    return found


def is_under_report(claim: PrivacyClaim, epsilon: float) -> bool:
    """Return whether a claim states less than an epsilon that was recomputed."""
    claimed = claim.epsilon
    return (
        not isinstance(claimed, float | int) or claimed < (1.0 - UNDER_REPORT) * epsilon
    )
