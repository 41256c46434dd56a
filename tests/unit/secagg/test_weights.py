# SPDX-License-Identifier: Apache-2.0
"""secagg/weights.py: buckets, caps, and the organisation that claims 1e9 samples."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidPlan, InvalidUpdate
from fedxdr.core.ids import OrgId
from fedxdr.secagg.weights import bucket, effective_weights

ORGS = [OrgId(f"org-{index}") for index in range(5)]


@given(samples=st.integers(1, 10**12), cap=st.integers(0, 40))
def test_a_bucket_holds_its_count(samples: int, cap: int) -> None:
    k = bucket(samples, max_exponent=cap)
    assert 0 <= k <= cap
    assert 2**k <= samples
    assert k == cap or samples < 2 ** (k + 1)


@pytest.mark.parametrize(("samples", "k"), [(1, 0), (2, 1), (3, 1), (1024, 10)])
def test_buckets_by_hand(samples: int, k: int) -> None:
    assert bucket(samples, max_exponent=20) == k


@pytest.mark.parametrize("samples", [0, -1])
def test_who_has_no_samples_sits_out(samples: int) -> None:
    with pytest.raises(InvalidUpdate):
        bucket(samples, max_exponent=20)


@pytest.mark.parametrize("cap", [-1, 41])
def test_caps_out_of_range_are_refused(cap: int) -> None:
    with pytest.raises(InvalidPlan):
        bucket(5, max_exponent=cap)


def test_one_of_five_that_claims_a_billion_samples_owns_a_third_at_most() -> None:
    exponents = {name: bucket(5000, max_exponent=40) for name in ORGS[:4]}
    exponents[ORGS[4]] = bucket(10**9, max_exponent=40)
    weights = effective_weights(exponents, cap_over_median=2)
    assert weights[ORGS[4]] / sum(weights.values()) <= 1 / 3
    # Without the cap it would own the mean.
    assert 2 ** exponents[ORGS[4]] / sum(2**k for k in exponents.values()) > 0.99


@given(
    exponents=st.lists(st.integers(0, 40), min_size=1, max_size=9),
    cap=st.integers(1, 8),
)
def test_weights_are_capped_at_medians_and_else_left(
    exponents: list[int], cap: int
) -> None:
    named = {OrgId(f"o{index}"): k for index, k in enumerate(exponents)}
    weights = effective_weights(named, cap_over_median=cap)
    median = statistics.median_low([2**k for k in exponents])
    for name, k in named.items():
        assert weights[name] == min(2**k, cap * median)
    assert min(weights.values()) >= 1


def test_the_order_of_entries_does_not_matter() -> None:
    exponents = dict(zip(ORGS, [3, 9, 1, 4, 12], strict=True))
    backwards = dict(reversed(exponents.items()))
    one = effective_weights(exponents, cap_over_median=2)
    other = effective_weights(backwards, cap_over_median=2)
    assert list(one.items()) == list(other.items())


def test_nonsense_is_refused() -> None:
    with pytest.raises(InvalidPlan):
        effective_weights({}, cap_over_median=2)
    with pytest.raises(InvalidPlan):
        effective_weights({ORGS[0]: 3}, cap_over_median=0)
    for k in (-1, 41):
        with pytest.raises(InvalidUpdate, match="org-0"):
            effective_weights({ORGS[0]: k}, cap_over_median=2)
