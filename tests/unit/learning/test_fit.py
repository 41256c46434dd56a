# SPDX-License-Identifier: Apache-2.0
"""The local fit: what it samples, that it learns, that it can be redone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.core.randomness import generator
from fedxdr.federation.plan import Training
from fedxdr.learning import fit
from fedxdr.learning.statistics import bounded_statistics
from fedxdr.models import metrics, parameters

QUICK = Training(batch_size=64, learning_rate=0.01, examples_per_epoch=1024)


def first(architecture, features):
    vector = architecture.first_vector(0)
    begin, end = architecture.layout.span("statistics.")
    vector[begin:end] = bounded_statistics(features)
    return vector


def fitted(architecture, rows, *, training=QUICK, seed=(1,)):
    features, family = rows
    return fit.fit(
        first(architecture, features),
        architecture=architecture,
        features=features,
        family=family,
        training=training,
        seed=seed,
    )


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([0, 0, 0, 1, 2]), min_size=1, max_size=60),
    st.integers(1, 500),
)
def test_a_sample_has_the_size_asked_for_and_only_rows_there_are(family, size):
    numbers = np.array(family)
    rows = fit.balanced_rows(numbers, size=size, draw=generator(0))
    assert rows.shape == (size,)
    assert ((rows >= 0) & (rows < len(family))).all()


def test_half_of_a_sample_is_benign_and_small_families_are_heard():
    family = np.array([0] * 1000 + [1] * 10_000 + [2] * 10)
    rows = fit.balanced_rows(family, size=20_000, draw=generator(0))
    share = np.bincount(family[rows]) / 20_000
    ratio = 1000**0.3
    assert share[0] == pytest.approx(0.5, abs=0.02)
    assert share[1] / share[2] == pytest.approx(ratio, rel=0.15)


@pytest.mark.parametrize("number", [0, 3])
def test_one_class_alone_fills_the_sample(number):
    family = np.full(5, number)
    assert len(fit.balanced_rows(family, size=40, draw=generator(0))) == 40


def test_nothing_cannot_be_sampled():
    with pytest.raises(InvalidTelemetry):
        fit.balanced_rows(np.zeros(0, int), size=1, draw=generator(0))


def test_the_same_seed_gives_the_same_bits_and_another_does_not(
    architecture, make_rows
):
    rows = make_rows(300, 50)
    once, again = (fitted(architecture, rows) for _ in range(2))
    assert once.tobytes() == again.tobytes()
    assert not np.array_equal(once, fitted(architecture, rows, seed=(2,)))


def test_a_few_epochs_tell_what_can_be_told(architecture, make_rows):
    rows = make_rows(600, 60)
    training = replace(QUICK, local_epochs=4)
    vector = first(architecture, rows[0])
    begin, end = architecture.layout.span("weights.")
    vector[begin:end] += fitted(architecture, rows, training=training)
    features, family = make_rows(500, 100, seed=9)
    scores = fit.logits(vector, architecture=architecture, features=features)
    assert metrics.recall(scores, family, budget=0.01) > 0.9


def test_the_proximal_term_holds_the_weights_back(architecture, make_rows):
    rows = make_rows(300, 50)
    moved = [
        np.linalg.norm(
            fitted(architecture, rows, training=replace(QUICK, proximal_mu=mu))
        )
        for mu in (0.0, 1.0, 50.0)
    ]
    assert moved[0] > moved[1] > moved[2] > 0


def test_the_proximal_gradient_is_the_terms_own(architecture):
    network = parameters.network(architecture, architecture.first_vector(0))
    weights = list(network.parameters())
    anchor = [torch.randn_like(weight) for weight in weights]
    term = sum(((w - a) ** 2).sum() for w, a in zip(weights, anchor, strict=True))
    (0.7 / 2 * term).backward()
    want = [weight.grad.clone() for weight in weights]
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    fit._add_proximal_gradient(weights, anchor, 0.7)
    for weight, gradient in zip(weights, want, strict=True):
        assert torch.allclose(weight.grad, gradient, atol=1e-6)


def test_only_weights_are_in_the_difference(architecture, make_rows):
    begin, end = architecture.layout.span("weights.")
    assert fitted(architecture, make_rows(300, 50)).shape == (end - begin,)


def test_a_quiet_past_takes_fewer_examples_where_the_plan_says_so():
    family = np.array([0] * 5000 + [1] * 40)
    assert fit.epoch_size(family, Training()) == Training().examples_per_epoch
    few = fit.epoch_size(family, Training(examples_per_attack=20))
    assert few == 800


def test_scoring_in_blocks_changes_nothing(architecture, monkeypatch):
    features = np.random.default_rng(0).uniform(0, 4, (50, 4)).astype(np.float32)
    vector = architecture.first_vector(0)
    whole = fit.logits(vector, architecture=architecture, features=features)
    monkeypatch.setattr(fit, "_SCORING_BLOCK", 7)
    parts = fit.logits(vector, architecture=architecture, features=features)
    assert np.allclose(whole, parts, atol=1e-6)


def test_a_difference_in_the_eighth_digit_stays_small(architecture, make_rows):
    # what masking's rounding leaves must not become another verdict
    features, family = make_rows(600, 60)
    begin, end = architecture.layout.span("weights.")
    vectors = [first(architecture, features) for _ in range(2)]
    vectors[1][begin:end] += np.float32(1e-8)
    for number in range(8):
        for vector in vectors:
            vector[begin:end] += fit.fit(
                vector,
                architecture=architecture,
                features=features,
                family=family,
                training=QUICK,
                seed=(number,),
            )
    assert np.abs(vectors[0] - vectors[1]).max() < 1e-5
