# SPDX-License-Identifier: Apache-2.0
import bisect
import decimal
import importlib.util
import itertools
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtr

from fedxdr.core.errors import InvalidPlan, InvalidUpdate
from fedxdr.core.randomness import generator
from fedxdr.crypto.expand import KeyStream
from fedxdr.privacy import noise

_SOURCE = Path(__file__).parents[2] / "reference" / "noise_definition.py"
_SPEC = importlib.util.spec_from_file_location("noise_definition", _SOURCE)
definition = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(definition)

SMALL = (0.25, 0.3, 1.0, 2.342, 3.0, 9.0, 41.7)
BITS = 2**128


def stream(seed=1):
    return KeyStream(seed.to_bytes(32, "big"), label="fedxdr/test/noise/v1")


class Written(KeyStream):
    """A stream whose bytes a test has written."""

    __slots__ = ("rest",)

    def __init__(self, *parts):
        super().__init__(bytes(32), label="unused")
        self.rest = b"".join(parts)

    def read_into(self, buffer):
        view = memoryview(buffer).cast("B")
        view[:], self.rest = self.rest[: len(view)], self.rest[len(view) :]


def as_stream(draw):
    """Return the bytes in which one 128-bit draw is read: 16, 48 and 64 bits."""
    high, low = draw >> 64, draw & (2**64 - 1)
    first, second = high >> 48, high & (2**48 - 1)
    return (
        first.to_bytes(2, "little")
        + (second << 16).to_bytes(8, "little")
        + low.to_bytes(8, "little")
    )


def inverse(thresholds, draw):
    return bisect.bisect_right(thresholds, draw) - len(thresholds) // 2


# --- the table against the definition


@pytest.mark.parametrize("std", SMALL)
def test_thresholds_are_the_distribution_function_to_128_bits(std):
    table = noise._table(Fraction(std) ** 2)
    exact = definition.probabilities(Fraction(std) ** 2, table.reach)
    assert len(table.thresholds) == 2 * table.reach
    with decimal.localcontext(prec=110):
        below = decimal.Decimal(0)
        for j, threshold in enumerate(table.thresholds):
            below += exact[j - table.reach]
            assert abs(threshold - below * BITS) <= 1


@pytest.mark.parametrize("std", SMALL)
def test_stated_error_covers_the_true_one(std):
    table = noise._table(Fraction(std) ** 2)
    exact = definition.probabilities(Fraction(std) ** 2, 2 * table.reach)
    ends = [0, *table.thresholds, BITS]
    ours = {
        j - table.reach: high - low
        for j, (low, high) in enumerate(itertools.pairwise(ends))
    }
    with decimal.localcontext(prec=110):
        off = sum(abs(exact[x] - decimal.Decimal(ours.get(x, 0)) / BITS) for x in exact)
        assert 0 < off / 2 < decimal.Decimal(noise.table_error(std, 1))


def test_error_grows_with_the_vector_and_stays_negligible():
    # a million parameters, ten thousand releases, a delta of 1e-5
    for std in (0.3, 20.0, 512.0, 513.0, 2.0**20, 2.0**26, noise.MAX_STD):
        whole = noise.table_error(std, 10**10)
        assert whole == pytest.approx(10**10 * noise.table_error(std, 1))
        assert whole * (1 + math.exp(8)) < 1e-5 * 1e-9


@pytest.mark.parametrize("std", [0.3, 9.0, 511.9])
def test_sixteen_bits_decide_only_what_they_can(std):
    table = noise._table(Fraction(std) ** 2)
    decided = 0
    for first, value in enumerate(table.guide):
        lowest, highest = first << 112, ((first + 1) << 112) - 1
        found = {inverse(table.thresholds, lowest), inverse(table.thresholds, highest)}
        if value == noise._UNDECIDED:
            continue
        decided += 1
        assert found == {value}
    assert decided > 0.9 * 2**16


@settings(max_examples=200, deadline=None)
@given(std=st.sampled_from([*SMALL, 511.9]), draw=st.integers(0, BITS - 1))
def test_a_draw_is_inverted(std, draw):
    table = noise._table(Fraction(std) ** 2)
    (value,) = noise.discrete_gaussian(std, 1, Written(as_stream(draw)))
    assert value == inverse(table.thresholds, draw)


@pytest.mark.parametrize("std", [0.3, 9.0])
def test_draws_at_the_very_thresholds_use_all_128_bits(std):
    table = noise._table(Fraction(std) ** 2)
    for threshold in table.thresholds:
        for draw in (max(threshold - 1, 0), threshold):
            (value,) = noise.discrete_gaussian(std, 1, Written(as_stream(draw)))
            assert value == inverse(table.thresholds, draw)


