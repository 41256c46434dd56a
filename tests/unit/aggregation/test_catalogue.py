# SPDX-License-Identifier: Apache-2.0
"""Names, needs and ranges of the rules, and that each name runs its rule."""

import numpy as np
import pytest

from fedxdr.aggregation.catalogue import (
    CATALOGUE,
    Method,
    Needs,
    RobustMethod,
    Rule,
    aggregate,
    find,
)
from fedxdr.aggregation.krum import krum, multi_krum
from fedxdr.aggregation.mean import weighted_mean
from fedxdr.aggregation.median import median
from fedxdr.aggregation.trimmed import trimmed_mean
from fedxdr.core.canonical import decode, encode
from fedxdr.core.errors import InvalidPlan
from fedxdr.core.randomness import generator

ROBUST = "RobustAggregator"
RULES = [
    find("FedAvg"),
    find("FedProx"),
    find(ROBUST, "median"),
    find(ROBUST, "trimmed_mean", trim_fraction=0.2),
    find(ROBUST, "krum", byzantine=2),
    find(ROBUST, "multi_krum", byzantine=2, selected=5),
]


def test_every_name_has_exactly_one_line_and_the_list_is_closed():
    keys = [(entry.method, entry.robust_method) for entry in CATALOGUE]
    assert len(set(keys)) == len(keys)
    assert {method for method, _ in keys} == set(Method)
    assert {robust for _, robust in keys} == {None, *RobustMethod}
    assert [rule.entry for rule in RULES] == list(CATALOGUE)


def test_means_need_the_sum_alone_and_robust_rules_every_update():
    for rule in RULES:
        is_mean = rule.method is not Method.ROBUST
        assert rule.needs is (Needs.SUM if is_mean else Needs.UPDATES)
        assert rule.entry.is_weighted is is_mean


def test_each_name_runs_its_rule():
    updates = generator(20).standard_normal((9, 30), dtype=np.float32)
    weights = np.arange(9)
    mean = weighted_mean(updates, weights)
    wants = [
        mean,
        mean,
        median(updates),
        trimmed_mean(updates, trim=1),
        krum(updates, byzantine=2),
        multi_krum(updates, byzantine=2, selected=5),
    ]
    for rule, want in zip(RULES, wants, strict=True):
        np.testing.assert_array_equal(aggregate(rule, updates, weights), want)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_has_one_canonical_form(rule):
    assert decode(encode(rule), Rule) == rule


@pytest.mark.parametrize(
    ("arguments", "parameters", "message"),
    [
        (("fedavg",), {}, "unknown aggregation method 'fedavg', want one of FedAvg"),
        ((ROBUST, "Krum"), {}, "unknown robust method 'Krum', want one of median"),
        ((ROBUST,), {}, "needs a robust method: median, trimmed_mean, krum"),
        (("FedAvg", "median"), {}, "FedAvg takes no robust method"),
        (("FedAvg",), {"byzantine": 1}, "does not take byzantine"),
        ((ROBUST, "median"), {"trim_fraction": 0.1}, "does not take trim_fraction"),
        ((ROBUST, "krum"), {"byzantine": 1, "selected": 2}, "does not take selected"),
        ((ROBUST, "krum"), {}, "needs byzantine above 0, got 0"),
        ((ROBUST, "krum"), {"byzantine": -1}, "needs byzantine above 0, got -1"),
        ((ROBUST, "trimmed_mean"), {}, "needs trim_fraction above 0"),
        ((ROBUST, "trimmed_mean"), {"trim_fraction": 0.5}, "want below 0.5"),
        (
            (ROBUST, "trimmed_mean"),
            {"trim_fraction": float("nan")},
            "needs trim_fraction above 0, got nan",
        ),
        ((ROBUST, "multi_krum"), {"byzantine": 1}, "needs selected above 0"),
    ],
)
def test_a_rule_that_cannot_be_built_is_refused(arguments, parameters, message):
    with pytest.raises(InvalidPlan, match=message):
        find(*arguments, **parameters)


@pytest.mark.parametrize(
    ("rule", "fewest", "message"),
    [
        (RULES[0], 1, "got 0 participants"),
        (RULES[2], 1, "got 0 participants"),
        (RULES[3], 5, "nothing would be trimmed"),
        (RULES[4], 7, r"needs 7 \(n >= 2f \+ 3\), got 6"),
        (RULES[5], 7, "needs 7"),
        (find(ROBUST, "multi_krum", byzantine=1, selected=6), 7, "want at most 5"),
    ],
)
def test_the_fewest_participants_are_taken_and_one_less_refused(rule, fewest, message):
    rule.check(participants=fewest)
    with pytest.raises(InvalidPlan, match=message):
        rule.check(participants=fewest - 1)


def test_aggregate_refuses_too_few_before_it_looks_at_them():
    updates = np.full((6, 2), np.nan, dtype=np.float32)
    with pytest.raises(InvalidPlan, match="needs 7"):
        aggregate(RULES[4], updates, np.ones(6))
