# SPDX-License-Identifier: Apache-2.0
"""An organisation's logs become its learner, for whatever network the plan names.

Features are made when a plan is seen first, and once for each network; a promise that
needs the events prepared (bounded hosts) is prepared for.

Rule that always holds: addresses are pseudonymised with a key that is made here, lies
in the organisation's folder and never leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedxdr.app.scored_spool import past_in
from fedxdr.core.errors import InvalidPlan, InvalidTelemetry
from fedxdr.core.randomness import SystemEntropy
from fedxdr.federation import opening
from fedxdr.federation.plan import Plan, Task, Training
from fedxdr.federation.protection import NO_PRIVACY, Privacy
from fedxdr.intake import files
from fedxdr.intake.spool import Spool
from fedxdr.learning import features as feature_sets
from fedxdr.learning.alone import fit_alone
from fedxdr.learning.trainer import Trainer, prepare
from fedxdr.models import metrics
from fedxdr.models.architecture import Architecture, architecture_of
from fedxdr.parties.ports import Learned
from fedxdr.privacy.pseudonym import Pseudonymiser
from fedxdr.storage.secrets import read_seed, write_seed
from fedxdr.telemetry.event import Events

FEATURE_SET = "traffic"
ARCHITECTURE = feature_sets.find(FEATURE_SET).architecture()
MOST_EVENTS = 200_000
"""Newest stored events that are learned from; their features take 1.4 KB each."""

_BUDGET = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What federation has brought one organisation, on what came after its past.

    Attributes:
        events: events after the cut.
        attacks: attacks among them.
        recall_alone: recall at 1 % false alarms of a model fitted on its own past only.
        recall_federated: the same of the federation's model; null where undefined.
    """

    events: int
    attacks: int
    recall_alone: float | None
    recall_federated: float | None


class LogLearner:
    """Port ``Learner`` over an organisation's log files.

    Args:
        events: in order of time.
        name: the organisation's; separates its sampling from others'.
        until: where the past ends; None: all of it is past.

    Raises:
        InvalidTelemetry: no event lies in the past.
    """

    def __init__(self, events: Events, *, name: str, until: datetime | None) -> None:
        # every feature set of logs reads the same events
        self._events = prepare(events, architecture=ARCHITECTURE)
        self._name = name
        self._until_ns = None if until is None else int(until.timestamp() * 1e9)
        past = self._events.time_ns
        self._samples = len(past)
        if self._until_ns is not None:
            self._samples = int((past <= self._until_ns).sum())
        if not self._samples:
            raise InvalidTelemetry(
                "no event lies before the end of the past: nothing to learn from; "
                "check --until and the logs"
            )
        self._trainers: dict[tuple[Architecture, Privacy], Trainer] = {}

    @property
    def events(self) -> int:
        """How many events were read, later ones included."""
        return len(self._events)

    def samples(self) -> int:
        """Return how many examples stand behind an update."""
        return self._samples

    def learn(self, *, task: Task, parent: bytes, plan: Plan, number: int) -> Learned:
        """Return what this organisation's data adds to the parent model.

        Raises:
            InvalidPlan: a network or promise that logs do not serve.
        """
        trainer = self._trainer(plan)
        learned = trainer.learn(task=task, parent=parent, plan=plan, number=number)
        # under a promise no figure leaves that nobody has noised
        wanted = opening.metrics_of(plan, task)
        metrics = {name: learned.metrics[name] for name in wanted}
        return Learned(update=learned.update, metrics=metrics)

    def _trainer(self, plan: Plan) -> Trainer:
        architecture = architecture_of(plan.architecture)
        if architecture.features not in feature_sets.OF_TRAFFIC:
            raise InvalidPlan(
                f"feature set {architecture.features!r} does not read connections; "
                f"logs serve {' and '.join(feature_sets.OF_TRAFFIC)}"
            )
        prepared = plan.privacy if plan.privacy.unit == "entity" else NO_PRIVACY
        if plan.privacy.window_s:
            prepared = plan.privacy
        key = (architecture, prepared)
        if key not in self._trainers:
            self._trainers = {
                key: Trainer.from_events(
                    self._events,
                    architecture=architecture,
                    name=self._name,
                    until_ns=self._until_ns,
                    privacy=prepared,
                )
            }
        return self._trainers[key]

    def assess(
        self,
        *,
        federated: bytes,
        plan: Plan,
        rounds: int,
        labels_of: Callable[[Events], NDArray[np.bool_]],
    ) -> Comparison:
        """Compare alone and federated on what came after the past.

        Args:
            federated: the federation's model.
            plan: the plan it was trained under.
            rounds: how many training rounds it had; alone gets as many local fits.
            labels_of: returns what events really were, True for attacks.

        Raises:
            InvalidTelemetry: nothing came after the past.
        """
        if self._until_ns is None:
            raise InvalidTelemetry("nothing came after: name the end of the past")
        if plan.privacy.is_on:
            # alone there is nobody to hide from: no noise, and a fit without it
            plan = replace(plan, privacy=NO_PRIVACY, training=Training())
        trainer = self._trainer(plan)
        rows = np.flatnonzero(self._events.time_ns > self._until_ns)
        found = feature_sets.find(trainer.architecture.features)
        features = found.compute(self._events, rows)
        labels = labels_of(self._events.select(rows))
        alone = fit_alone(trainer, plan=plan, rounds=rounds)

        def recall(model: bytes) -> float | None:
            scores = trainer.score(model, features)
            limit = metrics.threshold(scores[~labels], budget=_BUDGET)
            if limit is None or not labels.any():
                return None
            return float((scores[labels] > limit).mean())

        return Comparison(
            events=len(rows),
            attacks=int(labels.sum()),
            recall_alone=recall(alone),
            recall_federated=recall(federated),
        )


