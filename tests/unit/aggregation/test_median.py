# SPDX-License-Identifier: Apache-2.0
"""The coordinate-wise median against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fedxdr.aggregation.median import median
from fedxdr.core.randomness import generator

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
matrices = arrays(
    np.float32, array_shapes(min_dims=2, max_dims=2, max_side=20), elements=finite
)


@given(updates=matrices)
def test_equals_the_definition_bit_for_bit(definition, updates):
    want = np.array(definition.median(updates)).astype(np.float32)
    np.testing.assert_array_equal(median(updates), want)


@pytest.mark.parametrize("participants", [1, 2, 3, 10, 16, 17, 50, 101])
def test_equals_the_definition_over_several_tiles(definition, participants):
    updates = generator(5, participants).standard_normal(
        (participants, 70_000), dtype=np.float32
    )
    got = median(updates)
    columns = [*range(0, 70_000, 1999), 65_535, 65_536, 69_999]
    want = np.array(definition.median(updates[:, columns])).astype(np.float32)
    np.testing.assert_array_equal(got[columns], want)


def test_two_largest_numbers_do_not_overflow():
    top = np.finfo(np.float32).max
    updates = np.array([[top, top, 1.0], [top, -top, top]], dtype=np.float32)
    got = median(updates)
    np.testing.assert_array_equal(got, np.float32([top, 0.0, top / 2]))


@given(updates=matrices.filter(lambda m: len(m) > 2), data=st.data())
def test_a_minority_cannot_leave_the_range_of_the_others(updates, data):
    hostile = data.draw(st.integers(0, (len(updates) - 1) // 2))
    honest = updates[hostile:]
    got = median(updates)
    assert (honest.min(axis=0) <= got).all()
    assert (got <= honest.max(axis=0)).all()
