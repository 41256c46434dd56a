# SPDX-License-Identifier: Apache-2.0
"""A charge is a value that cannot be wrong, with one spelling and one order."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core import canonical
from fedxdr.core.errors import InvalidPlan
from fedxdr.privacy.mechanism import (
    MAX_TOUCHED,
    Charge,
    effective_noise_multiplier,
    occurrences_of,
)

charges = st.builds(
    Charge,
    unit=st.sampled_from(["event", "entity", "organisation"]),
    noise_multiplier=st.floats(0.01, 1e6),
    sampling_rate=st.floats(1e-9, 1.0),
    steps=st.integers(1, 10**9),
    own=st.integers(1, MAX_TOUCHED),
    occurrences=st.integers(0, MAX_TOUCHED),
)


@given(charges)
def test_a_charge_is_read_back_from_its_canonical_bytes(charge):
    data = canonical.encode(charge)
    again = canonical.decode(data, Charge)
    assert again == charge
    assert hash(again) == hash(charge)
    assert canonical.encode(again) == data


@given(charges, charges)
def test_charges_have_one_order(a, b):
    assert (a < b) + (b < a) + (a == b) == 1


def test_a_whole_number_is_the_same_charge_as_its_float():
    whole = Charge(unit="event", noise_multiplier=1, sampling_rate=1)
    assert whole == Charge(unit="event", noise_multiplier=1.0, sampling_rate=1.0)
    assert canonical.encode(whole) == canonical.encode(
        Charge(unit="event", noise_multiplier=1.0, sampling_rate=1.0)
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"unit": "planet"},
        {"mechanism": "laplace"},
        {"noise_multiplier": 0.0},
        {"noise_multiplier": -1.0},
        {"noise_multiplier": math.nan},
        {"noise_multiplier": math.inf},
        {"noise_multiplier": 2e6},
        {"sampling_rate": 0.0},
        {"sampling_rate": 1.0000001},
        {"sampling_rate": math.nan},
        {"steps": 0},
        {"steps": 10**9 + 1},
        {"own": -1},
        {"own": MAX_TOUCHED + 1},
        {"occurrences": -1},
        {"occurrences": MAX_TOUCHED + 1},
        {"own": 0, "occurrences": 0},
        {"mechanism": "discrete-gaussian", "sampling_rate": 0.5},
        {"mechanism": "discrete-gaussian", "own": 2},
        {"mechanism": "discrete-gaussian", "occurrences": 1},
    ],
)
def test_a_wrong_charge_cannot_be_built(wrong):
    right = {"unit": "event", "noise_multiplier": 1.0}
    Charge(**right)
    with pytest.raises(InvalidPlan):
        Charge(**{**right, **wrong})


def test_windows_are_one_changed_example_and_none_of_its_own():
    charge = Charge(unit="event", noise_multiplier=1.0, own=0, occurrences=1)
    assert charge.own == 0


def test_occurrences_are_context_times_keys():
    assert occurrences_of(context=8, index_keys=4) == 32
    assert occurrences_of(context=0, index_keys=4) == 0
    assert occurrences_of(context=16, index_keys=0) == 0


def test_a_second_hop_is_refused_and_says_what_it_would_cost():
    with pytest.raises(InvalidPlan, match=r"up to 1,024 other"):
        occurrences_of(context=8, index_keys=4, hops=2)
    with pytest.raises(InvalidPlan):
        occurrences_of(context=8, index_keys=4, hops=0)


@pytest.mark.parametrize(("context", "keys"), [(-1, 2), (2, -1), (4096, 2)])
def test_occurrences_out_of_range_are_refused(context, keys):
    with pytest.raises(InvalidPlan):
        occurrences_of(context=context, index_keys=keys)


@given(st.floats(0.05, 500), st.floats(0.05, 500))
def test_two_noises_together_protect_less_than_each(gradient, count):
    z = effective_noise_multiplier(gradient_noise=gradient, count_noise=count)
    assert z == pytest.approx((gradient**-2 + (2 * count) ** -2) ** -0.5, rel=1e-12)
    assert z < gradient
    assert z < 2 * count


def test_an_example_is_one_vector_of_norm_one_over_z():
    # gradient of norm C and a bit that is off its middle by 1/2, in units of the noise
    z = effective_noise_multiplier(gradient_noise=1.2, count_noise=3.0)
    assert math.hypot(1 / 1.2, 0.5 / 3.0) <= 1 / z


@pytest.mark.parametrize("noise", [0.0, -1.0, math.nan, math.inf])
def test_noise_that_is_none_is_refused(noise):
    with pytest.raises(InvalidPlan):
        effective_noise_multiplier(gradient_noise=noise, count_noise=1.0)
    with pytest.raises(InvalidPlan):
        effective_noise_multiplier(gradient_noise=1.0, count_noise=noise)