# --- draws against exact probabilities


def chi_square(values, exact):
    """Return the chance of such values under {value: chance}; rare ones pooled."""
    expected, observed, pooled = [], [], [0.0, 0]
    for x, chance in exact.items():
        if chance * values.size >= 10:
            expected.append(chance * values.size)
            observed.append(int((values == x).sum()))
        else:
            pooled[0] += chance * values.size
            pooled[1] += int((values == x).sum())
    if pooled[0] >= 5:
        expected.append(pooled[0])
        observed.append(pooled[1])
    scale = sum(observed) / sum(expected)
    return stats.chisquare(observed, [e * scale for e in expected]).pvalue


def floats(variance, reach):
    exact = definition.probabilities(variance, reach)
    return {x: float(chance) for x, chance in exact.items()}


@pytest.mark.parametrize("std", [0.25, 0.3, 1.0, 2.342, 9.0, 100.0])
def test_draws_follow_the_definition(std):
    values = noise.discrete_gaussian(std, 200_000, stream(int(std * 1000)))
    exact = floats(Fraction(std) ** 2, math.ceil(12 * std))
    assert values.dtype == np.int64
    assert chi_square(values, exact) > 1e-3
    # the same test convicts five percent more noise than was asked for
    wrong = floats(Fraction(std * 1.05) ** 2, math.ceil(12 * std))
    assert chi_square(values, wrong) < 1e-6


@pytest.mark.soak
@pytest.mark.parametrize("std", [0.3, 2.342, 100.0, 510.0, 700.0])
def test_twenty_million_draws_follow_the_definition(std):
    values = noise.discrete_gaussian(std, 20_000_000, stream(int(std * 1000) + 1))
    exact = floats(Fraction(std) ** 2, math.ceil(9 * std))
    lowest = int(values.min())
    found = np.bincount(values - lowest)
    counts = {lowest + i: int(n) for i, n in enumerate(found)}
    rare = {x for x, chance in exact.items() if chance * values.size < 20}
    observed = [counts.pop(x, 0) for x in exact if x not in rare]
    expected = [exact[x] * values.size for x in exact if x not in rare]
    observed.append(sum(counts.values()))
    expected.append(values.size - sum(expected))
    if expected[-1] < 5:
        observed[-2:] = [sum(observed[-2:])]
        expected[-2:] = [sum(expected[-2:])]
    assert stats.chisquare(observed, expected).pvalue > 1e-4


@pytest.mark.parametrize("std", [600.0, 40_000.0, 2.0**26, 2.0**33])
def test_wide_draws_follow_a_gaussian(std):
    values = noise.discrete_gaussian(std, 200_000, stream(int(std) % 1009))
    assert stats.kstest(values / std, ndtr).pvalue > 1e-3
    assert stats.kstest(values / (1.02 * std), ndtr).pvalue < 1e-3
    # every residue as often as any other: the lowest table leaves no pattern
    low = np.bincount(values % 64, minlength=64)
    assert stats.chisquare(low).pvalue > 1e-3


def test_definition_and_product_agree_on_one_distribution():
    rng = generator(3)
    slow = [
        definition.discrete_gaussian(Fraction(5), lambda n: int(rng.integers(n)))
        for _ in range(4000)
    ]
    assert chi_square(np.array(slow), floats(Fraction(5), 30)) > 1e-3
    fast = noise.discrete_gaussian(math.sqrt(5), 4000, stream(5))
    assert stats.ks_2samp(slow, fast).pvalue > 1e-3


@pytest.mark.parametrize("std", [512.5, 700.0, 2.0**15 + 7])
def test_a_sum_of_scaled_draws_has_the_law_of_one(std):
    upper, *lower = noise._variances(std, 1)
    total = upper
    for low in lower:
        # P(a Y + Z = x) at a few x, by the sum over y
        a, total = noise._SCALE, total * noise._SCALE**2 + low
        upper_std = math.sqrt(upper)
        y = np.arange(-int(12 * upper_std), int(12 * upper_std) + 1)
        for x in (0, 1, 17, 63, 64, int(1.5 * math.sqrt(total))):
            weights = np.exp(-(y**2) / (2 * float(upper))) * np.exp(
                -((x - a * y) ** 2) / (2 * float(low))
            )
            shape = math.sqrt(2 * math.pi * float(upper) * float(low) / float(total))
            want = math.exp(-(x**2) / (2 * float(total))) * shape
            assert weights.sum() == pytest.approx(want, rel=1e-11)
        upper = total
    assert total == Fraction(std) ** 2


