# SPDX-License-Identifier: Apache-2.0
"""Numbers of nodes against a dictionary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.models.slots import Slots

TOKENS = st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1))
PAIRS = st.lists(st.tuples(TOKENS, TOKENS), max_size=40)


def columns(pairs):
    return np.array(pairs, np.int64).reshape(-1, 2).T


@given(st.lists(PAIRS, max_size=5))
def test_numbers_are_those_of_first_appearance_however_it_was_cut(blocks):
    slots, numbers = Slots(2), {}
    for block in blocks:
        for pair in block:
            numbers.setdefault(pair, len(numbers))
        assert slots.find(columns(block)).tolist() == [numbers[p] for p in block]
        assert len(slots) == len(numbers)
    assert list(map(tuple, slots.keys[:, : len(slots)].T.tolist())) == list(numbers)


def test_many_keys_are_told_apart_while_the_table_grows():
    tokens = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 20_000)
    slots = Slots(1)
    for begin in range(0, 20_000, 777):
        found = slots.find(tokens[None, begin : begin + 777])
        assert found.tolist() == list(range(begin, begin + len(found)))
    assert slots.find(tokens[None]).tolist() == list(range(20_000))
    assert slots.size_bytes < 100 * 20_000


@pytest.mark.parametrize("step", [1, 64, 4096, 2**20, 2**32, 2**56])
def test_regular_keys_do_not_crowd(step):
    keys = np.arange(100, dtype=np.int64)[None] * step
    assert Slots(1).find(keys).tolist() == list(range(100))


def test_what_is_not_kept_is_new_when_it_comes_again():
    slots = Slots(1)
    slots.find(np.arange(300)[None])
    slots.keep(np.array([7, 2, 250]))
    assert len(slots) == 3
    assert slots.find(np.array([[7, 2, 250, 0, 7]])).tolist() == [0, 1, 2, 3, 0]


def test_keys_of_another_width_are_refused():
    with pytest.raises(InvalidTelemetry, match="2 columns, want 1"):
        Slots(1).find(np.zeros((2, 3), np.int64))
