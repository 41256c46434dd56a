# SPDX-License-Identifier: Apache-2.0
"""Situations of the past: which rows they take, and that they take no others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning import dataset, validation
from fedxdr.learning.dataset import Part, Situation

SECOND = 10**9


def part(name, family, *, time=None, cut_ns=None, table=True):
    """Return a part whose rows are told apart by their first feature."""
    rows = len(family)
    features = np.arange(rows, dtype=np.float32)[:, None] + 1000 * ord(name[0])
    return Part(
        name=name,
        features=features,
        family=np.array(family),
        time_ns=np.arange(rows) if time is None else np.array(time),
        table=features.astype(np.float64) if table else None,
        cut_ns=cut_ns,
    )


def situation(own, *others, **changes):
    return Situation(
        own=own,
        others=others,
        test=part("test", [0, 1]),
        cut_ns=10**6,
        families=("benign", "scan", "leak", "worm"),
        **changes,
    )


def first(values):
    return values.features[:, 0].tolist()


def test_the_last_fifth_is_by_time():
    own = part("a", [0] * 11, time=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    early = part("b", [0] * 1200, time=np.arange(1200) // 200)
    late = part("c", [0] * 1200, time=np.arange(1200) // 2)
    found = validation.last_fifth(situation(own, early, late))
    assert found.cut_ns == 9
    assert first(found.own) == first(own)[:9]
    assert first(found.test) == first(own)[9:]
    # who has few rows by then takes no part
    assert [item.name for item in found.others] == ["b"]
    assert first(found.others[0]) == first(early)


def test_where_validation_begins_can_be_said():
    own = part("a", [0] * 10)
    found = validation.last_fifth(situation(own, validate_ns=3))
    assert first(found.test) == first(own)[3:]
    assert found.validate_ns is None
    for instant in (0, 10):
        with pytest.raises(InvalidTelemetry, match="both sides"):
            validation.last_fifth(situation(own, validate_ns=instant))
    with pytest.raises(InvalidTelemetry, match="without time"):
        validation.last_fifth(situation(replace(own, time_ns=None)))


def test_a_victim_is_held_out_with_its_rows_after_its_own_cut():
    victim = part("v", [0] * 50 + [1] * 151 + [0] * 50, cut_ns=100)
    quiet = part("q", [0] * 250, cut_ns=100)
    untested = part("u", [0] * 50 + [1] * 150, cut_ns=None)
    later = part("l", [1] * 250, cut_ns=100)
    own = part("o", [0] * 100)
    found = validation.victims_held_out(situation(own, victim, quiet, untested, later))
    assert [item.name for item in found] == ["v"]
    assert first(found[0].own) == first(victim)[:100]
    assert first(found[0].test) == first(victim)[100:]
    assert [item.name for item in found[0].others] == ["q", "u", "l", "o"]


def test_the_mirror_tests_own_rows_and_what_only_others_know():
    own = part("a", [0, 1] * 10)
    other = part("b", [0, 1, 2, 2] * 5)
    found = validation.mirrored(situation(own, other))
    assert first(found.own) == first(own)[:16]
    assert first(found.others[0]) == [
        value
        for value, is_late in zip(first(other), [False] * 16 + [True] * 4, strict=True)
        if not is_late
    ]
    # of the other's last fifth only the family that is new here
    assert first(found.test) == first(own)[16:] + first(other)[18:]
    assert found.test.table[:, 0].tolist() == first(found.test)
    assert found.test.stream is None
    untold = validation.mirrored(situation(own, replace(other, table=None)))
    assert untold.test.table is None


def test_each_own_family_is_taken_out_in_turn():
    own = part("a", [0, 1, 3, 0, 1] * 10)
    other = part("b", [0, 3] * 10)
    one, two = validation.families_held_out(situation(own, other))
    assert (one.name, two.name) == ("a without scan", "a without worm")
    assert set(one.own.family.tolist()) == {0, 3}
    assert set(two.own.family.tolist()) == {0, 1}
    assert first(one.test) == first(two.test)
    assert np.bincount(one.test.family).tolist() == [4, 4, 0, 2]
    assert not set(first(one.test)) & {*first(one.own), *first(two.own)}
    assert 3 in one.others[0].family


def test_every_row_comes_from_the_past(make_organisation):
    organisations = [
        make_organisation(name, begin=200 * place, seed=place)
        for place, name in enumerate("abcd")
    ]
    for asked in dataset.situations(organisations):
        past = {row.tobytes() for item in asked.parts for row in item.features}
        tested = {row.tobytes() for row in asked.test.features}
        for found in (
            validation.last_fifth(asked),
            *validation.victims_held_out(asked),
            validation.mirrored(asked),
            *validation.families_held_out(asked),
        ):
            for item in (*found.parts, found.test):
                rows = {row.tobytes() for row in item.features}
                assert rows <= past
                assert not rows & tested
            learned = {row.tobytes() for item in found.parts for row in item.features}
            assert not learned & {row.tobytes() for row in found.test.features}
