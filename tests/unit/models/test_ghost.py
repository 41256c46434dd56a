# SPDX-License-Identifier: Apache-2.0
"""Closed-form norms against autograd, one example at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidUpdate
from fedxdr.models import ghost, parameters
from fedxdr.models.architecture import Architecture

SIZES = st.integers(1, 6)
ARCHITECTURES = st.builds(
    Architecture,
    features=st.just("any"),
    keys=st.integers(0, 3),
    ranks=SIZES,
    token=SIZES,
    own=SIZES,
    neighbour=SIZES,
    mixer=SIZES,
    embedding=st.integers(1, 12),
)


def make(architecture, *, examples, events, seed=0, scale=1.0):
    draw = np.random.default_rng(seed)
    vector = architecture.first_vector(seed)
    vector += draw.normal(0, 0.3, vector.shape).astype(np.float32)
    network = parameters.network(architecture, vector)
    inputs = draw.normal(0, scale, (examples, events, architecture.inputs))
    truth = draw.integers(0, 2, (examples, events))
    weight = draw.uniform(0.1, 2.0, (examples, events))
    weight[draw.random((examples, events)) < 0.2] = 0
    return (
        network,
        torch.from_numpy(inputs.astype(np.float32)),
        torch.from_numpy(truth.astype(np.float32)),
        torch.from_numpy(weight.astype(np.float32)),
    )


def gradients(network, inputs, truth, weight):
    """Return (n, p) per-example gradients by autograd, as the definition says."""
    named = dict(network.named_parameters())
    buffers = dict(network.named_buffers())

    def loss(values, x, y, w):
        embedded = torch.func.functional_call(
            _Logits(network), {f"of.{k}": v for k, v in values.items()} | buffers, (x,)
        )
        each = torch.nn.functional.binary_cross_entropy_with_logits(
            embedded, y, reduction="none"
        )
        return (each * w).sum()

    per_example = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0, 0))
    found = per_example(named, inputs, truth, weight)
    return torch.cat([found[name].flatten(1) for name in named], dim=1).detach()


class _Logits(torch.nn.Module):
    def __init__(self, of):
        super().__init__()
        self.of = of

    def forward(self, standardised):
        return self.of.score(self.of.embed(standardised))


@settings(max_examples=40, deadline=None)
@given(
    architecture=ARCHITECTURES,
    examples=st.integers(1, 5),
    events=st.integers(1, 5),
    seed=st.integers(0, 2**16),
    share=st.floats(0.05, 3.0),
)
def test_norms_and_clipped_sum_are_those_of_autograd(
    architecture, examples, events, seed, share
):
    network, *batch = make(architecture, examples=examples, events=events, seed=seed)
    each = gradients(network, *batch)
    norms = each.norm(dim=1)
    clip = share * float(norms.max()) + 1e-6
    got = ghost.clipped_sum(network, *batch, clip=clip)
    scale = float(norms.max()) + 1e-6
    assert torch.allclose(got.norms, norms, rtol=1e-5, atol=1e-5 * scale)
    factors = (clip / norms.clamp(min=1e-30)).clamp(max=1)
    want = (each * factors[:, None]).sum(dim=0)
    assert torch.allclose(got.total, want, rtol=1e-4, atol=2e-5 * scale)


@pytest.mark.parametrize("events", [1, 2, 7, 40])
def test_gram_and_direct_form_agree(events, monkeypatch):
    architecture = Architecture(
        features="any", keys=2, ranks=4, token=3, own=5, embedding=16, mixer=8
    )
    network, *batch = make(architecture, examples=6, events=events)
    found = []
    for gram in (0, 10**9):
        monkeypatch.setattr(ghost, "_gram_cost", lambda *_sizes, cost=gram: cost)
        found.append(ghost.clipped_sum(network, *batch, clip=0.5).norms)
    assert torch.allclose(*found, rtol=1e-4)


def test_no_part_of_the_sum_is_longer_than_the_clip():
    architecture = Architecture(features="any", keys=2, ranks=3, token=2, own=4)
    network, inputs, truth, weight = make(
        architecture, examples=50, events=1, scale=30.0
    )
    weight = weight * 1e3
    for row in range(50):
        one = slice(row, row + 1)
        got = ghost.clipped_sum(
            network, inputs[one], truth[one], weight[one], clip=0.25
        )
        assert float(got.total.norm()) <= 0.25 * (1 + 1e-5)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_an_example_that_is_not_finite_adds_nothing(poison):
    architecture = Architecture(features="any", keys=2, ranks=3, token=2, own=4)
    network, inputs, truth, weight = make(architecture, examples=5, events=2)
    rest = [0, 1, 3, 4]
    without = ghost.clipped_sum(
        network, inputs[rest], truth[rest], weight[rest], clip=1.0
    )
    for place in (0, -1):
        bad = inputs.clone()
        bad[2, 1, place] = poison
        # what a finite standardisation would have cut is not finite here
        heavy = weight.clone()
        heavy[2] = torch.inf
        got = ghost.clipped_sum(network, bad, truth, heavy, clip=1.0)
        assert torch.isfinite(got.total).all()
        assert torch.allclose(got.total, without.total, atol=1e-6)


def test_no_examples_give_zeros():
    architecture = Architecture(features="any", own=4)
    network, inputs, truth, weight = make(architecture, examples=1, events=1)
    got = ghost.clipped_sum(network, inputs[:0], truth[:0], weight[:0], clip=1.0)
    begin, end = architecture.layout.span("weights.")
    assert got.total.shape == (end - begin,)
    assert not got.total.any()


def test_the_order_is_the_layouts():
    architecture = Architecture(
        features="any", keys=2, ranks=3, token=2, own=4, mixer=5, embedding=6
    )
    network, *batch = make(architecture, examples=3, events=1)
    sizes = [
        segment.size
        for segment in architecture.layout.segments
        if segment.name.startswith("weights.")
    ]
    got = ghost.clipped_sum(network, *batch, clip=1e9).total
    network.zero_grad()
    inputs, truth, weight = batch
    logits = network.score(network.embed(inputs[:, 0]))
    torch.nn.functional.binary_cross_entropy_with_logits(
        logits, truth[:, 0], weight=weight[:, 0], reduction="sum"
    ).backward()
    for part, parameter in zip(got.split(sizes), network.parameters(), strict=True):
        assert torch.allclose(part, parameter.grad.flatten(), atol=1e-5)


def test_the_cheaper_form_is_counted():
    wide = Architecture(features="any", own=100, embedding=100)
    few, many = (ghost.multiplications(wide, events=n) for n in (2, 1000))
    assert few == 2 * 2 * 200 * 2 + 2 * 100 * 1
    assert many == 1000 * (100 * 100 * 2 + 100)


def test_shapes_that_do_not_belong_together_are_refused():
    architecture = Architecture(features="any", own=4)
    network, inputs, truth, weight = make(architecture, examples=3, events=2)
    for wrong in (
        (inputs[:2], truth, weight),
        (inputs, truth, weight[:, :1]),
        (inputs[:, 0], truth[:, 0], weight[:, 0]),
    ):
        with pytest.raises(InvalidUpdate, match="want"):
            ghost.clipped_sum(network, *wrong, clip=1.0)
    for clip in (0.0, -1.0, float("nan")):
        with pytest.raises(InvalidUpdate, match="above 0"):
            ghost.clipped_sum(network, inputs, truth, weight, clip=clip)
