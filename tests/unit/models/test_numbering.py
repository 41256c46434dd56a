# SPDX-License-Identifier: Apache-2.0
"""Numbers of values against sorting; order against numpy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.models import numbering
from fedxdr.models.graph import NONE

int64 = st.integers(-(2**63), 2**63 - 1)
few = st.lists(st.one_of(st.integers(-3, 9), int64), max_size=60)


def integers(values):
    return np.array(values, np.int64)


def check(values, asked):
    code, found = numbering.numbers(integers(values), integers(asked))
    distinct = set(values)
    by_value = dict(zip(values, code.tolist(), strict=True))
    assert sorted(set(code.tolist())) == list(range(len(distinct)))
    assert len(set(by_value.values())) == len(distinct)
    assert [by_value[v] for v in values] == code.tolist()
    assert [by_value.get(v, NONE) for v in asked] == found.tolist()


@settings(max_examples=80, deadline=None)
@given(few, few)
def test_the_same_value_has_the_same_number_and_no_other_has(values, asked):
    check(values, asked)


@pytest.mark.parametrize("bits", [(4, 4), (4, 6), (16, 24)])
def test_what_hashing_cannot_keep_apart_is_sorted(monkeypatch, bits):
    monkeypatch.setattr(numbering, "_BITS", bits)
    draw = np.random.default_rng(0)
    values = draw.integers(-(2**63), 2**63 - 1, 300)
    strange = draw.integers(-(2**63), 2**63 - 1, 300)
    check(
        [*values.tolist(), *values[::2].tolist()],
        [*values[::-3].tolist(), *strange.tolist()],
    )


def test_the_same_stream_has_the_same_numbers():
    values = np.random.default_rng(0).integers(0, 50, 1000)
    nothing = values[:0]
    first, _ = numbering.numbers(values, nothing)
    again, _ = numbering.numbers(values.copy(), nothing)
    assert np.array_equal(first, again)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2**40), max_size=60), st.sampled_from([1, 7, 2**16]))
def test_order_is_that_of_a_stable_sort(codes, divisor):
    small = integers(codes) // divisor
    assert np.array_equal(numbering.order(small), np.argsort(small, kind="stable"))


def test_a_negative_code_has_no_order():
    with pytest.raises(InvalidTelemetry, match=">= 0"):
        numbering.order(integers([1, -1]))
