# SPDX-License-Identifier: Apache-2.0
"""Every combination that cannot work or would lie is refused, in words that help."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.canonical import builtins, decode, encode, from_builtins
from fedxdr.core.errors import BelowFloor, InvalidPlan, MalformedMessage
from fedxdr.core.layout import Layout, Segment
from fedxdr.federation.floor import Floor
from fedxdr.federation.plan import (
    Deadlines,
    Plan,
    Training,
    default_threshold,
)
from fedxdr.federation.protection import NO_PRIVACY, Privacy

CLEAR = {"collection_mode": "clear", "acknowledge_clear": True}
ROBUST = {"aggregation_method": "RobustAggregator"}


def test_the_default_plan_is_protected(plan):
    made = plan()
    assert made.collection_mode == "secagg"
    assert made.privacy_mechanism == "none"
    assert made.min_survivors == 3


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"version": 2}, "plan version 2: this program knows 1"),
        ({"collection_mode": "open"}, "'open': use one of secagg, committee, paillier"),
        ({"collection_mode": "clear"}, "set acknowledge_clear to true"),
        ({"participants": 0, "threshold": 1}, "participants: 1 to 100"),
        ({"participants": 101, "threshold": 68}, "participants: 1 to 100"),
        ({"min_survivors": 2}, r"min_survivors 2: at least 3 = max\(3"),
        ({"min_survivors": 3, "assumed_colluders": 2}, "at least 4"),
        ({"assumed_colluders": -1}, "assumed_colluders"),
        ({"min_survivors": 5}, "min_survivors 5 of 4 participants"),
        ({"clip_norm": 0.0}, "clip_norm is a number above 0"),
        ({"clip_norm": -1.0}, "clip_norm"),
        ({"clip_norm": math.inf}, "clip_norm"),
        ({"clip_norm": math.nan}, "clip_norm"),
        ({"statistics_bound": 0.0}, "statistics_bound"),
        ({"statistics_bound": math.nan}, "statistics_bound"),
        ({"quantisation_bits": 7}, "quantisation_bits: 8 to 31"),
        ({"quantisation_bits": 32}, "quantisation_bits: 8 to 31"),
        ({"max_weight_exponent": -1}, "max_weight_exponent: 0 to 30"),
        ({"max_weight_exponent": 31}, "max_weight_exponent: 0 to 30"),
        ({"weight_cap_over_median": 0}, "weight_cap_over_median: >= 1"),
        ({"max_failure_rate": 1.0}, "max_failure_rate"),
        ({"max_failure_rate": -0.1}, "max_failure_rate"),
        ({"max_failure_rate": math.nan}, "max_failure_rate"),
        ({"max_message_bytes": 65_555}, "max_message_bytes is too small"),
        ({"threshold": 5}, "threshold: 1 to 4"),
        ({"threshold": 2}, "threshold 2 of 4: t > 2n/3, at least 3"),
        ({"threshold": 0}, "threshold"),
        ({"assumed_colluders": 2, "min_survivors": 4}, "fewer than 2t - n = 2"),
        ({"aggregation_method": "Mean"}, "Mean"),
        ({**ROBUST}, "RobustAggregator"),
        ({**ROBUST, "robust_method": "magic"}, "magic"),
        ({"robust_method": "median"}, "FedProx takes no robust method"),
        ({"trim_fraction": 0.1}, "trim_fraction"),
        ({"byzantine": 1}, "byzantine"),
        ({"selected": 1}, "selected"),
    ],
)
def test_a_plan_that_cannot_work_is_refused(plan, changed, why):
    with pytest.raises(InvalidPlan, match=why):
        plan(**changed)


@pytest.mark.parametrize(
    "rule",
    [
        {"robust_method": "median"},
        {"robust_method": "trimmed_mean", "trim_fraction": 0.25},
        {"robust_method": "krum", "byzantine": 1},
        {"robust_method": "multi_krum", "byzantine": 1, "selected": 2},
    ],
)
def test_a_robust_rule_under_masks_names_the_modes_that_allow_it(plan, rule):
    with pytest.raises(InvalidPlan) as caught:
        plan(n=7, **ROBUST, **rule)
    message = str(caught.value)
    assert "which mode secagg hides" in message
    assert "modes that allow it: clear" in message
    assert plan(n=7, min_survivors=7, **ROBUST, **rule, **CLEAR).rule


def test_a_robust_rule_must_work_with_the_fewest_survivors(plan):
    rule = {**ROBUST, "robust_method": "krum", "byzantine": 2, **CLEAR}
    with pytest.raises(InvalidPlan):
        plan(n=9, min_survivors=5, **rule)
    assert plan(n=9, min_survivors=7, **rule)


@pytest.mark.parametrize("method", ["FedAvg", "FedProx"])
def test_sums_work_in_every_mode(plan, method):
    for how in ({}, CLEAR):
        assert plan(aggregation_method=method, **how).rule


@given(st.integers(3, 1000))
def test_the_default_threshold_is_the_smallest_above_two_thirds(n):
    t = default_threshold(n)
    assert 3 * t > 2 * n >= 3 * (t - 1)
    assert t <= n


def test_at_three_nobody_may_drop_out_and_nobody_may_lie(plan):
    assert default_threshold(3) == 3
    plan(n=3)
    assert plan(n=3, assumed_colluders=1).threshold == 3
    with pytest.raises(InvalidPlan):
        plan(n=3, threshold=2)


def test_two_quorums_meet_in_more_than_the_colluders(plan):
    # what the whole protocol leans on: 2t - n > colluders
    for n in range(3, 40):
        for colluders in range(n):
            try:
                made = plan(
                    n=n,
                    assumed_colluders=colluders,
                    min_survivors=max(3, colluders + 2),
                )
            except InvalidPlan:
                continue
            assert 2 * made.threshold - n > colluders


def test_the_digest_binds_every_field(plan):
    base = plan(n=7)
    others = {
        "federation": "g",
        "run_id": "run-2",
        "threshold": 6,
        "architecture": {"kind": "other"},
        "aggregation_method": "FedAvg",
        "min_survivors": 4,
        "assumed_colluders": 1,
        "clip_norm": 1.0,
        "statistics_bound": 1.0,
        "quantisation_bits": 20,
        "max_weight_exponent": 4,
        "weight_cap_over_median": 3,
        "training": Training(seed=1),
        "deadlines": Deadlines(keys_s=1.0),
        "max_message_bytes": 10**9,
        "acknowledge_clear": True,
        "max_failure_rate": 0.1,
    }
    digests = {base.digest} | {
        dataclasses.replace(base, **{name: value}).digest
        for name, value in others.items()
    }
    assert len(digests) == len(others) + 1


def test_a_plan_comes_back_from_its_bytes(plan):
    made = plan(n=5, architecture={"layers": 2, "rate": 0.5, "kind": "x"})
    assert decode(encode(made), Plan) == made
    assert from_builtins(builtins(made), Plan).digest == made.digest


def test_a_plan_with_a_field_more_or_less_is_none(plan):
    value = builtins(plan())
    with pytest.raises(MalformedMessage):
        from_builtins({**value, "epsilon": 1.0}, Plan)
    with pytest.raises(MalformedMessage):
        from_builtins({k: v for k, v in value.items() if k != "run_id"}, Plan)
    with pytest.raises(InvalidPlan):
        from_builtins({**value, "threshold": 1}, Plan)


@pytest.mark.parametrize(
    "changed",
    [
        {"local_epochs": 0},
        {"batch_size": 0},
        {"examples_per_epoch": 0},
        {"examples_per_attack": -1},
        {"seed": -1},
        {"learning_rate": 0.0},
        {"learning_rate": math.inf},
        {"learning_rate": math.nan},
        {"proximal_mu": -0.1},
        {"proximal_mu": math.nan},
        {"proximal_mu": math.inf},
    ],
)
def test_training_that_cannot_work(changed):
    with pytest.raises(InvalidPlan):
        Training(**changed)


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Deadlines)])
@pytest.mark.parametrize("seconds", [0.0, -1.0, 86_400.0, math.inf, math.nan])
def test_deadlines_that_are_none(name, seconds):
    with pytest.raises(InvalidPlan):
        Deadlines(**{name: seconds})


def test_bounds_by_task(plan):
    made = plan(clip_norm=2.0, statistics_bound=3.0)
    assert made.bound("training") == 2.0
    assert made.bound("statistics") == 3.0


def test_the_layout_has_the_segments_of_both_tasks(plan):
    for names in (("weights.w",), ("statistics.s",), ("other",)):
        layout = Layout(segments=tuple(Segment(name=n, shape=(2,)) for n in names))
        with pytest.raises(InvalidPlan, match="segments"):
            plan(layout=layout)


# The local floor.


@pytest.mark.parametrize(
    ("floor", "changed", "why"),
    [
        (Floor(), CLEAR, "mode clear; this organisation takes part in secagg only"),
        (Floor(modes=("clear",)), {}, "takes part in clear only"),
        (
            Floor(min_survivors=4),
            {},
            "sums of 3; this organisation asks for at least 4",
        ),
        (Floor(allow_no_privacy_mechanism=False), {}, "no differential privacy"),
    ],
)
def test_below_the_floor(plan, floor, changed, why):
    with pytest.raises(BelowFloor, match=re.escape(why)):
        floor.check(plan(**changed))


def test_at_the_floor(plan):
    Floor().check(plan())
    Floor(min_survivors=4).check(plan(min_survivors=4))
    Floor(modes=("secagg", "clear")).check(plan(**CLEAR))


EVENT = Privacy(
    mechanism="dp-sgd",
    unit="event",
    epsilon=8.0,
    delta=1e-5,
    noise_multiplier=1.2,
    sampling_rate=0.01,
    steps=20,
    clipping_norm=1.0,
    own=1,
    context=128,
    index_keys=4,
)
SUM = Privacy(
    mechanism="discrete-gaussian",
    unit="organisation",
    epsilon=8.0,
    delta=1e-5,
    noise_multiplier=4.0,
    sampling_rate=1.0,
    steps=1,
    own=1,
)
ALERTS = {"features": "alerts"}


def test_a_plan_with_a_promise_computes_what_one_event_touches(plan):
    made = plan(privacy=EVENT, max_weight_exponent=0, architecture=ALERTS)
    assert made.privacy_mechanism == "dp-sgd"
    assert made.privacy.occurrences == 128 * 4
    assert made.privacy.charge.occurrences == 512
    assert made.privacy.charge.steps == 20
    assert decode(encode(made), Plan) == made


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"max_weight_exponent": 3}, "a sample count is data too"),
        ({"architecture": {"features": "counters"}}, "counts over all history"),
        ({"architecture": {"features": "traffic"}}, "128 events back by 5 keys"),
        ({"architecture": {"features": "unheard-of"}}, "its context is not known"),
        (
            {"privacy": dataclasses.replace(EVENT, context=8)},
            "the plan charges for 8 by 4",
        ),
        ({"privacy": SUM, **CLEAR}, "shows single updates"),
    ],
)
def test_a_promise_that_the_plan_would_break_is_refused(plan, changed, why):
    fields = {"privacy": EVENT, "max_weight_exponent": 0, "architecture": ALERTS}
    with pytest.raises(InvalidPlan, match=why):
        plan(**{**fields, **changed})


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"sparsification": "own"}, "use one of none, common-mask, top-k"),
        ({"sparsification": "common-mask"}, "below 1 with"),
        ({"kept_fraction": 0.5}, "1 without"),
        ({"sparsification": "common-mask", "kept_fraction": 0.0}, "kept_fraction"),
        (
            {"sparsification": "top-k", "kept_fraction": 0.1},
            "opened as that organisation's own value; use common-mask",
        ),
    ],
)
def test_sparse_sets_of_one_organisation_are_refused_under_masks(plan, changed, why):
    with pytest.raises(InvalidPlan, match=why):
        plan(**changed)
    assert plan(sparsification="top-k", kept_fraction=0.1, **CLEAR)


@pytest.mark.parametrize(
    ("floor", "privacy", "why"),
    [
        (Floor(max_epsilon=4.0), EVENT, "this one spends 4 at most"),
        (Floor(units=("entity",)), EVENT, "asks for entity"),
        (Floor(max_delta=1e-6), EVENT, "may fail with chance 1e-05"),
        (Floor(allow_no_privacy_mechanism=False), NO_PRIVACY, "no differential"),
    ],
)
def test_a_floor_for_privacy(plan, floor, privacy, why):
    made = plan(privacy=privacy, max_weight_exponent=0, architecture=ALERTS)
    with pytest.raises(BelowFloor, match=why):
        floor.check(made)
    Floor(max_epsilon=8.0, units=("event",)).check(made)


COMMITTEE = {"collection_mode": "committee", "max_weight_exponent": 0}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({}, "name two or more"),
        ({"helpers": ("org-a",)}, "one alone would see every update"),
        ({"helpers": ("org-b", "org-a")}, "in order of name"),
        (
            {"helpers": ("org-a", "org-b"), "max_weight_exponent": 2},
            "all weigh the same",
        ),
        (
            {
                "helpers": ("org-a", "org-b"),
                "assumed_colluders": 2,
                "min_survivors": 4,
            },
            "name more helpers than colluders",
        ),
        ({"helpers": ("org-a", "org-b"), "threshold": 2}, "more than half must accept"),
        (
            {"collection_mode": "secagg", "helpers": ("org-a", "org-b")},
            "helpers go with mode committee",
        ),
        ({"collection_mode": "paillier"}, "keys ceremony"),
    ],
)
def test_helpers_and_keys_go_with_their_modes(plan, changed, why):
    with pytest.raises(InvalidPlan, match=why):
        plan(**{**COMMITTEE, **changed})


def test_helpers_are_trusted_by_name(plan):
    made = plan(**COMMITTEE, helpers=("org-a", "org-b"))
    modes = ("committee",)
    Floor(modes=modes).check(made)
    Floor(modes=modes, helpers=("org-a", "org-b", "org-c")).check(made)
    with pytest.raises(BelowFloor, match="does not trust: org-b"):
        Floor(modes=modes, helpers=("org-a",)).check(made)
