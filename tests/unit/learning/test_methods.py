# SPDX-License-Identifier: Apache-2.0
"""Every method on one small situation; who may see what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedxdr.core.errors import TooFewParticipants
from fedxdr.federation.plan import Training
from fedxdr.learning import baselines, dataset, features, methods
from fedxdr.learning.federate import in_the_clear
from fedxdr.models import metrics


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
