# SPDX-License-Identifier: Apache-2.0
"""How far an audited ledger can be relied on: a score beside its reasons.

A ledger with a fault has no score: the verifier raised before this is asked. The score
weighs what a faultless ledger still leaves open. It compares ledgers, it is no
probability, and its weights are a convention.

Not here: whether anything is true that nobody signed, what epsilon the claims amount to
and replays by the auditor itself (parties).

Rules that always hold: the score is the weighted sum of shares in [0, 1]; each share
has its reason; doing more of what a share counts never lowers the score.

Source: design of the ledger, "Verification, numbered steps".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedxdr.core.ids import OrgId
from fedxdr.ledger import policy
from fedxdr.ledger.round_rules import RoundEvidence

WEIGHT_SIGNATURES = 0.3
WEIGHT_REPLAY = 0.2
WEIGHT_QUORUM = 0.15
WEIGHT_MARGIN = 0.1
WEIGHT_MECHANISM = 0.1
WEIGHT_PINNED = 0.1
WEIGHT_EPSILON = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """A score and what it is made of.

    Attributes:
        score: in [0, 1], rounded to three decimals.
        reasons: one sentence per part of the score.
    """

    score: float
    reasons: tuple[str, ...]


def score(
    evidence: Sequence[RoundEvidence],
    *,
    pinned: bool,
    cosigned: int,
    cosigners: int,
) -> Trust:
    """Return the weighted sum of seven shares, with a reason for each.

    - Signatures (0.3): acceptances, each worth the reputation of who gave it, per
      organisation announced, over all committed rounds.
    - Replay (0.2): acceptances after a replay of the round, per organisation announced.
    - Quorum (0.15): cosigners of the newest head beyond its quorum, of those that could
      be beyond it: how many may be wrong or gone before the head falls.
    - Margin (0.1): acceptances beyond the plan's threshold, of those that could be.
    - Mechanism (0.1): contributions in the sums that claim a privacy mechanism.
    - Pinned (0.1): the orchestrator's key was known from elsewhere.
    - Epsilon (0.05): what the contributions' organisations have left of the planned
      epsilon, as a share of it; nothing where there is no mechanism.

    A share of nothing is 0: a ledger without rounds shows nothing, and in a federation
    of one or two nobody stands beyond the quorum.

    Args:
        evidence: of the committed rounds; may be empty.
        pinned: whether the orchestrator's key was handed in.
        cosigned: how many organisations cosigned the newest head, >= its quorum.
        cosigners: how many might have, >= ``cosigned``.
    """
    known = reputations(evidence)
    wanted = policy.quorum(cosigners)
    announced = sum(len(found.cohort) for found in evidence)
    left = [each for found in evidence for each in found.epsilon_left.values()]
    private = [each for each in left if each is not None]
    parts = (
        (
            WEIGHT_SIGNATURES,
            sum(known[org] for found in evidence for org in found.accepted),
            announced,
            f"announced organisations accepted, each by its reputation{_least(known)}",
        ),
        (
            WEIGHT_REPLAY,
            sum(len(found.replayed) for found in evidence),
            announced,
            "announced organisations accepted after a replay of the round",
        ),
        (
            WEIGHT_QUORUM,
            cosigned - wanted,
            cosigners - wanted,
            f"cosigners of the newest head beyond its quorum of {wanted}",
        ),
        (
            WEIGHT_MARGIN,
            sum(len(found.accepted) - found.threshold for found in evidence),
            sum(len(found.cohort) - found.threshold for found in evidence),
            "acceptances beyond the plan's threshold",
        ),
        (
            WEIGHT_MECHANISM,
            len(private),
            len(left),
            "contributions with a privacy mechanism",
        ),
        (
            WEIGHT_PINNED,
            int(pinned),
            1,
            "orchestrator's key known from elsewhere",
        ),
        (
            WEIGHT_EPSILON,
            sum(private),
            len(left),
            "contributions' share of the planned epsilon is left",
        ),
    )
    total = sum(weight * _share(part, whole) for weight, part, whole, _ in parts)
    return Trust(
        score=round(total, 3),
        reasons=tuple(
            f"{part:.4g} of {whole}: {what} (weight {weight})"
            for weight, part, whole, what in parts
        ),
    )


def reputations(evidence: Sequence[RoundEvidence]) -> dict[OrgId, float]:
    """Return how often each organisation said what the majority said.

    The majority of a committed round is the verdict of more than half of those that
    gave one, if there is such a verdict. An organisation's reputation is, of the rounds
    in which it was announced, the share in which it gave the majority's verdict; who
    kept silent did not. So whoever accepts what most reject loses by it, and whoever
    objects together with the others does not.

    Args:
        evidence: of the committed rounds.

    Returns:
        organisation ever announced -> its reputation, in [0, 1].
    """
    announced, agreed = Counter[OrgId](), Counter[OrgId]()
    for found in evidence:
        announced.update(found.cohort)
        spoke = len(found.accepted) + len(found.rejected)
        for said in (found.accepted, found.rejected):
            if 2 * len(said) > spoke:
                agreed.update(said)
    return {org: agreed[org] / announced[org] for org in announced}


def _least(known: Mapping[OrgId, float]) -> str:
    """Name who has the least reputation, unless everybody has all of it."""
    if not known or min(known.values()) == 1:
        return ""
    org = min(sorted(known), key=known.__getitem__)
    return f" (least: {org}, {known[org]:.2f})"


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
