# SPDX-License-Identifier: Apache-2.0
"""Figures against their definitions and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.models import metrics

ROWS = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=40)


def columns(rows):
    return (
        np.array([float(score) for score, _ in rows]),
        np.array([int(truth) for _, truth in rows]),
    )


@given(ROWS)
def test_area_under_the_curve_is_the_share_of_pairs_won(rows):
    scores, truth = columns(rows)
    attacks, benign = scores[truth == 1], scores[truth == 0]
    if not len(attacks) or not len(benign):
        assert metrics.area_under_curve(scores, truth) is None
        return
    won = [(a > b) + (a == b) / 2 for a in attacks for b in benign]
    assert metrics.area_under_curve(scores, truth) == pytest.approx(np.mean(won))


@given(ROWS)
def test_average_precision_is_the_peers(rows):
    scores, truth = columns(rows)
    ours = metrics.average_precision(scores, truth)
    if truth.min() == truth.max():
        assert ours is None
    else:
        assert ours == pytest.approx(average_precision_score(truth, scores))


@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=60),
    st.floats(0, 0.99),
)
def test_a_threshold_is_the_smallest_score_that_keeps_to_the_budget(scores, budget):
    benign = np.array(scores, float)
    bar = metrics.threshold(benign, budget=budget)
    allowed = int(np.floor(budget * len(benign) + 1e-9))
    assert (benign > bar).sum() <= allowed
    lower = [score for score in scores if score < bar]
    assert all((benign > score).sum() > allowed for score in lower)


def test_recall_at_one_percent_by_hand():
    benign = np.arange(200.0)
    attacks = np.array([197.0, 198.0, 198.5, 300.0])
    scores = np.concatenate([benign, attacks])
    truth = np.array([0] * 200 + [1] * 4)
    # 2 of 200 may alarm: the threshold is 197
    assert metrics.threshold(benign, budget=0.01) == 197.0
    assert metrics.recall(scores, truth, budget=0.01) == 0.75


def test_constant_scores_find_nothing():
    truth = np.array([0, 0, 1, 1])
    assert metrics.recall(np.zeros(4), truth, budget=0.01) == 0.0
    assert metrics.area_under_curve(np.zeros(4), truth) == 0.5


def test_families_weigh_the_same():
    scores = np.array([0.0, 9.0, 1.0, 1.0, 1.0, -1.0])
    family = np.array([0, 1, 2, 2, 2, 2])
    found = metrics.family_recall(scores, family, bar=0.5)
    assert found == {1: 1.0, 2: 0.75}
    assert metrics.mean_of(found) == 0.875


def test_what_is_not_defined_is_none():
    empty = np.zeros(0)
    assert metrics.threshold(empty, budget=0.1) is None
    assert metrics.share_above(empty, 0.0) is None
    assert metrics.share_above(np.ones(2), None) is None
    assert metrics.family_recall(np.ones(1), np.ones(1, int), bar=None) == {}
    assert metrics.mean_of({}) is None
    assert metrics.recall(np.ones(1), np.ones(1, int), budget=0.1) is None


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: metrics.threshold(np.ones(2), budget=1.0),
        lambda: metrics.recall(np.ones(2), np.ones(3, int), budget=0.1),
        lambda: metrics.area_under_curve(np.array([np.nan, 1.0]), np.array([0, 1])),
        lambda: metrics.family_recall(np.ones(2), np.ones(3, int), bar=0.0),
    ],
)
def test_wrong_arrays_are_refused(wrong):
    with pytest.raises(InvalidTelemetry):
        wrong()
