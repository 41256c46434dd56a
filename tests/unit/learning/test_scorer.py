# SPDX-License-Identifier: Apache-2.0
"""An event has the same bits alone and in any company; they are the network's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidPlan, MalformedMessage
from fedxdr.core.ids import sha256
from fedxdr.learning import fit
from fedxdr.learning.scorer import Scorer
from fedxdr.models import parameters, snapshot
from fedxdr.models.architecture import TACTICS, Architecture

# sizes at which a product's rounding hangs on a row's place on today's processors
SMALL = Architecture(
    features="alerts",
    own=9,
    keys=2,
    ranks=3,
    token=3,
    neighbour=3,
    mixer=6,
    embedding=7,
)
WHOLE = Architecture(
    features="alerts",
    own=5,
    keys=1,
    ranks=2,
    token=3,
    neighbour=4,
    mixer=5,
    embedding=13,
    bins=6,
    tactics=TACTICS,
    following=1,
)


def scorer(shape, *, seed=0, scale=3.0):
    vector = shape.first_vector(seed)
    begin, end = shape.layout.span("weights.")
    vector[begin:end] *= scale
    file = snapshot.save(vector, layout=shape.layout, architecture=shape.describe())
    return Scorer(file), vector


def rows(shape, count, *, seed=0):
    draw = np.random.default_rng(seed)
    return (draw.random((count, shape.inputs)) * 4).astype(np.float32)


@pytest.mark.parametrize("shape", [SMALL, WHOLE])
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 300), max_size=6))
def test_an_event_has_the_same_bits_in_any_company(shape, seed, cuts):
    found, _ = scorer(shape)
    whole = rows(shape, 300)
    mixed = np.random.default_rng(seed).permutation(300)
    want, placed = found.said(whole), found.embeddings(whole)
    parts = np.split(mixed, sorted(cuts))
    for name in ("malicious", "tactics", "following"):
        if getattr(want, name) is not None:
            got = np.concatenate(
                [getattr(found.said(whole[part]), name) for part in parts]
            )
            assert got.tobytes() == getattr(want, name)[mixed].tobytes()
    got = np.concatenate([found.embeddings(whole[part]) for part in parts])
    assert got.tobytes() == placed[mixed].tobytes()


@pytest.mark.parametrize("shape", [SMALL, WHOLE])
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_what_it_says_is_what_the_network_says(shape, scale):
    found, vector = scorer(shape, scale=scale)
    whole = rows(shape, 3000)
    got, want = found.said(whole), fit.said(vector, architecture=shape, features=whole)
    allowed = 1e-4 * max(1.0, scale**2)
    assert np.allclose(got.malicious, want.malicious, rtol=0, atol=allowed)
    if shape is WHOLE:
        assert np.allclose(got.tactics, want.tactics, rtol=0, atol=allowed)
        assert np.allclose(got.following, want.following, rtol=0, atol=allowed)
    else:
        assert got.tactics is None
        assert got.following is None


def test_it_knows_its_models_name_and_federated_means():
    found, vector = scorer(SMALL)
    assert found.digest == sha256(found.model)
    begin, end = SMALL.layout.span("statistics.mean")
    assert np.array_equal(found.mean, vector[begin:end][: SMALL.inputs])


def test_embeddings_are_what_the_head_reads():
    found, vector = scorer(SMALL)
    whole = rows(SMALL, 50)
    network = parameters.network(SMALL, vector)
    weight = network.tensor("weights.malicious.weight").detach().numpy()
    bias = network.tensor("weights.malicious.bias").detach().numpy()
    read = found.embeddings(whole) @ weight[0] + bias
    assert np.allclose(read, found.said(whole).malicious, atol=1e-4)


def test_nothing_is_scored_of_no_rows():
    found, _ = scorer(WHOLE)
    assert found.said(rows(WHOLE, 0)).malicious.shape == (0,)
    assert found.embeddings(rows(WHOLE, 0)).shape == (0, 13)


def test_what_is_no_model_of_ours_is_refused():
    with pytest.raises(MalformedMessage):
        Scorer(b"")
    described = {**SMALL.describe(), "name": "another"}
    file = snapshot.save(
        SMALL.first_vector(0), layout=SMALL.layout, architecture=described
    )
    with pytest.raises(InvalidPlan):
        Scorer(file)
