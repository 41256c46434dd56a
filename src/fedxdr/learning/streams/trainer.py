# SPDX-License-Identifier: Apache-2.0
"""An organisation's learner: the port ``Learner`` over its own telemetry.

It learns from the past only, keeps the newest tenth of the past aside to measure
itself, and never hands out an example.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedxdr.core.errors import InvalidSettings
from fedxdr.core.layout import Layout
from fedxdr.core.update import Update
from fedxdr.federation.plan import Plan, Task, Training
from fedxdr.learning.streams.architecture import build
from fedxdr.learning.streams.dataset import Examples
from fedxdr.learning.streams.fit import Scaling, fit, score
from fedxdr.models import snapshot
from fedxdr.learning.streams.parameters import WEIGHTS, set_weights, weights_of
from fedxdr.learning.streams.network import TemporalGraphNetwork
from fedxdr.parties.ports import Learned
from fedxdr.telemetry.event import Events

_HELD_OUT = 0.1


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


class Trainer:
    """The learner of one organisation.

    Args:
        examples: its telemetry.
        initial: the architecture and first weights, for fitting alone.

    Raises:
        InvalidSettings: no event lies in the past.
    """

    def __init__(self, examples: Examples, *, initial: snapshot.Snapshot) -> None:
        if not examples.is_past.any():
            raise InvalidSettings("no event lies before the cut: nothing to learn from")
        self._examples = examples
        self._initial = initial
        past = examples.past
        kept = max(1, int(len(past) * (1 - _HELD_OUT)))
        self._fitted, self._held_out = past[:kept], past[kept:]

    @property
    def layout(self) -> Layout:
        """Segments of the model's flat vector."""
        return self._initial.card.layout

    @property
    def events(self) -> int:
        """How many events were read, future ones included."""
        return len(self._examples)

    def samples(self) -> int:
        """Return how many examples stand behind an update."""
        return len(self._fitted)

    def learn(self, *, task: Task, parent: bytes, plan: Plan, number: int) -> Learned:
        """Return what this organisation's data adds to the parent model."""
        if task == "statistics":
            update = Update(values=self._statistics(), samples=self.samples())
            return Learned(update=update, metrics={})
        old = snapshot.load(parent)
        module = self._module(old)
        scaling = _scaling(old)
        fit(
            module,
            self._examples,
            self._fitted,
            scaling=scaling,
            training=plan.training,
            number=number,
        )
        begin, end = old.card.layout.span(WEIGHTS)
        delta = weights_of(module) - old.vector[begin:end]
        accuracy = self._accuracy(module, scaling)
        return Learned(
            update=Update(values=delta.astype(np.float32), samples=self.samples()),
            metrics={"held_out_accuracy": accuracy},
        )

    def scores(self, file: bytes, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the scores of a model on some rows; higher is more suspicious."""
        model = snapshot.load(file)
        return score(self._module(model), self._examples, rows, scaling=_scaling(model))

    def alone(self, *, training: Training, rounds: int) -> bytes:
        """Return the model this organisation gets without anybody.

        Args:
            training: as in the plan.
            rounds: as many local fits as the federation had rounds.
        """
        layout, vector = self.layout, self._initial.vector.copy()
        begin, end = layout.span("statistics.")
        vector[begin:end] = self._statistics()
        old = snapshot.Snapshot(vector=vector, card=self._initial.card)
        module = self._module(old)
        for number in range(rounds):
            fit(
                module,
                self._examples,
                self._fitted,
                scaling=_scaling(old),
                training=training,
                number=number,
            )
        begin, end = layout.span(WEIGHTS)
        vector[begin:end] = weights_of(module)
        return snapshot.save(
            vector, layout=layout, architecture=self._initial.card.architecture
        )

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
            rounds: how many training rounds it had.
            labels_of: returns what events really were, True for attacks.
        """
        rows = self._examples.future
        labels = labels_of(self._examples.events.select(rows))
        alone = self.alone(training=plan.training, rounds=rounds)
        return Comparison(
            events=len(rows),
            attacks=int(labels.sum()),
            recall_alone=_recall(labels, self.scores(alone, rows)),
            recall_federated=_recall(labels, self.scores(federated, rows)),
        )

    def _module(self, model: snapshot.Snapshot) -> TemporalGraphNetwork:
        module = build(model.card.architecture)
        set_weights(module, model.vector, layout=model.card.layout)
        return module

    def _statistics(self) -> NDArray[np.float32]:
        features = self._examples.features[self._fitted].astype(np.float64)
        both = [features.mean(axis=0), (features**2).mean(axis=0)]
        return np.concatenate(both).astype(np.float32)

    def _accuracy(self, module: TemporalGraphNetwork, scaling: Scaling) -> float:
        rows = self._held_out if len(self._held_out) else self._fitted
        found = score(module, self._examples, rows, scaling=scaling) > 0
        return float((found == self._examples.label[rows]).mean())


def _scaling(model: snapshot.Snapshot) -> Scaling:
    arrays = model.card.layout.unflatten(model.vector)
    return Scaling.of(arrays["statistics.mean"], arrays["statistics.mean_square"])


def _recall(labels: NDArray[np.bool_], scores: NDArray[np.float32]) -> float | None:
    benign, attacks = np.sort(scores[~labels]), scores[labels]
    if not len(benign) or not len(attacks):
        return None
    threshold = benign[int(np.ceil(len(benign) * 0.99)) - 1]
    return float((attacks > threshold).mean())
