# SPDX-License-Identifier: Apache-2.0
"""Both ways of sorting a tile, and the network by the zero-one principle."""

import itertools

import numpy as np
import pytest

from fedxdr.aggregation.sorting import NETWORK_MAX, comparators, sorted_tiles
from fedxdr.core.errors import InvalidUpdate
from fedxdr.core.randomness import generator


@pytest.mark.parametrize("size", range(1, NETWORK_MAX + 1))
def test_the_network_sorts_every_zero_one_input(size):
    """Knuth, TAOCP vol. 3, 5.3.4, theorem Z: then it sorts everything."""
    words = np.arange(1 << size)
    lines = [(words >> line) & 1 for line in range(size)]
    for upper, lower in comparators(size):
        assert 0 <= upper < lower < size
        low = lines[upper] & lines[lower]
        lines[lower] = lines[upper] | lines[lower]
        lines[upper] = low
    for above, below in itertools.pairwise(lines):
        assert (above <= below).all()


def test_the_network_has_batchers_numbers_of_comparators():
    """OEIS A006282: comparisons in Batcher's parallel sort."""
    counts = [len(comparators(size)) for size in range(1, 17)]
    assert counts == [0, 1, 3, 5, 9, 12, 16, 19, 26, 31, 37, 41, 48, 53, 59, 63]


@pytest.mark.parametrize("participants", [1, 2, 3, 7, 16, 17, 18, 64, 129])
def test_columns_come_sorted_over_all_tiles(participants):
    rng = generator(3, participants)
    updates = rng.standard_normal((participants, 70_001), dtype=np.float32)
    updates[:, :50] = rng.integers(-2, 3, (participants, 50))
    before = updates.copy()
    got = np.empty_like(updates)
    seen = 0
    for tile, rows in sorted_tiles(updates):
        assert len(rows) == participants
        seen += 1
        for place, row in enumerate(rows):
            got[place, tile] = row
    assert seen > 1
    np.testing.assert_array_equal(got, np.sort(before, axis=0))
    np.testing.assert_array_equal(updates, before)


@pytest.mark.parametrize("participants", [1, 2, 5, 16, 17, 40])
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_not_finite_is_found_in_every_row(participants, bad):
    for row in range(participants):
        updates = np.ones((participants, 70), dtype=np.float32)
        updates[row, 69] = bad
        with pytest.raises(InvalidUpdate, match=f"row {row} of {participants}"):
            list(sorted_tiles(updates))


@pytest.mark.parametrize("participants", [4, 20])
def test_columns_that_are_views_are_sorted_too(participants):
    wide = generator(4).standard_normal((200, 2 * participants), dtype=np.float32)
    updates = wide[:, ::2].T
    ((_, rows),) = sorted_tiles(updates)
    np.testing.assert_array_equal(np.array(rows), np.sort(updates, axis=0))
