# SPDX-License-Identifier: Apache-2.0
"""Bounded contributions: what removing one host can change."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fedxdr.core.errors import InvalidPlan
from fedxdr.core.randomness import SeededEntropy
from fedxdr.learning import contributions, features
from fedxdr.models.context import context_of


class Coupled:
    """Secret numbers that stay with their events when some are removed."""

    def __init__(self, numbers):
        self.numbers = numbers

    def __call__(self, seed, *, label):
        del seed
        assert label == contributions.LABEL
        return self

    def read_into(self, buffer):
        memoryview(buffer).cast("B")[:] = self.numbers.tobytes()


def test_each_host_keeps_at_most_so_many():
    entity = np.array([7] * 100 + [3] * 5 + [9])
    kept = contributions.bounded(entity, most=8, entropy=SeededEntropy(1))
    counts = {host: int(kept[entity == host].sum()) for host in (7, 3, 9)}
    assert counts == {7: 8, 3: 5, 9: 1}


def test_who_is_kept_is_drawn_evenly():
    entity = np.zeros(50, np.int64)
    total = sum(
        contributions.bounded(entity, most=10, entropy=SeededEntropy(seed))
        for seed in range(400)
    )
    assert abs(total - 80).max() < 5 * np.sqrt(400 * 0.2 * 0.8)


@pytest.mark.parametrize("name", ["alerts-event", "traffic-event"])
@pytest.mark.parametrize("most", [1, 4])
def test_removing_a_host_changes_what_is_charged_for(
    name, most, make_events, monkeypatch
):
    events = make_events(1200, hosts=6)
    numbers = np.random.default_rng(1).integers(0, 2**63, 1200).astype("<u8")
    entity = features.entity_of(events, name)
    found = features.find(name)

    def kept(rows):
        monkeypatch.setattr(contributions, "KeyStream", Coupled(numbers[rows]))
        mask = contributions.bounded(entity[rows], most=most, entropy=SeededEntropy(0))
        return rows[mask]

    everything = np.arange(1200)
    with_all = kept(everything)
    before = found.compute(events.select(with_all))
    context = context_of(name)
    for host in np.unique(entity):
        rest = kept(everything[entity != host])
        own = np.setdiff1d(with_all, rest)
        assert len(own) <= most
        assert (entity[own] == host).all()
        # no other host's event came or went
        assert np.array_equal(rest, with_all[entity[with_all] != host])
        after = found.compute(events.select(rest))
        place = np.searchsorted(with_all, rest)
        changed = (np.abs(after - before[place]) > 1e-5).any(axis=1).sum()
        assert changed <= most * context.reach * context.index_keys


def test_without_the_bound_a_host_owns_more(make_events):
    events = make_events(1200, hosts=6)
    entity = features.entity_of(events, "alerts-event")
    assert np.bincount(entity).max() > 4


def test_a_bound_below_one_is_refused():
    with pytest.raises(InvalidPlan, match="at least 1"):
        contributions.bounded(np.zeros(3, np.int64), most=0, entropy=SeededEntropy(0))


def test_events_without_hosts_of_their_own_are_one_host(make_events):
    events = dataclasses.replace(make_events(40), source=np.zeros(40, np.int64))
    entity = features.entity_of(events, "traffic-event")
    kept = contributions.bounded(entity, most=3, entropy=SeededEntropy(0))
    assert kept.sum() == 3
