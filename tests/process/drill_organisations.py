# SPDX-License-Identifier: Apache-2.0
"""Six organisations; one is killed with SIGKILL at each step of a round in turn.

``python -m tests.process.drill_organisations`` prints one line per death: where, who is
left, and whether the opened sum is the plain sum of what the survivors quantised.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.process.drill import ORGANISATIONS, Drill

SHORT_S = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """Where an organisation dies.

    Attributes:
        phase: where the round stands then.
        point: step and whether before or after its message.
        short: deadlines that will pass because of it.
        counts: whether its contribution is in the sum.
    """

    phase: str
    point: str
    short: str
    counts: bool


DEATHS = (
    Death(phase="announced", point="keys:before", short="keys_s", counts=False),
    Death(phase="keys", point="shares:before", short="shares_s", counts=False),
    Death(
        phase="shares",
        point="contribution:before",
        short="contributions_s",
        counts=False,
    ),
    Death(
        phase="shares, contribution sent",
        point="contribution:after",
        short="survivors_s unmasking_s",
        counts=True,
    ),
    Death(
        phase="contributions",
        point="survivor-signature:before",
        short="survivors_s unmasking_s",
        counts=True,
    ),
    Death(
        phase="survivors",
        point="unmasking:before",
        short="survivors_s unmasking_s",
        counts=True,
    ),
    Death(
        phase="unmasking, answer sent",
        point="unmasking:after",
        short="survivors_s",
        counts=True,
    ),
    Death(
        phase="proposed", point="acceptance:before", short="survivors_s", counts=True
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one round.

    Attributes:
        phase: where the organisation died.
        died: which one.
        status: of the round.
        survivors: whose contribution is in the sum.
        expected: whose should be.
        exact: whether the opened sum is their plain sum.
        replays: whether replay of the stored contributions gives the committed model.
    """

    phase: str
    died: str
    status: str
    survivors: tuple[str, ...]
    expected: tuple[str, ...]
    exact: bool
    replays: bool


def run(world: Path) -> Iterator[Outcome]:
    """Kill one organisation at each step in turn."""
    drill = Drill(world)
    try:
        rounds = []
        for place, death in enumerate(DEATHS):
            victim = ORGANISATIONS[place % len(ORGANISATIONS)]
            drill.order_death(victim, death.point)
            round_id = drill.start_round(short=death.short, short_s=SHORT_S)
            drill.await_death(victim)
            status = drill.await_end(round_id)
            rounds.append((death, victim, round_id, status["status"]))
            drill.start(victim)
            drill.await_ready(victim)
        with drill.autopsy() as opened:
            for death, victim, round_id, status in rounds:
                round_ = opened.orchestrator.load(round_id)
                again = opened.orchestrator.reopen(round_)
                yield Outcome(
                    phase=death.phase,
                    died=victim,
                    status=status,
                    survivors=round_.survivors,
                    expected=tuple(
                        o for o in ORGANISATIONS if o != victim or death.counts
                    ),
                    exact=drill.is_exact(opened, round_id),
                    replays=again.model_hash == round_.opened.model_hash,
                )
    finally:
        drill.close()


def say(**figures: object) -> None:
    """Print one line of figures."""
    sys.stdout.write(json.dumps({"name": "organisation-killed", **figures}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run the drill and print what came of it."""
    began = time.monotonic()
    is_good = True
    with tempfile.TemporaryDirectory() as folder:
        for outcome in run(Path(folder)):
            say(**asdict(outcome))
            is_good &= (
                outcome.status == "completed"
                and outcome.survivors == outcome.expected
                and outcome.exact
                and outcome.replays
            )
    seconds = round(time.monotonic() - began, 1)
    say(all=is_good, s=seconds)
    sys.exit(not is_good)


if __name__ == "__main__":
    main()
