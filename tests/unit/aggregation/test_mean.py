# SPDX-License-Identifier: Apache-2.0
"""The weighted mean against its definition, bit for bit and exactly."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fedxdr.aggregation.mean import WEIGHT_MAX, WEIGHT_MIN, mean_of_rows, weighted_mean
from fedxdr.core.errors import InvalidUpdate
from fedxdr.core.randomness import generator

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
matrices = arrays(
    np.float32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=finite
)


@given(updates=matrices, data=st.data())
def test_equals_the_definition_bit_for_bit(definition, updates, data):
    n = len(updates)
    weights = data.draw(
        st.lists(st.integers(0, 1 << 53), min_size=n, max_size=n).filter(any)
    )
    got = weighted_mean(updates, weights)
    want = np.array(definition.weighted_mean(updates, weights)).astype(np.float32)
    np.testing.assert_array_equal(got, want)


def test_equals_the_definition_over_several_tiles(definition):
    rng = generator(1)
    updates = rng.standard_normal((20, 70_001), dtype=np.float32)
    weights = rng.integers(0, 4, 20)
    got = weighted_mean(updates, weights)
    columns = [*range(0, 70_001, 997), 32_767, 32_768, 65_535, 65_536, 70_000]
    want = np.array(definition.weighted_mean(updates[:, columns], weights))
    np.testing.assert_array_equal(got[columns], want.astype(np.float32))


def test_is_the_float32_next_to_the_exact_value(definition):
    rng = generator(2)
    updates = rng.standard_normal((30, 40), dtype=np.float32)
    weights = rng.integers(1, 1 << 20, 30)
    got = weighted_mean(updates, weights)
    exact = definition.exact_weighted_mean(updates, weights)
    for number, value in zip(got, exact, strict=True):
        error = abs(Fraction(float(number)) - value)
        assert error <= Fraction(float(np.spacing(np.abs(number)))) * 51 / 100


def test_a_weight_of_zero_leaves_a_row_out_and_a_single_one_takes_it():
    updates = np.array([[1, 2], [5, 7], [100, -100]], dtype=np.float32)
    np.testing.assert_array_equal(weighted_mean(updates, [1, 3, 0]), [4.0, 5.75])
    np.testing.assert_array_equal(weighted_mean(updates, [0, 0, 2]), updates[2])


@pytest.mark.parametrize("value", [3.4028235e38, -3.4028235e38, 1e-45, -0.0])
def test_extremes_neither_overflow_nor_vanish(value):
    updates = np.full((7, 3), value, dtype=np.float32)
    for weight in (WEIGHT_MIN, 1.0, 3.0, WEIGHT_MAX):
        got = weighted_mean(updates, [weight] * 7)
        np.testing.assert_array_equal(got, updates[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("weight", [0, 1])
def test_not_finite_is_refused_whatever_it_weighs(bad, weight):
    updates = np.ones((3, 5), dtype=np.float32)
    updates[1, 4] = bad
    with pytest.raises(InvalidUpdate, match="row 1 of 3"):
        weighted_mean(updates, [1, weight, 1])


def test_infinities_that_would_cancel_are_refused():
    updates = np.array([[np.inf], [-np.inf]], dtype=np.float32)
    with pytest.raises(InvalidUpdate, match="row 0, 1"):
        weighted_mean(updates, [1, 1])
    with pytest.raises(InvalidUpdate, match="row 0, 1"):
        mean_of_rows(updates, [0, 1])


@pytest.mark.parametrize(
    "weights",
    [
        [1, 2],
        [1, 2, 3, 4],
        [[1, 2, 3]],
        [0, 0, 0],
        [1, -1, 1],
        [1, float("nan"), 1],
        [1, float("inf"), 1],
        [1, 2.0**53 + 2, 1],
        [1, 10**400, 1],
        [1, 2.0**-54, 1],
        [1, 5e-324, 1],
        ["a", "b", "c"],
        [1, None, 1],
    ],
)
def test_wrong_weights_are_refused(weights):
    with pytest.raises(InvalidUpdate, match="weight"):
        weighted_mean(np.ones((3, 2), dtype=np.float32), weights)


@given(updates=matrices, data=st.data())
def test_mean_of_rows_is_the_mean_with_equal_weights(updates, data):
    rows = data.draw(
        st.lists(st.integers(0, len(updates) - 1), min_size=1, unique=True)
    )
    np.testing.assert_array_equal(
        mean_of_rows(updates, rows), weighted_mean(updates[rows], [1] * len(rows))
    )


@pytest.mark.parametrize("rows", [[], [3], [-1]])
def test_rows_that_are_not_there_are_refused(rows):
    with pytest.raises(InvalidUpdate, match="rows"):
        mean_of_rows(np.ones((3, 2), dtype=np.float32), rows)
