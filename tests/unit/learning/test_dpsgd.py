# SPDX-License-Identifier: Apache-2.0
"""DP-SGD: what may leave, what it may depend on, how much noise there is."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from fedxdr.core.errors import InvalidPlan, InvalidTelemetry
from fedxdr.core.randomness import SeededEntropy, SystemEntropy
from fedxdr.federation.plan import Training
from fedxdr.federation.protection import Privacy
from fedxdr.learning import dpsgd, fit
from fedxdr.models import ghost, parameters
from fedxdr.privacy import noise
from fedxdr.privacy.mechanism import effective_noise_multiplier

TRAINING = Training(learning_rate=0.02, batch_size=64, proximal_mu=0.01)


def promise(**wishes):
    return Privacy(
        **{
            "mechanism": "dp-sgd",
            "unit": "event",
            "epsilon": 8.0,
            "delta": 1e-5,
            "noise_multiplier": 1.0,
            "sampling_rate": 0.25,
            "steps": 4,
            "clipping_norm": 0.5,
            "own": 1,
            "context": 16,
            "index_keys": 1,
            **wishes,
        }
    )


def run(architecture, rows, *, privacy=None, seed=3, training=TRAINING, **more):
    features, family = rows
    return dpsgd.fit_privately(
        architecture.first_vector(0),
        architecture=architecture,
        features=features,
        family=family,
        privacy=privacy or promise(),
        training=training,
        entropy=SeededEntropy(seed),
        **more,
    )


def sums(monkeypatch, call):
    """Return what was handed to the noise, and call's result."""
    seen = []
    real = noise.noisy_sum

    def spy(values, **arguments):
        seen.append((values.copy(), arguments))
        return real(values, **arguments)

    with monkeypatch.context() as patch:
        patch.setattr(noise, "noisy_sum", spy)
        result = call()
    return seen, result


def test_it_learns(architecture, make_rows):
    rows = make_rows(1500, 1500)
    privacy = promise(noise_multiplier=0.5, steps=60, clipping_norm=1.0)
    training = Training(learning_rate=0.05, batch_size=64)
    vector = architecture.first_vector(0)
    begin, end = architecture.layout.span("weights.")
    vector[begin:end] += run(architecture, rows, privacy=privacy, training=training)
    features, family = make_rows(300, 300, seed=9)
    scores = fit.logits(vector, architecture=architecture, features=features)
    assert ((scores > 0) == (family != 0)).mean() > 0.9


def test_coins_and_noise_are_of_the_entropy_alone(architecture, make_rows):
    rows = make_rows(200, 50)
    once = run(architecture, rows)
    np.random.default_rng(1)
    torch.manual_seed(99)
    assert np.array_equal(once, run(architecture, rows))
    assert not np.array_equal(once, run(architecture, rows, seed=4))
    fresh = [
        dpsgd.fit_privately(
            architecture.first_vector(0),
            architecture=architecture,
            features=rows[0],
            family=rows[1],
            privacy=promise(),
            training=TRAINING,
            entropy=SystemEntropy(),
        )
        for _ in range(2)
    ]
    assert not np.array_equal(*fresh)


def test_what_leaves_reads_the_released_sums_and_nothing_else(
    architecture, make_rows, monkeypatch
):
    draw = np.random.default_rng(0)
    size = sum(
        s.size for s in architecture.layout.segments if s.name.startswith("weights.")
    )
    released = draw.normal(size=(4, size)).astype(np.float32)
    results = []
    for rows in (
        make_rows(500, 100),
        make_rows(3, 0, seed=1),
        make_rows(0, 40, seed=2),
        (np.zeros((0, 4), np.float32), np.zeros(0, np.int64)),
    ):
        step = iter(released)
        monkeypatch.setattr(noise, "noisy_sum", lambda *_, step=step, **__: next(step))
        results.append(run(architecture, rows))
        assert next(step, None) is None
    for other in results[1:]:
        assert np.array_equal(results[0], other)


def test_one_row_more_moves_each_sum_by_the_clip_at_most(
    architecture, make_rows, monkeypatch
):
    features, family = make_rows(120, 40)
    features[-1] *= 1e6
    privacy = promise(sampling_rate=1.0, steps=1, clipping_norm=0.01)
    for kept in (159, 158):
        with_it, _ = sums(
            monkeypatch,
            lambda kept=kept: run(
                architecture,
                (features[: kept + 1], family[: kept + 1]),
                privacy=privacy,
            ),
        )
        without, _ = sums(
            monkeypatch,
            lambda kept=kept: run(
                architecture, (features[:kept], family[:kept]), privacy=privacy
            ),
        )
        (values, arguments), (less, _) = with_it[0], without[0]
        assert arguments["clip"] == 0.01
        assert 0 < np.linalg.norm(values - less) <= 0.01 * (1 + dpsgd._SLACK)


