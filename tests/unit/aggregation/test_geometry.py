# SPDX-License-Identifier: Apache-2.0
"""Distances, and that their bounds hold where rounding is worst."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fedxdr.aggregation.geometry import (
    distances,
    distances_from,
    median_norm_row,
    squared_norms,
)
from fedxdr.core.errors import InvalidUpdate
from fedxdr.core.randomness import generator

small = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=7),
    elements=st.floats(-1e4, 1e4, width=32),
)


def pairwise(updates):
    wide = updates.astype(np.float64)
    return np.array([np.square(wide - row).sum(axis=1) for row in wide])


@given(updates=small)
def test_by_definition_equals_exact_fractions(definition, updates):
    got = distances_from(updates, range(len(updates)))
    for i, row in enumerate(updates):
        for j, other in enumerate(updates):
            want = float(definition.exact_squared_distance(row, other))
            assert got[i, j] == pytest.approx(want, rel=1e-14, abs=0)


@given(updates=small, data=st.data())
def test_distances_lie_within_their_bounds(updates, data):
    centre = data.draw(st.integers(0, len(updates) - 1))
    want = distances_from(updates, range(len(updates)))
    for double in (False, True):
        found = distances(updates, centre=centre, double=double)
        assert (np.abs(found.squared - want) <= found.bound).all()


@pytest.mark.parametrize("scale", [1e-20, 1e-12, 0.05, 1.0, 10.0, 1e12])
@pytest.mark.parametrize("spread", [1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("parameters", [1, 63, 5000, 40_000])
def test_bounds_hold_and_are_tight_at_every_scale(scale, spread, parameters):
    rng = generator(7, parameters)
    common = rng.standard_normal(parameters)
    own = rng.standard_normal((6, parameters))
    updates = (scale * (common + spread * own)).astype(np.float32)
    want = pairwise(updates)
    for double in (False, True):
        found = distances(updates, double=double)
        assert (np.abs(found.squared - want) <= found.bound).all()
        unit = 2.0**-53 if double else 2.0**-24
        spans = want.max() + 4 * parameters * 1.2e-38
        assert found.bound.max() <= 5000 * unit * spans + 20 * parameters * 1.2e-38


def test_bounds_grow_with_the_square_of_the_scale():
    updates = generator(8).standard_normal((5, 20_000), dtype=np.float32)
    once, twice = distances(updates), distances(updates * 4)
    np.testing.assert_allclose(twice.bound, once.bound * 16, rtol=1e-12)
    np.testing.assert_array_equal(twice.squared, once.squared * 16)


@pytest.mark.parametrize("hostile", [0, 3, 5])
@pytest.mark.parametrize("size", [1e6, 1e18, 3e38])
def test_bounds_hold_beside_a_far_off_row(hostile, size):
    updates = generator(9).standard_normal((6, 3000), dtype=np.float32)
    updates[hostile] = size
    updates[hostile, ::2] = -size
    want = pairwise(updates)
    for found in (
        distances(updates),
        distances(updates, centre=median_norm_row(updates), double=True),
    ):
        assert np.isfinite(found.squared).all()
        assert (found.squared >= 0).all()
        assert (np.abs(found.squared - want) <= found.bound).all()
    near = np.delete(np.delete(found.bound, hostile, 0), hostile, 1)
    assert near.max() < 1e-9


def test_distances_are_symmetric_and_zero_to_themselves_and_to_equals():
    updates = generator(10).standard_normal((40, 9001), dtype=np.float32)
    updates[30] = updates[0]
    for double in (False, True):
        found = distances(updates, double=double)
        np.testing.assert_array_equal(found.squared, found.squared.T)
        np.testing.assert_array_equal(found.bound, found.bound.T)
        assert not found.squared.diagonal().any()
        assert not found.bound.diagonal().any()
        assert found.squared[0, 30] == 0
        assert (found.squared >= 0).all()
    exact = distances_from(updates, range(40))
    np.testing.assert_array_equal(exact, exact.T)
    assert exact[0, 30] == 0


def test_equal_rows_have_no_distance_at_all():
    found = distances(np.full((4, 1000), 0.1, dtype=np.float32))
    assert not found.squared.any()


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("row", [0, 2])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite_is_refused(double, row, bad):
    updates = np.ones((4, 5000), dtype=np.float32)
    updates[row, 4999] = bad
    with pytest.raises(InvalidUpdate, match=f"row {row} of 4"):
        distances(updates, double=double)


@pytest.mark.parametrize("centre", [-1, 3])
def test_a_centre_that_is_not_there_is_refused(centre):
    with pytest.raises(InvalidUpdate, match="centre"):
        distances(np.ones((3, 2), dtype=np.float32), centre=centre)


def test_norms_do_not_overflow_and_their_lower_median_is_found():
    updates = np.zeros((4, 70_000), dtype=np.float32)
    updates[0, 0] = 3e38
    updates[1, 69_999] = -3
    updates[2, [5, 6]] = 3, 4
    got = squared_norms(updates)
    np.testing.assert_allclose(got, [float(np.float32(3e38)) ** 2, 9, 25, 0])
    assert median_norm_row(updates) == 1
    assert median_norm_row(updates[[0, 2, 1]]) == 1
    assert median_norm_row(np.ones((5, 2), dtype=np.float32)) == 2
