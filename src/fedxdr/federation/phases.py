# SPDX-License-Identifier: Apache-2.0
"""The protocol of a round as tables: where it stands, what it takes, where it goes.

One table for each collection mode; the orchestrator's machine (rounds.py), the tests
and docs/explanation/round.md read them from here. The organisations' side of the same
protocol is in sessions.py.

It does NOT hold what happens between two phases (parties/collecting).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Phase(StrEnum):
    """Where a round stands: the last step that is complete."""

    ANNOUNCED = "announced"
    KEYS = "keys"
    COMMITMENTS = "commitments"
    SHARES = "shares"
    CONTRIBUTIONS = "contributions"
    SURVIVORS = "survivors"
    UNMASKING = "unmasking"
    AGGREGATED = "aggregated"
    PROPOSED = "proposed"
    COMMITTED = "committed"
    FAILED = "failed"


class Kind(StrEnum):
    """What an organisation sends in a round."""

    KEYS = "keys"
    COMMITMENT = "commitment"
    SHARES = "shares"
    CONTRIBUTION = "contribution"
    VETTING = "vetting"
    SURVIVOR_SIGNATURE = "survivor-signature"
    UNMASKING = "unmasking"
    ACCEPTANCE = "acceptance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the protocol's table.

    Attributes:
        phase: where the round stands.
        takes: the one kind of message accepted there.
        expected: whose message is awaited: the cohort, the plan's helpers, those who
            are in the sum, or all that sent that kind.
        needs: the fewest that let the phase close at its deadline.
        deadline: the plan's deadline that applies.
        then: where the round stands after the phase has closed.
    """

    phase: Phase
    takes: Kind
    expected: Kind | Literal["cohort", "helpers", "survivors"]
    needs: Literal["survivors", "threshold", "all"]
    deadline: str
    then: Phase


TABLE: dict[str, tuple[Row, ...]] = {
    "secagg": (
        Row(
            phase=Phase.ANNOUNCED,
            takes=Kind.KEYS,
            expected="cohort",
            needs="survivors",
            deadline="keys_s",
            then=Phase.KEYS,
        ),
        Row(
            phase=Phase.KEYS,
            takes=Kind.SHARES,
            expected=Kind.KEYS,
            needs="survivors",
            deadline="shares_s",
            then=Phase.SHARES,
        ),
        Row(
            phase=Phase.SHARES,
            takes=Kind.CONTRIBUTION,
            expected=Kind.SHARES,
            needs="survivors",
            deadline="contributions_s",
            then=Phase.CONTRIBUTIONS,
        ),
        Row(
            phase=Phase.CONTRIBUTIONS,
            takes=Kind.SURVIVOR_SIGNATURE,
            expected=Kind.CONTRIBUTION,
            needs="threshold",
            deadline="survivors_s",
            then=Phase.SURVIVORS,
        ),
        Row(
            phase=Phase.SURVIVORS,
            takes=Kind.UNMASKING,
            expected=Kind.CONTRIBUTION,
            needs="threshold",
            deadline="unmasking_s",
            then=Phase.UNMASKING,
        ),
    ),
    "clear": (
        Row(
            phase=Phase.ANNOUNCED,
            takes=Kind.KEYS,
            expected="cohort",
            needs="survivors",
            deadline="keys_s",
            then=Phase.SHARES,
        ),
        Row(
            phase=Phase.SHARES,
            takes=Kind.CONTRIBUTION,
            expected=Kind.KEYS,
            needs="survivors",
            deadline="contributions_s",
            then=Phase.UNMASKING,
        ),
    ),
    "committee": (
        Row(
            phase=Phase.ANNOUNCED,
            takes=Kind.KEYS,
            expected="helpers",
            needs="all",
            deadline="keys_s",
            then=Phase.KEYS,
        ),
        Row(
            phase=Phase.KEYS,
            takes=Kind.CONTRIBUTION,
            expected="cohort",
            needs="survivors",
            deadline="contributions_s",
            then=Phase.CONTRIBUTIONS,
        ),
        Row(
            phase=Phase.CONTRIBUTIONS,
            takes=Kind.VETTING,
            expected="helpers",
            needs="all",
            deadline="survivors_s",
            then=Phase.SURVIVORS,
        ),
        Row(
            phase=Phase.SURVIVORS,
            takes=Kind.UNMASKING,
            expected="helpers",
            needs="all",
            deadline="unmasking_s",
            then=Phase.UNMASKING,
        ),
    ),
    "paillier": (
        Row(
            phase=Phase.ANNOUNCED,
            takes=Kind.COMMITMENT,
            expected="cohort",
            needs="survivors",
            deadline="contributions_s",
            then=Phase.COMMITMENTS,
        ),
        Row(
            phase=Phase.COMMITMENTS,
            takes=Kind.CONTRIBUTION,
            expected=Kind.COMMITMENT,
            needs="survivors",
            deadline="shares_s",
            then=Phase.CONTRIBUTIONS,
        ),
        Row(
            phase=Phase.CONTRIBUTIONS,
            takes=Kind.SURVIVOR_SIGNATURE,
            expected="survivors",
            needs="threshold",
            deadline="survivors_s",
            then=Phase.SURVIVORS,
        ),
        Row(
            phase=Phase.SURVIVORS,
            takes=Kind.UNMASKING,
            expected="survivors",
            needs="threshold",
            deadline="unmasking_s",
            then=Phase.UNMASKING,
        ),
    ),
}
ENDED = (Phase.COMMITTED, Phase.FAILED)
BEFORE_CONTRIBUTION = {
    "secagg": Kind.SHARES,
    "clear": Kind.KEYS,
    "committee": Kind.CONTRIBUTION,
    "paillier": Kind.COMMITMENT,
}
"""What comes before a contribution; who sent that and is not summed has dropped out."""
