# SPDX-License-Identifier: Apache-2.0
"""What holds for every aggregator alike, run over all of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedxdr.aggregation import (
    krum,
    median,
    multi_krum,
    trimmed_mean,
    weighted_mean,
)
from fedxdr.core.errors import InvalidUpdate
from fedxdr.core.randomness import generator

AGGREGATORS = {
    "mean": lambda u: weighted_mean(u, [1] * len(u)),
    "median": median,
    "trimmed_mean": lambda u: trimmed_mean(u, trim=(len(u) - 1) // 2),
    "trimmed_mean_1": lambda u: trimmed_mean(u, trim=min(1, (len(u) - 1) // 2)),
    "krum": lambda u: krum(u, byzantine=(len(u) - 3) // 2),
    "multi_krum": lambda u: multi_krum(u, byzantine=(len(u) - 3) // 2, selected=2),
}
every = pytest.mark.parametrize("name", AGGREGATORS)

whole = st.integers(-8, 8).map(float)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


def matrices(elements, *, min_rows=1):
    shapes = st.tuples(st.integers(min_rows, 20), st.integers(1, 5))
    return arrays(np.float32, shapes, elements=elements)


@every
@settings(max_examples=60)
@given(updates=matrices(finite, min_rows=3))
def test_takes_n_rows_and_gives_one_within_their_range(name, updates):
    before = updates.copy()
    got = AGGREGATORS[name](updates)
    assert got.shape == updates.shape[1:]
    assert got.dtype == np.float32
    assert (updates.min(axis=0) <= got).all()
    assert (got <= updates.max(axis=0)).all()
    np.testing.assert_array_equal(updates, before)


@every
@pytest.mark.parametrize("participants", [3, 8, 16, 17, 60])
def test_does_not_depend_on_the_order_of_the_rows(name, participants):
    rng = generator(21, participants)
    updates = rng.standard_normal((participants, 400), dtype=np.float32)
    got = AGGREGATORS[name](updates)
    for _ in range(5):
        again = AGGREGATORS[name](updates[rng.permutation(participants)])
        if name in {"mean", "multi_krum"}:  # sums taken in the order of the rows
            assert (np.abs(again - got) <= np.spacing(np.abs(got))).all()
        elif participants > 3 or name != "krum":  # of 3, the nearest two always tie
            np.testing.assert_array_equal(again, got)


@every
@settings(max_examples=60)
@given(updates=matrices(whole, min_rows=3), shift=st.integers(-64, 64))
def test_moves_with_its_input(name, updates, shift):
    """Whole numbers, so that the shift itself does not round; means may, by 1/n."""
    moved = AGGREGATORS[name](updates + np.float32(shift))
    want = AGGREGATORS[name](updates).astype(np.float64) + shift
    np.testing.assert_allclose(moved, want, rtol=0, atol=1e-5)
    if name in {"median", "krum"}:
        np.testing.assert_array_equal(moved, want)


@every
@settings(max_examples=60)
@given(updates=matrices(whole, min_rows=3), power=st.integers(-60, 60))
def test_scales_with_its_input(name, updates, power):
    factor = np.float32(2.0**power)
    got = AGGREGATORS[name](updates * factor)
    np.testing.assert_array_equal(got, AGGREGATORS[name](updates) * factor)


@every
@pytest.mark.parametrize("value", [0.0, 0.1, -1e-45, 3.4028235e38, -3.4028235e38])
@pytest.mark.parametrize("participants", [3, 4, 16, 17])
def test_agreement_is_handed_back_unchanged(name, value, participants):
    updates = np.full((participants, 130), value, dtype=np.float32)
    np.testing.assert_array_equal(AGGREGATORS[name](updates), updates[0])


@every
@pytest.mark.parametrize("participants", [3, 5, 17])
def test_largest_numbers_of_both_signs_do_not_overflow(name, participants):
    top = np.finfo(np.float32).max
    signs = np.where(generator(22).random((participants, 40)) < 0.5, -1, 1)
    updates = (signs * top).astype(np.float32)
    got = AGGREGATORS[name](updates)
    assert np.isfinite(got).all()


@every
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("participants", [3, 5, 16, 17, 40])
def test_not_finite_is_refused_wherever_it_stands(name, bad, participants):
    for row in {0, participants // 2, participants - 1}:
        for column in (0, 199):
            updates = np.ones((participants, 200), dtype=np.float32)
            updates[row, column] = bad
            with pytest.raises(InvalidUpdate, match=f"row {row} of {participants}"):
                AGGREGATORS[name](updates)


@every
@pytest.mark.parametrize(
    "wrong",
    [
        np.ones((3, 4)),
        np.ones(4, dtype=np.float32),
        np.ones((3, 0), dtype=np.float32),
        np.ones((3, 4), dtype=">f4"),
    ],
)
def test_another_form_is_refused(name, wrong):
    with pytest.raises(InvalidUpdate, match=r"got .*, want"):
        AGGREGATORS[name](wrong)


@every
def test_takes_views_and_read_only_arrays(name):
    wide = generator(23).standard_normal((14, 1000), dtype=np.float32)
    view = wide[::2, 100:900:3]
    view.flags.writeable = False
    packed = np.ascontiguousarray(view)
    np.testing.assert_array_equal(AGGREGATORS[name](view), AGGREGATORS[name](packed))


@pytest.mark.parametrize("name", ["mean", "median", "trimmed_mean"])
@given(updates=matrices(finite))
def test_one_row_comes_back_as_it_is(name, updates):
    np.testing.assert_array_equal(AGGREGATORS[name](updates[:1]), updates[0])
