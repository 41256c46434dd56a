# SPDX-License-Identifier: Apache-2.0
"""Lifetimes held for a stream, against a loop over events."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import MalformedMessage
from fedxdr.learning.lives import Block, EdgeLives, Lives
from fedxdr.learning.streaming import Stream
from fedxdr.telemetry.event import Events

nodes = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 6), st.booleans()), max_size=30
)


def push(lives, begin, rows):
    """Push (node, asked, marked) rows; the clock is the event's number."""
    keys, asked, marked = (
        np.array([row[k] for row in rows], np.int64) for k in range(3)
    )
    number = np.arange(begin, begin + len(rows))
    block = Block(serial=2 * number, time_ns=10 * number, is_marked=marked.astype(bool))
    return lives.push(keys[None], block, asked=asked[None])


def figures(lived, i):
    return int(lived.count[i]), int(lived.first_ns[i]), int(lived.partners[i])


@settings(max_examples=60, deadline=None)
@given(nodes, st.integers(0, 30))
def test_lives_are_what_a_loop_counts(rows, cut):
    lives, told = Lives(1), []
    for part in (rows[:cut], rows[cut:]):
        found = push(lives, len(told), part)
        told += [[figures(one, i) for one in found] for i in range(len(part))]
    past = []
    for number, (node, asked, marked) in enumerate(rows):
        for who, (count, first_ns, partners) in zip(
            (node, asked), told[number], strict=True
        ):
            mine = [event for event in past if event[0] == who]
            assert (count, partners) == (len(mine), sum(event[2] for event in mine))
            assert not mine or first_ns == mine[0][1]
        past.append((node, 10 * number, marked))
    assert len(lives) == len({node for node, _, _ in rows})


def test_asking_about_a_node_does_not_make_it_known():
    lives = Lives(1)
    push(lives, 0, [(1, 7, False), (1, 8, False)])
    assert len(lives) == 1


@settings(max_examples=30, deadline=None)
@given(nodes, nodes)
def test_saved_lives_go_on_as_they_were(before, after):
    lives = Lives(1)
    push(lives, 0, before)
    again = Lives.from_state(1, lives.state())
    for one, other in zip(
        push(lives, len(before), after), push(again, len(before), after), strict=True
    ):
        assert np.array_equal(one.count, other.count)
        assert np.array_equal(one.partners, other.partners)
    for name, array in lives.state().items():
        assert array.tobytes() == again.state()[name].tobytes()


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("count", np.zeros(2, np.int64)),
        ("count", np.ones(3, np.int64)),
        ("count", np.ones(2, np.float64)),
        ("partners", np.full(2, 5)),
        ("keys", np.zeros((1, 2), np.int64)),
        ("keys", np.zeros((2, 2), np.int64)),
        ("keys", np.zeros((), np.int64)),
        ("other", np.zeros(2, np.int64)),
    ],
)
def test_what_no_lives_can_have_saved_is_refused(name, array):
    lives = Lives(1)
    push(lives, 0, [(1, 0, True), (2, 0, False)])
    with pytest.raises(MalformedMessage, match="lives"):
        Lives.from_state(1, lives.state() | {name: array})


def test_lives_of_edges_have_four_kinds():
    state = EdgeLives().state()
    with pytest.raises(MalformedMessage, match="no place"):
        EdgeLives.from_state(state | {"host.keys": np.zeros((1, 0), np.int64)})
    del state["pair.keys"]
    with pytest.raises(MalformedMessage, match="got arrays"):
        EdgeLives.from_state(state)


def events(rows, *, seed, first):
    draw = np.random.default_rng(seed)
    return Events.build(
        rows,
        {
            "time_ns": first + np.arange(rows) * 10**9,
            "source": draw.integers(-(2**63), 2**63 - 1, rows),
            "destination": draw.integers(0, 50, rows),
        },
    )


def test_a_stream_of_strangers_takes_bounded_memory():
    stream, sizes = Stream("edges", most_nodes=200), []
    for seed in range(14):
        stream.push(events(800, seed=seed, first=seed * 10**12))
        sizes.append(stream.size_bytes)
        assert max(stream.nodes) <= 400
    assert max(sizes[8:]) <= max(sizes[:8])


def test_a_saved_stream_of_edges_goes_on_as_it_was():
    stream = Stream("edges", most_nodes=300)
    stream.push(events(700, seed=1, first=0))
    again = Stream.load(stream.save())
    late = events(500, seed=2, first=10**13)
    assert stream.push(late).tobytes() == again.push(late).tobytes()
    assert stream.save() == again.save()
