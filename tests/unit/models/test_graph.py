# SPDX-License-Identifier: Apache-2.0
"""Neighbourhoods against their definition; nothing from the future, nothing too old."""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.models import graph

_SOURCE = Path(__file__).parents[2] / "reference" / "neighbourhood_definition.py"
_SPEC = importlib.util.spec_from_file_location("neighbourhood_definition", _SOURCE)
definition = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(definition)

RANKS = (1, 2, 3, 5)
WINDOWS = (1, 3, 4)


@st.composite
def streams(draw):
    n = draw(st.integers(0, 25))
    column = st.lists(st.integers(0, 3), min_size=n, max_size=n)
    node, other, attribute = (
        np.array(draw(column), np.int64).reshape(n) for _ in range(3)
    )
    queries = draw(st.lists(st.integers(0, n - 1), max_size=12)) if n else []
    is_touching = draw(st.booleans())
    return (
        node,
        other if is_touching else None,
        attribute,
        np.array(queries, np.int64),
    )


@given(streams())
def test_every_reading_of_the_past_is_its_definition(stream):
    node, other, attribute, queries = stream
    past = graph.history(node, queries=queries, other=other)
    values = (attribute * 1.5 - 1).astype(np.float32)
    recent = graph.recent(past, RANKS)
    alike = graph.alike(past, attribute, WINDOWS)
    diversity = graph.diversity(past, attribute, WINDOWS)
    means = graph.means(past, values, WINDOWS)
    for row, query in enumerate(queries):
        events = definition.earlier(node, query, other)
        assert past.length[row] == len(events)
        assert recent[row].tolist() == [definition.at_rank(events, r) for r in RANKS]
        assert alike[row] == pytest.approx(
            [definition.alike(events, attribute, attribute[query], w) for w in WINDOWS]
        )
        assert diversity[row].tolist() == [
            definition.diversity(events, attribute, w) for w in WINDOWS
        ]
        assert means[row] == pytest.approx(
            [definition.mean(events, values, w) for w in WINDOWS], abs=1e-6
        )


@given(streams(), st.integers(1, 24))
def test_the_future_does_not_change_the_past(stream, cut):
    node, other, attribute, _ = stream
    cut = min(cut, len(node))
    queries = np.arange(cut)
    whole = graph.history(node, queries=queries, other=other)
    early = graph.history(
        node[:cut], queries=queries, other=None if other is None else other[:cut]
    )
    assert np.array_equal(graph.recent(whole, RANKS), graph.recent(early, RANKS))
    assert np.array_equal(
        graph.diversity(whole, attribute, WINDOWS),
        graph.diversity(early, attribute[:cut], WINDOWS),
    )


@given(
    st.lists(st.integers(0, 2**24).map(lambda k: k / 2**22), min_size=40, max_size=60),
    st.integers(1, 30),
)
def test_a_mean_does_not_hang_on_what_was_before_its_window(late, window):
    late = np.array(late, np.float32)
    early = np.random.default_rng(0).uniform(0, 4, 100_000).astype(np.float32)
    found = []
    for values in (late, np.concatenate([early, late])):
        past = graph.history(
            np.zeros(len(values), np.int64), queries=np.array([len(values) - 1])
        )
        found.append(graph.means(past, values, (window,)).tobytes())
    assert found[0] == found[1]
    # and it is the sum as it is defined, rounded to float32
    exact = sum(map(Fraction, late[-1 - window : -1].tolist())) / window
    assert np.frombuffer(found[0], np.float32)[0] == np.float32(float(exact))


def test_one_event_reaches_boundedly_many_later_ones():
    node = np.zeros(50, np.int64)
    attribute = np.arange(50)
    past = graph.history(node, queries=np.arange(50))
    before = graph.diversity(past, attribute, (4,))
    changed = attribute.copy()
    changed[10] = 11
    after = graph.diversity(past, changed, (4,))
    assert set(np.flatnonzero((before != after).any(axis=1))) <= set(range(10, 15))


def test_ages_are_seconds_and_infinite_where_nothing_was():
    time_ns = np.array([0, 2, 5], np.int64) * 10**9
    past = graph.history(np.zeros(3, np.int64), queries=np.arange(3))
    assert graph.ages(past, time_ns, (1, 2)).tolist() == [
        [np.inf, np.inf],
        [2.0, np.inf],
        [3.0, 5.0],
    ]


def test_equal_times_keep_their_order():
    past = graph.history(np.zeros(3, np.int64), queries=np.arange(3))
    assert graph.recent(past, (1,))[:, 0].tolist() == [-1, 0, 1]


def test_an_event_that_touches_a_node_twice_is_listed_once():
    source = np.array([7, 7, 7])
    destination = np.array([7, 8, 9])
    past = graph.history(source, queries=np.array([2]), other=destination)
    assert graph.recent(past, (1, 2, 3))[0].tolist() == [1, 0, -1]


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), max_size=20))
def test_equal_combinations_and_no_others_have_one_number(pairs):
    first = np.array([a for a, _ in pairs], np.int64)
    second = np.array([b for _, b in pairs], np.int64)
    numbers = graph.entities(first, second)
    assert len(set(zip(pairs, numbers.tolist(), strict=True))) == len(set(pairs))
    assert set(numbers.tolist()) == set(range(len(set(pairs))))


def test_entities_of_full_width_tokens_do_not_collide():
    low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    first = np.array([low, low, high, high, low], np.int64)
    second = np.array([low, high, low, high, low], np.int64)
    assert graph.entities(first, second).tolist() == [0, 1, 2, 3, 0]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: graph.history(np.zeros(3, np.int64), queries=np.array([3])),
        lambda: graph.history(np.zeros(3, np.int64), queries=np.array([-1])),
        lambda: graph.history(
            np.zeros(3, np.int64), queries=np.array([0]), other=np.zeros(2, np.int64)
        ),
        lambda: graph.history(np.array([0, 2**62], np.int64), queries=np.array([0])),
        lambda: graph.recent(
            graph.history(np.zeros(1, np.int64), queries=np.array([0])), (0,)
        ),
        lambda: graph.means(
            graph.history(np.zeros(1, np.int64), queries=np.array([0])),
            np.zeros(1, np.float32),
            (),
        ),
        lambda: graph.means(
            graph.history(np.zeros(1, np.int64), queries=np.array([0])),
            np.zeros(1, np.float32),
            (257,),
        ),
        lambda: graph.fixed(np.array([16.5], np.float32)),
        lambda: graph.fixed(np.array([np.nan], np.float32)),
        graph.entities,
    ],
)
def test_wrong_questions_are_refused(wrong):
    with pytest.raises(InvalidTelemetry):
        wrong()


def test_other_values_can_be_compared_than_the_queries_own():
    node, attribute = np.zeros(6, np.int64), np.array([7, 8, 7, 7, 9, 8])
    past = graph.history(node, queries=np.array([4, 5]))
    found = graph.alike(past, attribute, (2, 4), own=np.array([7, 7]))
    assert found.tolist() == [[1.0, 0.75], [0.5, 0.5]]
