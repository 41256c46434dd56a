# SPDX-License-Identifier: Apache-2.0
"""A game of whose update is whose, against everything an orchestrator sees.

Two honest organisations hold two batches, a coin says who holds which. The attacker is
the orchestrator. It has every message, every contribution, the opened sum, both models,
and it knows both batches, the network, the plan and the fit's seed: all but the coin.
It wins if it names the coin more often than one time in two.

It does NOT judge what the sum itself says about the group: somebody among the honest
has this record. That is differential privacy's to hide; the game's ``group`` score
shows that it is there (docs/explanation/privacy-attacks.md).

Rules that always hold: rounds are the real protocol (simulation/federation.py), updates
the real local fit; an attack is a function of a view, and the coin is no part of it.

Source: the attacks are gradient matching (Zhu et al. 2019, equation 4, over a finite
set of candidates) and analytic inversion (inversion.py); intervals are Wilson 1927.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.ids import OrgId
from fedxdr.core.layout import Vector
from fedxdr.core.randomness import generator
from fedxdr.core.update import Update
from fedxdr.federation import opening
from fedxdr.federation.floor import Floor
from fedxdr.federation.plan import Plan, Task, Training
from fedxdr.learning import fit
from fedxdr.models import snapshot
from fedxdr.models.architecture import Architecture
from fedxdr.models.graph import Floats
from fedxdr.parties.orchestrator import Orchestrator
from fedxdr.parties.ports import Learned, Link
from fedxdr.simulation import inversion
from fedxdr.simulation.federation import SimulatedFederation
from fedxdr.simulation.inversion import Float64
from fedxdr.simulation.server_view import ServerView, readings, sent_bytes, view_of
from fedxdr.transport.loopback import Loopback

HONEST: Final = (OrgId("alpha"), OrgId("bravo"))
"""The two whose batches the coin deals out."""

COLLUDER: Final = OrgId("delta")
"""The one that may work with the orchestrator."""

EVERYBODY: Final = (*HONEST, OrgId("charlie"), COLLUDER)

_Z_95: Final = 1.959963984540054
_FAMILY: Final = 1
_FAIR: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How often an attack was right.

    Attributes:
        trials: how many.
        accuracy: part of the trials it named right; a tie counts one half.
        low: lower end of the 95 % interval (Wilson).
        high: upper end.
    """

    trials: int
    accuracy: float
    low: float
    high: float

    @property
    def is_chance(self) -> bool:
        """Whether one half lies in the interval."""
        return self.low <= _FAIR <= self.high


def standing(scores: Float64, coins: npt.NDArray[np.bool_]) -> Standing:
    """Return how often positive scores met true coins, and negative false ones.

    Args:
        scores: (n,) one per trial, n >= 1.
        coins: (n,) bool.
    """
    side = np.where(coins, 1.0, -1.0)
    right = float((0.5 + 0.5 * np.sign(scores) * side).sum())
    low, high = wilson(right, len(scores))
    return Standing(
        trials=len(scores), accuracy=right / len(scores), low=low, high=high
    )


