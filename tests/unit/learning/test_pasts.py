# SPDX-License-Identifier: Apache-2.0
"""The past of members and queries, against graph.history."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.learning import pasts
from fedxdr.models import graph
from fedxdr.models.graph import NONE

CODES = 5
queries = st.lists(st.tuples(st.integers(0, CODES), st.integers(0, 10**6)), max_size=20)
ends = st.lists(
    st.tuples(st.integers(0, CODES - 1), st.integers(0, CODES - 1)),
    min_size=1,
    max_size=40,
)


def same(past, history):
    """Are these earlier events, oldest first, those of the other form?"""
    for begin, position, low, high in zip(
        past.begin, past.position, history.begin, history.position, strict=True
    ):
        listed = past.events[begin:position].tolist()
        assert listed == history.events[low:high].tolist()
        assert begin >= pasts.PAD


@settings(max_examples=80, deadline=None)
@given(ends, queries)
def test_pasts_are_those_of_graph_history(edges, asked):
    source, _ = np.array(edges, np.int64).T
    n = len(source)
    wanted = np.array([code for code, _ in asked], np.int64)
    before = np.array([place % n for _, place in asked], np.int64)
    members, others = pasts.group(source, asked=wanted, before=before)
    same(members, graph.history(source, queries=np.arange(n)))
    same(others, graph.history(source, queries=before, wanted=wanted))


@settings(max_examples=80, deadline=None)
@given(ends, queries)
def test_an_event_of_two_nodes_is_in_the_past_of_both(edges, asked):
    source, target = np.array(edges, np.int64).T
    n, is_loop = len(source), source == target
    wanted = np.array([code for code, _ in asked], np.int64)
    before = np.array([place % n for _, place in asked], np.int64)
    counted = np.ones(2 * n, np.bool_)
    counted[1::2] = ~is_loop
    members, others = pasts.group(
        np.stack([source, target], axis=1).ravel(),
        asked=wanted,
        before=before,
        per_event=2,
        counted=counted,
    )
    rows = np.arange(n)
    same(members.of(2 * rows), graph.history(source, queries=rows, other=target))
    of_target = graph.history(source, queries=rows, other=target, wanted=target)
    same(members.of(2 * rows + ~is_loop), of_target)
    of_asked = graph.history(source, queries=before, other=target, wanted=wanted)
    same(others, of_asked)


def test_a_node_that_nobody_knows_has_no_past():
    codes = np.array([0, 1, 0], np.int64)
    asked, before = np.array([NONE, 0, NONE]), np.array([2, 2, 1])
    _, others = pasts.group(codes, asked=asked, before=before)
    assert (others.position - others.begin).tolist() == [0, 1, 0]
