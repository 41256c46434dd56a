# SPDX-License-Identifier: Apache-2.0
"""What an organisation gets without anybody: the same network, its own past only.

It promises nothing to anybody, because nothing leaves: under a plan with differential
privacy the local fits are those without.
"""

from __future__ import annotations

from dataclasses import replace

from fedxdr.federation.plan import Plan
from fedxdr.federation.protection import NO_PRIVACY
from fedxdr.learning.trainer import Trainer
from fedxdr.models import snapshot


def fit_alone(trainer: Trainer, *, plan: Plan, rounds: int) -> bytes:
    """Return the model that local fits alone give, as a snapshot's file.

    Args:
        trainer: the organisation's learner.
        plan: under which the federation trained; the local fits are the same, but
            without its promise.
        rounds: how many local fits follow each other.
    """
    plan = replace(plan, privacy=NO_PRIVACY)
    architecture = trainer.architecture
    layout, described = architecture.layout, architecture.describe()
    vector = architecture.first_vector(plan.training.seed)
    begin, end = layout.span("statistics.")
    file = snapshot.save(vector, layout=layout, architecture=described)
    learned = trainer.learn(task="statistics", parent=file, plan=plan, number=0)
    vector[begin:end] = learned.update.values
    begin, end = layout.span("weights.")
    for number in range(1, rounds + 1):
        file = snapshot.save(vector, layout=layout, architecture=described)
        learned = trainer.learn(task="training", parent=file, plan=plan, number=number)
        vector[begin:end] += learned.update.values
    return snapshot.save(vector, layout=layout, architecture=described)
