# SPDX-License-Identifier: Apache-2.0
"""Running rounds for an evaluation: the port, and the plain way without protection.

An evaluation asks a ``Federate`` for the model after some rounds. The protected way
stands above this room (simulation/federation.py, whole protocol); ``in_the_clear`` here
does the same arithmetic in float64 with no masks, no rounding to integers and no
messages, so that both can be compared.

Rules that always hold: one statistics round, then training rounds (under differential
privacy training rounds only); weights are the plan's capped power-of-two buckets; the
update is clipped as the plan says.

Source: McMahan et al. 2017, Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from fedxdr.core.ids import OrgId
from fedxdr.core.layout import Vector
from fedxdr.core.update import Update
from fedxdr.federation import opening
from fedxdr.federation.plan import SEGMENTS, Plan, Task, default_threshold
from fedxdr.federation.protection import Privacy
from fedxdr.models import snapshot
from fedxdr.models.architecture import Architecture
from fedxdr.parties.ports import Learned, Learner
from fedxdr.secagg import weights


class Federate(Protocol):
    """A way to run one statistics round and some training rounds."""

    def __call__(
        self,
        learners: Mapping[OrgId, Learner],
        *,
        plan: Mapping[str, Any],
        initial: Vector,
        rounds: int,
        seed: int,
    ) -> Vector:
        """Return the model after the rounds.

        Args:
            learners: 3 or more organisations.
            plan: fields of the plan beside federation, run, participants, threshold.
            initial: (d,) float32, the first model.
            rounds: training rounds after the statistics round, >= 0.
            seed: of keys and coins.
        """


class Silent:
    """A member without data of its own: nothing to add, one sample's weight.

    A sum is opened over three members or more. Where fewer have data, members without
    any take part, so that the rounds can run at all.

    Args:
        architecture: of the models it will see.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._layout = architecture.layout

    def samples(self) -> int:
        """Return 1: the smallest weight there is."""
        return 1

    def learn(self, *, task: Task, parent: bytes, plan: Plan, number: int) -> Learned:
        """Return an update of zeros."""
        del parent, number
        begin, end = self._layout.span(SEGMENTS[task])
        return Learned(
            update=Update(values=np.zeros(end - begin, np.float32), samples=1),
            metrics=dict.fromkeys(opening.metrics_of(plan, task), 0.0),
        )


def plan_fields(architecture: Architecture, **wishes: object) -> dict[str, Any]:
    """Return the fields of an evaluation's plan.

    Args:
        architecture: of the network.
        wishes: fields that differ from the plan's defaults.
    """
    return {
        "layout": architecture.layout,
        "architecture": architecture.describe(),
        **wishes,
    }


def tasks_of(privacy: Privacy, rounds: int) -> list[Task]:
    """Return what the rounds of a run are for, in order.

    Under differential privacy statistics are the first model's, and are not collected.

    Args:
        privacy: the plan's promise.
        rounds: training rounds, >= 0.
    """
    training: list[Task] = ["training"] * rounds
    return training if privacy.is_on else ["statistics", *training]


def in_the_clear(
    learners: Mapping[OrgId, Learner],
    *,
    plan: Mapping[str, Any],
    initial: Vector,
    rounds: int,
    seed: int,
) -> Vector:
    """Return the model after the rounds, averaged in float64 without protection.

    See ``Federate`` for the arguments; ``seed`` is not needed here.
    """
    del seed
    agreed = Plan(
        federation="evaluation",
        run_id="run-1",
        participants=len(learners),
        **{
            "threshold": default_threshold(len(learners)),
            **plan,
            "collection_mode": "clear",
            "acknowledge_clear": True,
        },
    )
    weight = weights.effective_weights(
        {
            name: weights.bucket(
                learner.samples(), max_exponent=agreed.max_weight_exponent
            )
            for name, learner in learners.items()
        },
        cap_over_median=agreed.weight_cap_over_median,
    )
    vector = initial.astype(np.float32)
    for number, task in enumerate(tasks_of(agreed.privacy, rounds), start=1):
        vector = _round(learners, weight, agreed, vector, task, number)
    return vector


def _round(  # noqa: PLR0917 - one caller, just above
    learners: Mapping[OrgId, Learner],
    weight: Mapping[OrgId, int],
    plan: Plan,
    vector: Vector,
    task: Task,
    number: int,
) -> Vector:
    parent = snapshot.save(vector, layout=plan.layout, architecture=plan.architecture)
    begin, end = plan.layout.span(SEGMENTS[task])
    mean = np.zeros(end - begin, np.float64)
    for name in sorted(learners):
        learned = learners[name].learn(
            task=task, parent=parent, plan=plan, number=number
        )
        values = opening.payload(plan, task, learned.update, learned.metrics)
        mean += weight[name] * values[: end - begin].astype(np.float64)
    mean /= sum(weight.values())
    after = vector.astype(np.float64)
    after[begin:end] = mean if task == "statistics" else after[begin:end] + mean
    return after.astype(np.float32)