def test_noise_is_the_key_streams_alone():
    once, again = (noise.discrete_gaussian(700.0, 1000, stream(1)) for _ in range(2))
    other = noise.discrete_gaussian(700.0, 1000, stream(2))
    assert (once == again).all()
    assert abs(np.corrcoef(once, other)[0, 1]) < 0.15
    assert noise.discrete_gaussian(3.0, 0, stream()).shape == (0,)


@pytest.mark.parametrize("std", [0.0, -1.0, 0.2, math.nan, math.inf, 2.0**41])
def test_a_std_out_of_range_is_refused(std):
    with pytest.raises(InvalidPlan):
        noise.discrete_gaussian(std, 1, stream())
    with pytest.raises(InvalidPlan):
        noise.table_error(std, 1)


def test_a_negative_size_is_refused():
    with pytest.raises(InvalidPlan):
        noise.discrete_gaussian(1.0, -1, stream())


# --- discrete noise as post-processing of continuous noise


@pytest.mark.parametrize("std", [2.2, 3.0, 8.0])
def test_rounding_a_continuous_gaussian_gives_the_discrete_one(std):
    inner, smooth = noise.continuous_std(std), 2.0
    w, width = np.linspace(-14 * std, 14 * std, 200_001, retstep=True)
    lattice = np.arange(-int(14 * std) - 20, int(14 * std) + 21)
    around = sum(np.exp(-((j - w) ** 2) / (2 * smooth**2)) for j in lattice)
    density = np.exp(-(w**2) / (2 * inner**2)) / (inner * math.sqrt(2 * math.pi))
    exact = floats(Fraction(std) ** 2, math.ceil(14 * std))
    for z in range(int(6 * std)):
        chance = np.exp(-((z - w) ** 2) / (2 * smooth**2)) / around
        assert (density * chance).sum() * width == pytest.approx(exact[z], rel=1e-9)


@pytest.mark.parametrize("std", [2.5, 6.0])
@pytest.mark.parametrize("shift", [1, 3])
def test_no_divergence_is_above_that_of_the_continuous_claim(std, shift):
    exact = floats(Fraction(std) ** 2, math.ceil(14 * std))
    mu = shift / noise.continuous_std(std)
    for epsilon in np.linspace(0.0, 3.0, 16):
        ours = sum(
            max(0.0, exact.get(x - shift, 0.0) - math.exp(epsilon) * exact[x])
            for x in exact
        )
        # Balle and Wang 2018, theorem 8
        claim = ndtr(mu / 2 - epsilon / mu) - math.exp(epsilon) * ndtr(
            -mu / 2 - epsilon / mu
        )
        assert ours <= claim + 1e-12


def test_little_noise_is_not_called_continuous():
    assert noise.continuous_std(100.0) < 100.0
    assert noise.continuous_std(2.0**20) > 2.0**20 - 1e-5
    for std in (0.5, 2.0, math.nan, 2.0**41):
        with pytest.raises(InvalidPlan):
            noise.continuous_std(std)
    assert noise.smoothing_error(10**10) < 1e-22


# --- coins


def test_coins_have_their_rate_and_are_the_key_streams():
    for rate in (0.0, 1e-4, 0.01, 0.3, 0.999):
        coins = noise.poisson_coins(rate, 300_000, stream(int(rate * 1e4)))
        assert coins.dtype == np.bool_
        assert stats.binomtest(int(coins.sum()), 300_000, rate).pvalue > 1e-3
    assert noise.poisson_coins(1.0, 5, stream()).all()
    again = noise.poisson_coins(0.999, 300_000, stream(9990))
    assert (again == coins).all()


@given(rate=st.floats(0.0, 1.0, exclude_max=True), draw=st.integers(0, 2**64 - 1))
def test_a_coin_compares_64_bits(rate, draw):
    threshold = math.floor(Fraction(rate) * 2**64)
    for value in (draw, threshold, max(threshold - 1, 0)):
        first, rest = value >> 48, value & (2**48 - 1)
        written = first.to_bytes(2, "little") + (rest << 16).to_bytes(8, "little")
        (coin,) = noise.poisson_coins(rate, 1, Written(written))
        assert coin == (value < threshold)


@pytest.mark.parametrize(
    ("rate", "size"), [(-0.1, 1), (1.1, 1), (math.nan, 1), (0, -1)]
)
def test_coins_out_of_range_are_refused(rate, size):
    with pytest.raises(InvalidPlan):
        noise.poisson_coins(rate, size, stream())


# --- noisy sums


def vector(size, seed=0, scale=1.0):
    return (scale * generator(seed).normal(size=size)).astype(np.float32)


def steps_of(values, *, clip):
    return values.astype(np.float64) / (clip * 2.0 ** -noise.grid_bits(values.size))


