# SPDX-License-Identifier: Apache-2.0
"""A look back from a block is what graph.py finds in the whole stream."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import MalformedMessage
from fedxdr.models import graph
from fedxdr.models.rings import Block, Rings, Shape

RANKS = (1, 2, 8, 32, 40)
WINDOWS = (1, 4, 31, 32)
SHAPE = Shape(
    width=1,
    depth=40,
    watched=(np.dtype(np.int64), np.dtype(np.int32)),
    marks=((0,), (1,), (0, 1)),
    asked=(0, 1),
    values=2,
    is_summed=True,
)


def stream(n, *, seed=0, nodes=3):
    draw = np.random.default_rng(seed)
    return {
        "node": draw.integers(0, nodes, n),
        "time_ns": np.cumsum(draw.integers(0, 3, n)) * 10**9,
        "first": draw.integers(0, 40, n) * 2**40,
        "second": draw.integers(0, 3, n),
        "values": draw.uniform(0, 4, (n, 2)).astype(np.float32),
    }


def pushed(rings, columns, begin, end):
    part = {name: column[begin:end] for name, column in columns.items()}
    return rings.push(
        Block(
            keys=part["node"][None],
            serial=np.arange(begin, begin + len(part["node"])),
            time_ns=part["time_ns"],
            watched=(part["first"], part["second"].astype(np.int32)),
            values=part["values"],
        )
    )


def told(look):
    """Return all that a look tells, by name."""
    is_there, seconds, values = look.back(RANKS)
    return {
        "there": is_there,
        "seconds": seconds,
        "values": values,
        **{f"same {c}": look.same(RANKS, c) for c in ((), (0,), (1,), (0, 1))},
        **{f"share {m}": np.stack(look.shares(m, WINDOWS), 1) for m in range(3)},
        **{f"many {m}": np.stack(look.diversity(m, WINDOWS), 1) for m in range(3)},
        "means": np.stack(look.means(WINDOWS), 1),
    }


def wanted(columns):
    """Return the same, of the whole stream, by graph.py."""
    n = len(columns["node"])
    past = graph.history(columns["node"], queries=np.arange(n))
    index = graph.recent(past, RANKS)
    place, is_there = np.maximum(index, 0), index != graph.NONE
    first, second = columns["first"], columns["second"]
    alike = {
        (): is_there,
        (0,): is_there & (first[place] == first[:, None]),
        (1,): is_there & (second[place] == second[:, None]),
    }
    alike[0, 1] = alike[0,] & alike[1,]
    both = graph.entities(first, second)
    return {
        "there": is_there,
        "seconds": graph.ages(past, columns["time_ns"], RANKS),
        "values": np.where(is_there[:, :, None], columns["values"][place], 0),
        **{f"same {c}": truths for c, truths in alike.items()},
        **{
            f"share {m}": graph.alike(past, column, WINDOWS)
            for m, column in enumerate((first, second, both))
        },
        **{
            f"many {m}": graph.diversity(past, column, WINDOWS)
            for m, column in enumerate((first, second, both))
        },
        "means": np.concatenate(
            [graph.means(past, column, WINDOWS) for column in columns["values"].T], 1
        ),
    }


@given(
    st.integers(0, 150),
    st.lists(st.integers(1, 70), max_size=5),
    st.integers(0, 2**32),
    st.sampled_from([1, 3, 60]),
)
def test_however_a_stream_is_cut_the_bits_are_those_of_the_whole(n, steps, seed, nodes):
    columns = stream(n, seed=seed, nodes=nodes)
    cuts = [0, *(c for c in np.cumsum(steps).tolist() if c < n), n]
    rings, parts = Rings(SHAPE), []
    for begin, end in itertools.pairwise(cuts):
        parts.append(told(pushed(rings, columns, begin, end)))
    for name, whole in wanted(columns).items():
        found = np.concatenate([part[name] for part in parts])
        assert (found.dtype, found.tobytes()) == (whole.dtype, whole.tobytes()), name
    once = Rings(SHAPE)
    pushed(once, columns, 0, n)
    for name, array in once.state().items():
        assert np.array_equal(array, rings.state()[name]), name


def test_a_busy_node_beside_quiet_ones_is_read_to_its_depth():
    columns = stream(4000)
    columns["node"] = np.where(np.arange(4000) % 37, 0, np.arange(4000) // 37)
    rings = Rings(SHAPE)
    parts = [told(pushed(rings, columns, b, b + 500)) for b in range(0, 4000, 500)]
    for name, whole in wanted(columns).items():
        assert np.array_equal(np.concatenate([part[name] for part in parts]), whole)


def test_forgotten_nodes_are_those_not_seen_for_longest():
    columns = stream(6)
    columns["node"] = np.array([5, 7, 5, 9, 7, 5])
    rings = Rings(SHAPE)
    pushed(rings, columns, 0, 6)
    rings.forget_all_but(3)
    assert len(rings) == 3
    rings.forget_all_but(2)
    assert len(rings) == 2
    again = {**stream(3), "node": np.array([5, 7, 9])}
    assert pushed(rings, again, 0, 3).back((1,))[0].tolist() == [
        [True],
        [True],
        [False],
    ]


def test_memory_follows_the_nodes_and_not_the_stream():
    rings, columns = Rings(SHAPE), stream(500)
    sizes = []
    for _ in range(40):
        pushed(rings, columns, 0, 500)
        sizes.append(rings.size_bytes)
    assert max(sizes[10:]) == max(sizes)
    assert max(sizes) < 3 * sizes[0]


def test_what_was_kept_goes_on_as_if_nothing_had_been():
    columns = stream(300)
    rings = Rings(SHAPE)
    pushed(rings, columns, 0, 200)
    again = Rings.from_state(SHAPE, rings.state())
    later = told(pushed(again, columns, 200, 300))
    for name, array in told(pushed(rings, columns, 200, 300)).items():
        assert later[name].tobytes() == array.tobytes()


def spoilt(change):
    rings = Rings(SHAPE)
    pushed(rings, stream(60), 0, 60)
    state = rings.state()
    change(state)
    return state


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("held"),
        lambda state: state.update(more=np.zeros(1)),
        lambda state: state.update(keys=np.zeros(3, np.int64)),
        lambda state: state.update(keys=np.array(3)),
        lambda state: state.update(keys=np.zeros_like(state["keys"])),
        lambda state: state.update(held=state["held"].astype(np.int32)),
        lambda state: state.update(held=-state["held"]),
        lambda state: state["held"].__setitem__(slice(None), [50, -10, 20]),
        lambda state: state.update(serial=state["serial"][:1]),
        lambda state: state.update({"mark.1": state["mark.1"][1:]}),
        lambda state: state["event.values"].__setitem__((0, 0), np.nan),
        lambda state: state["event.values"].__setitem__((0, 0), 17),
    ],
)
def test_a_state_that_cannot_be_is_refused(change):
    state = spoilt(change)
    with pytest.raises(MalformedMessage):
        Rings.from_state(SHAPE, state)


def test_events_that_are_no_members_see_nothing():
    columns = stream(120)
    look = pushed(Rings(SHAPE), columns, 0, 120)
    rows = np.arange(120) * 2 + 1
    wide = look.spread(rows, 241)
    rest = np.setdiff1d(np.arange(241), rows)
    for name, array in told(look).items():
        found = told(wide)[name]
        assert found[rows].tobytes() == array.tobytes(), name
        nothing = np.inf if name == "seconds" else 0
        assert (found[rest] == nothing).all(), name
