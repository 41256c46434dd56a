# SPDX-License-Identifier: Apache-2.0
"""Gradients: refused, removed, reduced, clipped, in that order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidUpdate
from fedxdr.privacy.gradients import (
    refuse_local,
    sanitise_gradient,
    sanitise_request,
    without_local,
)

numbers = st.floats(-(2.0**100), 2.0**100, width=32)


@given(st.lists(numbers, min_size=1, max_size=50), st.floats(1e-6, 1e6))
def test_the_norm_is_never_above_the_bound(values: list[float], clip: float) -> None:
    result, report = sanitise_gradient(values, clip_norm=clip)
    norm = float(np.linalg.norm(result.astype(np.float64)))
    assert norm <= clip
    assert report.norm_after == norm
    assert report.clipped == (report.norm_before > clip)
    if not report.clipped:
        assert result.tolist() == np.asarray(values, np.float32).tolist()


def test_a_clipped_gradient_keeps_its_direction() -> None:
    result, report = sanitise_gradient([3.0, 4.0], clip_norm=1.0)
    assert result == pytest.approx([0.6, 0.8], abs=1e-6)
    assert report.norm_before == 5.0


@pytest.mark.parametrize(
    "values", [[np.nan], [1.0, np.inf], [-np.inf], [1e39], [], [[1.0]], ["a"], [None]]
)
def test_what_is_not_a_finite_vector_is_refused(values: list[object]) -> None:
    with pytest.raises(InvalidUpdate):
        sanitise_gradient(values, clip_norm=1.0)


@pytest.mark.parametrize("clip", [0.0, -1.0, float("nan"), float("inf")])
def test_a_clip_norm_that_bounds_nothing_is_refused(clip: float) -> None:
    with pytest.raises(InvalidUpdate, match="clip norm"):
        sanitise_gradient([1.0], clip_norm=clip)


def test_reduced_before_it_is_clipped() -> None:
    def first_only(vector: np.ndarray) -> np.ndarray:
        return np.where(np.arange(len(vector)) == 0, vector, 0)

    result, report = sanitise_gradient([3.0, 4.0], clip_norm=3.0, reduce=first_only)
    assert result.tolist() == [3.0, 0.0]
    assert (report.zeroed_values, report.clipped) == (1, False)


@pytest.mark.parametrize("change", [lambda v: v * 2, lambda v: v[:1], lambda v: v + 1])
def test_a_reduction_that_changes_values_is_refused(change: object) -> None:
    with pytest.raises(InvalidUpdate, match="reduction"):
        sanitise_gradient([3.0, 4.0], clip_norm=9.0, reduce=change)


def test_local_segments_never_leave() -> None:
    segments = {
        "head.weight": [[1.0, 2.0]],
        "local.hosts": [5.0],
        " LOCAL.users": [6.0],
    }
    kept, removed, size = without_local(segments)
    assert {name: values.tolist() for name, values in kept.items()} == {
        "head.weight": [1.0, 2.0]
    }
    assert removed == (" LOCAL.users", "local.hosts")
    assert size == 2
    with pytest.raises(InvalidUpdate, match="2 local"):
        refuse_local(list(segments))
    refuse_local(["head.weight", "localised"])


def test_a_request_of_a_flat_vector() -> None:
    answer = sanitise_request([3.0, 4.0], sensitivity="medium")
    assert answer["sanitized_gradient"] == pytest.approx([0.6, 0.8], abs=1e-6)
    assert answer["clipped"] is True
    assert answer["clip_norm"] == 1.0
    assert answer["removed"] == []


def test_a_request_by_segments() -> None:
    answer = sanitise_request(
        {"a": [3.0, 1.0], "local.b": [9.0, 9.0], "c": [-4.0]},
        config={"clip_norm": 10, "top_k": 2},
    )
    assert answer["sanitized_gradient"] == {"a": [3.0, 0.0], "c": [-4.0]}
    assert answer["removed"] == ["local.b"]
    assert answer["removed_values"] == 2
    assert answer["zeroed_values"] == 1
    assert answer["clipped"] is False


@pytest.mark.parametrize(
    ("gradient", "settings"),
    [
        ([float("nan")], {}),
        ({"local.a": [1.0]}, {}),
        ([1.0], {"sensitivity": "huge"}),
        ([1.0], {"sensitivity": True}),
        ([1.0], {"config": {"top_k": 0}}),
        ([1.0], {"config": {"top_k": 1.5}}),
        ([1.0], {"config": {"noise": 1}}),
        ([1.0], {"config": {"clip_norm": -1}}),
    ],
)
def test_bad_requests_are_refused(
    gradient: object, settings: dict[str, object]
) -> None:
    with pytest.raises(InvalidUpdate):
        sanitise_request(gradient, **settings)
