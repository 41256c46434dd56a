# SPDX-License-Identifier: Apache-2.0
"""Does the ledger say what privacy was really spent: epsilon, recomputed by a stranger.

Every block carries mechanism, sampling rate, steps, noise multiplier, clip, occurrences
and delta of each organisation in the sum, and the epsilon that it says it has spent so
far. From the former the latter follows.

It does NOT show that the noise was drawn: only an audit of the organisation can (see
docs/explanation/privacy-attacks.md).

Rules that always hold: an organisation may have spent more than the ledger shows
(rounds that failed), never less; one hundredth is for the accountant's own grid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from fedxdr.core.errors import VerificationFailed
from fedxdr.core.ids import OrgId
from fedxdr.ledger.block import SignedBlock
from fedxdr.ledger.entries import RoundCommitted
from fedxdr.ledger.steps import Step
from fedxdr.parties.privacy_views import charge_of
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
        VerificationFailed: an organisation under-reports; with height and step.
    """
    charges: dict[OrgId, Counter[Charge]] = {}
    found: dict[OrgId, float] = {}
    for signed in blocks:
        block = signed.block
        if not isinstance(block.entry, RoundCommitted):
            continue
        for org, claim in sorted(block.provenance.privacy_params.items()):
            charge = charge_of(claim)
            if charge is None:
                continue
            charges.setdefault(org, Counter())[charge] += 1
            claimed, delta = claim.epsilon, claim.delta
            if not isinstance(claimed, float | int) or not isinstance(delta, float):
                raise VerificationFailed(
                    f"{org} claims {claim.mechanism} without epsilon and delta",
                    step=Step.PRIVACY,
                    height=block.height,
                )
            found[org] = accountant.epsilon(charges[org], delta=delta)
            if claimed < (1.0 - UNDER_REPORT) * found[org]:
                raise VerificationFailed(
                    f"{org} claims epsilon {claimed:.4g}; what it did amounts to "
                    f"{found[org]:.4g}",
                    step=Step.PRIVACY,
                    height=block.height,
                )
    return found
