# SPDX-License-Identifier: Apache-2.0
"""Curves of small scores by hand, and their agreement with the figures."""

from __future__ import annotations

import numpy as np
import pytest

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning import curves
from fedxdr.learning.curves import Run
from fedxdr.models import metrics


def run(scores, attacks, bar=None):
    return Run(
        scores=np.array(scores, np.float32),
        is_attack=np.array(attacks, bool),
        own_bar=bar,
    )


#            attack  benign  both alike    benign
SMALL = run([9, 8, 5, 5, 1], [1, 0, 1, 0, 0], bar=5.0)


def test_by_hand():
    recall, precision = curves.precision_recall(SMALL)
    assert recall.tolist() == [0.5, 0.5, 1, 1]
    assert precision.tolist() == [1, 0.5, 0.5, 0.4]
    false_alarms, recall = curves.recall_false_alarms(SMALL)
    assert false_alarms == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert recall.tolist() == [0.5, 0.5, 1, 1]


def test_a_mean_is_taken_at_fixed_places():
    other = run([9, 8, 5, 4, 1], [1, 1, 0, 0, 0], bar=8.5)
    band = curves.precision_band([SMALL, other], np.array([0.5, 0.6, 1.0]))
    assert band.low.tolist() == [1, 0.5, 0.5]
    assert band.high.tolist() == [1, 1, 1]
    assert band.mean.tolist() == [1, 0.75, 0.75]
    band = curves.recall_band([SMALL, other], np.array([0.0, 0.5, 1.0]))
    assert band.low.tolist() == [0.5, 0.5, 1]
    assert band.high.tolist() == [1, 1, 1]
    # at 5 one benign row and one attack lie above; at 8.5 one attack
    assert curves.at_own_bar([SMALL, other]) == pytest.approx((1 / 6, 0.5))


@pytest.mark.parametrize("seed", range(5))
def test_curves_agree_with_the_figures(seed):
    draw = np.random.default_rng(seed)
    scores = draw.integers(0, 30, 400).astype(np.float32)
    truth = (draw.random(400) < 0.3).astype(np.int8)
    item = run(scores, truth)
    recall, precision = curves.precision_recall(item)
    steps = np.diff(np.concatenate([[0.0], recall]))
    assert (steps * precision).sum() == pytest.approx(
        metrics.average_precision(scores, truth)
    )
    band = curves.recall_band([item], np.array([0.01, 0.1]))
    for budget, value in zip((0.01, 0.1), band.mean, strict=True):
        # a threshold between two scores that are alike is none
        assert value == metrics.recall(scores, truth, budget=budget)


def test_what_has_no_curve_is_left_out_or_refused():
    quiet = run([1, 2], [0, 0], bar=0.0)
    assert not quiet.is_defined
    assert not run([1, 2], [1, 1]).is_defined
    assert curves.at_own_bar([quiet]) is None
    assert curves.at_own_bar([run([1, 2], [0, 1])]) is None
    both = curves.recall_band([quiet, SMALL], np.array([1.0]))
    assert both.mean.tolist() == [1]
    with pytest.raises(InvalidTelemetry, match="no curve"):
        curves.precision_band([quiet], np.array([1.0]))
