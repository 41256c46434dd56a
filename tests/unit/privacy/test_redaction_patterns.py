# SPDX-License-Identifier: Apache-2.0
"""The patterns cannot be made slow: shown on their parsed form, without a clock."""

from __future__ import annotations

import re
from re import _constants as kinds  # the parsed form is what is judged here
from re import _parser as parser
from typing import Any

import pytest

from fedxdr.privacy import (
    redaction_patterns,
    redaction_places,
    redaction_records,
    redaction_scan,
    redaction_values,
)
from fedxdr.privacy.redaction_patterns import KIND_OF, MASTER

MOST_STEPS = 3_000_000
"""Most steps the matcher may take at one position, whatever the text."""

EVERY = [
    (f"{module.__name__.rpartition('.')[2]}.{name}", value)
    for module in (
        redaction_patterns,
        redaction_records,
        redaction_scan,
        redaction_values,
    )
    for name, value in vars(module).items()
    if isinstance(value, re.Pattern)
]


def steps(nodes: Any) -> tuple[int, int]:
    """Return bounds: steps of one attempt, and ways in which it can succeed.

    A sequence of parts that can each succeed in w ways is tried w1 * w2 * … times at
    worst; what is possessive or atomic succeeds in one way.
    """
    cost, ways = 0, 1
    for kind, value in nodes:
        inner_cost, inner_ways = 1, 1
        if kind in {kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT}:
            low, high, body = value
            assert high is not kinds.MAXREPEAT, "a repetition without an upper bound"
            body_cost, body_ways = steps(body)
            if kind is kinds.POSSESSIVE_REPEAT:
                inner_cost, inner_ways = high * body_cost + 1, 1
            else:
                assert body_ways == 1 or high <= 9, "a repetition in a repetition"
                rounds = [body_ways**i for i in range(high + 1)]
                inner_cost = body_cost * sum(rounds[:-1]) + 1
                inner_ways = sum(rounds[low:])
        elif kind is kinds.SUBPATTERN:
            inner_cost, inner_ways = steps(value[3])
        elif kind is kinds.ATOMIC_GROUP:
            inner_cost, inner_ways = steps(value)[0], 1
        elif kind is kinds.BRANCH:
            parts = [steps(part) for part in value[1]]
            inner_cost = sum(part[0] for part in parts)
            inner_ways = sum(part[1] for part in parts)
        elif kind in {kinds.ASSERT, kinds.ASSERT_NOT}:
            inner_cost = steps(value[1])[0]
        elif kind is kinds.GROUPREF_EXISTS:
            both = [steps(part) for part in value[1:] if part is not None]
            inner_cost = sum(part[0] for part in both)
        cost += ways * inner_cost
        ways *= inner_ways
    return cost, ways


@pytest.mark.parametrize(("name", "pattern"), EVERY, ids=[name for name, _ in EVERY])
def test_every_pattern_takes_a_bounded_number_of_steps(
    name: str, pattern: re.Pattern[str]
) -> None:
    cost, _ = steps(parser.parse(pattern.pattern, pattern.flags & re.IGNORECASE))
    assert cost <= MOST_STEPS, name


def test_the_judge_convicts_patterns_that_are_slow() -> None:
    for bad in (r"(a+)+b", r"a*b", r"(?:a{1,9}){1,10}b"):
        with pytest.raises(AssertionError):
            steps(parser.parse(bad))
    for bad in (r"a{1,900}b{1,900}c{1,900}d{1,900}", r"(?:a{1,9}){1,9}b"):
        assert steps(parser.parse(bad))[0] > MOST_STEPS


def test_the_scanner_of_json_never_gives_back() -> None:
    for pattern in (redaction_places._TOKEN, redaction_places._CHARACTER):
        for kind, value in parser.parse(pattern.pattern):
            assert kind is not kinds.MAX_REPEAT, value


def test_each_group_has_its_kind() -> None:
    assert len(KIND_OF) == MASTER.groups + 1
    examples = {
        "ip4": "10.0.0.1",
        "mac": "00:11:22:33:44:55",
        "card": "4111111111111111",
        "phone": "+442079460958",
        "sid": "S-1-5-21-1-2-3-500",
        "key": "a=",
        "url": "http://a",
        "email": "a@b.c",
        "host": "a.b",
        "called": "user x",
        "named": "host x",
        "said": "Failed x for y",
        "bearer": "Bearer x",
        "skip": "version 1.2.3.4",
        "over": "plain words",
    }
    for kind, text in examples.items():
        found = MASTER.search(text)
        assert found is not None
        assert KIND_OF[found.lastindex or 0] == kind
