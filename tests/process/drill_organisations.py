# SPDX-License-Identifier: Apache-2.0
"""Six organisations; one is killed with SIGKILL at each step of a round in turn.

Two that are killed at once are one too many: such a round fails before anything is
opened, and the model stays. Then rounds in which each of them is killed at another step
and started again at once: whoever is back before the deadline stays in, and sends again
what it sent before. Last a round under another plan, before which each is killed over
its approval, its cosignature or the head that it stores: the plan is adopted and the
head has its quorum all the same.

``python -m tests.process.drill_organisations`` prints one line per round: where who
died, who is left, and whether the opened sum is the plain sum of what they quantised.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.process.drill import ORGANISATIONS, PATIENT_S, Drill

from fedxdr.app.orchestrating import OpenOrchestrator
from fedxdr.core.ids import RoundId
from fedxdr.federation.rounds import Round
from fedxdr.ledger.entries import RoundCommitted, RoundFailed

SHORT_S = 1.5
SENT = ("keys", "shares", "contribution", "survivor-signature", "unmasking",
        "acceptance")  # fmt: skip
FETCHED = ("key-list", "mail", "survivor-set", "quorum", "proposal")


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


TOO_MANY = (
    Death(
        phase="shares",
        point="contribution:before",
        short="contributions_s",
        counts=False,
    ),
    Death(
        phase="survivors", point="unmasking:before", short="unmasking_s", counts=False
    ),
)
"""Where two die at once; five of six are needed."""

RETURNS = (
    tuple(f"{step}:before" for step in SENT),
    tuple(f"{step}:after" for step in SENT),
    tuple(f"{step}:after" for step in FETCHED),
)
"""Rounds in which one organisation after the other dies and comes back."""

CONSENTS = tuple(
    f"{what}:{when}"
    for what in ("approval", "cosignature", "Head")
    for when in ("before", "after")
)
"""Where they die over another plan and its block, all before the round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one round.

    Attributes:
        phase: where the organisation died; for those that came back, at which points.
        died: which ones.
        status: of the round.
        survivors: whose contribution is in the sum.
        expected: whose should be; nobody: the round must fail.
        opened: whether a sum was opened.
        exact: whether the opened sum is their plain sum.
        replays: whether replay of the stored contributions gives the committed model;
            of a failed round: whether the model is still the parent.
        sent_again: how many messages went out twice.
        same_bytes: whether whatever went out twice was the same.
        one_history: whether no head that anybody stored ever had another root than the
            ledger has.
    """

    phase: str
    died: tuple[str, ...]
    status: str
    survivors: tuple[str, ...]
    expected: tuple[str, ...]
    opened: bool
    exact: bool
    replays: bool
    sent_again: int
    same_bytes: bool
    one_history: bool

    @property
    def is_good(self) -> bool:
        """Whether all is as it must be."""
        if not self.one_history:
            return False
        if not self.expected:
            return self.status == "failed" and not self.opened and self.replays
        return (
            self.status == "completed"
            and self.survivors == self.expected
            and self.exact
            and self.replays
            and self.same_bytes
        )


def run(world: Path) -> Iterator[Outcome]:
    """Kill one organisation at each step in turn; then let them come back."""
    drill = Drill(world)
    try:
        rounds = [
            (death.phase, *_die(drill, death, [victim]))
            for death, victim in zip(
                DEATHS, itertools.cycle(ORGANISATIONS), strict=False
            )
        ]
        rounds += [
            (f"{death.phase}, two at once", *_die(drill, death, ORGANISATIONS[:2]))
            for death in TOO_MANY
        ]
        rounds += [(", ".join(points), *_return(drill, points)) for points in RETURNS]
        rounds.append((", ".join(CONSENTS), *_consent(drill)))
        with drill.autopsy() as opened:
            for phase, died, round_id, status, expected in rounds:
                round_ = opened.orchestrator.load(round_id)
                sent = [
                    digests
                    for org in ORGANISATIONS
                    for digests in drill.sent(org, round_id).values()
                ]
                yield Outcome(
                    phase=phase,
                    died=died,
                    status=status,
                    survivors=round_.survivors,
                    expected=expected,
                    opened=round_.opened is not None or round_id in drill.openings(),
                    exact=drill.is_exact(opened, round_id),
                    replays=_replays(opened, round_),
                    sent_again=sum(len(digests) > 1 for digests in sent),
                    same_bytes=all(len(set(digests)) == 1 for digests in sent),
                    one_history=drill.is_one_history(opened),
                )
    finally:
        drill.close()


Played = tuple[tuple[str, ...], RoundId, str, tuple[str, ...]]
"""Who died, in which round, how it ended, and whose contribution must be in it."""


def _replays(opened: OpenOrchestrator, round_: Round) -> bool:
    recorder = opened.orchestrator.recorder
    round_id = round_.announcement.round_id
    (block,) = (
        signed.block
        for signed in recorder.blocks(begin=0, end=recorder.size())
        if isinstance(signed.block.entry, RoundCommitted | RoundFailed)
        and signed.block.entry.round_id == round_id
    )
    if round_.opened is None:
        return block.model_hash == round_.announcement.parent_model
    return block.model_hash == opened.orchestrator.reopen(round_).model_hash


def _die(drill: Drill, death: Death, victims: Sequence[str]) -> Played:
    """Run a round without organisations that die in it."""
    for victim in victims:
        drill.order_death(victim, f"{drill.number} {death.point}")
    round_id = drill.start_round(short=death.short, short_s=SHORT_S)
    for victim in victims:
        drill.await_death(victim)
    status = drill.await_end(round_id)["status"]
    for victim in victims:
        drill.start(victim)
    for victim in victims:
        drill.await_ready(victim)
    expected: tuple[str, ...] = ()
    if len(victims) == 1:
        expected = tuple(o for o in ORGANISATIONS if o not in victims or death.counts)
    return tuple(victims), round_id, status, expected


def _return(drill: Drill, points: Sequence[str]) -> Played:
    """Run a round in which each organisation dies at another point and comes back."""
    victims = dict(zip(ORGANISATIONS, points, strict=False))
    for victim, point in victims.items():
        drill.order_death(victim, f"{drill.number} {point}")
    round_id = drill.start_round()
    for victim in victims:
        drill.await_death(victim)
        drill.start(victim)
    status = drill.await_end(round_id)["status"]
    return tuple(victims), round_id, status, ORGANISATIONS


def _consent(drill: Drill) -> Played:
    """Adopt a plan while each organisation dies over it and comes back; run a round."""
    victims = dict(zip(ORGANISATIONS, CONSENTS, strict=True))
    for victim, point in victims.items():
        drill.order_death(victim, point)
    with ThreadPoolExecutor(max_workers=1) as operator:
        opening = operator.submit(drill.start_round, patient_s=PATIENT_S + 1)
        for victim in victims:
            drill.await_death(victim)
            drill.start(victim)
        round_id = opening.result()
    status = drill.await_end(round_id)["status"]
    return tuple(victims), round_id, status, ORGANISATIONS


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
            is_good &= outcome.is_good
    seconds = round(time.monotonic() - began, 1)
    say(all=is_good, s=seconds)
    sys.exit(not is_good)


if __name__ == "__main__":
    main()
