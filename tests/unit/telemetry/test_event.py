# SPDX-License-Identifier: Apache-2.0
"""Columns, their types, and what must not get lost when rows move."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.telemetry import COLUMNS, Events, Kind

TECHNIQUES = ("T1046", "T1110", "T1071")


def some(rows: int, *, seed: int = 0, techniques: tuple[str, ...] = ()) -> Events:
    draw = np.random.default_rng(seed)
    return Events.build(
        rows,
        {
            "time_ns": draw.integers(0, 5, rows),
            "source": draw.integers(-9, 9, rows),
            "flow_id": draw.integers(0, 6, rows).astype(np.uint64),
            "technique": draw.integers(-1, max(len(techniques), 0), rows),
        },
        techniques=techniques,
    )


def named(events: Events) -> list[str | None]:
    return [events.techniques[i] if i >= 0 else None for i in events.technique]


def test_what_is_not_given_is_not_known() -> None:
    events = Events.build(2, {})
    assert len(events) == 2
    for name, dtype, unknown in COLUMNS:
        column = getattr(events, name)
        assert column.dtype == dtype
        np.testing.assert_array_equal(column, np.full(2, unknown, dtype))


def test_no_rows() -> None:
    assert len(Events.empty()) == 0
    assert len(Events.concatenate([])) == 0
    assert Events.empty().is_sorted


def test_a_wrong_column_cannot_be_built() -> None:
    with pytest.raises(InvalidTelemetry, match="colour"):
        Events.build(1, {"colour": np.zeros(1)})
    with pytest.raises(InvalidTelemetry, match="source_port"):
        Events.build(2, {"source_port": np.zeros(3)})
    with pytest.raises(InvalidTelemetry, match="technique indices"):
        Events.build(1, {"technique": np.array([1])}, techniques=("T1046",))
    with pytest.raises(InvalidTelemetry, match="technique indices"):
        Events.build(1, {"technique": np.array([-2])})
    with pytest.raises(InvalidTelemetry, match="twice"):
        Events.build(0, {}, techniques=("T1046", "T1046"))


@given(st.integers(0, 30), st.integers(0, 99))
def test_sorting_is_stable_and_loses_nothing(rows: int, seed: int) -> None:
    events = some(rows, seed=seed, techniques=TECHNIQUES)
    ordered = events.sort()
    want = sorted(range(rows), key=lambda row: events.time_ns[row])
    assert ordered.is_sorted
    assert ordered.source.tolist() == [events.source[row] for row in want]
    assert named(ordered) == [named(events)[row] for row in want]


@given(st.lists(st.tuples(st.integers(0, 5), st.permutations(TECHNIQUES)), max_size=4))
def test_concatenation_keeps_every_technique(
    parts: list[tuple[int, list[str]]],
) -> None:
    built = [
        some(rows, seed=index, techniques=tuple(names[: index + 1]))
        for index, (rows, names) in enumerate(parts)
    ]
    whole = Events.concatenate(built)
    assert named(whole) == [name for part in built for name in named(part)]
    assert whole.source.tolist() == [s for part in built for s in part.source]


def test_rows_are_selected_by_slice_mask_and_index() -> None:
    events = some(6, techniques=TECHNIQUES)
    assert events.select(slice(2, 4)).source.tolist() == events.source[2:4].tolist()
    mask = events.source > 0
    assert events.select(mask).source.tolist() == events.source[mask].tolist()
    assert named(events.select(np.array([5, 0]))) == [
        named(events)[5],
        named(events)[0],
    ]


def test_alert_rows_are_no_inputs() -> None:
    kinds = np.array([Kind.FLOW, Kind.ALERT, Kind.DNS])
    assert Events.build(3, {"kind": kinds}).is_input.tolist() == [True, False, True]


@given(st.integers(0, 20), st.integers(0, 99))
def test_labels_are_looked_up_by_connection(rows: int, seed: int) -> None:
    events = some(rows, seed=seed, techniques=("T1071",))
    labelled = events.labelled(
        flow_id=np.array([5, 0, 2], np.uint64),
        label=np.array([0, 1, 1], np.int8),
        technique=[None, "T1046", "T1110"],
    )
    for row, flow in enumerate(events.flow_id.tolist()):
        match flow:
            case 5:
                want = (0, None)
            case 2:
                want = (1, "T1110")
            case _:
                want = (-1, named(events)[row])
        assert (labelled.label[row], named(labelled)[row]) == want


def test_contradicting_labels_are_refused() -> None:
    events = some(3)
    ids = np.array([5, 5], np.uint64)
    with pytest.raises(InvalidTelemetry, match="twice"):
        events.labelled(flow_id=ids, label=np.zeros(2, np.int8), technique=[None, None])
    with pytest.raises(InvalidTelemetry, match="lengths"):
        events.labelled(flow_id=ids, label=np.zeros(1, np.int8), technique=[None])


def test_columns_are_only_ever_appended() -> None:
    """Who reads columns by place, or wrote them down last year, finds them again."""
    assert [column.name for column in COLUMNS] == [
        *("time_ns", "source", "destination", "source_port", "destination_port"),
        *("protocol", "service", "kind", "bytes_out", "bytes_in", "packets_out"),
        *("packets_in", "duration_s", "state", "text_length", "text_entropy"),
        *("label", "technique", "flow_id", "user"),
    ]


def test_users_move_with_their_rows() -> None:
    users = np.array([5, 0, -(2**63)])
    events = Events.build(3, {"time_ns": np.array([3, 1, 2]), "user": users})
    assert events.user.dtype == np.int64
    whole = Events.concatenate([events, Events.build(1, {})]).sort()
    assert whole.user.tolist() == [0, 0, -(2**63), 5]
