# SPDX-License-Identifier: Apache-2.0
"""The orchestrator is killed with SIGKILL before and after each write of a round.

And before and after each write of a change of the plan and of the heads over its block.

It is started again on its folder and port; the organisations were never told and go on.
``python -m tests.process.drill_orchestrator`` prints one line per death.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.process.drill import (
    ORCHESTRATOR,
    ORGANISATIONS,
    PATIENT_S,
    Drill,
    DrillFailed,
)

from fedxdr.app.orchestrating import OpenOrchestrator
from fedxdr.core import canonical
from fedxdr.core.errors import Unavailable, WrongPhase
from fedxdr.core.ids import RoundId
from fedxdr.federation.rounds import Received
from fedxdr.ledger import verifier
from fedxdr.ledger.entries import RoundCommitted

BOUNDARIES = (
    "Announced",
    "PhaseClosed/announced",
    "PhaseClosed/keys",
    "PhaseClosed/shares",
    "PhaseClosed/contributions",
    "PhaseClosed/survivors",
    "SumOpened",
    "Proposed",
    "Block/RoundCommitted",
    "Committed",
)
POINTS = tuple(f"{name}:{when}" for name in BOUNDARIES for when in ("before", "after"))
MESSAGES = tuple(
    f"Received/{kind}:{when}"
    for kind in ("keys", "shares", "contribution", "survivor-signature", "unmasking",
                 "acceptance")
    for when in ("before", "after")
)  # fmt: skip
"""In the middle of a phase."""

CHANGE = tuple(
    f"{name}:{when}"
    for name in ("Proposal", "Approval", "Block/PlanAdopted", "Closed", "Head")
    for when in ("before", "after")
)
"""When a plan is adopted before the round."""

ONE_EACH = (*((point,) for point in POINTS), MESSAGES, *((p,) for p in CHANGE))
"""A round for each point, and one in which it dies twelve times between the phases."""

ALL_IN_FIVE = (POINTS[::2], POINTS[1::2], MESSAGES, CHANGE[::2], CHANGE[1::2])
"""The same points in five rounds: before each write, after each write, in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one round.

    Attributes:
        killed: where the orchestrator died, one after another.
        status: of the round.
        survivors: whose contribution is in the sum.
        exact: whether the opened sum is the plain sum of what they quantised.
        replays: whether replay of the stored contributions gives the model that the
            block commits.
        counted_once: whether each organisation has one message of each kind.
        opened: how often the orchestrator computed the sum.
        sums: how many different sums it ever opened.
        blocks: how many blocks commit this round.
        same_bytes: whether whatever an organisation sent again was the same.
        kept: whether, back again, it had every block under a head that anybody had.
        one_history: whether no head ever had another root than the ledger has.
    """

    killed: tuple[str, ...]
    status: str
    survivors: tuple[str, ...]
    exact: bool
    replays: bool
    counted_once: bool
    opened: int
    sums: int
    blocks: int
    same_bytes: bool
    kept: bool
    one_history: bool

    @property
    def is_good(self) -> bool:
        """Whether all is as it must be."""
        return (
            self.status == "completed"
            and self.survivors == ORGANISATIONS
            and self.exact
            and self.replays
            and self.counted_once
            and self.opened <= 1 + ("SumOpened:before" in self.killed)
            and self.sums == 1
            and self.blocks == 1
            and self.same_bytes
            and self.kept
            and self.one_history
        )


def run(world: Path, lives: Sequence[Sequence[str]]) -> Iterator[Outcome]:
    """Run rounds in which the orchestrator is killed; check all of it at the end.

    Args:
        world: an empty folder.
        lives: for each round the points at which it dies, in their order.
    """
    drill = Drill(world)
    try:
        rounds = [
            (points, *_round(drill, points, turn)) for turn, points in enumerate(lives)
        ]
        with drill.autopsy() as opened:
            heads = opened.orchestrator.heads.for_bundle()
            verifier.verify(opened.orchestrator.recorder.export(heads=heads))
            for points, round_id, status, kept in rounds:
                yield _outcome(drill, opened, points, round_id, status, kept=kept)
    finally:
        drill.close()


def _round(drill: Drill, points: Sequence[str], turn: int) -> tuple[RoundId, str, bool]:
    """Run a round in which the orchestrator dies at these points, in this order.

    Returns:
        The round, how it ended, and whether nothing that was seen was lost by a death.
    """
    # with other deadlines another plan is adopted first
    patient_s = PATIENT_S + (turn + 1 if points[0] in CHANGE else 0)
    is_open, kept = False, True
    drill.order_death(ORCHESTRATOR, points[0])
    round_id = _try_to_start(drill, patient_s)
    for point, then in itertools.zip_longest(points, points[1:]):
        drill.await_death(ORCHESTRATOR)
        is_open |= point == "Announced:after"
        if then is not None:
            drill.order_death(ORCHESTRATOR, then)
        drill.start(ORCHESTRATOR)
        with suppress(Unavailable, DrillFailed):
            # it may die again over this very question
            drill.await_ready(ORCHESTRATOR)
            kept &= drill.has_all_heads()
        if round_id is None and not is_open:
            round_id = _try_to_start(drill, patient_s)
    drill.await_ready(ORCHESTRATOR)
    kept &= drill.has_all_heads()
    if round_id is None and not is_open:
        round_id = drill.start_round(patient_s=patient_s)
    round_id = round_id or RoundId(drill.standing()["round_id"])
    return round_id, drill.await_end(round_id)["status"], kept


def _try_to_start(drill: Drill, patient_s: float) -> RoundId | None:
    """Open a round; None if the orchestrator died over it, and nobody knows."""
    with suppress(Unavailable):
        try:
            return drill.start_round(patient_s=patient_s)
        except WrongPhase:
            return RoundId(drill.standing()["round_id"])
    return None


def _outcome(
    drill: Drill,
    opened: OpenOrchestrator,
    points: Sequence[str],
    round_id: RoundId,
    status: str,
    *,
    kept: bool,
) -> Outcome:
    orchestrator = opened.orchestrator
    round_ = orchestrator.load(round_id)
    again = orchestrator.reopen(round_)
    blocks = [
        signed.block
        for signed in orchestrator.recorder.blocks(
            begin=0, end=orchestrator.recorder.size()
        )
        if isinstance(signed.block.entry, RoundCommitted)
        and signed.block.entry.round_id == round_id
    ]
    counts = Counter(
        (fact.kind, fact.org)
        for stored in orchestrator._facts.facts(round_id)
        if stored.name == "Received"
        for fact in [canonical.decode(stored.body, Received)]
    )
    sums = drill.openings().get(round_id, [])
    sent = [drill.sent(org, round_id) for org in ORGANISATIONS]
    return Outcome(
        killed=tuple(points),
        status=status,
        survivors=round_.survivors,
        exact=drill.is_exact(opened, round_id),
        replays={again.model_hash} == {b.model_hash for b in blocks},
        counted_once=len(counts) == 6 * len(ORGANISATIONS)
        and set(counts.values()) == {1},
        opened=len(sums),
        sums=len(set(sums)),
        blocks=len(blocks),
        same_bytes=all(len(set(d)) == 1 for steps in sent for d in steps.values()),
        kept=kept,
        one_history=drill.is_one_history(opened),
    )


def say(**figures: object) -> None:
    """Print one line of figures."""
    sys.stdout.write(json.dumps({"name": "orchestrator-killed", **figures}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run the drill and print what came of it."""
    began = time.monotonic()
    is_good = True
    with tempfile.TemporaryDirectory() as folder:
        for outcome in run(Path(folder), ONE_EACH):
            say(**asdict(outcome))
            is_good &= outcome.is_good
    say(all=is_good, s=round(time.monotonic() - began, 1))
    sys.exit(not is_good)


if __name__ == "__main__":
    main()
