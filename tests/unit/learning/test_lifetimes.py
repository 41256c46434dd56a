# SPDX-License-Identifier: Apache-2.0
"""Features of bare edges, against a loop over events written from the definition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning import features, lifetimes
from fedxdr.telemetry.event import Events

RANKS = lifetimes.RANKS


def table(triples):
    triples = sorted(triples, key=lambda triple: triple[0])
    time, source, target = (np.array(column) for column in zip(*triples, strict=True))
    return Events.build(
        len(triples),
        {
            "time_ns": time.astype(np.int64) * 10**9,
            "source": source.astype(np.int64),
            "destination": target.astype(np.int64),
        },
    )


def log(value):
    return min(math.log1p(value) / 4, 4.0)


def defined(events, row, target):
    """Return the features of one edge, from the words of the module."""
    now, source = events.time_ns[row] / 1e9, events.source[row]
    past = [
        (events.time_ns[i] / 1e9, events.source[i], events.destination[i])
        for i in range(row)
    ]
    of_source = [e for e in past if source in e[1:]]
    of_target = [e for e in past if target in e[1:]]
    of_pair = [e for e in past if e[1:] == (source, target)]
    of_back = [e for e in past if e[1:] == (target, source)]
    as_source = [e for e in past if e[1] == source]
    as_target = [e for e in past if e[2] == target]
    found = []
    for near, is_same in (
        (of_source, lambda e: e[2] == target),
        (of_target, lambda e: e[1] == source),
        (of_pair, lambda _: True),
        (past, lambda e: e[1:] == (source, target)),
    ):
        for rank in RANKS:
            if rank > len(near):
                found += [log(1e6), 0.0, 0.0]
                continue
            one = near[-rank]
            found += [log(min(now - one[0], 1e6)), 1.0, float(is_same(one))]
    for known in (as_source, as_target, of_source, of_target, of_pair, of_back):
        age = now - known[0][0] if known else 0.0
        hours = 1 + age / 3600
        found += [log(len(known)), log(age), float(bool(known))]
        found.append(log(len(known) / hours))
    for known in (as_source, as_target):
        found.append(log(len({e[1:] for e in known})))
    return found


edges = st.lists(
    st.tuples(st.integers(0, 20_000), st.integers(1, 4), st.integers(1, 4)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(edges, st.integers(1, 6))
def test_features_equal_their_definition(triples, other):
    events = table(triples)
    rows = np.arange(len(events))
    found = features.find("edges").compute(events)
    elsewhere = lifetimes.against(events, rows, np.full(len(rows), other))
    for row in range(len(events)):
        want = defined(events, row, events.destination[row])
        assert np.allclose(found[row], want, atol=1e-5)
        assert np.allclose(elsewhere[row], defined(events, row, other), atol=1e-5)


def test_an_edge_to_its_own_destination_is_itself(make_events):
    events = make_events(300, hosts=9)
    rows = np.array([5, 120, 299])
    found = lifetimes.against(events, rows, events.destination[rows])
    assert np.array_equal(found, features.find("edges").compute(events)[rows])


def test_both_are_the_bits_of_each(make_events):
    events = make_events(5000, hosts=60)
    draw = np.random.default_rng(0)
    rows = draw.integers(0, len(events), 4500)
    rival = draw.integers(0, 80, 4500)
    own, other = lifetimes.both(events, rows, rival)
    assert own.tobytes() == lifetimes.make(events, rows).tobytes()
    assert other.tobytes() == lifetimes.against(events, rows, rival).tobytes()


def test_rows_in_any_order_and_twice_are_told_the_same(make_events):
    events = make_events(600, hosts=12)
    draw = np.random.default_rng(1)
    rival = draw.integers(0, 15, len(events))
    whole = lifetimes.both(events, np.arange(len(events)), rival)
    rows = draw.integers(0, len(events), 900)
    for part, all_rows in zip(
        lifetimes.both(events, rows, rival[rows]), whole, strict=True
    ):
        assert part.tobytes() == all_rows[rows].tobytes()


def test_a_row_can_be_told_what_was_before_another(make_events):
    events = make_events(300, hosts=6)
    rows = np.arange(len(events))
    rival = np.random.default_rng(2).integers(0, 8, len(rows))
    all_seen = lifetimes.both(events, rows, rival)
    told = lifetimes.both(events, rows, rival, before=rows)
    blind = lifetimes.both(events, rows, rival, before=rows - rows % 50)
    for part, whole in zip(told, all_seen, strict=True):
        assert part.tobytes() == whole.tobytes()
    for row in (0, 49, 50, 120, 299):
        kept = np.append(np.arange(row - row % 50), row)
        short = events.select(kept)
        last = np.array([len(kept) - 1])
        own, other = lifetimes.both(short, last, rival[row : row + 1])
        assert np.array_equal(blind[0][row], own[0])
        assert np.array_equal(blind[1][row], other[0])


def test_no_row_sees_itself(make_events):
    rows = np.arange(3)
    for before in (rows + 1, rows[:2]):
        with pytest.raises(InvalidTelemetry, match="before"):
            lifetimes.both(make_events(10), rows, rows, before=before)


def test_deep_pasts_are_told_to_the_last_rank(make_events):
    events = make_events(700, hosts=3)
    found = features.find("edges").compute(events)
    for row in (5, 128, 129, 400, 699):
        want = defined(events, row, events.destination[row])
        assert np.allclose(found[row], want, atol=1e-5)


def test_the_future_changes_nothing(make_events):
    events = make_events(400, hosts=9)
    whole = features.find("edges").compute(events)
    part = features.find("edges").compute(events.select(np.arange(200)))
    assert np.array_equal(whole[:200], part)


def test_no_rows_are_no_features(make_events):
    nothing = np.zeros(0, np.int64)
    width = features.find("edges").architecture().inputs
    for events in (make_events(10), make_events(0)):
        assert lifetimes.make(events, nothing).shape == (0, width)
        for part in lifetimes.both(events, nothing, nothing):
            assert part.shape == (0, width)


def test_every_row_needs_a_destination(make_events):
    with pytest.raises(InvalidTelemetry, match="destinations"):
        lifetimes.against(make_events(10), np.arange(3), np.arange(2))