def wilson(right: float, trials: int, *, z: float = _Z_95) -> tuple[float, float]:
    """Return the interval of a part, Wilson 1927: ``right`` of ``trials`` >= 1."""
    part = right / trials
    middle = (part + z * z / (2 * trials)) / (1 + z * z / trials)
    root = math.sqrt(part * (1 - part) / trials + z * z / (4 * trials * trials))
    half = z / (1 + z * z / trials) * root
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of a game.

    Attributes:
        coins: (n,) bool, whether the first honest organisation held the first batch.
        scores: attack -> (n,) float64; positive says the coin was true.
        likeness: attack -> (n,) float64, correlation of the record that was inverted
            with the true one of the first honest organisation; for people, no attack
            sees it.
        group: (n,) float64; positive says that the first batch rather than a decoy is
            somewhere in the opened sum.
    """

    coins: npt.NDArray[np.bool_]
    scores: Mapping[str, Float64]
    likeness: Mapping[str, Float64]
    group: Float64

    def standings(self) -> dict[str, Standing]:
        """Return how each attack did."""
        return {name: standing(s, self.coins) for name, s in self.scores.items()}


Readings = Mapping[str, Mapping[OrgId, Float64]]
"""Name -> organisation -> (size,) float64, taken for its update."""

MoreReadings = Callable[[SimulatedFederation, ServerView], Readings]
"""What a colluder adds."""


class Game:
    """A federation of four in which a coin deals out two batches, round after round.

    Args:
        architecture: of the network.
        plan: fields of the plan, with the collection mode.
        batch: examples per organisation; 1 lets records be inverted.
        seed: of records, coins, keys.
        link_of: as for ``SimulatedFederation``.
        more: further readings, from what a colluder knows.
        federation_of: makes the federation from learners; None: the plain one.
    """

    def __init__(
        self,
        *,
        architecture: Architecture,
        plan: Mapping[str, Any],
        batch: int = 1,
        seed: int = 0,
        link_of: Callable[[Orchestrator, OrgId], Link] = Loopback,
        more: MoreReadings | None = None,
    ) -> None:
        self.architecture = architecture
        self.training = Training(batch_size=batch, examples_per_epoch=batch)
        self.batch = batch
        self._seed = seed
        self._more = more
        self._dealt: dict[OrgId, Floats] = {}
        # of this trial: the attacker computes again what the organisations did
        self._updates: dict[tuple[bytes, bytes], Vector] = {}
        mode = str(plan["collection_mode"])
        self.federation = SimulatedFederation(
            {org: Holder(self, org) for org in EVERYBODY},
            plan={
                "layout": architecture.layout,
                "architecture": architecture.describe(),
                "training": self.training,
                "assumed_colluders": 1,
                **plan,
            },
            initial=architecture.first_vector(seed),
            seed=seed,
            floor=Floor(modes=(mode,)),
            link_of=link_of,
            does_replay=False,
        )

    def held(self, org: OrgId) -> Floats:
        """Return the batch that an organisation holds in this trial."""
        return self._dealt[org]

    def update_on(self, rows: Floats, parent: Vector) -> Vector:
        """Return the update of a holder of some rows; the attacker can do this too."""
        key = (rows.tobytes(), parent.tobytes())
        if key not in self._updates:
            self._updates[key] = fit.fit(
                parent,
                architecture=self.architecture,
                features=rows,
                family=np.full(len(rows), _FAMILY),
                training=self.training,
                seed=(self._seed,),
            )
        return self._updates[key]

    def play(self, trials: int) -> Played:
        """Play some trials, one round each."""
        coins = generator(self._seed, 1).random(trials) < _FAIR
        scores: dict[str, list[float]] = {}
        likeness: dict[str, list[float]] = {}
        group: list[float] = []
        for trial, coin in enumerate(coins):
            first, second, decoy, *others = self._records(trial)
            pair = (first, second) if coin else (second, first)
            self._updates.clear()
            self._dealt = dict(zip(EVERYBODY, (*pair, *others), strict=True))
            round_ = self.federation.run_round(task="training")
            view = view_of(self.federation, round_)
            for name, reading in self._readings(view).items():
                of_first, of_second = self._inverted(view, reading, first, second)
                scores.setdefault(f"invert {name}", []).append(of_first - of_second)
                likeness.setdefault(f"invert {name}", []).append(
                    of_first if coin else of_second
                )
                matched = self._matched(view, reading, first, second)
                scores.setdefault(f"match {name}", []).append(matched)
            scores.setdefault("sizes", []).append(
                float(sent_bytes(view, HONEST[0]) - sent_bytes(view, HONEST[1]))
            )
            group.append(self._matched(view, self._step(view), first, decoy))
        return Played(
            coins=coins,
            scores={name: np.array(values) for name, values in scores.items()},
            likeness={name: np.array(values) for name, values in likeness.items()},
            group=np.array(group),
        )

    def _records(self, trial: int) -> list[Floats]:
        draw = generator(self._seed, 2, trial)
        shape = (5, self.batch, self.architecture.inputs)
        return list(draw.uniform(-2.0, 2.0, shape).astype(np.float32))

    def _readings(self, view: ServerView) -> dict[str, Float64]:
        """Return every reading of the first honest organisation's update.

        What two of them differ by says more than either: readings come also as the
        difference of both organisations'.
        """
        step = self._step(view)
        found: dict[str, dict[OrgId, Float64]] = {}
        for org in HONEST:
            for name, values in readings(view, org, size=step.size).items():
                found.setdefault(name, {})[org] = values
        more = {} if self._more is None else self._more(self.federation, view)
        result = {"sum": step}
        for name, of in {**found, **more}.items():
            result[name] = of[HONEST[0]]
            result[f"{name}, differenced"] = of[HONEST[0]] - of[HONEST[1]]
        return result

    def _matched(
        self, view: ServerView, reading: Float64, first: Floats, second: Floats
    ) -> float:
        """Return how much more a reading points to one batch than to the other."""
        mine = self.update_on(first, view.parent).astype(np.float64)
        return float(reading @ (mine - self.update_on(second, view.parent)))

    def _inverted(
        self, view: ServerView, update: Float64, first: Floats, second: Floats
    ) -> tuple[float, float]:
        """Return how much the record behind an update is like one batch, and other."""
        gradient = inversion.gradient_of_first_step(
            update, rate=self.training.learning_rate
        )
        found = inversion.invert(
            gradient, parent=view.parent, architecture=self.architecture
        ).record
        return (
            inversion.likeness(found, first.mean(axis=0)),
            inversion.likeness(found, second.mean(axis=0)),
        )

    def _step(self, view: ServerView) -> Float64:
        begin, end = self.architecture.layout.span("weights.")
        step = view.model[begin:end].astype(np.float64) - view.parent[begin:end]
        # the colluder's update is known, and is taken out
        known = self.update_on(self._dealt[COLLUDER], view.parent)
        left: Float64 = step - known / len(EVERYBODY)
        return left


class Holder:
    """The learner of one organisation: a real fit over what the game dealt it."""

    def __init__(self, game: Game, org: OrgId) -> None:
        self._game = game
        self._org = org

    def samples(self) -> int:
        """Return the batch's size; everybody's is the same."""
        return self._game.batch

    def learn(self, *, task: Task, parent: bytes, plan: Plan, number: int) -> Learned:
        """Return the update of the batch dealt for this round."""
        del task, plan, number
        values = self._game.update_on(
            self._game.held(self._org), snapshot.load(parent).vector
        )
        return Learned(
            update=Update(values=values, samples=self.samples()),
            metrics=dict.fromkeys(opening.METRICS, 0.5),
        )
