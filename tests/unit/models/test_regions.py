# SPDX-License-Identifier: Apache-2.0
"""Lists in long arrays against lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fedxdr.models.regions import Column, Regions, runs

DEPTH, NEAR, PAD = 5, 3, 8
COLUMNS = {
    "a": Column(dtype=np.dtype(np.int64), depth=DEPTH),
    "b": Column(dtype=np.dtype([("x", np.uint8, (3,))]), depth=NEAR),
}


def regions():
    return Regions(COLUMNS, pad=PAD)


def append(found, lists, new):
    """Append items to several lists at once, and to ours."""
    numbers = np.array(list(new), np.int64)
    counts = np.array([len(items) for items in new.values()], np.int64)
    found.lengthen(max([len(lists), *(numbers + 1)]))
    _, begin = found.claim(numbers, counts)
    place, items = runs(begin, counts), np.concatenate(list(new.values()))
    found.columns["a"][place] = items
    found.columns["b"]["x"][place] = items[:, None] % 251
    for number, added in new.items():
        lists.setdefault(number, []).extend(added)


def check(found, lists):
    held, items = found.held(), found.items()
    want = [lists.get(number, []) for number in range(len(held))]
    assert held.tolist() == [min(len(one), DEPTH) for one in want]
    assert items["a"].tolist() == [n for one in want for n in one[-DEPTH:]]
    near = [n % 251 for one in want for n in one[-NEAR:]]
    assert items["b"]["x"].tolist() == [[n] * 3 for n in near]
    assert not found.columns["a"][:PAD].any()


@given(
    st.lists(
        st.dictionaries(
            st.integers(0, 9),
            st.one_of(st.integers(1, 4), st.integers(1, 150)),
            min_size=1,
        ),
        max_size=30,
    )
)
@example(
    # all is laid out anew in a step in which a list that had room loses it
    [
        {0: 1},
        {0: 1},
        {0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 11},
        {0: 1, 1: 9},
        {6: 10, 0: 1, 1: 4},
        {0: 1, 1: 4, 3: 18},
    ]
)
def test_the_last_items_of_every_list_stay_in_their_order(appended):
    found, lists, item = regions(), {}, 1
    for counts in appended:
        new = {}
        for number, count in counts.items():
            new[number] = list(range(item, item + count))
            item += count
        append(found, lists, new)
        check(found, lists)
    kept = [number for number in sorted(lists) if number % 2]
    found.keep(np.array(kept, np.int64))
    lists = {place: lists[number] for place, number in enumerate(kept)}
    check(found, lists)
    if lists:
        append(found, lists, {number: [7, 8, 9, 10] for number in lists})
        check(found, lists)


def test_several_lists_get_room_at_once():
    found = regions()
    found.lengthen(3)
    lists, counts = np.array([2, 0]), np.array([40, 3])
    home, end = found.claim(lists, counts)
    assert (home == end).all()
    spots = runs(end, counts)
    assert len(set(spots.tolist())) == 43
    assert spots.min() >= PAD
    assert found.held().tolist() == [3, 0, 5]


def test_many_long_lists_take_no_more_than_a_few_times_what_counts():
    found = regions()
    found.lengthen(100)
    everyone = np.arange(100)
    for _ in range(300):
        found.claim(everyone, np.full(100, 3))
    assert len(found.columns["a"]) < 16 * 100 * DEPTH


def test_others_are_taken_as_they_were_held():
    found, lists = regions(), {}
    append(found, lists, {0: [1, 2], 1: [3], 2: list(range(90))})
    again = regions()
    again.fill(found.held(), found.items())
    check(again, lists)
    append(again, lists, {1: [90, 91, 92]})
    check(again, lists)


@pytest.mark.parametrize(
    ("begin", "count", "want"),
    [([], [], []), ([5, 0], [2, 3], [5, 6, 0, 1, 2]), ([5, 9], [0, 1], [9])],
)
def test_runs(begin, count, want):
    assert runs(np.array(begin, int), np.array(count, int)).tolist() == want
