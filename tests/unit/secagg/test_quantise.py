# SPDX-License-Identifier: Apache-2.0
"""secagg/quantise.py: sums never wrap, rounding is fair, nonsense is refused."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidPlan, InvalidUpdate
from fedxdr.core.ids import OrgId
from fedxdr.core.randomness import generator
from fedxdr.secagg import quantise as module
from fedxdr.secagg.quantise import (
    BOUND_TOLERANCE,
    MAX_BITS,
    MIN_BITS,
    dequantise,
    quantise,
    scale_of,
)
from fedxdr.secagg.weights import effective_weights

SEED = bytes(32)


def signed(words: np.ndarray) -> np.ndarray:
    return words.view(np.int32).astype(np.int64)


def simple(values: np.ndarray, **more: object) -> np.ndarray:
    """Quantise as one of three equal organisations, bound 1, 24 bits."""
    settings_ = {
        "bound": 1.0,
        "bits": 24,
        "participants": 3,
        "weight": 1,
        "total_weight": 3,
        "seed": SEED,
        **more,
    }
    return quantise(values, **settings_)


@settings(max_examples=300, deadline=None)
@given(
    bits=st.integers(MIN_BITS, MAX_BITS),
    data=st.data(),
    bound=st.floats(1e-6, 1e6),
    sign=st.sampled_from([-1.0, 1.0]),
)
def test_the_worst_case_never_wraps(
    bits: int, data: st.DataObject, bound: float, sign: float
) -> None:
    # Everyone sends the largest value that is admitted; rounding goes all one way. The
    # participants are summed as their largest admitted integer, not one by one.
    n = data.draw(st.integers(1, min(2 ** (bits - 2), 50)), label="n")
    weights = data.draw(
        st.lists(st.integers(1, 2**40), min_size=n, max_size=n), label="weights"
    )
    largest = np.float32(bound * (1 + BOUND_TOLERANCE / 2))
    values = np.full(64, np.float32(sign) * largest, dtype=np.float32)
    total, worst = np.zeros(64, dtype=np.int64), 0
    for weight in weights:
        q = signed(
            quantise(
                values,
                bound=bound,
                bits=bits,
                participants=n,
                weight=weight,
                total_weight=sum(weights),
                seed=SEED,
            )
        )
        total += q
        worst += int(abs(q).max()) + 1  # one more than any rounding gives
    assert abs(total).max() < 2 ** (bits - 1)
    assert worst <= 2 ** (bits - 1) + n  # the bound is not loose by more than n
    # Independently of what was drawn: the bound of the docstring, in exact integers.
    scale = scale_of(bound=bound, bits=bits, participants=n)
    limit = math.fsum(
        float(largest)
        * float(module._multiplier(scale, weight=w, total_weight=sum(weights)))
        for w in weights
    )
    assert limit * (1 + 2**-24) ** 2 + n * (1 + 2**-25) < 2 ** (bits - 1)


def test_the_scale_uses_nearly_all_the_bits() -> None:
    scale = scale_of(bound=2.0, bits=24, participants=10)
    assert 0.9999 * 2**23 < scale * 2.0 + 10 < 2**23


@pytest.mark.parametrize("bits", [MIN_BITS, 16, 24, MAX_BITS])
def test_a_whole_sum_comes_back_within_its_error(bits: int) -> None:
    rng = generator(1)
    weights, d, bound = [1, 2, 8, 4], 2000, 0.5
    updates = [rng.uniform(-bound, bound, d).astype(np.float32) for _ in weights]
    scale = scale_of(bound=bound, bits=bits, participants=4)
    survivors = [0, 1, 3]
    total = sum(
        signed(
            quantise(
                updates[i],
                bound=bound,
                bits=bits,
                participants=4,
                weight=weights[i],
                total_weight=15,
                seed=bytes([i]) * 32,
            )
        )
        for i in survivors
    ).astype(np.int32)
    mean = dequantise(
        total,
        bound=bound,
        bits=bits,
        participants=4,
        survivors_weight=7,
        total_weight=15,
    )
    exact = sum(weights[i] * updates[i].astype(np.float64) for i in survivors) / 7
    step = 1 / (scale * 7 / 15)
    assert mean.dtype == np.float64
    # Rounding, and float32's own precision of the products (two roundings of 2^-24).
    assert abs(mean - exact).max() < 4 * step + 2**-22 * bound
    assert abs(mean - exact).max() > 0


def test_rounding_is_fair() -> None:
    # A value a quarter of a step above an integer goes up a quarter of the times.
    d = 200_000
    scale = scale_of(bound=1.0, bits=8, participants=1)
    value = np.float32((10.25) / scale)
    q = signed(
        quantise(
            np.full(d, value),
            bound=1.0,
            bits=8,
            participants=1,
            weight=1,
            total_weight=1,
            seed=SEED,
        )
    )
    assert set(q.tolist()) == {10, 11}
    # Five standard deviations of a binomial mean.
    assert abs((q - 10).mean() - 0.25) < 5 * math.sqrt(0.25 * 0.75 / d) + 1e-5
    negative = signed(
        quantise(
            np.full(d, -value),
            bound=1.0,
            bits=8,
            participants=1,
            weight=1,
            total_weight=1,
            seed=SEED,
        )
    )
    assert set(negative.tolist()) == {-11, -10}
    assert abs((negative + 10).mean() + 0.25) < 5 * math.sqrt(0.25 * 0.75 / d) + 1e-5


@pytest.mark.parametrize("bits", [MIN_BITS, 24, MAX_BITS])
def test_it_is_the_definition_in_slow_numbers(bits: int) -> None:
    # The nearest integer, or of two as near the even one, to fl32(y + u), where u is
    # the stream's next 16 bits as a signed number, made odd, over 2^16.
    rng = generator(2)
    values = rng.uniform(-1, 1, 300).astype(np.float32)
    scale = scale_of(bound=1.0, bits=bits, participants=3)
    multiplier = module._multiplier(scale, weight=1, total_weight=3)
    stream = module.KeyStream(SEED, label="fedxdr/secagg/rounding/v1").read(600)
    want = []
    for index, value in enumerate(values):
        y = Fraction(float(np.float32(value * multiplier)))
        draw = int.from_bytes(stream[2 * index : 2 * index + 2], "little", signed=True)
        u = Fraction(draw + 1 if draw % 2 == 0 else draw, 65536)
        assert abs(u) < Fraction(1, 2)
        # y and u are exact in float64 and so is their sum, so this rounds once.
        assert Fraction(float(y) + float(u)) == y + u
        want.append(round(Fraction(float(np.float32(float(y) + float(u))))))
    assert signed(simple(values, bits=bits)).tolist() == want


@pytest.mark.parametrize("y", [0.3, -0.3, 100.7, 1000.1, -(2.0**15) + 0.37, 2.0**20.3])
def test_the_mean_over_all_draws_is_within_the_stated_bias(
    y: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every draw once instead of the stream: the mean is exact, not estimated.
    draws = np.arange(-(2**15), 2**15, dtype="<i2")

    class EveryDraw:
        def __init__(self, seed: bytes, *, label: str) -> None:
            del seed, label
            self._left = draws.tobytes()

        def read_into(self, buffer: memoryview) -> None:
            view = memoryview(buffer).cast("B")
            view[:] = self._left[: len(view)]
            self._left = self._left[len(view) :]

    monkeypatch.setattr(module, "KeyStream", EveryDraw)
    scale = scale_of(bound=1.0, bits=MAX_BITS, participants=1)
    multiplier = module._multiplier(scale, weight=1, total_weight=1)
    value = np.float32(y / float(multiplier))
    q = signed(
        simple(
            np.full(2**16, value),
            bits=MAX_BITS,
            participants=1,
            weight=1,
            total_weight=1,
        )
    )
    product = np.float32(value * multiplier)
    last_place = float(np.spacing(np.float32(abs(product) + 0.5)))
    assert abs(q.mean() - float(product)) <= 2**-16 + last_place / 2
    assert set(q.tolist()) <= {math.floor(product), math.floor(product) + 1}
    assert len(set(q.tolist())) == 2


def test_integers_stay_and_zero_is_zero() -> None:
    scale = scale_of(bound=1.0, bits=MIN_BITS, participants=1)
    multiplier = module._multiplier(scale, weight=1, total_weight=1)
    whole = np.repeat(np.arange(-99, 100, dtype=np.float32), 1000)
    values = whole / multiplier
    whole_again = values * multiplier == whole  # where division was exact enough
    q = signed(simple(values, bits=MIN_BITS, participants=1, weight=1, total_weight=1))
    assert whole_again.sum() > 100_000
    assert np.array_equal(q[whole_again], whole[whole_again])
    assert not simple(np.zeros(1000, dtype=np.float32)).any()
    assert simple(np.zeros(0, dtype=np.float32)).size == 0


@pytest.mark.parametrize("bound", [2.0**-80, 2.0**80])
@pytest.mark.parametrize("bits", [MIN_BITS, MAX_BITS])
def test_the_ends_of_the_bounds_range_work(bound: float, bits: int) -> None:
    values = np.array([bound, -bound, 0], dtype=np.float32)
    q = signed(simple(values, bound=bound, bits=bits, weight=3)).astype(np.int32)
    got = back(q, bound=bound, bits=bits, survivors_weight=3)
    step = 1 / scale_of(bound=bound, bits=bits, participants=3)
    assert abs(got - values).max() <= step + 2**-22 * bound


def test_an_organisation_of_no_weight_sends_zeros() -> None:
    assert not simple(np.ones(100, dtype=np.float32), weight=0).any()


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    values = generator(3).uniform(-1, 1, 1000).astype(np.float32)
    whole = simple(values)
    monkeypatch.setattr(module, "_BLOCK", 7)
    assert np.array_equal(simple(values), whole)


def test_the_input_is_left_alone_and_may_be_strided() -> None:
    values = generator(3).uniform(-1, 1, 1000).astype(np.float32)
    before = values.copy()
    strided = simple(values[::2])
    assert np.array_equal(values, before)
    assert np.array_equal(strided, simple(values[::2].copy()))


def test_in_place_gives_the_same_in_the_memory_of_the_update() -> None:
    values = generator(3).uniform(-1, 1, 100_000).astype(np.float32)
    want = simple(values)
    got = simple(values, in_place=True)
    assert np.shares_memory(got, values)
    assert np.array_equal(got, want)
    read_only = np.zeros(3, dtype=np.float32)
    read_only.flags.writeable = False
    for wrong in (read_only, np.zeros(6, dtype=np.float32)[::2]):
        with pytest.raises(InvalidUpdate, match="in place"):
            simple(wrong, in_place=True)


def test_another_seed_rounds_otherwise() -> None:
    values = generator(3).uniform(-1, 1, 1000).astype(np.float32)
    assert not np.array_equal(simple(values), simple(values, seed=b"x" * 32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1.001, -1.001, 3e38])
@pytest.mark.parametrize("position", [0, 499, 999])
def test_what_no_honest_update_holds_is_refused(bad: float, position: int) -> None:
    values = np.zeros(1000, dtype=np.float32)
    values[position] = bad
    with pytest.raises(InvalidUpdate):
        simple(values)


def test_a_clip_norm_reached_with_float32_rounding_is_accepted() -> None:
    just_above = np.nextafter(np.float32(1), np.float32(2))
    simple(np.array([just_above, -just_above]))


@pytest.mark.parametrize(
    "values", [np.zeros(3), np.zeros((1, 3), dtype=np.float32), np.zeros(3, np.int32)]
)
def test_other_arrays_are_refused(values: np.ndarray) -> None:
    with pytest.raises(InvalidUpdate):
        simple(values)


@pytest.mark.parametrize(
    "change",
    [
        {"bits": 7},
        {"bits": 32},
        {"participants": 0},
        {"bits": 8, "participants": 65},
        {"bound": 0.0},
        {"bound": -1.0},
        {"bound": math.nan},
        {"bound": math.inf},
        {"weight": 4},
        {"weight": -1},
        {"weight": 0, "total_weight": 0},
        {"bound": 2.0**-81},
        {"bound": 2.0**81},
    ],
)
def test_plans_that_cannot_work_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(InvalidPlan):
        simple(np.zeros(3, dtype=np.float32), **change)


def back(total: np.ndarray, **more: object) -> np.ndarray:
    settings_ = {
        "bound": 1.0,
        "bits": 24,
        "participants": 3,
        "survivors_weight": 2,
        "total_weight": 3,
        **more,
    }
    return dequantise(total, **settings_)


def test_dequantising_is_one_division() -> None:
    total = np.array([5, -7, 0], dtype=np.int32)
    divisor = scale_of(bound=1.0, bits=24, participants=3) * 2 / 3
    assert back(total).tolist() == [5 / divisor, -7 / divisor, 0.0]
    assert back(np.zeros(0, dtype=np.int32)).size == 0


@pytest.mark.parametrize("value", [2**23, -(2**23), 2**31 - 1, -(2**31)])
def test_a_sum_no_honest_contributions_have_is_refused(value: int) -> None:
    with pytest.raises(InvalidUpdate, match="leaves its 24 bits"):
        back(np.array([0, value], dtype=np.int32))


@pytest.mark.parametrize(
    "total", [np.zeros(3, np.uint32), np.zeros(3), np.zeros((1, 3), np.int32)]
)
def test_other_sums_are_refused(total: np.ndarray) -> None:
    with pytest.raises(InvalidUpdate):
        back(total)


@pytest.mark.parametrize(
    "change", [{"survivors_weight": 0}, {"survivors_weight": 4}, {"bits": 40}]
)
def test_weights_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(InvalidPlan):
        back(np.zeros(3, dtype=np.int32), **change)


@pytest.mark.parametrize("n", [3, 5, 10, 50, 100])
@pytest.mark.parametrize("kind", ["normal", "spike", "uniform"])
def test_the_mean_is_off_by_2_to_the_minus_22_whatever_the_sample_counts(
    n: int, kind: str
) -> None:
    # 31 bits; counts from 1 to 2^16, capped as a plan caps them; as many of the
    # heaviest drop out as the threshold allows.
    random = generator(n)
    for _ in range(3):
        buckets = {
            OrgId(f"o-{i:03}"): int(k) for i, k in enumerate(random.integers(0, 17, n))
        }
        weight = list(effective_weights(buckets, cap_over_median=2).values())
        alive = sorted(range(n), key=lambda i: weight[i])[: 2 * n // 3 + 1]
        total, exact = np.zeros(500, dtype=np.int64), np.zeros(500)
        for i in alive:
            if kind == "normal":
                x = random.standard_normal(500).astype(np.float32)
                x /= np.float32(np.linalg.norm(x) * 1.000001)
            elif kind == "spike":
                x = np.zeros(500, dtype=np.float32)
                x[i % 3] = 1.0
            else:
                x = random.uniform(-1, 1, 500).astype(np.float32)
            exact += weight[i] * x.astype(np.float64)
            total += quantise(
                x,
                bound=1.0,
                bits=31,
                participants=n,
                weight=weight[i],
                total_weight=sum(weight),
                seed=i.to_bytes(32),
            ).view(np.int32)
        survivors_weight = sum(weight[i] for i in alive)
        mean = dequantise(
            total.astype(np.int32),
            bound=1.0,
            bits=31,
            participants=n,
            survivors_weight=survivors_weight,
            total_weight=sum(weight),
        )
        assert np.max(np.abs(mean - exact / survivors_weight)) <= 2.0**-22
