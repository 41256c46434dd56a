# SPDX-License-Identifier: Apache-2.0
"""Figures of made-up scores, and how they are summed up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedxdr.core.errors import InvalidSettings
from fedxdr.learning import evaluation, methods
from fedxdr.learning.dataset import Part, Situation
from fedxdr.learning.evaluation import FIGURES, assess, evaluate, largest_difference
from fedxdr.learning.own_past import Scored


def part(name, family):
    return Part(
        name=name,
        features=np.zeros((len(family), 4), np.float32),
        family=np.array(family),
    )


def situation(name="a", *, victims=1, own=(0, 0, 1), test=(0,) * 100 + (1, 1, 2, 2)):
    other = part("other", [1] * 200)
    return Situation(
        own=part(name, list(own)),
        others=(other,) * victims,
        test=part(name, list(test)),
        cut_ns=0,
        families=("benign", "scan", "leak"),
    )


def scored(attacks=(99.0, 98.0, 98.5, 98.5), past=(0.0,) * 99 + (98.2,)):
    return Scored(
        test=np.concatenate([np.arange(100.0), attacks]).astype(np.float32),
        benign_past=np.array(past, np.float32),
    )


def test_figures_by_hand():
    figures, families = assess(situation(), scored())
    # one of 100 benign rows may alarm: the bar is 98; 0.1 % of 100 is none: 99
    assert figures["recall_at_1pct_fpr"] == 0.75
    assert figures["recall_at_01pct_fpr"] == 0.0
    assert families == {"scan": 0.5, "leak": 1.0}
    assert figures["family_recall"] == 0.75
    # scan was in the own past, leak was not
    assert figures["unseen_family_recall"] == 1.0
    # of 101 rows one scores 98.2 or more: the bar is just below
    assert figures["recall_at_own_threshold"] == 0.75
    assert figures["false_alarm_rate_at_own_threshold"] == 0.01
    assert set(figures) == set(FIGURES)


def test_what_is_not_defined_is_none():
    figures, families = assess(
        situation(own=(1,), test=(0, 0)),
        Scored(test=np.zeros(2, np.float32), benign_past=np.zeros(0, np.float32)),
    )
    assert families == {}
    defined = {name for name, value in figures.items() if value is not None}
    assert defined == set()


@pytest.fixture
def fixed(monkeypatch):
    """Replace all methods by one whose recall grows with the seed."""

    def method(asked, _, seed):
        hits = 1 + seed if asked.own.name != "new" else 0
        return scored(attacks=[99.0] * hits + [0.0] * (4 - hits))

    monkeypatch.setattr(evaluation, "METHODS", {"fixed": method})
    return methods.Setting(
        architecture=None, training=None, rounds=1, federate=None, everyone=()
    )


def test_the_mean_is_over_those_with_an_earlier_victim(fixed):
    found = evaluate(
        [situation("new", victims=0), situation("a"), situation("b")],
        setting=fixed,
        compare=["fixed"],
        seeds=3,
    )["fixed"]
    assert found.mean["recall_at_1pct_fpr"] == pytest.approx(0.5)
    assert list(found.organisations) == ["new", "a", "b"]
    assert not found.organisations["new"].is_counted
    assert found.organisations["new"].figures["recall_at_1pct_fpr"] == 0.0
    assert found.organisations["a"].families == {
        "scan": pytest.approx(5 / 6),
        "leak": pytest.approx(1 / 6),
    }
    # Student, 2 degrees of freedom: 0.5 +- 4.303 * 0.25 / sqrt(3), cut to [0, 1]
    assert found.interval["recall_at_1pct_fpr"] == (0.0, 1.0)
    low, high = evaluation._interval([0.5, 0.51, 0.52])
    assert (low, high) == pytest.approx((0.4852, 0.5348), abs=1e-4)


def test_newcomers_count_where_asked(fixed):
    found = evaluate(
        [situation("new", victims=0), situation("a")],
        setting=fixed,
        compare=["fixed"],
        seeds=1,
        counts_newcomers=True,
    )["fixed"]
    assert found.mean["recall_at_1pct_fpr"] == pytest.approx(0.125)
    assert found.interval["recall_at_1pct_fpr"] is None


def test_nobody_to_count_gives_no_mean(fixed):
    found = evaluate(
        [situation("new", victims=0)], setting=fixed, compare=["fixed"], seeds=2
    )["fixed"]
    assert set(found.mean.values()) == {None}
    assert set(found.interval.values()) == {None}


@pytest.mark.parametrize(
    ("compare", "seeds"), [(["magic"], 1), ([], 1), (["fixed"], 0)]
)
def test_wrong_wishes_are_refused(fixed, compare, seeds):
    with pytest.raises(InvalidSettings):
        evaluate([situation()], setting=fixed, compare=compare, seeds=seeds)


def test_the_largest_difference_leaves_out_what_is_not_defined():
    first = dict.fromkeys(FIGURES, 0.5)
    second = {**first, "ap": 0.625, "auc": None}
    assert largest_difference(first, second) == 0.125
    nothing = dict.fromkeys(FIGURES)
    assert largest_difference(nothing, second) is None


def test_truth_decides_which_rows_are_benign():
    swapped = replace(situation(), test=part("a", [1] * 100 + [0, 0, 0, 0]))
    figures, _ = assess(swapped, scored(attacks=(0.0, 0.0, 0.0, 97.0)))
    assert figures["recall_at_1pct_fpr"] == pytest.approx(0.02)


def test_scores_are_kept_where_asked(fixed):
    asked = {"setting": fixed, "compare": ["fixed"], "seeds": 2}
    plain = evaluate([situation()], **asked)["fixed"]
    kept = evaluate([situation()], **asked, keeps_scores=True)["fixed"]
    assert plain.organisations["a"].runs == ()
    assert plain.mean == kept.mean
    first, second = kept.organisations["a"].runs
    assert first.is_attack.sum() == 4
    assert first.scores[100:].tolist() == [99, 0, 0, 0]
    assert second.scores[100:].tolist() == [99, 99, 0, 0]
    # the highest of 100 past rows is one of 101
    assert 98 < first.own_bar < 98.2


def test_several_situations_of_one_organisation_are_told_apart(fixed):
    found = evaluate(
        [situation(), replace(situation(), title="a without scan")],
        setting=fixed,
        compare=["fixed"],
        seeds=1,
    )["fixed"]
    assert list(found.organisations) == ["a", "a without scan"]


def test_what_was_learned_from_whom_is_what_leaving_out_costs(monkeypatch):
    def method(asked, _, seed):
        names = {part.name for part in asked.others}
        hits = 2 * ("b" in names) + ("c" in names) * (1 + seed)
        return scored(attacks=[99.0] * hits + [0.0] * (4 - hits))

    monkeypatch.setattr(evaluation, "METHODS", {"federated": method})
    setting = methods.Setting(
        architecture=None, training=None, rounds=1, federate=None, everyone=()
    )
    asked = replace(situation(), others=(part("b", [0]), part("c", [0])))
    steps = []
    found = evaluation.learned_from(
        [asked, replace(asked, own=part("d", [0]), others=())],
        setting=setting,
        seeds=2,
        on_step=lambda *step: steps.append(step[1]),
    )
    assert found["a"]["b"].recall == pytest.approx(0.5)
    assert found["a"]["c"].recall == pytest.approx(0.375)
    # with b and c rows 1 to 3 or 4 are found, without c the first two (family scan)
    assert found["a"]["c"].families == {"scan": 0, "leak": pytest.approx(0.75)}
    assert found["d"] == {}
    assert steps == ["a", "a without b", "a without c", "d"]
    nothing = replace(asked, test=part("a", [0, 0]))
    monkeypatch.setattr(
        evaluation,
        "METHODS",
        {"federated": lambda *_: replace(scored(), test=np.zeros(2, np.float32))},
    )
    (row,) = evaluation.learned_from([nothing], setting=setting, seeds=1).values()
    assert {gain.recall for gain in row.values()} == {None}
