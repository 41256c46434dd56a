# SPDX-License-Identifier: Apache-2.0
"""An organisation's learner: what an agent asks when a round wants its contribution.

It holds the organisation's features and labels and never hands them out. It answers
the two tasks of a round (feature statistics, local training), scores events with any
model of its architecture and chooses thresholds on its own past.

Rules that always hold:
    1. Without differential privacy the same data, plan, parent and round number give
       the same update, and every tenth row is held out and never trained on.
    2. With ``dp-sgd`` only what learning/dpsgd.py released leaves: no statistics, no
       metrics, no held-out rows (which rows are held out depends on the others).
    3. A plan that counts on windows or on bounded hosts is refused by a learner that
       was not made with them.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidPlan, InvalidTelemetry
from fedxdr.core.layout import Vector
from fedxdr.core.randomness import Entropy, SystemEntropy
from fedxdr.core.update import Update
from fedxdr.federation.plan import Plan, Task
from fedxdr.federation.protection import NO_PRIVACY, Privacy
from fedxdr.learning import dpsgd, fit, windows
from fedxdr.learning import features as feature_sets
from fedxdr.learning.calibration import Calibration
from fedxdr.learning.contributions import bounded
from fedxdr.learning.dataset import families_of
from fedxdr.learning.dpsgd import Examples
from fedxdr.learning.fit import ONLY_MALICIOUS, Lessons
from fedxdr.learning.lessons import lessons
from fedxdr.learning.statistics import statistics
from fedxdr.models import snapshot
from fedxdr.models.architecture import Architecture, architecture_of
from fedxdr.models.graph import Floats
from fedxdr.parties.ports import Learned
from fedxdr.telemetry.event import Events

_HELD_OUT_EVERY: Final = 10
_FEWEST_TO_HOLD_OUT: Final = 50
_MOST_HELD_OUT: Final = 4096


class Trainer:
    """A learner over features that were computed before.

    Args:
        features: (n, D) float32, rows of the allowed past, n >= 1.
        family: (n,), 0 benign, others one number per attack family.
        architecture: of the models it will see.
        name: the organisation's; separates its sampling from others'.
        entropy: secret bytes for coins and noise under differential privacy; the
            operating system's if None.
        prepared_for: the promise that features and examples were made for: its
            ``window_s`` and, under unit ``entity``, its ``own``.
        examples: which rows make an example; each row its own if None.
        lessons: what the rows teach beside "malicious or not".
    """

    def __init__(
        self,
        features: Floats,
        family: npt.NDArray[np.integer],
        *,
        architecture: Architecture,
        name: str,
        entropy: Entropy | None = None,
        prepared_for: Privacy = NO_PRIVACY,
        examples: Examples | None = None,
        lessons: Lessons = ONLY_MALICIOUS,
    ) -> None:
        if features.shape != (len(family), architecture.inputs) or not len(family):
            raise InvalidTelemetry(
                f"got features {features.shape}, want ({len(family)}, "
                f"{architecture.inputs}) and at least one row"
            )
        self.architecture = architecture
        self._features = features
        self._family = family
        self._salt = _salt_of(name)
        self._is_held_out = held_out(family)
        self._entropy = SystemEntropy() if entropy is None else entropy
        self._prepared_for = prepared_for
        self._examples = examples
        self._lessons = lessons

    @classmethod
    def from_events(
        cls,
        events: Events,
        *,
        architecture: Architecture,
        name: str,
        until_ns: int | None = None,
        entropy: Entropy | None = None,
        privacy: Privacy = NO_PRIVACY,
    ) -> Trainer:
        """Return a learner over an organisation's events.

        Rows without a label count as benign: that is what a team assumes of traffic
        nobody complained about. Alerts are never inputs.

        Args:
            events: in any order.
            architecture: names the feature set.
            name: the organisation's.
            until_ns: only events at or before this instant are used, if given.
            entropy: secret bytes; the operating system's if None.
            privacy: a promise that needs the events prepared: windows, bounded hosts.

        Raises:
            InvalidPlan: windows with a feature set whose context leaves them.
        """
        secret = SystemEntropy() if entropy is None else entropy
        wanted = prepare(events, architecture=architecture)
        if until_ns is not None:
            wanted = wanted.select(wanted.time_ns <= until_ns)
        if privacy.unit == "entity":
            # what is dropped leaves the examples and everybody's context
            wanted = wanted.select(
                bounded(
                    feature_sets.entity_of(wanted, architecture.features),
                    most=privacy.own,
                    entropy=secret,
                )
            )
        examples = None
        if privacy.window_s:
            if architecture.features not in windows.CONFINED:
                raise InvalidPlan(
                    f"feature set {architecture.features!r} also looks things up by "
                    "what is no host, across windows; for windows use one of "
                    f"{', '.join(windows.CONFINED)}"
                )
            wanted = windows.confined(wanted, window_s=privacy.window_s)
            examples = windows.examples(wanted.time_ns, window_s=privacy.window_s)
        found = feature_sets.find(architecture.features)
        taught = lessons(
            wanted, found=found, architecture=architecture, seed=_salt_of(name)
        )
        return cls(
            found.compute(wanted),
            families_of(wanted),
            architecture=architecture,
            name=name,
            entropy=secret,
            prepared_for=privacy,
            examples=examples,
            lessons=taught,
        )

    def samples(self) -> int:
        """Return how many examples stand behind an update."""
        return len(self._family)

    def learn(self, *, task: Task, parent: bytes, plan: Plan, number: int) -> Learned:
        """Return what this organisation's data adds to the parent model.

        Args:
            task: ``statistics`` or ``training``.
            parent: the parent model's file.
            plan: the plan in force.
            number: of the round.

        Raises:
            InvalidPlan: the plan's network is not this learner's, it promises what this
                learner was not made for, or wants statistics that nobody noised.
        """
        if plan.privacy.mechanism == "dp-sgd":
            return self._learn_privately(task, parent=parent, plan=plan)
        if task == "statistics":
            values = statistics(
                self._features, self._family, architecture=self.architecture
            )
            return Learned(
                update=Update(values=values, samples=self.samples()), metrics={}
            )
        vector = self._vector(parent)
        kept = ~self._is_held_out
        values = fit.fit(
            vector,
            architecture=self.architecture,
            features=self._features[kept],
            family=self._family[kept],
            training=plan.training,
            seed=(plan.training.seed, number, self._salt),
            lessons=self._lessons.rows(kept),
        )
        after = vector.copy()
        begin, end = self.architecture.layout.span("weights.")
        after[begin:end] += values
        return Learned(
            update=Update(values=values, samples=self.samples()),
            metrics={"held_out_accuracy": self._held_out_accuracy(after)},
        )

    def _learn_privately(self, task: Task, *, parent: bytes, plan: Plan) -> Learned:
        if task == "statistics":
            raise InvalidPlan(
                "statistics are not noised: with dp-sgd they are constants of the "
                "first model, and there is no statistics round"
            )
        promise, ours = plan.privacy, self._prepared_for
        if promise.window_s != ours.window_s:
            raise InvalidPlan(
                f"the plan's examples are windows of {promise.window_s} s; this "
                f"learner's rows were made for {ours.window_s} s (0: single events)"
            )
        if promise.unit == "entity" and not (
            ours.unit == "entity" and ours.own <= promise.own
        ):
            raise InvalidPlan(
                f"the plan counts on at most {promise.own} events per host; this "
                "learner's rows were not bounded so"
            )
        values = dpsgd.fit_privately(
            self._vector(parent),
            architecture=self.architecture,
            features=self._features,
            family=self._family,
            privacy=promise,
            training=plan.training,
            entropy=self._entropy,
            examples=self._examples,
        )
        return Learned(update=Update(values=values, samples=self.samples()), metrics={})

    def score(self, model: bytes, features: Floats) -> Floats:
        """Return the scores of events under a model, (n,) float32.

        Args:
            model: a snapshot's file.
            features: (n, D) float32.
        """
        return fit.logits(
            self._vector(model), architecture=self.architecture, features=features
        )

    def threshold(self, model: bytes, *, false_alarm_budget: float) -> float | None:
        """Return the score above which an event alarms, from the own past alone.

        Benign rows that were held out say how benign rows score; where there are too
        few to hold any out, all do.

        Args:
            model: a snapshot's file.
            false_alarm_budget: share of this organisation's benign events that may lie
                above, in (0, 1).

        Returns:
            a threshold, None without benign rows.
        """
        is_benign = self._family == fit.BENIGN
        is_spared = is_benign & self._is_held_out
        rows = self._features[is_spared if is_spared.any() else is_benign]
        if not len(rows):
            return None
        return Calibration.fit(self.score(model, rows)).bar(false_alarm_budget)

    def _vector(self, model: bytes) -> Vector:
        found = snapshot.load(model)
        if architecture_of(found.card.architecture) != self.architecture:
            raise InvalidPlan("the model has another architecture than this learner")
        return found.vector

    def _held_out_accuracy(self, vector: Vector) -> float:
        """Return the mean over both classes of what is classified right, or 0."""
        rows = np.flatnonzero(self._is_held_out)[:_MOST_HELD_OUT]
        if not len(rows):
            return 0.0
        scores = fit.logits(
            vector, architecture=self.architecture, features=self._features[rows]
        )
        truth = self._family[rows] != fit.BENIGN
        right = (scores > 0) == truth
        return float(
            np.mean([right[truth == side].mean() for side in np.unique(truth)])
        )


def _salt_of(name: str) -> int:
    """Return a number that separates one organisation's sampling from others'."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def prepare(events: Events, *, architecture: Architecture) -> Events:
    """Return the events that a feature set reads, in time order."""
    is_about_alerts = architecture.features not in feature_sets.OF_TRAFFIC
    return (events if is_about_alerts else events.select(events.is_input)).sort()


def held_out(family: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Return which rows are never trained on without differential privacy.

    Args:
        family: (n,), 0 benign.

    Returns:
        (n,) mask: every tenth row of each family that can spare them.
    """
    mask = np.zeros(len(family), bool)
    for number in np.unique(family):
        rows = np.flatnonzero(family == number)
        if len(rows) >= _FEWEST_TO_HOLD_OUT:
            mask[rows[_HELD_OUT_EVERY - 1 :: _HELD_OUT_EVERY]] = True
    return mask
