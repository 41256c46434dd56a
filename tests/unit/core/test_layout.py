# SPDX-License-Identifier: Apache-2.0
"""Flat vectors: there and back, spans, and shapes that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.canonical import decode, encode
from fedxdr.core.errors import InvalidUpdate, MalformedMessage
from fedxdr.core.layout import Layout, Segment


def layout(*segments: tuple[str, tuple[int, ...]]) -> Layout:
    return Layout(segments=tuple(Segment(name=n, shape=s) for n, s in segments))


SMALL = layout(("a.x", (2, 3)), ("b.y", ()), ("b.z", (4,)), ("c", (1,)))

LAYOUTS = st.lists(
    st.lists(st.integers(1, 3), max_size=3).map(tuple), min_size=1, max_size=5
).map(lambda shapes: layout(*((f"s{i}", shape) for i, shape in enumerate(shapes))))


@given(LAYOUTS, st.integers(0, 2**32 - 1))
def test_unflatten_undoes_flatten(found, seed):
    values = np.random.default_rng(seed).normal(size=found.size).astype(np.float32)
    arrays = found.unflatten(values)
    assert [a.shape for a in arrays.values()] == [s.shape for s in found.segments]
    assert np.array_equal(found.flatten(arrays), values)


def test_segments_lie_in_order():
    arrays = SMALL.unflatten(np.arange(12, dtype=np.float32))
    assert arrays["a.x"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert arrays["b.y"] == 6
    assert arrays["b.z"].tolist() == [7, 8, 9, 10]
    assert SMALL.size == 12


def test_spans_by_prefix():
    assert SMALL.span("a.") == (0, 6)
    assert SMALL.span("b.") == (6, 11)
    assert SMALL.span("c") == (11, 12)
    assert SMALL.span("") == (0, 12)


def test_a_span_that_is_not_there_or_not_in_one_piece():
    with pytest.raises(MalformedMessage):
        SMALL.span("d")
    with pytest.raises(MalformedMessage):
        layout(("w.a", (1,)), ("other", (1,)), ("w.b", (1,))).span("w.")


@pytest.mark.parametrize("shape", [(0,), (2, 0), (-1,), (3, -2)])
def test_sides_are_at_least_one(shape):
    with pytest.raises(MalformedMessage):
        Segment(name="a", shape=shape)


def test_names_are_there_and_unique():
    with pytest.raises(MalformedMessage):
        Segment(name="", shape=(1,))
    with pytest.raises(MalformedMessage):
        Layout(segments=())
    with pytest.raises(MalformedMessage):
        layout(("a", (1,)), ("a", (2,)))


def test_arrays_that_do_not_fit_are_refused():
    good = SMALL.unflatten(np.zeros(12, dtype=np.float32))
    with pytest.raises(InvalidUpdate, match="names"):
        SMALL.flatten({k: v for k, v in good.items() if k != "c"})
    with pytest.raises(InvalidUpdate, match="names"):
        SMALL.flatten({**good, "d": np.zeros(1)})
    with pytest.raises(InvalidUpdate, match=r"b\.z: got shape \(2, 2\), want \(4,\)"):
        SMALL.flatten({**good, "b.z": np.zeros((2, 2))})


@pytest.mark.parametrize("shape", [(11,), (13,), (12, 1), ()])
def test_vectors_of_another_shape_are_refused(shape):
    with pytest.raises(InvalidUpdate, match="want"):
        SMALL.unflatten(np.zeros(shape, dtype=np.float32))


def test_the_digest_binds_names_shapes_and_order():
    other = [
        layout(("a", (2,)), ("b", (3,))),
        layout(("b", (3,)), ("a", (2,))),
        layout(("a", (3,)), ("b", (2,))),
        layout(("a", (2, 1)), ("b", (3,))),
    ]
    assert len({found.digest for found in other}) == 4
    assert decode(encode(SMALL), Layout).digest == SMALL.digest
