# SPDX-License-Identifier: Apache-2.0
"""Rounds in the clear against the mean written by hand."""

from __future__ import annotations

import numpy as np

from fedxdr.core.ids import OrgId
from fedxdr.core.update import Update
from fedxdr.federation.plan import SEGMENTS, Plan
from fedxdr.federation.protection import NO_PRIVACY, Privacy
from fedxdr.learning.federate import Silent, in_the_clear, plan_fields, tasks_of
from fedxdr.models import snapshot
from fedxdr.parties.ports import Learned


class Fixed:
    """A learner that always says the same number."""

    def __init__(self, layout, value, samples):
        self._layout, self._value, self._samples = layout, value, samples
        self.parents = []

    def samples(self):
        return self._samples

    def learn(self, *, task, parent, plan, number):
        assert plan.collection_mode == "clear"
        self.parents.append((task, number, snapshot.load(parent).vector))
        begin, end = self._layout.span(SEGMENTS[task])
        values = np.full(end - begin, self._value, np.float32)
        return Learned(
            update=Update(values=values, samples=self._samples),
            metrics={} if task == "statistics" else {"held_out_accuracy": 0.5},
        )


def run(architecture, learners, *, rounds=2, **wishes):
    return in_the_clear(
        {OrgId(name): learner for name, learner in learners.items()},
        plan=plan_fields(architecture, **wishes),
        initial=architecture.first_vector(0),
        rounds=rounds,
        seed=0,
    )


def test_statistics_are_set_and_updates_added_by_capped_weights(architecture):
    layout = architecture.layout
    learners = {
        "a": Fixed(layout, 0.001, 1000),  # bucket 2^9
        "b": Fixed(layout, 0.002, 1024),  # bucket 2^10
        "c": Fixed(layout, 0.003, 10**9),  # capped at 2 medians = 2^11
    }
    vector = run(architecture, learners)
    mean = (512 * 0.001 + 1024 * 0.002 + 2048 * 0.003) / 3584
    begin, end = layout.span("statistics.")
    assert np.allclose(vector[begin:end], mean, rtol=1e-6)
    begin, end = layout.span("weights.")
    first = architecture.first_vector(0)[begin:end]
    assert np.allclose(vector[begin:end], first + 2 * mean, atol=1e-7)
    asked = [(task, number) for task, number, _ in learners["a"].parents]
    assert asked == [("statistics", 1), ("training", 2), ("training", 3)]


def test_updates_are_clipped_as_the_plan_says(architecture):
    layout = architecture.layout
    learners = {name: Fixed(layout, 5.0, 100) for name in "abc"}
    vector = run(architecture, learners, rounds=1, clip_norm=0.5)
    begin, end = layout.span("weights.")
    moved = vector[begin:end] - architecture.first_vector(0)[begin:end]
    assert np.isclose(np.linalg.norm(moved), 0.5, rtol=1e-4)


def test_a_silent_member_hardly_counts(architecture):
    layout = architecture.layout
    learners = {
        "a": Fixed(layout, 0.001, 2**13),
        "b": Fixed(layout, 0.003, 2**13),
        "c": Silent(architecture),
    }
    vector = run(architecture, learners, rounds=0)
    begin, end = layout.span("statistics.")
    assert np.allclose(vector[begin:end], 0.002, rtol=1e-3)


def test_a_silent_member_answers_both_tasks(architecture):
    plan = Plan(
        federation="tests",
        run_id="run-1",
        participants=3,
        threshold=3,
        layout=architecture.layout,
        architecture=architecture.describe(),
    )
    silent = Silent(architecture)
    assert silent.samples() == 1
    for task in ("statistics", "training"):
        begin, end = architecture.layout.span(SEGMENTS[task])
        learned = silent.learn(task=task, parent=b"", plan=plan, number=1)
        assert learned.update.values.shape == (end - begin,)
        assert not learned.update.values.any()


def test_with_a_promise_statistics_are_not_collected():
    promise = Privacy(
        mechanism="dp-sgd",
        unit="event",
        epsilon=8.0,
        delta=1e-5,
        noise_multiplier=1.0,
        sampling_rate=0.1,
        steps=1,
        clipping_norm=1.0,
        own=1,
    )
    assert tasks_of(promise, 2) == ["training", "training"]
    assert tasks_of(NO_PRIVACY, 2) == ["statistics", "training", "training"]
