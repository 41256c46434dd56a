# SPDX-License-Identifier: Apache-2.0
"""Verdicts with reasons, and weights that nobody can buy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.aggregation.mean import weighted_mean
from fedxdr.aggregation.screening import (
    Finding,
    Reason,
    Verdict,
    capped_samples,
    norm,
    screen,
)
from fedxdr.core.errors import InvalidUpdate
from fedxdr.core.ids import org_id
from fedxdr.core.randomness import generator

counts = st.lists(st.integers(0, 10**12), min_size=1, max_size=12)


def names(n):
    return [org_id(f"org-{i}") for i in range(n)]


def ones(n=3, d=4):
    return [np.ones(d, dtype=np.float32) for _ in range(n)]


def findings(verdict):
    return [reason.finding for reason in verdict.reasons]


def test_clean_updates_are_accepted_without_a_reason():
    updates = np.ones((3, 4), dtype=np.float32)
    verdicts = screen(names(3), updates, [5, 6, 7], parameters=4, norm_bound=2.0)
    assert [v.participant for v in verdicts] == names(3)
    assert [v.samples for v in verdicts] == [5, 6, 7]
    assert all(v.accepted and not v.reasons for v in verdicts)


@pytest.mark.parametrize(
    ("wrong", "finding", "detail"),
    [
        (np.ones(4), Finding.WRONG_DTYPE, "got float64, want float32"),
        (np.ones(4, dtype=">f4"), Finding.WRONG_DTYPE, "got >f4, want float32"),
        (np.ones(5, np.float32), Finding.WRONG_SHAPE, "got (5,), want (4,)"),
        (np.ones((1, 4), np.float32), Finding.WRONG_SHAPE, "got (1, 4), want (4,)"),
        (np.float32([1, np.nan, np.inf, 0]), Finding.NOT_FINITE, "in 2 of 4"),
        (np.float32([1, 1, -np.inf, 0]), Finding.NOT_FINITE, "in 1 of 4"),
        (np.float32([3, 3, 3, 3]), Finding.NORM_OVER_BOUND, "got norm 6, want at most"),
        (np.full(4, 3.4e38, np.float32), Finding.NORM_OVER_BOUND, "6.8e+38"),
    ],
)
def test_a_wrong_update_is_refused_with_its_reason_and_the_others_are_not(
    wrong, finding, detail
):
    updates = ones()
    updates[1] = wrong
    verdicts = screen(names(3), updates, [10, 10, 10], parameters=4, norm_bound=5.0)
    assert [v.accepted for v in verdicts] == [True, False, True]
    assert findings(verdicts[1]) == [finding]
    assert detail in verdicts[1].reasons[0].text
    assert verdicts[1].reasons[0].text.startswith(f"{finding}: ")
    assert verdicts[1].samples == 0


@pytest.mark.parametrize("count", [-1, 1.5, True, "9", None, float("nan")])
def test_a_count_that_is_none_is_refused(count):
    verdicts = screen(names(3), ones(), [4, count, 4], parameters=4)
    assert [v.accepted for v in verdicts] == [True, False, True]
    assert findings(verdicts[1]) == [Finding.BAD_SAMPLE_COUNT]


def test_everything_wrong_at_once_is_said_at_once():
    updates = [*ones(2), np.ones(4)]
    verdict = screen(names(3), updates, [1, 1, -1], parameters=4)[2]
    assert findings(verdict) == [Finding.WRONG_DTYPE, Finding.BAD_SAMPLE_COUNT]


def test_all_refused_is_no_error():
    verdicts = screen(names(2), [np.ones(4), np.ones(4)], [1, 1], parameters=4)
    assert not any(v.accepted for v in verdicts)


def test_without_a_bound_any_finite_norm_passes():
    updates = [*ones(2), np.full(4, 3e38, np.float32)]
    assert screen(names(3), updates, [1, 1, 1], parameters=4)[2].accepted


def test_a_norm_at_the_bound_passes_and_the_next_float_does_not():
    updates = [np.float32([3, 4])]
    args = (names(1), updates, [1])
    assert screen(*args, parameters=2, norm_bound=5.0)[0].accepted
    below = math.nextafter(5.0, 0)
    assert not screen(*args, parameters=2, norm_bound=below)[0].accepted


def test_one_who_claims_a_billion_samples_does_not_own_the_mean():
    n = 10
    updates = np.zeros((n, 3), dtype=np.float32)
    updates[4] = 1.0
    samples = [100] * n
    samples[4] = 10**9
    assert weighted_mean(updates, samples)[0] > 0.999999
    verdicts = screen(names(n), updates, samples, parameters=3)
    assert findings(verdicts[4]) == [Finding.SAMPLES_CAPPED]
    assert verdicts[4].accepted
    assert "declared 1000000000, counted as 400" in verdicts[4].reasons[0].text
    got = weighted_mean(updates, [v.samples for v in verdicts])
    np.testing.assert_allclose(got, 4 / 13, rtol=1e-6)


def test_refused_updates_have_no_say_in_the_caps():
    updates = [*ones(3), np.ones(4), np.ones(4), np.ones(4)]
    samples = [100, 100, 10**9, 10**9, 10**9, 10**9]
    verdicts = screen(names(6), updates, samples, parameters=4)
    assert [v.samples for v in verdicts] == [100, 100, 400, 0, 0, 0]


@given(samples=counts, factor=st.sampled_from([1.0, 1.5, 2.0, 4.0, 10.0, 1e9]))
def test_caps_equal_their_definition(definition, samples, factor):
    got = capped_samples(samples, factor=factor)
    assert got == definition.capped_samples(samples, factor)


@given(samples=counts, data=st.data())
def test_no_claim_raises_its_own_cap(samples, data):
    place = data.draw(st.integers(0, len(samples) - 1))
    larger = samples.copy()
    larger[place] = 10**13
    largest = samples.copy()
    largest[place] = 10**30
    if len(samples) > 1:
        once, again = capped_samples(larger), capped_samples(largest)
        assert once[place] == again[place]
    assert all(
        0 <= c <= s for c, s in zip(capped_samples(samples), samples, strict=True)
    )


@given(n=st.integers(2, 50), usual=st.integers(1, 10**6), factor=st.integers(1, 20))
def test_the_share_of_one_claim_is_bounded(n, usual, factor):
    caps = capped_samples([usual] * (n - 1) + [10**18], factor=factor)
    assert caps[:-1] == (usual,) * (n - 1)
    assert caps[-1] / sum(caps) <= factor / (factor + n - 1) + 1e-12


@given(samples=counts, seed=st.integers(0, 1000))
def test_caps_move_with_their_participants(samples, seed):
    order = generator(18, seed).permutation(len(samples))
    moved = capped_samples([samples[i] for i in order])
    assert moved == tuple(capped_samples(samples)[i] for i in order)


def test_one_alone_is_not_capped_and_silence_of_the_others_leaves_one():
    assert capped_samples([10**9]) == (10**9,)
    assert capped_samples([0, 0, 0, 500]) == (0, 0, 0, 1)
    assert capped_samples([0, 0]) == (0, 0)


@pytest.mark.parametrize("samples", [[], [-1], [1, 2.5], [True]])
def test_wrong_counts_raise_where_no_verdict_could_be_given(samples):
    with pytest.raises(InvalidUpdate, match="sample count"):
        capped_samples(samples)


@pytest.mark.parametrize("factor", [0.99, 0.0, -1.0, math.inf, math.nan])
def test_a_factor_out_of_range_is_refused(factor):
    with pytest.raises(InvalidUpdate, match="cap factor"):
        capped_samples([1, 2], factor=factor)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"participants": names(2)}, "as many of each"),
        ({"samples": [1]}, "as many of each"),
        ({"participants": [*names(2), names(1)[0]]}, "named twice"),
        ({"parameters": 0}, "got 0 parameters"),
        ({"norm_bound": 0.0}, "norm bound"),
        ({"norm_bound": math.inf}, "norm bound"),
        ({"norm_bound": math.nan}, "norm bound"),
    ],
)
def test_a_wrong_question_is_refused(change, message):
    asked = {"participants": names(3), "samples": [1, 1, 1], "parameters": 4} | change
    with pytest.raises(InvalidUpdate, match=message):
        screen(updates=ones(), **asked)


def test_the_norm_is_that_of_float64_over_several_tiles():
    update = generator(19).standard_normal(600_000, dtype=np.float32)
    want = math.sqrt(math.fsum(float(x) ** 2 for x in update))
    assert norm(update) == pytest.approx(want, rel=1e-14)
    assert norm(np.float32([1e-45, 0])) > 0


def test_a_verdict_that_contradicts_its_reasons_cannot_be_built():
    fatal = (Reason(finding=Finding.NOT_FINITE, detail="x"),)
    name = names(1)[0]
    for accepted, reasons, samples in [(True, fatal, 1), (False, fatal, 1)]:
        with pytest.raises(InvalidUpdate, match="verdict"):
            Verdict(
                participant=name, accepted=accepted, reasons=reasons, samples=samples
            )
    with pytest.raises(InvalidUpdate, match="verdict"):
        Verdict(participant=name, accepted=False, reasons=(), samples=0)
