# SPDX-License-Identifier: Apache-2.0
"""Lists in long arrays against lists."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.models.regions import Regions, runs

DEPTH, PAD = 5, 8
COLUMNS = {"a": np.dtype(np.int64), "b": np.dtype([("x", np.uint8, (3,))])}


def regions():
    return Regions(COLUMNS, depth=DEPTH, pad=PAD)


def append(found, lists, number, items):
    """Append items to the list of that number, and to ours."""
    found.lengthen(max(len(lists), number + 1))
    _, begin = found.claim(np.array([number]), np.array([len(items)]))
    place = begin[0] + np.arange(len(items))
    found.columns["a"][place] = items
    found.columns["b"]["x"][place] = np.array(items)[:, None] % 251
    lists.setdefault(number, []).extend(items)


def check(found, lists):
    held, place = found.held()
    want = [lists.get(number, [])[-DEPTH:] for number in range(len(held))]
    assert held.tolist() == list(map(len, want))
    assert found.columns["a"][place].tolist() == list(itertools.chain(*want))
    assert (
        found.columns["b"]["x"][place, 1].tolist()
        == (found.columns["a"][place] % 251).tolist()
    )
    assert not found.columns["a"][:PAD].any()


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 30)), max_size=40))
def test_the_last_items_of_every_list_stay_in_their_order(appended):
    found, lists, item = regions(), {}, 1
    for number, count in appended:
        append(found, lists, number, list(range(item, item + count)))
        item += count
        check(found, lists)
    kept = [number for number in sorted(lists) if number % 2]
    found.keep(np.array(kept, np.int64))
    check(found, {place: lists[number] for place, number in enumerate(kept)})


def test_several_lists_get_room_at_once():
    found = regions()
    found.lengthen(3)
    lists, counts = np.array([2, 0]), np.array([40, 3])
    home, end = found.claim(lists, counts)
    assert (home == end).all()
    spots = runs(end, counts)
    assert len(set(spots.tolist())) == 43
    assert spots.min() >= PAD
    assert found.held()[0].tolist() == [3, 0, 5]


def test_many_long_lists_take_no_more_than_a_few_times_what_counts():
    found = regions()
    found.lengthen(100)
    everyone = np.arange(100)
    for _ in range(300):
        found.claim(everyone, np.full(100, 3))
    assert len(found.columns["a"]) < 8 * 100 * DEPTH


def test_others_are_taken_as_they_were_held():
    found, lists = regions(), {}
    for number in (0, 1, 2):
        append(found, lists, number, list(range(9 * number, 9 * number + 4 + number)))
    held, place = found.held()
    again = regions()
    again.fill(held, {name: column[place] for name, column in found.columns.items()})
    check(again, lists)
    append(again, lists, 1, [90, 91, 92])
    check(again, lists)


@pytest.mark.parametrize(
    ("begin", "count", "want"),
    [([], [], []), ([5, 0], [2, 3], [5, 6, 0, 1, 2]), ([5, 9], [0, 1], [9])],
)
def test_runs(begin, count, want):
    assert runs(np.array(begin, int), np.array(count, int)).tolist() == want