def test_a_noisy_sum_is_the_sum_with_gaussian_noise():
    values = vector(100_000)
    noised = noise.noisy_sum(values, clip=0.7, noise_multiplier=1.3, stream=stream(4))
    assert noised.dtype == np.float32
    error = (noised - values) / (0.7 * 1.3)
    assert stats.kstest(error, ndtr).pvalue > 1e-3
    assert abs(np.corrcoef(error, values)[0, 1]) < 0.02


def test_what_is_released_lies_on_the_grid_whatever_the_data_are():
    # Mironov 2012: with noise added to floats one coordinate tells 0 from 1/3
    for value in (0.0, 1 / 3, 1e-9, 2.75):
        values = np.full(5000, value, np.float32)
        noised = noise.noisy_sum(
            values, clip=1.0, noise_multiplier=0.5, stream=stream()
        )
        steps = steps_of(noised, clip=1.0)
        assert (steps == np.rint(steps)).all()


def test_noise_does_not_depend_on_what_it_hides():
    # whole steps more in are whole steps more out
    values = np.rint(steps_of(vector(2000), clip=1.0)) * 2.0 ** -noise.grid_bits(2000)
    step = 2.0 ** -noise.grid_bits(2000)
    kind = {"clip": 1.0, "noise_multiplier": 0.5}
    once = noise.noisy_sum(values, stream=stream(), **kind)
    moved = noise.noisy_sum(values + 5 * step, stream=stream(), **kind)
    assert ((moved.astype(np.float64) - once) == 5 * step).all()


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    size=st.integers(1, 300),
    scale=st.floats(1e-3, 1e3),
    part=st.floats(0.0, 1.0),
)
def test_noise_covers_what_rounding_adds_to_the_sensitivity(seed, size, scale, part):
    clip = 0.3
    base = vector(size, seed, scale)
    step = vector(size, seed + 1).astype(np.float64)
    step *= part * clip / np.linalg.norm(step)
    first = np.rint(steps_of(base.astype(np.float64), clip=clip))
    second = np.rint(steps_of(base + step, clip=clip))
    sigma = 2.0
    std = noise.continuous_std(noise.noise_steps(size, noise_multiplier=sigma))
    assert np.linalg.norm(first - second) * sigma <= std


def test_worst_rounding_is_covered_and_costs_a_thousandth():
    for size in (1, 100, 10**6):
        plain = 2.0 ** noise.grid_bits(size)
        # all coordinates lie half a step below a border
        worst = plain + math.sqrt(size)
        std = noise.noise_steps(size, noise_multiplier=1.0)
        assert noise.continuous_std(std) >= worst
        assert std < plain * 1.002


@pytest.mark.parametrize("size", [1, 100, 10**6])
@pytest.mark.parametrize("sigma", [0.01, 1.0, 200.0])
def test_the_continuous_noise_behind_is_all_that_was_promised(size, sigma):
    sensitivity = 2.0 ** noise.grid_bits(size) + 1.0625 * math.sqrt(size)
    std = noise.noise_steps(size, noise_multiplier=sigma)
    assert noise.continuous_std(std) >= sigma * sensitivity
    assert noise.continuous_std(std) < sigma * sensitivity * (1 + 2.0**-30)


def test_slack_and_errors_are_charged():
    kind = {"noise_multiplier": 1.5}
    assert noise.noise_steps(100, slack=0.5, **kind) == pytest.approx(
        1.5 * noise.noise_steps(100, **kind), rel=1e-3
    )
    assert 0 < noise.release_error(10**6, **kind) < 1e-25


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 2.0**25])
def test_a_sum_that_no_clipped_vectors_have_is_refused(bad):
    values = vector(40_000)
    values[39_999] = bad
    with pytest.raises(InvalidUpdate):
        noise.noisy_sum(values, clip=1.0, noise_multiplier=1.0, stream=stream())


def test_other_types_and_shapes_are_refused():
    for values in (np.zeros(3, np.int64), np.zeros((2, 2), np.float32)):
        with pytest.raises(InvalidUpdate):
            noise.noisy_sum(values, clip=1.0, noise_multiplier=1.0, stream=stream())


@pytest.mark.parametrize(
    "numbers",
    [
        {"clip": 0.0},
        {"clip": math.nan},
        {"clip": 1e300},
        {"noise_multiplier": 0.0},
        {"noise_multiplier": math.nan},
        {"noise_multiplier": 2.0**39},
        {"slack": -1.0},
    ],
)
def test_numbers_out_of_range_are_refused(numbers):
    kind = {"clip": 1.0, "noise_multiplier": 1.0, **numbers}
    with pytest.raises(InvalidPlan):
        noise.noisy_sum(vector(10), stream=stream(), **kind)
