# SPDX-License-Identifier: Apache-2.0
"""Checks and tiles that all aggregators share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.aggregation.aggregator import (
    checked,
    refuse_not_finite,
    rows_not_finite,
    tiles,
)
from fedxdr.core.errors import InvalidUpdate


def test_what_has_the_form_is_handed_back_itself():
    updates = np.zeros((2, 3), dtype=np.float32)
    assert checked(updates) is updates


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros(3, dtype=np.float32),
        np.zeros((1, 2, 3), dtype=np.float32),
        np.zeros((2, 3), dtype=np.float64),
        np.zeros((2, 3), dtype=">f4"),
        np.zeros((2, 3), dtype=np.int32),
        np.zeros((0, 3), dtype=np.float32),
        np.zeros((3, 0), dtype=np.float32),
        [[1.0, 2.0]],
    ],
)
def test_another_form_is_refused_with_what_was_got_and_wanted(wrong):
    with pytest.raises(InvalidUpdate, match=r"got .*, want "):
        checked(wrong)


@given(
    participants=st.integers(1, 3000),
    parameters=st.integers(1, 200_000),
    numbers=st.integers(1, 1 << 20),
)
def test_tiles_cover_every_column_once_in_order(participants, parameters, numbers):
    updates = np.broadcast_to(np.float32(0), (participants, parameters))
    end = 0
    for tile in tiles(updates, numbers=numbers):
        assert tile.start == end
        assert end < tile.stop <= parameters
        assert tile.stop - tile.start <= max(64, numbers // participants)
        end = tile.stop
    assert end == parameters


def test_rows_that_are_not_finite_are_named_across_tiles():
    updates = np.zeros((5, 300_000), dtype=np.float32)
    assert rows_not_finite(updates) == ()
    refuse_not_finite(updates)
    updates[1, -1] = np.nan
    updates[3, 0] = -np.inf
    updates[4, 150_000] = np.inf
    assert rows_not_finite(updates) == (1, 3, 4)
    with pytest.raises(InvalidUpdate, match="row 1, 3, 4 of 5"):
        refuse_not_finite(updates)
