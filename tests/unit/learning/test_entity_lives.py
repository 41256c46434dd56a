# SPDX-License-Identifier: Apache-2.0
"""Lifetimes with users as nodes, held for a stream, against a loop over events."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import MalformedMessage
from fedxdr.learning import columns
from fedxdr.learning.entity_lives import EntityLives

SECOND = 10**9
EVENTS = st.lists(
    st.tuples(*[st.integers(1, 4)] * 2, st.integers(0, 2), st.integers(1, 2)),
    max_size=30,
)
NAMES = ("source", "destination", "user", "spoken")


def push(lives, begin, rows):
    """Push (source, destination, user, spoken) rows, ten minutes apart."""
    known = {
        name: np.array([row[k] for row in rows], np.int64)
        for k, name in enumerate(NAMES)
    }
    number = np.arange(begin, begin + len(rows))
    return lives.push(known, serial=2 * number, time_ns=600 * SECOND * number)


def defined(rows, number):
    """Return what is told of one event, from the words of the modules."""
    own = dict(zip(NAMES, rows[number], strict=True))
    past = [dict(zip(NAMES, row, strict=True)) for row in rows[:number]]

    def of(*names):
        is_nobody = "user" in names and own["user"] == 0
        return [
            (place, event)
            for place, event in enumerate(past)
            if not is_nobody and all(event[name] == own[name] for name in names)
        ]

    kinds = [("source",), ("destination",), ("source", "destination"), ("user",)]
    kinds += [("user", "destination"), ("user", "source"), ("destination", "spoken")]
    told = []
    for kind in kinds:
        known = of(*kind)
        age = 600 * SECOND * (number - known[0][0]) if known else 0
        told += columns.lifetime(np.array([len(known)]), np.array([age]))[0].tolist()
    for name, met in (
        ("source", "destination"),
        ("destination", "source"),
        ("user", "destination"),
        ("user", "source"),
    ):
        count = len({event[met] for _, event in of(name)})
        told.append(columns.acquaintance(np.array([count]))[0])
    return told


@settings(max_examples=40, deadline=None)
@given(EVENTS, st.integers(0, 30))
def test_what_is_told_equals_its_definition_however_it_is_cut(rows, cut):
    lives = EntityLives()
    found = np.concatenate(
        [push(lives, 0, rows[:cut]), push(lives, len(rows[:cut]), rows[cut:])]
    )
    assert found.shape == (len(rows), 25)
    for number in range(len(rows)):
        assert found[number].tolist() == defined(rows, number)
    once = EntityLives()
    push(once, 0, rows)
    for name, array in once.state().items():
        assert array.tobytes() == lives.state()[name].tobytes(), name


def test_a_user_who_is_not_known_is_not_kept():
    lives = EntityLives()
    push(lives, 0, [(1, 2, 0, 1), (2, 1, 0, 1)])
    kinds = dict(zip(lives.KINDS, lives.nodes, strict=True))
    assert kinds == {
        **dict.fromkeys(("pair", "source", "destination", "service"), 2),
        **dict.fromkeys(("user_there", "user_here", "user", "met"), 0),
    }


def test_saved_lives_go_on_as_they_were_and_others_are_refused():
    rows = [(1, 2, 1, 1), (2, 1, 0, 1), (1, 3, 1, 2)]
    lives = EntityLives()
    push(lives, 0, rows)
    again = EntityLives.from_state(lives.state())
    assert push(lives, 3, rows).tobytes() == push(again, 3, rows).tobytes()
    with pytest.raises(MalformedMessage, match="no place"):
        EntityLives.from_state(lives.state() | {"end.keys": np.zeros((1, 0))})
