# SPDX-License-Identifier: Apache-2.0
"""What the options of an evaluation promise, and what they may not say."""

from __future__ import annotations

import pytest

from fedxdr.cli import protection
from fedxdr.core.errors import InvalidPlan, InvalidSettings
from fedxdr.federation.protection import NO_PRIVACY
from fedxdr.learning import features

PLAIN = {"epsilon": None, "delta": None, "unit": None}


def test_words_say_masks_and_noise():
    for words, is_masked, is_private in (
        ("secagg", True, False),
        ("none", False, False),
        ("secagg,dp", True, True),
        ("dp, secagg", True, True),
        ("dp", False, True),
    ):
        found = protection.read(words, **PLAIN)
        assert (found.is_masked, found.is_private) == (is_masked, is_private)
    assert protection.read("dp", **PLAIN).epsilon == 8.0
    assert protection.read("dp", **PLAIN).delta == 1e-5
    given = protection.read("dp", epsilon=2.0, delta=1e-6, unit="event")
    assert (given.epsilon, given.delta) == (2.0, 1e-6)


@pytest.mark.parametrize(
    ("words", "options", "said"),
    [
        ("masks", {}, "secagg,dp"),
        ("", {}, "secagg,dp"),
        ("none,dp", {}, "secagg,dp"),
        ("secagg", {"epsilon": 8.0}, "add dp"),
        ("none", {"delta": 1e-5}, "add dp"),
        ("secagg", {"unit": "event"}, "add dp"),
        ("secagg,dp", {"unit": "organisation"}, "use event"),
    ],
)
def test_what_contradicts_itself_is_refused(words, options, said):
    with pytest.raises(InvalidSettings, match=said):
        protection.read(words, **{**PLAIN, **options})


def test_the_report_is_the_accountants():
    asked = protection.read("secagg,dp", epsilon=4.0, delta=1e-5, unit=None)
    privacy = asked.promise(features.find("alerts-event"), rounds=2)
    report = protection.report(privacy, rounds=2)
    assert 0.99 * 4 < report["epsilon"] <= 4
    assert report["occurrences"] == 16
    assert report["steps"] == 2 * report["steps_per_round"]
    assert report["textbook_epsilon"] > 100 * report["epsilon"]
    # twice as many rounds under the same noise cost more
    assert protection.report(privacy, rounds=4)["epsilon"] > 4
    sentence = protection.sentence(report)
    assert "epsilon 4.00 at delta 1e-05" in sentence
    assert "16 other examples" in sentence


def test_without_a_promise_there_are_no_figures():
    asked = protection.read("secagg", **PLAIN)
    assert asked.promise(features.find("alerts"), rounds=2) is NO_PRIVACY
    assert protection.report(NO_PRIVACY, rounds=2) is None


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("nan"), float("inf")])
def test_no_budget_that_is_none(epsilon):
    asked = protection.read("dp", epsilon=epsilon, delta=None, unit=None)
    with pytest.raises(InvalidPlan):
        asked.promise(features.find("alerts-event"), rounds=1)


def test_counters_have_no_promise_for_events():
    asked = protection.read("dp", **PLAIN)
    with pytest.raises(InvalidPlan, match="bounded"):
        asked.promise(features.find("counters"), rounds=1)