def test_float32_moves_a_sum_by_far_less_than_is_allowed_for(architecture, make_rows):
    features, family = make_rows(3000, 3000)
    network = parameters.network(architecture, architecture.first_vector(0))
    truth = (family != 0).astype(np.float32)
    order = np.random.default_rng(0).permutation(6000)
    found = [
        dpsgd.clipped_total(
            network, features, truth, dpsgd.single(6000), drawn, clip=0.05
        )[0]
        for drawn in (np.arange(6000), order, order[::-1].copy())
    ]
    moved = max(np.linalg.norm(found[0] - other) for other in found[1:])
    assert moved < 0.05 * dpsgd._SLACK / 10


def test_the_noise_is_as_wide_as_charged_and_on_a_grid(architecture, monkeypatch):
    nobody = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    seen = []
    real = noise.noisy_sum

    def spy(*values, **arguments):
        seen.append(real(*values, **arguments))
        return seen[-1]

    monkeypatch.setattr(noise, "noisy_sum", spy)
    privacy = promise(steps=60, noise_multiplier=2.0, clipping_norm=0.5)
    result = run(architecture, nobody, privacy=privacy)
    assert result.any()
    values = np.concatenate(seen)
    assert values.std() == pytest.approx(1.0, rel=0.05)
    assert values.std() >= 1.0
    steps = values / (0.5 * 2.0 ** -noise.grid_bits(len(seen[0])))
    assert np.array_equal(steps, np.rint(steps))


def test_coins_are_fair_and_fresh_each_step(architecture, make_rows, monkeypatch):
    drawn = []
    real = dpsgd.clipped_total

    def spy(*arguments, **more):
        drawn.append(arguments[4])
        return real(*arguments, **more)

    monkeypatch.setattr(dpsgd, "clipped_total", spy)
    run(architecture, make_rows(3000, 1000), privacy=promise(steps=6))
    assert all(abs(len(rows) - 1000) < 150 for rows in drawn)
    for first, second in itertools.pairwise(drawn):
        assert abs(len(np.intersect1d(first, second)) - 250) < 80


def test_a_row_that_is_no_number_does_no_harm(architecture, make_rows, monkeypatch):
    features, family = make_rows(50, 10)
    features[7] = np.nan
    everyone = promise(sampling_rate=1.0)
    seen, result = sums(
        monkeypatch,
        lambda: run(architecture, (features, family), privacy=everyone),
    )
    assert np.isfinite(result).all()
    assert all(np.isfinite(values).all() for values, _ in seen)


def test_windows_are_clipped_as_one(architecture, make_rows, monkeypatch):
    features, family = make_rows(60, 20)
    examples = dpsgd.Examples(
        rows=np.arange(80).reshape(1, 80), weight=np.ones((1, 80), np.float32)
    )
    everyone = promise(sampling_rate=1.0, steps=1, clipping_norm=0.02)
    seen, _ = sums(
        monkeypatch,
        lambda: run(
            architecture, (features, family), privacy=everyone, examples=examples
        ),
    )
    assert np.linalg.norm(seen[0][0]) == pytest.approx(0.02, rel=1e-4)


def test_adaptive_clipping_costs_what_the_plan_charges(
    architecture, make_rows, monkeypatch
):
    privacy = promise(
        noise_multiplier=1.0,
        adaptive_quantile=0.5,
        adaptive_count_noise=2.0,
        adaptive_rate=0.2,
    )
    wider = dpsgd.gradient_noise(privacy)
    assert wider > 1.0
    both = effective_noise_multiplier(gradient_noise=wider, count_noise=2.0)
    assert both == pytest.approx(1.0, rel=1e-9)
    seen, _ = sums(
        monkeypatch, lambda: run(architecture, make_rows(300, 60), privacy=privacy)
    )
    assert all(arguments["noise_multiplier"] == wider for _, arguments in seen)
    assert len({arguments["clip"] for _, arguments in seen}) == len(seen)
    with pytest.raises(InvalidPlan, match="alone costs"):
        dpsgd.gradient_noise(dataclasses.replace(privacy, adaptive_count_noise=0.5))


def test_the_adapted_norm_finds_the_quantile(architecture, make_rows, monkeypatch):
    rows = make_rows(1500, 500)
    privacy = promise(
        steps=80,
        clipping_norm=100.0,
        adaptive_quantile=0.5,
        adaptive_count_noise=20.0,
        adaptive_rate=0.4,
        sampling_rate=0.5,
    )
    still = Training(learning_rate=1e-9, batch_size=1000)
    seen, _ = sums(
        monkeypatch, lambda: run(architecture, rows, privacy=privacy, training=still)
    )
    last = seen[-1][1]["clip"]
    network = parameters.network(architecture, architecture.first_vector(0))
    features = torch.from_numpy(rows[0])[:, None]
    truth = torch.from_numpy((rows[1] != 0).astype(np.float32))[:, None]
    norms = ghost.clipped_sum(
        network, features, truth, torch.ones_like(truth), clip=last
    ).norms
    assert last == pytest.approx(float(norms.median()), rel=0.1)


def test_other_mechanisms_and_shapes_are_refused(architecture, make_rows):
    features, family = make_rows(20, 5)
    with pytest.raises(InvalidPlan, match="not dp-sgd"):
        run(architecture, (features, family), privacy=Privacy())
    with pytest.raises(InvalidTelemetry, match="want"):
        run(architecture, (features[1:], family))
