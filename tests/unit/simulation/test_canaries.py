# SPDX-License-Identifier: Apache-2.0
import itertools
import math

import numpy as np
import pytest

from fedxdr.core.errors import InvalidInput
from fedxdr.core.randomness import generator
from fedxdr.crypto.expand import KeyStream
from fedxdr.simulation.canaries import (
    FEWEST_SPARE,
    CanaryTap,
    Design,
    record_scores,
)

SEED = bytes(range(32))
NOISE = bytes(reversed(range(32)))


def run(
    design: Design, *, steps=10, noise=1.0, clip=1.0, fraction=1.0, base=None
) -> CanaryTap:
    tap = CanaryTap(design, seed=SEED, noise_fraction=fraction)
    size = design.canaries + FEWEST_SPARE
    values = np.zeros(size) if base is None else base
    stream = KeyStream(NOISE, label="test")
    for _ in range(steps):
        tap(values, clip=clip, noise_multiplier=noise, stream=stream)
    return tap


def test_coins_are_fair_and_the_seeds_own() -> None:
    tap = CanaryTap(Design(canaries=4000, sampling_rate=0.5), seed=SEED)
    other = CanaryTap(Design(canaries=4000, sampling_rate=0.5), seed=NOISE)
    assert 0.45 < tap.included.mean() < 0.55
    assert not np.array_equal(tap.included, other.included)


def test_a_canary_that_is_in_adds_the_clip_norm_when_it_is_sampled() -> None:
    design = Design(canaries=500, sampling_rate=1.0)
    tap = CanaryTap(design, seed=SEED)
    released = tap(
        np.full(500 + FEWEST_SPARE, 7.0),
        clip=3.0,
        noise_multiplier=1e-3,
        stream=KeyStream(NOISE, label="test"),
    )
    np.testing.assert_allclose(released[:500], 7.0 + 3.0 * tap.included, atol=0.05)
    np.testing.assert_allclose(released[500:], 7.0, atol=0.05)


def test_sampling_is_poisson_with_the_rate() -> None:
    design = Design(canaries=2000, sampling_rate=0.25)
    tap = run(design, steps=20, noise=1e-3)
    traces = np.array(tap._seen)
    assert abs(traces[:, tap.included].mean() - 0.25) < 0.01
    assert np.abs(traces[:, ~tap.included]).max() < 0.02
    assert tap.steps == 20


def test_the_context_pulls_both_ways_by_whether_the_canary_is_in() -> None:
    design = Design(canaries=2000, sampling_rate=0.5, own=False, occurrences=8)
    tap = run(design, steps=10, noise=1e-3)
    traces = np.array(tap._seen)
    assert abs(traces[:, tap.included].mean() - 4.0) < 0.1
    assert abs(traces[:, ~tap.included].mean() + 4.0) < 0.1


def test_the_real_examples_do_not_move_the_scores() -> None:
    design = Design(canaries=300, sampling_rate=0.5)
    base = np.linspace(-5, 5, 300 + FEWEST_SPARE)
    with_data, without = run(design, base=base), run(design)
    np.testing.assert_allclose(with_data.scores(), without.scores(), atol=0.05)


def test_the_noise_level_is_the_one_that_is_there_not_the_one_that_is_claimed() -> None:
    design = Design(canaries=10, sampling_rate=0.5)
    assert run(design, steps=40, noise=2.0).noise_level() == pytest.approx(2.0, rel=0.1)
    lying = run(design, steps=40, noise=2.0, fraction=0.1)
    assert lying.noise_level() == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize(("own", "occurrences"), [(True, 0), (True, 3), (False, 2)])
def test_scores_are_the_log_likelihood_ratio(own, occurrences) -> None:
    q = 0.3
    design = Design(canaries=6, sampling_rate=q, own=own, occurrences=occurrences)
    tap = run(design, steps=4)
    level = tap.noise_level()

    def density(x, *, inside):
        # every way in which the coins of all affected examples can fall
        examples = [1.0 if inside else -1.0] * occurrences
        examples += [1.0] if own and inside else []
        total = 0.0
        for coins in itertools.product([0, 1], repeat=len(examples)):
            mean = sum(c * e for c, e in zip(coins, examples, strict=True))
            chance = math.prod(q if c else 1 - q for c in coins)
            total += chance * math.exp(-((x - mean) ** 2) / (2 * level**2))
        return total

    for place, found in enumerate(tap.scores()):
        wanted = sum(
            math.log(density(float(step[place]), inside=True))
            - math.log(density(float(step[place]), inside=False))
            for step in tap._seen
        )
        assert found == pytest.approx(wanted, rel=1e-6, abs=1e-6)


def test_scores_tell_in_from_out_when_there_is_little_noise() -> None:
    tap = run(Design(canaries=400, sampling_rate=0.5), steps=20, noise=0.2)
    assert np.array_equal(tap.scores() > 0, tap.included)


def test_much_noise_hides_the_canaries() -> None:
    tap = run(Design(canaries=400, sampling_rate=0.5), steps=5, noise=50.0)
    right = ((tap.scores() > 0) == tap.included).mean()
    assert 0.4 < right < 0.6


@pytest.mark.parametrize(
    "fields",
    [
        {"canaries": 0, "sampling_rate": 0.5},
        {"canaries": 3, "sampling_rate": 0.0},
        {"canaries": 3, "sampling_rate": 1.5},
        {"canaries": 3, "sampling_rate": 0.5, "occurrences": -1},
        {"canaries": 3, "sampling_rate": 0.5, "own": False},
    ],
)
def test_designs_that_show_nothing_are_refused(fields) -> None:
    with pytest.raises(InvalidInput):
        Design(**fields)


def test_every_canary_needs_a_coordinate_of_its_own() -> None:
    tap = CanaryTap(Design(canaries=20, sampling_rate=0.5), seed=SEED)
    with pytest.raises(InvalidInput, match="coordinates"):
        tap(
            np.zeros(20),
            clip=1.0,
            noise_multiplier=1.0,
            stream=KeyStream(NOISE, label="test"),
        )
    with pytest.raises(InvalidInput, match="released"):
        tap.noise_level()


def test_overlapping_records_are_told_apart_through_the_noise() -> None:
    draw = generator(4)
    gradients = draw.normal(size=(60, 400)) + 0.5
    gradients /= np.linalg.norm(gradients, axis=1, keepdims=True)
    is_in = draw.random(60) < 0.5
    counts = np.where(is_in, draw.binomial(40, 0.5, 60), 0)
    released = gradients.T @ counts + 0.5 * draw.normal(size=400)
    scores = record_scores(
        released, gradients, sampled=20.0, sampling_rate=0.5, noise_std=0.5
    )
    assert np.array_equal(scores > 0, is_in)
    # a plain inner product does not: everybody is like everybody
    plain = gradients @ released
    assert ((plain > np.median(plain)) == is_in).mean() < 1.0


def test_records_and_sums_of_different_lengths_are_refused() -> None:
    with pytest.raises(InvalidInput):
        record_scores(
            np.zeros(3), np.zeros((2, 4)), sampled=1.0, sampling_rate=1.0, noise_std=1.0
        )
