# SPDX-License-Identifier: Apache-2.0
"""Krum against its definition: exactly on small grids, in float64 on large rows."""

import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedxdr.aggregation.geometry import Distances
from fedxdr.aggregation.krum import (
    krum,
    krum_selection,
    multi_krum,
    participants_needed,
)
from fedxdr.core.errors import InvalidUpdate
from fedxdr.core.randomness import generator

# The package hands on the function under the module's name.
krum_module = importlib.import_module("fedxdr.aggregation.krum")


@st.composite
def grids(draw):
    """Small whole numbers: float64 is exact, and ties are everywhere."""
    byzantine = draw(st.integers(0, 3))
    n = draw(st.integers(2 * byzantine + 3, 12))
    d = draw(st.integers(1, 5))
    elements = st.integers(-3, 3).map(float)
    updates = draw(arrays(np.float32, (n, d), elements=elements))
    return updates, byzantine, draw(st.integers(1, n - byzantine))


@settings(max_examples=250)
@given(case=grids())
def test_selects_what_exact_fractions_select_ties_included(definition, case):
    updates, byzantine, selected = case
    got = krum_selection(updates, byzantine=byzantine, selected=selected)
    assert got == definition.exact_krum_selection(updates, byzantine, selected)


@given(case=grids(), scale=st.sampled_from([1.0, 2.0**-70, 2.0**60, 2.0**120]))
def test_returns_the_row_or_the_mean_of_the_rows(definition, case, scale):
    updates, byzantine, selected = case
    updates = updates * np.float32(scale)
    (row,) = definition.exact_krum_selection(updates, byzantine, 1)
    np.testing.assert_array_equal(krum(updates, byzantine=byzantine), updates[row])
    rows = list(definition.exact_krum_selection(updates, byzantine, selected))
    want = definition.weighted_mean(updates[rows], [1] * len(rows))
    got = multi_krum(updates, byzantine=byzantine, selected=selected)
    np.testing.assert_array_equal(got, np.array(want).astype(np.float32))


def test_counts_the_n_minus_f_minus_2_nearest_others():
    """Blanchard et al. 2017, section 4; over n - f - 1 another row would win."""
    line = np.array([[0], [4], [5], [6], [8], [12], [13]], dtype=np.float32)
    scores = [
        sum(sorted((a - b) ** 2 for b in line[:, 0] if b != a)[:3]) for a in line[:, 0]
    ]
    assert scores == [77, 21, 11, 9, 29, 53, 75]
    assert krum_selection(line, byzantine=2) == (3,)
    wrong = [
        sum(sorted((a - b) ** 2 for b in line[:, 0] if b != a)[:4]) for a in line[:, 0]
    ]
    assert int(np.argmin(wrong)) == 2


@pytest.mark.parametrize("scale", [0.05, 0.2, 1.0, 10.0])
def test_picks_as_float64_does_where_the_common_part_is_long(definition, scale):
    for draw in range(5):
        rng = generator(11, draw)
        spreads = rng.uniform(1e-4, 5e-4, (10, 1))
        common = scale * rng.standard_normal(20_000)
        own = spreads * rng.standard_normal((10, 20_000))
        updates = (common + own).astype(np.float32)
        scores = definition.float64_krum_scores(updates, 2)
        assert krum_selection(updates, byzantine=2) == (int(np.argmin(scores)),)


@pytest.mark.parametrize("selected", [1, 15, 25])
def test_picks_as_float64_does_among_rows_alike(definition, selected):
    for draw in range(5):
        rng = generator(12, draw)
        updates = 1 + 1e-4 * rng.standard_normal((30, 6000))
        updates = updates.astype(np.float32)
        scores = definition.float64_krum_scores(updates, 5)
        want = tuple(sorted(np.argsort(scores, kind="stable")[:selected].tolist()))
        assert krum_selection(updates, byzantine=5, selected=selected) == want


@pytest.mark.parametrize("size", [1e3, 1e15, 1e25, 3e38])
@pytest.mark.parametrize("first", [True, False])
def test_hostile_rows_far_off_do_not_blur_the_choice(definition, size, first):
    rng = generator(13)
    updates = (1 + 1e-4 * rng.standard_normal((13, 3000))).astype(np.float32)
    hostile = slice(0, 5) if first else slice(8, 13)
    updates[hostile] *= np.float32(size / 2)
    scores = definition.float64_krum_scores(updates, 5)
    assert krum_selection(updates, byzantine=5) == (int(np.argmin(scores)),)


def test_rows_too_small_for_float32_squares_are_told_apart(definition):
    updates = generator(14).standard_normal((9, 500)).astype(np.float32)
    updates *= np.float32(1e-24)
    scores = definition.float64_krum_scores(updates, 2)
    assert krum_selection(updates, byzantine=2) == (int(np.argmin(scores)),)


