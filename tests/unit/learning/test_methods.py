# SPDX-License-Identifier: Apache-2.0
"""Every method on one small situation; who may see what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedxdr.core.errors import InvalidPlan, TooFewParticipants
from fedxdr.federation.plan import Training
from fedxdr.learning import baselines, dataset, features, methods
from fedxdr.learning.federate import in_the_clear
from fedxdr.models import metrics
from fedxdr.privacy import accountant


@pytest.fixture
def situation(make_organisation):
    """Return the last of four: the others were attacked before, it was not."""
    items = [
        make_organisation("a", attack_at=0.7),
        make_organisation("b", begin=100, attack_at=0.7, seed=1),
        make_organisation("c", begin=200, seed=2),
        make_organisation("late", begin=3000, seed=3),
    ]
    return dataset.situations(items)[-1]


@pytest.fixture
def setting(architecture):
    """Return a quick network and plain rounds."""
    return methods.Setting(
        architecture=architecture,
        training=Training(batch_size=64, learning_rate=0.02, examples_per_epoch=512),
        rounds=4,
        federate=in_the_clear,
        everyone=("a", "b", "c", "late"),
    )


def recall(situation, scored):
    return metrics.recall(scored.test, situation.test.family, budget=0.01)


@pytest.mark.parametrize("name", sorted(methods.METHODS))
def test_scores_are_finite_and_one_per_row(name, situation, setting, monkeypatch):
    monkeypatch.setattr(baselines, "_TREES", 3)
    scored = methods.METHODS[name](situation, setting, 0)
    assert scored.test.shape == situation.test.family.shape
    assert len(scored.benign_past) == (situation.own.family == 0).sum()
    assert np.isfinite(scored.test).all()


def test_together_finds_what_alone_cannot(situation, setting):
    assert recall(situation, methods.local(situation, setting, 0)) == 0.0
    assert recall(situation, methods.federated(situation, setting, 0)) > 0.9
    assert recall(situation, methods.pooled(situation, setting, 0)) > 0.9


def test_labels_of_the_test_are_not_read(situation, setting):
    blind = replace(
        situation,
        test=replace(situation.test, family=np.zeros_like(situation.test.family)),
    )
    for method in (methods.federated, methods.pooled):
        one, two = (method(item, setting, 0) for item in (situation, blind))
        assert np.array_equal(one.test, two.test)


def test_the_seed_decides(situation, setting):
    zero, again, one = (
        methods.federated(situation, setting, seed).test for seed in (0, 0, 1)
    )
    assert np.array_equal(zero, again)
    assert not np.array_equal(zero, one)


def test_two_with_data_take_a_third_who_has_none(situation, setting):
    pair = replace(situation, others=situation.others[:1])
    seen = []

    def federate(learners, **rest):
        seen.append({name: learner.samples() for name, learner in learners.items()})
        return in_the_clear(learners, **rest)

    methods.federated(pair, replace(setting, federate=federate), 0)
    assert set(seen[0]) == {"a", "late", "b"}
    assert seen[0]["b"] == 1


def test_fewer_than_three_are_refused_and_told_what_to_do(situation, setting):
    pair = replace(situation, others=situation.others[:1])
    with pytest.raises(TooFewParticipants, match="--org NAME=PATH"):
        methods.federated(pair, replace(setting, everyone=("a", "late")), 0)


@pytest.mark.parametrize("name", sorted(features.FEATURE_SETS))
def test_the_default_network_is_that_of_the_feature_set(name):
    found = features.find(name)
    assert methods.architecture_for(found).inputs == found.architecture().inputs


def promising(setting, *, epsilon=8.0):
    """Return the setting with a promise and a network over its four numbers."""
    context = features.find("alerts-event")
    return replace(
        setting,
        architecture=replace(setting.architecture, features="alerts-event"),
        privacy=methods.event_privacy(context, epsilon=epsilon, delta=1e-5, rounds=3),
        private_rounds=3,
    )


def test_a_promise_is_kept_by_the_plan_and_only_together(situation, setting):
    seen = {}

    def spy(learners, **arguments):
        seen.update(arguments)
        return in_the_clear(learners, **arguments)

    private = replace(promising(setting), federate=spy)
    scored = methods.federated(situation, private, 0)
    assert np.isfinite(scored.test).all()
    assert seen["plan"]["privacy"] == private.privacy
    assert seen["plan"]["max_weight_exponent"] == 0
    assert seen["rounds"] == 3
    again = methods.federated(situation, private, 0)
    assert np.array_equal(scored.test, again.test)
    # alone nobody is shown anything
    assert recall(situation, methods.pooled(situation, private, 0)) > 0.9


def test_noise_is_as_little_as_the_budget_allows():
    found = features.find("alerts-event")
    small, large = (
        methods.event_privacy(found, epsilon=epsilon, delta=1e-5, rounds=2)
        for epsilon in (1.0, 8.0)
    )
    assert small.noise_multiplier > large.noise_multiplier
    for promise in (small, large):
        spent = accountant.epsilon({promise.charge: 2}, delta=1e-5)
        assert 0.98 * promise.epsilon < spent <= promise.epsilon
        assert promise.occurrences == 16
    with pytest.raises(InvalidPlan, match="bounded"):
        methods.event_privacy(
            features.find("counters"), epsilon=1.0, delta=1e-5, rounds=1
        )


def test_private_networks_are_small():
    found = features.find("alerts-event")
    small = methods.private_architecture_for(found).layout.size
    assert small < methods.architecture_for(found).layout.size / 5
