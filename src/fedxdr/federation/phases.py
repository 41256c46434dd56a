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


Expected = Kind | Literal["cohort", "helpers", "survivors"]
Needs = Literal["survivors", "threshold", "all"]


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
    expected: Expected
    needs: Needs
    deadline: str
    then: Phase


# fmt: off

_Line = tuple[Phase, Kind, Expected, Needs, str, Phase]
_P, _K = Phase, Kind
_LINES: dict[str, tuple[_Line, ...]] = {
    "secagg": (
        (_P.ANNOUNCED, _K.KEYS, "cohort", "survivors", "keys_s", _P.KEYS),
        (_P.KEYS, _K.SHARES, _K.KEYS, "survivors", "shares_s", _P.SHARES),
        (
            _P.SHARES,
            _K.CONTRIBUTION,
            _K.SHARES,
            "survivors",
            "contributions_s",
            _P.CONTRIBUTIONS,
        ),
        (
            _P.CONTRIBUTIONS,
            _K.SURVIVOR_SIGNATURE,
            _K.CONTRIBUTION,
            "threshold",
            "survivors_s",
            _P.SURVIVORS,
        ),
        (
            _P.SURVIVORS,
            _K.UNMASKING,
            _K.CONTRIBUTION,
            "threshold",
            "unmasking_s",
            _P.UNMASKING,
        ),
    ),
    "clear": (
        (_P.ANNOUNCED, _K.KEYS, "cohort", "survivors", "keys_s", _P.SHARES),
        (
            _P.SHARES,
            _K.CONTRIBUTION,
            _K.KEYS,
            "survivors",
            "contributions_s",
            _P.UNMASKING,
        ),
    ),
    "committee": (
        (_P.ANNOUNCED, _K.KEYS, "helpers", "all", "keys_s", _P.KEYS),
        (
            _P.KEYS,
            _K.CONTRIBUTION,
            "cohort",
            "survivors",
            "contributions_s",
            _P.CONTRIBUTIONS,
        ),
        (_P.CONTRIBUTIONS, _K.VETTING, "helpers", "all", "survivors_s", _P.SURVIVORS),
        (_P.SURVIVORS, _K.UNMASKING, "helpers", "all", "unmasking_s", _P.UNMASKING),
    ),
    "paillier": (
        (
            _P.ANNOUNCED,
            _K.COMMITMENT,
            "cohort",
            "survivors",
            "contributions_s",
            _P.COMMITMENTS,
        ),
        (
            _P.COMMITMENTS,
            _K.CONTRIBUTION,
            _K.COMMITMENT,
            "survivors",
            "shares_s",
            _P.CONTRIBUTIONS,
        ),
        (
            _P.CONTRIBUTIONS,
            _K.SURVIVOR_SIGNATURE,
            "survivors",
            "threshold",
            "survivors_s",
            _P.SURVIVORS,
        ),
        (
            _P.SURVIVORS,
            _K.UNMASKING,
            "survivors",
            "threshold",
            "unmasking_s",
            _P.UNMASKING,
        ),
    ),
}
# fmt: on
TABLE: dict[str, tuple[Row, ...]] = {
    mode: tuple(
        Row(
            phase=phase,
            takes=takes,
            expected=expected,
            needs=needs,
            deadline=deadline,
            then=then,
        )
        for phase, takes, expected, needs, deadline, then in lines
    )
    for mode, lines in _LINES.items()
}
"""Every mode's lines, in the order of the phases."""

ENDED = (Phase.COMMITTED, Phase.FAILED)
BEFORE_CONTRIBUTION = {
    "secagg": Kind.SHARES,
    "clear": Kind.KEYS,
    "committee": Kind.CONTRIBUTION,
    "paillier": Kind.COMMITMENT,
}
"""What comes before a contribution; who sent that and is not summed has dropped out."""
