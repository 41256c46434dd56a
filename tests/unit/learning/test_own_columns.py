# SPDX-License-Identifier: Apache-2.0
"""A data set's own numbers, made bounded by their units alone."""

from __future__ import annotations

import numpy as np
import pytest

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning import features, own_columns
from fedxdr.learning.own_columns import SCALES, SHARE, OwnColumn

COLUMNS = (
    OwnColumn(name="duration", unit="microseconds"),
    OwnColumn(name="window", unit="bytes"),
    OwnColumn(name="tcp", unit=SHARE),
)


def test_by_hand():
    table = np.array([[np.e - 1, -(np.e - 1), 1.0], [0, 0, 0.25], [1e300, -1e300, 7]])
    found = own_columns.bounded(table, COLUMNS)
    assert found.dtype == np.float32
    assert found[0] == pytest.approx([2 + 1 / 10, 2 - 1 / 12, 1])
    assert found[1] == pytest.approx([2, 2, 0.25])
    assert found[2].tolist() == [4, 0, 1]


@pytest.mark.parametrize("unit", SCALES)
def test_no_row_changes_another(unit):
    draw = np.random.default_rng(0)
    table = draw.normal(0, 1e6, (50, 1))
    columns = (OwnColumn(name="x", unit=unit),)
    whole = own_columns.bounded(table, columns)
    assert np.array_equal(whole[:7], own_columns.bounded(table[:7], columns))
    assert (whole >= 0).all()
    assert (whole <= 4).all()


def test_what_is_no_such_table_is_refused():
    with pytest.raises(InvalidTelemetry, match="3 wide"):
        own_columns.bounded(np.zeros((2, 2)), COLUMNS)
    with pytest.raises(InvalidTelemetry, match="not finite"):
        own_columns.bounded(np.full((2, 3), np.nan), COLUMNS)
    with pytest.raises(InvalidTelemetry, match="parsecs"):
        OwnColumn(name="x", unit="parsecs")


def test_neighbours_stand_in_front(make_events):
    events = make_events(40)
    rows = np.array([3, 30, 39])
    around = features.find("traffic")
    table = np.ones((3, 3))
    found = own_columns.feature_set("set", COLUMNS, around=around)
    joined = own_columns.joined(table, COLUMNS, around=around, stream=events, rows=rows)
    assert joined.shape == (3, found.architecture().inputs)
    width = around.architecture().inputs
    assert np.array_equal(joined[:, :width], around.compute(events, rows))
    assert np.array_equal(joined[:, width:], own_columns.bounded(table, COLUMNS))
    with pytest.raises(InvalidTelemetry, match="needs the events"):
        own_columns.joined(table, COLUMNS, around=around)


def test_own_numbers_alone_are_a_set_without_neighbours(make_events):
    found = own_columns.feature_set("set", COLUMNS)
    assert (found.name, found.keys, found.own) == ("set-own", 0, 3)
    assert found.architecture().inputs == 3
    with pytest.raises(InvalidTelemetry, match="own columns"):
        found.compute(make_events(3))
