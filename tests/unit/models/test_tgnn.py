# SPDX-License-Identifier: Apache-2.0
"""The network against the same sums written out with loops, and its limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedxdr.models import parameters
from fedxdr.models.architecture import Architecture
from fedxdr.models.tgnn import CLIP

SMALL = Architecture(
    features="alerts",
    own=3,
    keys=2,
    ranks=4,
    token=3,
    neighbour=5,
    mixer=6,
    embedding=7,
)


def some_vector(architecture, seed=0):
    draw = np.random.default_rng(seed)
    vector = draw.normal(0, 0.5, architecture.layout.size).astype(np.float32)
    begin, end = architecture.layout.span("statistics.mean_square")
    vector[begin:end] = 2 + np.abs(vector[begin:end])
    return vector


def slow_logit(architecture, vector, event):
    """Return one event's logit, from the definition in tgnn.py, in float64."""
    a = {k: v.astype(float) for k, v in architecture.layout.unflatten(vector).items()}
    mean = a["statistics.mean"]
    std = np.sqrt(np.maximum(a["statistics.mean_square"] - mean**2, 0.02**2))
    x = np.clip((event.astype(float) - mean) / std, -4, 4)
    per_key = architecture.ranks * architecture.token
    nodes = []
    for key in range(architecture.keys):
        ranks = []
        for rank in range(architecture.ranks):
            begin = key * per_key + rank * architecture.token
            token = x[begin : begin + architecture.token]
            hidden = token @ a["weights.neighbour.weight"][key]
            ranks.append(np.tanh(hidden + a["weights.neighbour.place"][key, rank]))
        mixed = np.concatenate(ranks) @ a["weights.mixer.weight"][key]
        nodes.append(np.tanh(mixed + a["weights.mixer.bias"][key]))
    fused = np.concatenate([*nodes, x[architecture.keys * per_key :]])
    hidden = np.tanh(a["weights.fuse.weight"] @ fused + a["weights.fuse.bias"])
    embedding = np.tanh(a["weights.embed.weight"] @ hidden + a["weights.embed.bias"])
    logit = a["weights.malicious.weight"] @ embedding + a["weights.malicious.bias"]
    return float(logit[0])


@pytest.mark.parametrize("keys", [0, 2])
def test_logits_are_those_of_the_definition(keys):
    architecture = replace(SMALL, keys=keys)
    vector = some_vector(architecture)
    events = np.random.default_rng(1).normal(0, 2, (6, architecture.inputs))
    events = events.astype(np.float32)
    network = parameters.network(architecture, vector)
    with torch.inference_mode():
        found = network(torch.from_numpy(events)).numpy()
    want = [slow_logit(architecture, vector, event) for event in events]
    assert found == pytest.approx(want, abs=1e-4)


def test_inputs_are_clipped_and_constant_features_stay_near_zero():
    vector = some_vector(SMALL)
    arrays = {k: v.copy() for k, v in SMALL.layout.unflatten(vector).items()}
    arrays["statistics.mean"][:] = 1.0
    arrays["statistics.mean_square"][:] = 1.0
    network = parameters.network(SMALL, SMALL.layout.flatten(arrays))
    inputs = torch.ones(1, SMALL.inputs)
    assert network.standardise(inputs).abs().max() == 0
    assert network.standardise(inputs + 100).max() == CLIP
    assert network.standardise(inputs - 100).min() == -CLIP


def test_scores_do_not_depend_on_who_stands_beside():
    vector = some_vector(SMALL)
    events = torch.randn(5, SMALL.inputs, generator=torch.manual_seed(0))
    network = parameters.network(SMALL, vector)
    with torch.inference_mode():
        together = network(events)
        alone = torch.cat([network(event[None]) for event in events])
    assert torch.allclose(together, alone, atol=1e-6)
    assert network.embed(network.standardise(events)).shape == (5, SMALL.embedding)
