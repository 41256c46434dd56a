# SPDX-License-Identifier: Apache-2.0
"""How far an audited ledger can be relied on: a score beside its reasons.

A ledger with a fault has no score: the verifier raised before this is asked. The score
weighs what a faultless ledger still leaves open.

Not here: reputation of organisations and quorums of witnesses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedxdr.ledger.round_rules import RoundEvidence

WEIGHT_SIGNATURES = 0.35
WEIGHT_MARGIN = 0.15
WEIGHT_REPLAY = 0.2
WEIGHT_PRIVACY = 0.2
WEIGHT_PINNED = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """A score and what it is made of.

    Attributes:
        score: in [0, 1], rounded to three decimals.
        reasons: one sentence per part of the score.
    """

    score: float
    reasons: tuple[str, ...]


def score(evidence: Sequence[RoundEvidence], *, pinned: bool) -> Trust:
    """Return the weighted sum of five shares, each over all committed rounds.

    Signatures (0.35): acceptances per organisation announced. Margin (0.15):
    acceptances beyond the threshold per organisation that could be. Replay (0.2):
    replayed per accepted. Privacy (0.2): contributions with a privacy mechanism. Pinned
    (0.1): the orchestrator's key was known from elsewhere. A share of nothing is 0.

    Args:
        evidence: of the committed rounds; may be empty.
        pinned: whether the orchestrator's key was handed in.
    """
    cohort = sum(found.cohort for found in evidence)
    accepted = sum(found.accepted for found in evidence)
    replayed = sum(found.replayed for found in evidence)
    survivors = sum(found.survivors for found in evidence)
    private = sum(found.private for found in evidence)
    spare = sum(found.accepted - found.threshold for found in evidence)
    room = sum(found.cohort - found.threshold for found in evidence)
    parts = (
        (WEIGHT_SIGNATURES, accepted, cohort, "announced organisations accepted"),
        (WEIGHT_MARGIN, spare, room, "acceptances beyond the plan's threshold"),
        (WEIGHT_REPLAY, replayed, accepted, "acceptances after a replay of the round"),
        (WEIGHT_PRIVACY, private, survivors, "contributions with a privacy mechanism"),
        (WEIGHT_PINNED, int(pinned), 1, "orchestrator's key known from elsewhere"),
    )
    total = sum(weight * _share(part, whole) for weight, part, whole, _ in parts)
    return Trust(
        score=round(total, 3),
        reasons=tuple(
            f"{part} of {whole}: {what} (weight {weight})"
            for weight, part, whole, what in parts
        ),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
