# SPDX-License-Identifier: Apache-2.0
"""The trimmed mean against its definition, and the count that is never silently 0."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fedxdr.aggregation.trimmed import trim_count, trimmed_mean
from fedxdr.core.errors import InvalidUpdate
from fedxdr.core.randomness import generator

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
matrices = arrays(
    np.float32, array_shapes(min_dims=2, max_dims=2, max_side=20), elements=finite
)


@given(updates=matrices, data=st.data())
def test_equals_the_definition_bit_for_bit(definition, updates, data):
    trim = data.draw(st.integers(0, (len(updates) - 1) // 2))
    got = trimmed_mean(updates, trim=trim)
    want = np.array(definition.trimmed_mean(updates, trim)).astype(np.float32)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(("participants", "trim"), [(1, 0), (9, 2), (16, 7), (100, 20)])
def test_equals_the_definition_over_several_tiles(definition, participants, trim):
    updates = generator(6, participants).standard_normal(
        (participants, 70_000), dtype=np.float32
    )
    got = trimmed_mean(updates, trim=trim)
    columns = [*range(0, 70_000, 1999), 65_535, 65_536, 69_999]
    want = np.array(definition.trimmed_mean(updates[:, columns], trim))
    np.testing.assert_array_equal(got[columns], want.astype(np.float32))


@given(updates=matrices.filter(lambda m: len(m) > 2), data=st.data())
def test_as_many_as_are_trimmed_cannot_leave_the_range_of_the_others(updates, data):
    trim = data.draw(st.integers(0, (len(updates) - 1) // 2))
    honest = updates[trim:]
    got = trimmed_mean(updates, trim=trim)
    assert (honest.min(axis=0) <= got).all()
    assert (got <= honest.max(axis=0)).all()


@pytest.mark.parametrize("participants", [5, 20])
def test_values_are_added_in_ascending_order(participants):
    """-2^53 + 1 + 1 + 1 + 2^53 is 3 from below in float64, and 0 from above."""
    column = np.ones(participants, dtype=np.float32)
    column[0], column[3] = 2.0**53, -(2.0**53)
    got = trimmed_mean(column[:, np.newaxis], trim=0)
    assert got[0] == np.float32((participants - 2) / participants)


@pytest.mark.parametrize("trim", [-1, 2, 3])
def test_nothing_left_to_average_is_refused(trim):
    with pytest.raises(InvalidUpdate, match="2 \\* trim < n"):
        trimmed_mean(np.ones((4, 2), dtype=np.float32), trim=trim)


@given(participants=st.integers(1, 10_000), percent=st.integers(0, 49))
def test_the_count_is_that_of_the_decimal_fraction(definition, participants, percent):
    want = definition.trim_count(participants, percent)
    if want == 0 and percent > 0:
        with pytest.raises(InvalidUpdate, match="nothing would be trimmed"):
            trim_count(participants, percent / 100)
    else:
        assert trim_count(participants, percent / 100) == want


def test_a_fraction_that_binary_cannot_hold_counts_as_written():
    assert int(0.29 * 100) == 28
    assert trim_count(100, 0.29) == 29


def test_a_fifth_of_four_is_refused_and_not_taken_for_none():
    with pytest.raises(InvalidUpdate, match=r"0\.2 of 4 participants"):
        trim_count(4, 0.2)
    assert trim_count(4, 0.0) == 0


@pytest.mark.parametrize("fraction", [-0.1, 0.5, 1.0, float("nan"), float("inf")])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(InvalidUpdate, match="trim fraction"):
        trim_count(10, fraction)


def test_no_participants_are_refused():
    with pytest.raises(InvalidUpdate, match="0 participants"):
        trim_count(0, 0.1)