def test_many_copies_are_scored_once_and_the_first_wins(monkeypatch):
    updates = generator(15).standard_normal((20, 300)).astype(np.float32)
    updates[6:15] = updates[3]
    scored = []
    exact = krum_module.distances_from

    def watched(array, rows):
        scored.append(list(rows))
        return exact(array, rows)

    monkeypatch.setattr(krum_module, "distances_from", watched)
    assert krum_selection(updates, byzantine=8) == (3,)
    assert krum_selection(updates, byzantine=8, selected=4) == (3, 6, 7, 8)
    assert scored == [[3], [3]]


def test_clear_cases_need_no_second_look(monkeypatch):
    def never(*_args, **_kwargs):
        pytest.fail("asked for the definition")

    monkeypatch.setattr(krum_module, "distances_from", never)
    monkeypatch.setattr(krum_module, "median_norm_row", never)
    rng = generator(16)
    spreads = np.linspace(1, 2, 20)[:, np.newaxis]
    updates = (100 + spreads * rng.standard_normal((20, 5000))).astype(np.float32)
    assert krum_selection(updates, byzantine=4) == (0,)
    assert krum_selection(updates, byzantine=4, selected=5) == (0, 1, 2, 3, 4)


def test_a_hostile_first_row_leaves_few_to_the_definition(definition, monkeypatch):
    scored = []
    exact = krum_module.distances_from

    def watched(array, rows):
        scored.append(len(rows))
        return exact(array, rows)

    monkeypatch.setattr(krum_module, "distances_from", watched)
    rng = generator(24)
    updates = (1 + 1e-4 * rng.standard_normal((30, 4000))).astype(np.float32)
    updates[0] = 1e12
    scores = definition.float64_krum_scores(updates, 5)
    assert krum_selection(updates, byzantine=5) == (int(np.argmin(scores)),)
    assert sum(scored) <= 2


@st.composite
def bounded(draw):
    """Distances, bounds, and true distances within the bounds, at their ends too."""
    n = draw(st.integers(3, 8))
    upper = arrays(np.float64, (n, n), elements=st.integers(0, 12).map(float))
    squared, bound = (np.triu(draw(upper), 1) for _ in range(2))
    sign = np.triu(draw(arrays(np.float64, (n, n), elements=st.sampled_from([-1, 1]))))
    true = np.maximum(squared + sign * bound, 0)
    neighbours = draw(st.integers(1, n - 1))
    return (
        Distances(squared=squared + squared.T, bound=bound + bound.T),
        true + true.T,
        neighbours,
        draw(st.integers(1, n)),
    )


@settings(max_examples=300)
@given(case=bounded())
def test_rows_are_sure_or_out_only_where_no_true_distances_say_otherwise(case):
    found, true, neighbours, selected = case
    sure, still_open = krum_module._split(
        found, neighbours=neighbours, selected=selected
    )
    scores = [
        sum(sorted(np.delete(row, place))[:neighbours])
        for place, row in enumerate(true)
    ]
    ranked = sorted(range(len(true)), key=lambda row: (scores[row], row))
    assert set(sure) <= set(ranked[:selected]) <= set(sure) | set(still_open)
    assert not set(sure) & set(still_open)


@pytest.mark.parametrize("byzantine", [1, 2, 3])
def test_an_attacker_away_from_the_others_is_never_picked(byzantine):
    n = 2 * byzantine + 3
    for draw in range(20):
        rng = generator(17, draw)
        updates = rng.standard_normal((n, 50)).astype(np.float32)
        hostile = rng.choice(n, byzantine, replace=False)
        updates[hostile] = 50 * updates[hostile] + 100
        rows = krum_selection(updates, byzantine=byzantine, selected=n - byzantine - 2)
        assert not set(rows) & set(hostile.tolist())


def test_the_result_is_a_copy():
    updates = np.zeros((3, 2), dtype=np.float32)
    krum(updates, byzantine=0)[:] = 7
    assert not updates.any()


@pytest.mark.parametrize(
    ("n", "byzantine", "selected", "message"),
    [
        (2, 0, 1, "needs 3"),
        (4, 1, 1, "needs 5"),
        (8, 3, 1, "needs 9"),
        (5, -1, 1, "got -1 Byzantine"),
        (5, 1, 0, "want 1 to 4"),
        (5, 1, 5, "want 1 to 4"),
    ],
)
def test_what_the_guarantee_does_not_cover_is_refused(n, byzantine, selected, message):
    updates = np.ones((n, 2), dtype=np.float32)
    with pytest.raises(InvalidUpdate, match=message):
        krum_selection(updates, byzantine=byzantine, selected=selected)


def test_participants_needed_is_2f_plus_3():
    assert [participants_needed(f) for f in range(4)] == [3, 5, 7, 9]
