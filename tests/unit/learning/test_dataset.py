# SPDX-License-Identifier: Apache-2.0
"""Splits by wall-clock time: what may be known when a window opens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning import dataset

SECOND = 10**9


def test_own_past_is_the_first_sixty_percent_of_time(make_organisation):
    item = make_organisation("a")
    assert item.time_ns[item.is_past].max() <= 600 * SECOND
    assert item.time_ns[~item.is_past].min() > 600 * SECOND


def test_nobody_uses_what_is_later_than_the_cut(make_organisation):
    items = [
        make_organisation("a"),
        make_organisation("b", begin=200, seed=1),
        make_organisation("c", begin=5000, seed=2),
    ]
    found = dataset.situations(items)
    assert [item.own.name for item in found] == ["a", "b", "c"]
    for situation, item in zip(found, items, strict=True):
        assert situation.cut_ns == item.time_ns[~item.is_past].min()
        assert len(situation.own.family) + len(situation.test.family) == len(
            item.family
        )
        for part in situation.others:
            source = next(other for other in items if other.name == part.name)
            allowed = source.time_ns <= situation.cut_ns
            assert np.array_equal(part.features, source.features[allowed])
    assert [part.name for part in found[0].others] == ["b"]
    assert [part.name for part in found[2].others] == ["a", "b"]


def test_who_was_attacked_before_counts_as_a_victim(make_organisation):
    early = make_organisation("a", attack_at=0.7)
    late = make_organisation("b", begin=500, seed=1)
    few = make_organisation("c", begin=2000, seed=2, attacks=100)
    last = make_organisation("d", begin=9000, seed=3)
    found = {s.own.name: s for s in dataset.situations([early, late, few, last])}
    assert found["a"].earlier_victims == 0
    assert found["b"].earlier_victims == 1
    # 100 attack rows are not more than 100
    assert found["d"].earlier_victims == 2
    assert found["b"].own.attacks == 0
    assert found["b"].parts[-1] is found["b"].own


def test_few_rows_are_not_a_part(make_organisation):
    small = make_organisation("a", rows=400, attacks=50)
    big = make_organisation("b", begin=5000, seed=1)
    found = {s.own.name: s for s in dataset.situations([small, big])}
    assert found["b"].others == ()


def test_labels_become_families(make_events):
    events = make_events(100)
    family = dataset.families_of(events)
    names = dataset.family_names(events)
    for row in range(100):
        if events.label[row] == 1:
            assert names[family[row]] == events.techniques[events.technique[row]]
        else:
            assert family[row] == 0
    unlabelled = replace(
        events,
        label=np.full(100, -1, np.int8),
    )
    assert not dataset.families_of(unlabelled).any()
    untold = replace(
        events,
        label=np.ones(100, np.int8),
        technique=np.full(100, -1, np.int16),
    )
    assert set(dataset.families_of(untold)) == {1}


def test_rows_to_learn_from_and_to_measure_on_may_differ(make_organisation):
    items = [make_organisation("a"), make_organisation("b", begin=2000, seed=1)]
    odd = np.arange(len(items[0].family)) % 2 == 1
    masked = [replace(item, may_train=odd, may_test=~odd) for item in items]
    whole, found = (dataset.situations(each)[-1] for each in (items, masked))
    past = items[1].is_past
    assert np.array_equal(found.own.features, items[1].features[past & odd])
    assert np.array_equal(found.test.features, items[1].features[~past & ~odd])
    assert len(found.others[0].family) == odd.sum() < len(whole.others[0].family)
    with pytest.raises(InvalidTelemetry, match="mask"):
        replace(items[0], may_train=odd[1:])


def test_wrong_tables_are_refused(make_organisation):
    item = make_organisation("a")
    with pytest.raises(InvalidTelemetry, match="time order"):
        replace(item, time_ns=item.time_ns[::-1])
    with pytest.raises(InvalidTelemetry, match="lengths"):
        replace(item, family=item.family[1:])
    with pytest.raises(InvalidTelemetry, match="no rows"):
        replace(
            item,
            time_ns=item.time_ns[:0],
            family=item.family[:0],
            features=item.features[:0],
        )
    with pytest.raises(InvalidTelemetry, match="same name"):
        dataset.situations([item, item])
    with pytest.raises(InvalidTelemetry, match="after the first 60%"):
        dataset.situations([replace(item, time_ns=np.zeros(len(item.family), int))])


def test_a_fixed_cut_is_one_instant_for_everybody(make_organisation):
    cut = 1000 * SECOND
    items = [
        replace(make_organisation(name, begin=300 * place, seed=place), cut_ns=cut)
        for place, name in enumerate("ab")
    ]
    for situation in dataset.situations(items):
        assert situation.cut_ns == cut
        for part in situation.parts:
            assert part.time_ns.max() < cut
            assert part.cut_ns == cut
        assert situation.test.time_ns.min() >= cut
    with pytest.raises(InvalidTelemetry, match="one side"):
        dataset.situations([replace(items[0], cut_ns=0)])


def test_a_stream_ends_with_its_part(make_organisation, make_events):
    events = make_events(6000)
    place = np.sort(np.random.default_rng(0).permutation(6000)[:1700])
    item = replace(
        make_organisation("a"),
        time_ns=events.time_ns[place],
        stream=events,
        place=place,
        table=np.arange(1700.0)[:, None],
    )
    (found,) = dataset.situations([item])
    for part in (found.own, found.test):
        assert np.array_equal(part.stream.time_ns[part.place], part.time_ns)
        assert len(part.stream) == part.place[-1] + 1
        assert np.array_equal(
            item.features[part.table[:, 0].astype(int)], part.features
        )
    assert found.own.stream.time_ns.max() < found.cut_ns
    none = found.own.select(np.zeros(len(found.own.family), bool))
    assert len(none.stream) == 0
    with pytest.raises(InvalidTelemetry, match="places"):
        replace(item, place=None)
    with pytest.raises(InvalidTelemetry, match="lengths"):
        replace(item, place=place[1:])


def test_a_part_without_later_rows_has_no_cut(make_organisation):
    item = make_organisation("a")
    still = replace(item, time_ns=np.zeros(len(item.family), np.int64))
    assert dataset.part_of(still, still.is_past).cut_ns is None
    assert dataset.part_of(item, item.is_past).cut_ns is not None
