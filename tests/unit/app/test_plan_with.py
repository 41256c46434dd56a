# SPDX-License-Identifier: Apache-2.0
"""What an operator may wish of the next plan, and what becomes of wrong wishes."""

import pytest

from fedxdr.app.orchestrating import plan_with
from fedxdr.core.errors import InvalidPlan
from fedxdr.core.layout import Layout, Segment
from fedxdr.federation.plan import Deadlines, Plan

PLAN = Plan(
    federation="f",
    run_id="run-1",
    participants=6,
    threshold=5,
    layout=Layout(
        segments=(
            Segment(name="statistics.mean", shape=(2,)),
            Segment(name="weights.w", shape=(3,)),
        )
    ),
    architecture={"name": "tiny", "rate": 0.5},
    deadlines=Deadlines(keys_s=7.0),
)


def test_no_wish_changes_nothing():
    assert plan_with(PLAN, {}) == PLAN


def test_values_of_the_operator_win_and_whole_numbers_are_numbers():
    made = plan_with(PLAN, {"clip_norm": 5, "min_survivors": 4})
    assert (made.clip_norm, made.min_survivors) == (5.0, 4)
    assert made.layout == PLAN.layout


def test_inside_deadlines_and_training_only_what_is_named_changes():
    made = plan_with(
        PLAN, {"deadlines": {"shares_s": 2}, "training": {"learning_rate": 0.5}}
    )
    assert made.deadlines == Deadlines(keys_s=7.0, shares_s=2.0)
    assert made.training.learning_rate == 0.5
    assert made.training.batch_size == PLAN.training.batch_size


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        ({"clip_norm": "much"}, "no plan"),
        ({"clip_norm": float("nan")}, "no plan"),
        ({"min_survivors": 3.5}, "no plan"),
        ({"deadlines": 3}, "no plan"),
        ({"deadlines": {"teatime_s": 3}}, "no plan"),
        ({"colour": "red"}, "no field 'colour'"),
        ({"threshold": 2}, "t > 2n/3"),
        ({"privacy": {"mechanism": "gaussian"}}, "gaussian"),
        ({"collection_mode": "clear"}, "acknowledge_clear"),
        ({"participants": 3}, "follows from members"),
        ({"federation": "other"}, "follows from members"),
        ({"layout": {"segments": []}}, "follows from members"),
    ],
)
def test_a_wish_that_makes_no_plan_is_refused_in_words(wishes, reason):
    with pytest.raises(InvalidPlan, match=reason):
        plan_with(PLAN, wishes)
