# SPDX-License-Identifier: Apache-2.0
"""The pre-filter against MIDAS-F edge by edge, under every cut, restart and clock."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidTelemetry, MalformedMessage
from fedxdr.core.randomness import generator
from fedxdr.models import prefilter
from fedxdr.models.prefilter import DESTINATION, EDGE, SOURCE, Prefilter

_SOURCE = Path(__file__).parents[2] / "reference" / "midas.py"
_SPEC = importlib.util.spec_from_file_location("midas", _SOURCE)
reference = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(reference)

S = 10**9
TOKENS = st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1))
SHAPES = st.fixed_dictionaries(
    {
        "tick_s": st.sampled_from([1, 60]),
        "rows": st.integers(1, 3),
        "columns": st.integers(1, 7),
        "threshold": st.sampled_from([0.3, 2.7, 1000.0, float("inf")]),
        "decay": st.sampled_from([0.0, 0.3, 0.5, 0.9]),
        "seed": st.sampled_from([0, 1, 2**255 + 7]),
    }
)


@st.composite
def streams(draw, *, gaps=(0, 0, 0, 1, 1, 2, 9, -1, -4), size=30):
    """Edges of few hosts; the clock mostly stands, jumps, or goes back."""
    hosts = draw(st.lists(TOKENS, min_size=1, max_size=4))
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(gaps), st.sampled_from(hosts), st.sampled_from(hosts)
            ),
            max_size=size,
        )
    )
    unit = draw(st.sampled_from([S // 2, 20 * S, 60 * S]))
    begin = draw(st.sampled_from([-(10**15) + 1, 0, 1_700_000_000 * S]))
    table = np.array(steps, np.int64).reshape(-1, 3)
    return begin + np.cumsum(table[:, 0]) * unit, table[:, 1], table[:, 2]


def by_definition(stream, shape, **options):
    edges = list(zip(*(column.tolist() for column in stream), strict=True))
    rows = reference.scores(edges, **shape, **options)
    return np.array([[float(score) for score in row] for row in rows]).reshape(-1, 3)


def flood(*, ticks=40, per_tick=400, hosts=50):
    """Steady talk among hosts and, in the last five ticks, a flood from 7 to 8."""
    draws = generator(1)
    n = ticks * per_tick
    time = np.repeat(np.arange(ticks), per_tick) * 60 * S
    source, destination = (draws.integers(100, 100 + hosts, n) for _ in range(2))
    known = draws.random(n) < 0.01
    attack = (time >= (ticks - 5) * 60 * S) & (draws.random(n) < 0.5)
    source[known | attack], destination[known | attack] = 7, 8
    return (time, source, destination), attack


@given(streams(), SHAPES)
def test_scores_are_those_of_the_definition_to_the_last_bit(stream, shape):
    assert np.array_equal(
        Prefilter(**shape).push(*stream), by_definition(stream, shape)
    )


@settings(max_examples=50)
@given(streams(gaps=(0, 0, 1, 2, 3, 12), size=15), SHAPES)
def test_the_closed_form_of_quiet_ticks_is_walking_them_one_by_one(stream, shape):
    # no fraction is infinite, and short ticks would only mean a longer walk
    shape.update(threshold=min(shape["threshold"], 1e9), tick_s=60)
    exactly = by_definition(stream, shape, exact=True)
    got = Prefilter(**shape).push(*stream)
    assert got == pytest.approx(exactly, rel=1e-9, abs=1e-9)


@given(streams(), SHAPES, st.lists(st.integers(0, 30), max_size=6), st.booleans())
def test_any_cut_and_any_restart_gives_the_same_bits(stream, shape, cuts, restarts):
    one = Prefilter(**shape)
    whole = one.push(*stream)
    two = Prefilter(**shape)
    parts = [np.empty((0, 3))]
    bounds = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    for begin, end in itertools.pairwise(bounds):
        parts.append(two.push(*(column[begin:end] for column in stream)))
        if restarts:
            two = Prefilter.from_state(two.state())
    assert np.array_equal(np.concatenate(parts), whole)
    for name, array in one.state().items():
        assert np.array_equal(two.state()[name], array), name


def test_blocks_inside_a_push_are_cuts_like_any_other(monkeypatch):
    stream, _ = flood()
    whole = Prefilter(columns=64).push(*stream)
    monkeypatch.setattr(prefilter, "_BLOCK", 333)
    assert np.array_equal(Prefilter(columns=64).push(*stream), whole)


def test_a_year_of_silence_fades_as_its_closed_form():
    shape = {"tick_s": 60, "rows": 2, "columns": 16, "threshold": 5.0, "seed": 3}
    times = np.array([0, 1, 1, 1, 525_600, 525_601, 525_601]) * 60 * S
    stream = (times, np.ones(7, np.int64), np.full(7, 2))
    for decay in (0.5, 0.999999):
        got = Prefilter(**shape, decay=decay).push(*stream)
        assert np.array_equal(got, by_definition(stream, {**shape, "decay": decay}))


def test_a_flood_between_known_hosts_stands_above_steady_talk():
    stream, attack = flood()
    # wide enough that nobody shares a cell
    scores = Prefilter(columns=1 << 14).push(*stream)
    single = prefilter.score(scores)
    assert np.array_equal(single, scores.max(axis=1))
    # the flood's first edges in a tick are few, as yet
    assert np.median(single[attack]) > 10 * np.quantile(single[~attack], 0.99)
    # nobody else speaks as 7 or to 8, so that all three say the same
    for part in (SOURCE, DESTINATION):
        assert np.array_equal(scores[attack, EDGE], scores[attack, part])


def test_what_alarmed_is_not_learned():
    """Without the conditional merge the flood would become its own mean."""
    stream, attack = flood(ticks=60)
    last = attack & (stream[0] >= 59 * 60 * S)
    with_filter, without = (
        prefilter.score(Prefilter(threshold=limit).push(*stream))[last].max()
        for limit in (1000.0, float("inf"))
    )
    assert with_filter > 2 * without


def test_a_fan_out_speaks_by_its_source_and_a_fan_in_by_its_destination():
    steady = np.arange(20).repeat(4)
    out, into = (steady, np.full(80, 1), np.full(80, 2)), np.arange(1000, 1200)
    one = Prefilter()
    one.push(out[0] * 60 * S, out[1], out[2])
    time = np.full(200, 20 * 60 * S)
    fan_out = one.push(time, np.full(200, 1), into)
    assert fan_out[:, SOURCE].argmax() == 199
    assert fan_out[-1, SOURCE] > 100 * fan_out[-1, DESTINATION]
    fan_in = Prefilter.from_state(one.state()).push(time, -into, np.full(200, 2))
    assert fan_in[-1, DESTINATION] > 100 * fan_in[-1, SOURCE]


def test_an_edge_from_the_past_counts_in_the_newest_tick():
    late = np.array([0, 600, 60, 600]) * S
    on_time = np.array([0, 600, 600, 600]) * S
    ends = np.ones(4, np.int64), np.ones(4, np.int64)
    assert np.array_equal(
        Prefilter().push(late, *ends), Prefilter().push(on_time, *ends)
    )


def test_the_future_does_not_change_the_past():
    stream, _ = flood(ticks=10)
    whole = Prefilter().push(*stream)
    early = Prefilter().push(*(column[:1234] for column in stream))
    assert np.array_equal(whole[:1234], early)


def test_memory_stays_what_it_was():
    one = Prefilter(rows=2, columns=128)
    size = one.sketch_bytes
    assert size == 3 * 2 * 128 * 5 * 8
    draws = generator(2)
    for tick in range(50):
        tokens = draws.integers(-(2**63), 2**63 - 1, (2, 1000))
        one.push(np.full(1000, tick * 60 * S), *tokens)
    assert one.sketch_bytes == size
    assert sum(array.nbytes for array in one.state().values()) < size + 100


@given(TOKENS, TOKENS, st.integers(0, 2**256 - 1), st.integers(1, 65_536))
def test_cells_are_those_of_the_definition(source, destination, seed, columns):
    cells = prefilter._Hash(seed, rows=3, columns=columns).cells(
        np.array([source]), np.array([destination])
    )
    assert cells.ravel().tolist() == [
        reference.column(part, key, source, destination, columns)
        for part in (EDGE, SOURCE, DESTINATION)
        for key in reference.row_keys(seed, 3)
    ]


def test_the_seed_decides_which_hosts_share_a_cell():
    hosts = generator(3).integers(-(2**63), 2**63 - 1, 4096)

    def cells(seed):
        return prefilter._Hash(seed, rows=2, columns=2048).cells(hosts, hosts)

    one, two = cells(1), cells(2)
    assert np.array_equal(one, cells(1))
    assert (one == two).mean() < 0.01
    assert (one[0] == one[1]).mean() < 0.01  # nor do rows repeat one another
    for row in one:
        load = np.bincount(row, minlength=2048)
        assert load.max() < 16
        assert len(load) == 2048


def test_addresses_in_a_row_share_cells_no_more_than_chance_would():
    """Strong universality, over seeds: two tokens meet in one cell of columns."""
    hosts = np.arange(64) * 2**32  # differ in their high half only
    meet = [
        (row[:, None] == row).sum() - 64
        for seed in range(40)
        for row in prefilter._Hash(seed, rows=2, columns=128).cells(hosts, hosts)
    ]
    assert np.mean(meet) == pytest.approx(64 * 63 / 128, rel=0.15)


def test_nothing_gives_nothing():
    one = Prefilter()
    assert one.push([], [], []).shape == (0, 3)
    assert prefilter.score(one.push([], [], [])).shape == (0,)
    assert Prefilter.from_state(one.state()).push([0], [1], [2]).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"tick_s": 0},
        {"tick_s": 2**31 + 1},
        {"rows": 0},
        {"rows": 17},
        {"columns": 0},
        {"columns": 65_537},
        {"threshold": 0.0},
        {"threshold": float("nan")},
        {"decay": 1.0},
        {"decay": -0.1},
        {"decay": float("nan")},
        {"seed": -1},
        {"seed": 2**256},
    ],
)
def test_numbers_out_of_bounds_are_refused(wrong):
    with pytest.raises(InvalidTelemetry):
        Prefilter(**wrong)


@pytest.mark.parametrize(
    "columns",
    [
        ([1, 2], [1], [1, 2]),
        ([1.5], [1], [1]),
        ([[1]], [[1]], [[1]]),
        (["a"], [1], [1]),
    ],
)
def test_columns_of_another_shape_are_refused(columns):
    with pytest.raises(InvalidTelemetry):
        Prefilter().push(*columns)


def test_a_state_is_no_way_around_the_bounds():
    state = Prefilter(columns=16).state()
    for rates in ([0.0, 0.5], [float("nan"), 0.5], [1.0, 1.0]):
        with pytest.raises(InvalidTelemetry):
            Prefilter.from_state({**state, "rates": np.array(rates)})


def _without(name):
    return lambda state: state.pop(name)


def _with(name, change):
    return lambda state: state.update({name: change(state[name])})


@pytest.mark.parametrize(
    "spoil",
    [
        _without("before"),
        _without("seed"),
        _with("extra", lambda _: np.zeros(1)),
        _with("count", lambda old: old.astype(np.float32)),
        _with("total", lambda old: old[:, :, 1:]),
        _with("total", lambda old: old * np.nan),
        _with("score", lambda old: old - 1),
        _with("before", lambda old: old[0]),
        _with("tick", lambda old: old + 99),
        _with("tick", lambda old: old * 0),
        _with("clock", lambda old: old * 0),
        _with("clock", lambda old: -old),
        _with("seed", lambda old: old[1:]),
    ],
)
def test_a_state_that_was_spoilt_is_refused(spoil):
    one = Prefilter(columns=16)
    one.push([0, 60 * S], [1, 1], [2, 2])
    state = {"extra": np.zeros(0), **one.state()}
    spoil(state)
    if not state["extra"].size:
        del state["extra"]
    with pytest.raises(MalformedMessage):
        Prefilter.from_state(state)
