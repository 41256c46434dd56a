# SPDX-License-Identifier: Apache-2.0
"""An organisation's learner, as a round asks it."""

from __future__ import annotations

import numpy as np
import pytest

from fedxdr.core.errors import InvalidPlan, InvalidTelemetry
from fedxdr.federation.plan import Plan, Training
from fedxdr.learning import features as feature_sets
from fedxdr.learning.statistics import bounded_statistics
from fedxdr.learning.trainer import Trainer, prepare
from fedxdr.models import snapshot
from fedxdr.models.architecture import Architecture
from fedxdr.telemetry.catalogue import Kind


def plan_for(architecture):
    return Plan(
        federation="tests",
        run_id="run-1",
        participants=3,
        threshold=3,
        layout=architecture.layout,
        architecture=architecture.describe(),
        training=Training(
            local_epochs=2, batch_size=64, learning_rate=0.02, examples_per_epoch=1024
        ),
    )


def file_of(architecture, seed=0):
    return snapshot.save(
        architecture.first_vector(seed),
        layout=architecture.layout,
        architecture=architecture.describe(),
    )


def learn(trainer, task="training", number=2):
    architecture = trainer.architecture
    return trainer.learn(
        task=task,
        parent=file_of(architecture),
        plan=plan_for(architecture),
        number=number,
    )


def test_statistics_are_of_all_its_rows(architecture, make_rows):
    features, family = make_rows(100, 20)
    trainer = Trainer(features, family, architecture=architecture, name="a")
    learned = learn(trainer, "statistics")
    assert np.array_equal(learned.update.values, bounded_statistics(features))
    assert learned.update.samples == trainer.samples() == 120
    assert learned.metrics == {}


def test_training_can_be_redone_and_differs_by_round_and_name(architecture, make_rows):
    features, family = make_rows(300, 60)
    a, again, b = (
        Trainer(features, family, architecture=architecture, name=name)
        for name in ("a", "a", "b")
    )
    once = learn(a)
    assert once.update.values.tobytes() == learn(again).update.values.tobytes()
    assert not np.array_equal(once.update.values, learn(b).update.values)
    assert not np.array_equal(once.update.values, learn(a, number=3).update.values)
    begin, end = architecture.layout.span("weights.")
    assert once.update.values.shape == (end - begin,)


def test_accuracy_is_measured_on_rows_that_were_not_trained_on(architecture, make_rows):
    features, family = make_rows(500, 100)
    trainer = Trainer(features, family, architecture=architecture, name="a")
    held_out = trainer._is_held_out
    assert held_out.sum() == 60
    assert (family[held_out] == 1).sum() == 10
    before = learn(trainer)
    changed = features.copy()
    changed[held_out] = 4 - changed[held_out]
    other = Trainer(changed, family, architecture=architecture, name="a")
    after = learn(other)
    assert np.array_equal(before.update.values, after.update.values)
    assert (
        before.metrics["held_out_accuracy"] > 0.9 > after.metrics["held_out_accuracy"]
    )


def test_with_too_few_rows_nothing_is_held_out(architecture, make_rows):
    features, family = make_rows(30, 5)
    trainer = Trainer(features, family, architecture=architecture, name="a")
    assert learn(trainer).metrics == {"held_out_accuracy": 0.0}


def test_a_threshold_keeps_to_the_budget_on_the_own_past(architecture, make_rows):
    features, family = make_rows(1000, 50)
    trainer = Trainer(features, family, architecture=architecture, name="a")
    model = file_of(architecture)
    bar = trainer.threshold(model, false_alarm_budget=0.01)
    benign = trainer.score(model, features[family == 0])
    assert (benign > bar).sum() == 10


def test_from_events_reads_the_past_only_and_no_alerts(make_events):
    events = make_events(400)
    kinds = events.kind.copy()
    kinds[::5] = Kind.ALERT
    events = type(events).build(
        400,
        {
            name: getattr(events, name)
            for name in ("time_ns", "source", "destination", "label", "technique")
        }
        | {"kind": kinds},
        techniques=events.techniques,
    )
    architecture = feature_sets.find("traffic").architecture(embedding=8)
    until = int(events.time_ns[250])
    trainer = Trainer.from_events(
        events, architecture=architecture, name="a", until_ns=until
    )
    wanted = (events.time_ns <= until) & (kinds != Kind.ALERT)
    assert trainer.samples() == wanted.sum()
    assert len(prepare(events, architecture=architecture)) == 320


def test_a_model_of_another_architecture_is_refused(architecture, make_rows):
    trainer = Trainer(*make_rows(20, 5), architecture=architecture, name="a")
    other = Architecture(features="alerts", own=4, embedding=9)
    with pytest.raises(InvalidPlan):
        trainer.score(file_of(other), np.zeros((1, 4), np.float32))


def test_wrong_shapes_and_no_rows_are_refused(architecture, make_rows):
    features, family = make_rows(20, 5)
    for wrong in (
        (features[:, :3], family),
        (features[1:], family),
        (features[:0], family[:0]),
    ):
        with pytest.raises(InvalidTelemetry):
            Trainer(*wrong, architecture=architecture, name="a")
