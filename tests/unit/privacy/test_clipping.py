# SPDX-License-Identifier: Apache-2.0
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from scipy.special import ndtr

from fedxdr.core.errors import InvalidPlan, InvalidUpdate
from fedxdr.core.randomness import generator
from fedxdr.crypto.expand import KeyStream
from fedxdr.privacy import clipping
from fedxdr.privacy.clipping import AdaptiveClip
from fedxdr.privacy.mechanism import effective_noise_multiplier

CLIP = {"norm": 1.0, "quantile": 0.5, "rate": 0.2, "count_noise": 5.0}


def stream(seed=1):
    return KeyStream(seed.to_bytes(32, "big"), label="fedxdr/test/clipping/v1")


def vectors():
    return hnp.arrays(
        np.float32,
        st.integers(1, 12),
        elements=st.floats(-(2.0**120), 2.0**120, allow_nan=False, width=32),
    )


def exact_square(values):
    return sum(Fraction(float(value)) ** 2 for value in values)


@given(values=vectors(), norm=st.floats(2.0**-80, 2.0**80))
def test_a_clipped_vector_is_within_the_norm_exactly(values, norm):
    clipped = clipping.clip(values, norm)
    assert clipped.dtype == np.float32
    assert exact_square(clipped) <= Fraction(norm) ** 2
    square = exact_square(values)
    if square <= Fraction(norm * (1 - 2.0**-19)) ** 2:
        assert clipped is values
    else:
        assert exact_square(clipped) >= Fraction(norm * (1 - 2.0**-18)) ** 2


def test_direction_is_kept():
    values = generator(1).normal(size=10_000).astype(np.float32)
    clipped = clipping.clip(values, 0.5)
    assert clipping.norm_of(clipped) == pytest.approx(0.5, rel=2e-6)
    ratio = clipped / values
    assert ratio.max() / ratio.min() < 1 + 1e-6


def test_values_just_at_the_norm_do_not_leave_it():
    values = np.full(6, 1 / math.sqrt(6), np.float32)
    assert exact_square(values) > 1
    assert exact_square(clipping.clip(values, 1.0)) <= 1


def test_zero_stays_zero():
    zero = np.zeros(5, np.float32)
    assert clipping.clip(zero, 1.0) is zero


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_not_clipped(bad):
    values = np.array([1.0, bad], np.float32)
    with pytest.raises(InvalidUpdate):
        clipping.clip(values, 1.0)


def test_other_types_shapes_and_norms_are_refused():
    for values in (np.ones(3), np.ones((2, 2), np.float32)):
        with pytest.raises(InvalidUpdate):
            clipping.clip(values, 1.0)
    for norm in (0.0, -1.0, math.nan, math.inf, 2.0**81):
        with pytest.raises(InvalidPlan):
            clipping.clip(np.ones(3, np.float32), norm)


# --- counts


def test_a_count_is_centred_and_has_its_noise():
    is_below = np.array([True] * 70 + [False] * 30)
    counts = np.array(
        [
            clipping.noisy_count(is_below, count_noise=3.0, stream=stream(n))
            for n in range(1500)
        ]
    )
    assert stats.kstest((counts - 20) / 3.0, ndtr).pvalue > 1e-3
    assert stats.kstest((counts - 20) / 2.5, ndtr).pvalue < 1e-3
    assert (counts * 2**11 == np.rint(counts * 2**11)).all()


def test_one_example_moves_a_count_by_a_half():
    drawn = [
        clipping.noisy_count(np.array(below), count_noise=0.01, stream=stream())
        for below in ([True, True], [True, True, True], [True, True, False])
    ]
    assert drawn[1] - drawn[0] == 0.5
    assert drawn[2] - drawn[0] == -0.5


def test_what_a_count_refuses():
    with pytest.raises(InvalidUpdate):
        clipping.noisy_count(np.ones(3), count_noise=1.0, stream=stream())
    with pytest.raises(InvalidUpdate):
        clipping.noisy_count(np.ones((1, 1), bool), count_noise=1.0, stream=stream())
    for noise in (0.0, -1.0, math.nan, 2.0**21):
        with pytest.raises(InvalidPlan):
            clipping.noisy_count(np.ones(3, bool), count_noise=noise, stream=stream())


# --- the norm that follows


@given(count=st.floats(-1e6, 1e6), expected=st.floats(1.0, 1e5))
def test_one_step_is_that_of_the_paper(count, expected):
    # Andrew et al. 2021, Algorithm 1: C exp(-eta (b - gamma))
    part = min(1.0, max(0.0, count / expected + 0.5))
    want = 1.0 * math.exp(-0.2 * (part - 0.5))
    assert AdaptiveClip(**CLIP).updated(count, expected=expected).norm == want


@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("first", [0.01, 100.0])
def test_the_norm_finds_its_quantile(quantile, first):
    norms = np.exp(generator(2).normal(size=4000))
    rng, key = generator(3), stream()
    clip = AdaptiveClip(norm=first, quantile=quantile, rate=0.2, count_noise=10.0)
    seen = []
    for _ in range(450):
        drawn = norms[rng.random(norms.size) < 0.05]
        count = clipping.noisy_count(drawn <= clip.norm, count_noise=10.0, stream=key)
        clip = clip.updated(count, expected=200.0)
        seen.append(clip.norm)
    unclipped = (norms <= math.exp(np.mean(np.log(seen[300:])))).mean()
    assert unclipped == pytest.approx(quantile, abs=0.05)


def test_the_norm_stays_in_its_range():
    clip = AdaptiveClip(**{**CLIP, "norm": clipping.MIN_NORM})
    assert clip.updated(1e9, expected=1.0).norm == clipping.MIN_NORM
    clip = AdaptiveClip(**{**CLIP, "norm": clipping.MAX_NORM})
    assert clip.updated(-1e9, expected=1.0).norm == clipping.MAX_NORM


def test_following_costs_little():
    # paper, section 3.2: a twentieth of the examples as noise is all but free
    assert effective_noise_multiplier(gradient_noise=1.0, count_noise=10.0) > 0.998


@pytest.mark.parametrize(
    "figures",
    [
        {"norm": 0.0},
        {"norm": math.nan},
        {"norm": math.inf},
        {"quantile": 0.0},
        {"quantile": 1.0},
        {"quantile": math.nan},
        {"rate": 0.0},
        {"rate": 1.5},
        {"count_noise": 0.0},
        {"count_noise": math.inf},
    ],
)
def test_figures_out_of_range_are_refused(figures):
    with pytest.raises(InvalidPlan):
        AdaptiveClip(**{**CLIP, **figures})


@pytest.mark.parametrize(
    ("count", "expected"), [(math.nan, 1.0), (1.0, 0.0), (1.0, math.inf)]
)
def test_counts_that_are_none_are_refused(count, expected):
    with pytest.raises(InvalidPlan):
        AdaptiveClip(**CLIP).updated(count, expected=expected)
