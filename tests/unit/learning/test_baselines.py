# SPDX-License-Identifier: Apache-2.0
"""The detectors to beat do what they are for."""

from __future__ import annotations

import numpy as np

from fedxdr.learning import baselines
from fedxdr.models import metrics


def test_a_boosted_forest_tells_what_can_be_told(make_rows, monkeypatch):
    monkeypatch.setattr(baselines, "_TREES", 6)
    features, family = make_rows(500, 100)
    asked, truth = make_rows(300, 60, seed=5)
    scores = baselines.gradient_boosting(features, family, asked=asked, seed=0)
    again = baselines.gradient_boosting(features, family, asked=asked, seed=0)
    assert metrics.recall(scores, truth, budget=0.01) > 0.9
    assert np.array_equal(scores, again)


def test_with_one_class_there_is_nothing_to_tell_apart(make_rows):
    asked, _ = make_rows(20, 5)
    for benign, attacks in ((50, 0), (0, 50)):
        features, family = make_rows(benign, attacks)
        scores = baselines.gradient_boosting(features, family, asked=asked, seed=0)
        assert scores.tolist() == [0.0] * 25


def test_an_isolation_forest_finds_the_strange_one():
    draw = np.random.default_rng(0)
    features = draw.uniform(1.0, 1.2, (300, 4)).astype(np.float32)
    asked = np.concatenate([features[:50], np.full((1, 4), 4.0, np.float32)])
    scores = baselines.isolation_forest(features, asked=asked, seed=0)
    assert scores.argmax() == 50