class SpoolLearner:
    """Port ``Learner`` over what an agent has stored: what is there when a round asks.

    Events are read in the order in which their records were written, as live scoring
    reads them: a model learns what it will see.

    Args:
        folder: of the spool; another process may append to it.
        name: the organisation's; separates its sampling from others'.
        until: where the past ends; None: all of it is past.
    """

    def __init__(self, folder: Path, *, name: str, until: datetime | None) -> None:
        self._spool = Spool(folder)
        self._name = name
        self._until = until
        self._learner: LogLearner | None = None
        self._asked: int | None = None

    def samples(self) -> int:
        """Return how many examples stand behind an update.

        Raises:
            InvalidTelemetry: nothing is stored yet, or nothing of the past.
        """
        return (self._learner or self._read()).samples()

    def learn(self, *, task: Task, parent: bytes, plan: Plan, number: int) -> Learned:
        """Return what this organisation's data adds to the parent model.

        Raises:
            InvalidPlan: a network or promise that logs do not serve.
            InvalidTelemetry: nothing is stored yet, or nothing of the past.
        """
        learner = self._learner
        if learner is None or number != self._asked:
            learner, self._asked = self._read(), number
        return learner.learn(task=task, parent=parent, plan=plan, number=number)

    def _read(self) -> LogLearner:
        self._learner = None  # its features take most of the memory
        events, _ = past_in(self._spool, most=MOST_EVENTS)
        self._learner = LogLearner(events, name=self._name, until=self._until)
        return self._learner


def load(
    folder: Path, sources: Sequence[str], *, name: str, until: datetime | None = None
) -> LogLearner:
    """Return the learner over some logs.

    Args:
        folder: the organisation's.
        sources: files, folders and glob patterns.
        name: the organisation's.
        until: where the past ends, UTC-aware; None: all of it is past.

    Raises:
        InvalidTelemetry: no readable log, or no event in the past.
    """
    intake = files.read(
        sources,
        tokenise=pseudonymiser_in(folder),
        dead_letter=folder / "dead-letter.ndjson",
    )
    return LogLearner(intake.events, name=name, until=until)


def pseudonymiser_in(folder: Path) -> Pseudonymiser:
    """Return what makes an organisation's tokens; its key is made at first need.

    Args:
        folder: the organisation's.
    """
    path = folder / "keys" / "pseudonym.key"
    if not path.exists():
        write_seed(path, SystemEntropy().draw(32))
    return Pseudonymiser(read_seed(path))
