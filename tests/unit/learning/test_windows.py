# SPDX-License-Identifier: Apache-2.0
"""Windows as examples: what an event can change."""

from __future__ import annotations

import numpy as np
import pytest

from fedxdr.core.errors import InvalidPlan, InvalidTelemetry
from fedxdr.learning import features, windows

SECOND = 10**9


def rows_by_window(events, name, window_s):
    """Return per window its examples' features and weights, as one array each."""
    confined = windows.confined(events, window_s=window_s)
    computed = features.find(name).compute(confined)
    found = windows.examples(events.time_ns, window_s=window_s)
    numbers = events.time_ns[found.rows[:, 0]] // (window_s * SECOND)
    return {
        int(number): (computed[rows] * (weight[:, None] > 0), weight)
        for number, rows, weight in zip(numbers, found.rows, found.weight, strict=True)
    }


@pytest.mark.parametrize("name", windows.CONFINED)
@pytest.mark.parametrize("gone", [0, 200, 399])
def test_one_event_changes_one_window(name, gone, make_events):
    events = make_events(400, hosts=2)
    window_s = 300
    before = rows_by_window(events, name, window_s)
    rest = events.select(np.delete(np.arange(400), gone))
    after = rows_by_window(rest, name, window_s)
    own = int(events.time_ns[gone] // (window_s * SECOND))
    for number, (rows, weight) in after.items():
        if number != own:
            assert np.array_equal(rows, before[number][0])
            assert np.array_equal(weight, before[number][1])
    assert set(before) - set(after) <= {own}
    assert not np.array_equal(after[own][0], before[own][0])


def test_without_confinement_an_event_reaches_into_other_windows(make_events):
    events = make_events(400, hosts=2)
    found = features.find("alerts-event")
    rest = np.delete(np.arange(400), 200)
    changed = (found.compute(events.select(rest)) != found.compute(events)[rest]).any(1)
    touched = np.unique(events.time_ns[rest][changed] // (20 * SECOND))
    assert len(touched) > 1


def test_weights_of_a_window_sum_to_one_and_rows_are_its_own():
    time = np.sort(np.random.default_rng(0).integers(0, 50, 500)) * SECOND
    found = windows.examples(time, window_s=10, most=8)
    assert found.rows.shape == found.weight.shape == (5, 8)
    assert np.allclose(found.weight.sum(axis=1), 1)
    for number, (rows, weight) in enumerate(zip(found.rows, found.weight, strict=True)):
        read = rows[weight > 0]
        assert (time[read] // (10 * SECOND) == number).all()
        assert len(set(read.tolist())) == len(read)


def test_windows_with_few_events_are_read_whole():
    time = np.array([0, 1, 25, 25, 26]) * SECOND
    found = windows.examples(time, window_s=10, most=4)
    assert [
        rows[weight > 0].tolist()
        for rows, weight in zip(found.rows, found.weight, strict=True)
    ] == [[0, 1], [2, 3, 4]]


def test_no_events_are_no_windows():
    found = windows.examples(np.zeros(0, np.int64), window_s=10)
    assert found.rows.shape == (0, windows.MOST_EVENTS)


def test_wrong_lengths_and_disorder_are_refused(make_events):
    time = np.array([5, 4]) * SECOND
    with pytest.raises(InvalidTelemetry, match="order"):
        windows.examples(time, window_s=10)
    with pytest.raises(InvalidPlan, match="window"):
        windows.examples(time[:1], window_s=0)
    with pytest.raises(InvalidPlan, match="events per window"):
        windows.examples(time[:1], window_s=1, most=0)
    with pytest.raises(InvalidPlan, match="window"):
        windows.confined(make_events(3), window_s=0)
