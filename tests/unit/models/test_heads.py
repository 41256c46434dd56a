# SPDX-License-Identifier: Apache-2.0
"""The second version of the network: ramps, three heads, and what stays the first."""

import dataclasses

import numpy as np
import pytest
import torch

from fedxdr.core import tactics
from fedxdr.core.errors import InvalidPlan
from fedxdr.models import bins, parameters
from fedxdr.models.architecture import (
    NAME,
    NAME_2,
    TACTICS,
    Architecture,
    architecture_of,
)

FIRST = Architecture(features="x", own=5, keys=2, ranks=3, token=2, embedding=8)
SECOND = dataclasses.replace(FIRST, bins=4, tactics=TACTICS, following=1)


def test_what_needs_nothing_new_is_the_first_version_and_keeps_its_description():
    assert FIRST.describe()["name"] == NAME
    assert not {"bins", "tactics", "following"} & set(FIRST.describe())
    assert SECOND.describe()["name"] == NAME_2


@pytest.mark.parametrize("shape", [FIRST, SECOND])
def test_a_description_gives_the_architecture_back(shape):
    assert architecture_of(shape.describe()) == shape


def test_one_network_has_one_description():
    spelt = {**FIRST.describe(), "name": NAME_2, "bins": 0, "tactics": 0}
    with pytest.raises(InvalidPlan, match="nothing of"):
        architecture_of({**spelt, "following": 0})
    with pytest.raises(InvalidPlan, match="exactly"):
        architecture_of({**SECOND.describe(), "name": NAME})


@pytest.mark.parametrize(
    "wrong", [{"bins": 65}, {"bins": -1}, {"tactics": 3}, {"following": 2}]
)
def test_sizes_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidPlan, match=r"bins|tactics"):
        dataclasses.replace(FIRST, **wrong)


def test_tactics_are_those_of_the_matrix():
    assert len(tactics.TACTICS) == TACTICS


def filled(shape, seed=1):
    vector = np.random.default_rng(seed).normal(0, 0.3, shape.layout.size)
    begin, end = shape.layout.span("statistics.")
    vector[begin:end] = np.abs(vector[begin:end]) + 0.2
    return vector.astype(np.float32)


def test_heads_equal_a_loop_over_events():
    vector = filled(SECOND)
    network = parameters.network(SECOND, vector)
    part = SECOND.layout.unflatten(vector)
    inputs = np.random.default_rng(2).uniform(0, 4, (6, SECOND.inputs))
    inputs = inputs.astype(np.float32)
    with torch.no_grad():
        found = network.heads(torch.from_numpy(inputs))
    mean, square = part["statistics.mean"], part["statistics.mean_square"]
    std = np.sqrt(np.maximum(square - mean**2, 0.02**2))
    shares = torch.from_numpy(np.array(part["statistics.histogram"]))
    edges = bins.edges(shares, SECOND.bins)
    centres = bins.centres(shares, edges=edges).numpy()
    for event, row in enumerate(inputs):
        tokens = np.clip((row - mean) / std, -4, 4)[:12].reshape(2, 3, 2)
        mixed = []
        for key in range(2):
            near = np.tanh(
                tokens[key] @ part["weights.neighbour.weight"][key]
                + part["weights.neighbour.place"][key]
            )
            mixed.append(
                np.tanh(
                    near.ravel() @ part["weights.mixer.weight"][key]
                    + part["weights.mixer.bias"][key]
                )
            )
        ramps = []
        for place, value in enumerate(row[12:]):
            for ramp in range(SECOND.bins):
                low, high = edges[place, ramp].item(), edges[place, ramp + 1].item()
                risen = np.clip((value - low) / (high - low), 0, 1) if high > low else 0
                ramps.append(risen - centres[place, ramp])
        own = np.concatenate([*mixed, ramps])
        hidden = np.tanh(part["weights.fuse.weight"] @ own + part["weights.fuse.bias"])
        embedding = np.tanh(
            part["weights.embed.weight"] @ hidden + part["weights.embed.bias"]
        )
        for name, said in (
            ("malicious", found.malicious),
            ("tactic", found.tactics),
            ("following", found.following),
        ):
            head = part[f"weights.{name}.weight"] @ embedding
            want = head + part[f"weights.{name}.bias"]
            assert np.allclose(said[event].numpy().ravel(), want, atol=1e-4), name


def test_without_heads_nothing_is_said():
    network = parameters.network(FIRST, filled(FIRST))
    with torch.no_grad():
        found = network.heads(torch.zeros(2, FIRST.inputs))
    assert found.tactics is None
    assert found.following is None


def test_a_first_model_needs_no_statistics():
    vector = SECOND.first_vector(7)
    network = parameters.network(SECOND, vector)
    with torch.no_grad():
        ramps = network.standardise(torch.full((1, SECOND.inputs), 2.0))[0, 12:]
    assert torch.isfinite(ramps).all()
    assert ramps.abs().max() <= 1


def test_an_eighth_digit_stays_one():
    # what rounding before masking leaves must not grow into other verdicts
    vector = filled(SECOND)
    inputs = torch.rand(200, SECOND.inputs) * 4
    begin, end = SECOND.layout.span("weights.")
    moved = vector.copy()
    moved[begin:end] *= 1 + 1e-7
    with torch.no_grad():
        before = parameters.network(SECOND, vector).heads(inputs)
        after = parameters.network(SECOND, moved).heads(inputs)
    assert torch.allclose(before.malicious, after.malicious, atol=1e-5)
