# SPDX-License-Identifier: Apache-2.0
"""An organisation's learner, as a round asks it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fedxdr.core.errors import InvalidPlan, InvalidTelemetry
from fedxdr.core.randomness import SeededEntropy
from fedxdr.federation.plan import Plan, Training
from fedxdr.federation.protection import NO_PRIVACY, Privacy
from fedxdr.learning import dpsgd
from fedxdr.learning import features as feature_sets
from fedxdr.learning.statistics import bounded_statistics
from fedxdr.learning.trainer import Trainer, held_out, prepare
from fedxdr.models import snapshot
from fedxdr.models.architecture import Architecture
from fedxdr.models.context import context_of
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


def test_a_threshold_keeps_to_the_budget_on_rows_that_were_held_out(
    architecture, make_rows
):
    features, family = make_rows(1000, 50)
    trainer = Trainer(features, family, architecture=architecture, name="a")
    model = file_of(architecture)
    bar = trainer.threshold(model, false_alarm_budget=0.05)
    benign = trainer.score(model, features[held_out(family) & (family == 0)])
    assert len(benign) == 100
    assert (benign > bar).sum() == 5


def test_rows_that_were_trained_on_move_no_threshold(architecture, make_rows):
    features, family = make_rows(1000, 50)
    model = file_of(architecture)
    is_trained_on = ~held_out(family)
    other = features.copy()
    other[is_trained_on] += 3
    one, two = (
        Trainer(rows, family, architecture=architecture, name="a").threshold(
            model, false_alarm_budget=0.01
        )
        for rows in (features, other)
    )
    assert one == two


def test_where_nothing_can_be_held_out_all_benign_rows_say_it(architecture, make_rows):
    features, family = make_rows(30, 5)
    model = file_of(architecture)
    trainer = Trainer(features, family, architecture=architecture, name="a")
    benign = trainer.score(model, features[family == 0])
    bar = trainer.threshold(model, false_alarm_budget=0.2)
    assert (benign > bar).sum() == 6
    attacks = Trainer(
        features[family != 0], family[family != 0], architecture=architecture, name="a"
    )
    assert attacks.threshold(model, false_alarm_budget=0.2) is None


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


def private(architecture, **wishes):
    """Return a plan that promises something for single events."""
    context = context_of(architecture.features)
    return dataclasses.replace(
        plan_for(architecture),
        max_weight_exponent=0,
        privacy=Privacy(
            **{
                "mechanism": "dp-sgd",
                "unit": "event",
                "epsilon": 8.0,
                "delta": 1e-5,
                "noise_multiplier": 1.0,
                "sampling_rate": 0.1,
                "steps": 3,
                "clipping_norm": 1.0,
                "own": 1,
                "context": context.reach,
                "index_keys": context.index_keys,
                **wishes,
            }
        ),
    )


def private_trainer(make_events, privacy=NO_PRIVACY, name="alerts-event", seed=5):
    return Trainer.from_events(
        make_events(300),
        architecture=feature_sets.find(name).architecture(embedding=4),
        name="a",
        entropy=SeededEntropy(seed),
        privacy=privacy,
    )


def ask(trainer, plan, task="training"):
    parent = file_of(trainer.architecture)
    return trainer.learn(task=task, parent=parent, plan=plan, number=1)


def test_under_privacy_nothing_but_the_noised_update_leaves(make_events):
    trainer = private_trainer(make_events)
    learned = ask(trainer, private(trainer.architecture))
    assert learned.metrics == {}
    assert np.isfinite(learned.update.values).all()
    again = ask(private_trainer(make_events), private(trainer.architecture))
    assert np.array_equal(learned.update.values, again.update.values)
    other = ask(private_trainer(make_events, seed=6), private(trainer.architecture))
    assert not np.array_equal(learned.update.values, other.update.values)


def test_under_privacy_every_row_is_an_example(make_events, monkeypatch):
    seen = []

    def spy(*_, **arguments):
        seen.append(arguments)
        return np.zeros(1, np.float32)

    monkeypatch.setattr(dpsgd, "fit_privately", spy)
    trainer = private_trainer(make_events)
    assert trainer._is_held_out.any()
    ask(trainer, private(trainer.architecture))
    assert len(seen[0]["features"]) == trainer.samples()


def test_under_privacy_there_are_no_statistics(make_events):
    trainer = private_trainer(make_events)
    with pytest.raises(InvalidPlan, match="constants of the first model"):
        ask(trainer, private(trainer.architecture), "statistics")


def test_windows_and_bounded_hosts_have_to_be_prepared(make_events):
    plain = private_trainer(make_events)
    windowed = private(plain.architecture, window_s=60)
    with pytest.raises(InvalidPlan, match=r"windows of 60 s.*made for 0 s"):
        ask(plain, windowed)
    bounded = private(plain.architecture, unit="entity", own=5)
    with pytest.raises(InvalidPlan, match="not bounded"):
        ask(plain, bounded)
    in_windows = private_trainer(make_events, windowed.privacy)
    assert len(in_windows._examples.rows) < 100
    assert np.isfinite(ask(in_windows, windowed).update.values).all()
    with pytest.raises(InvalidPlan, match="made for 60 s"):
        ask(in_windows, private(plain.architecture))
    few = private_trainer(make_events, bounded.privacy)
    assert few.samples() <= 3 * 5
    assert np.isfinite(ask(few, bounded).update.values).all()
    fewer = private(plain.architecture, unit="entity", own=4)
    with pytest.raises(InvalidPlan, match="at most 4"):
        ask(few, fewer)


def test_windows_need_features_that_stay_in_them(make_events):
    architecture = feature_sets.find("alerts-event").architecture()
    windowed = private(architecture, window_s=60).privacy
    with pytest.raises(InvalidPlan, match="alerts-event, traffic-event"):
        private_trainer(make_events, windowed, name="alerts")


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
