# SPDX-License-Identifier: Apache-2.0
"""Numbers from columns of events stay where they were promised to be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.learning import columns
from fedxdr.telemetry.catalogue import Service, State
from fedxdr.telemetry.event import Events

SECONDS = st.lists(
    st.floats(0, width=32) | st.just(float("inf")), min_size=1, max_size=20
)


@given(SECONDS)
def test_gaps_and_closeness_stay_in_range_and_in_order(values):
    seconds = np.sort(np.array(values, np.float32))
    gap, close = columns.gap(seconds), columns.closeness(seconds)
    assert ((gap >= 0) & (gap <= columns.BOUND)).all()
    assert ((close >= 0) & (close <= 2)).all()
    assert (np.diff(gap) >= 0).all()
    assert (np.diff(close) <= 0).all()


def test_closeness_tells_seconds_of_a_burst_apart():
    close = columns.closeness(np.array([0, 1, 3, np.inf], np.float32))
    assert close == pytest.approx([2, 1, 0.5, 0])
    gap = columns.gap(np.array([0, np.inf], np.float32))
    assert gap == pytest.approx([0, np.log1p(1e6) / 4])


def test_unknown_volumes_are_nothing():
    found = columns.volume(np.array([-1, 0, 10**18]))
    assert found[0] == found[1] == 0
    assert found[2] == columns.BOUND


def test_edges_are_bounded_numbers(make_events):
    found = columns.edges(make_events(200))
    assert len(found) == columns.EDGES
    for column in found:
        assert column.shape == (200,)
        assert ((column >= 0) & (column <= columns.BOUND)).all()


def test_what_is_spoken_is_the_service_or_else_the_port():
    events = Events.build(
        3,
        {
            "service": np.array([Service.DNS, Service.UNKNOWN, Service.UNKNOWN]),
            "destination_port": np.array([9, 443, -1]),
            "state": np.array([State.UNKNOWN] * 3),
        },
    )
    spoken = columns.spoken(events)
    assert spoken[0] < -1
    assert spoken[1:].tolist() == [443, -1]


def test_a_duration_that_cannot_be_counts_as_none():
    wrong = Events.build(3, {"duration_s": np.array([-0.5, -7, -np.inf])})
    assert columns.edges(wrong)[2].tolist() == [0, 0, 0]


def test_a_lifetime_is_soon_full_and_nobody_has_none():
    count = np.array([0, 1, 16, 17, 10**9])
    age_ns = np.array([0, 0, 3600, 3601, 10**8]) * 10**9
    full = [np.log1p(16) / 4, np.log1p(3600) / 4, 1]
    found = columns.lifetime(count, age_ns)
    assert found[0].tolist() == [0, 0, 0]
    assert found[1] == pytest.approx([np.log(2) / 4, 0, 1])
    assert found[2:] == pytest.approx(np.array([full] * 3))
    partners = columns.acquaintance(np.array([0, 1, 8, 9]))
    assert partners * 4 == pytest.approx(np.log1p([0, 1, 8, 8]))
