# SPDX-License-Identifier: Apache-2.0
"""Vectors in and out of a network."""

from __future__ import annotations

import numpy as np
import pytest

from fedxdr.core.errors import InvalidUpdate
from fedxdr.models import parameters
from fedxdr.models.architecture import Architecture

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


def test_what_is_written_is_read_back_as_a_copy():
    vector = np.arange(SMALL.layout.size, dtype=np.float32)
    network = parameters.network(SMALL, vector)
    read = parameters.read(network)
    assert np.array_equal(read, vector)
    read[:] = 0
    assert np.array_equal(parameters.read(network), vector)
    vector[:] = -1
    assert parameters.read(network)[1] == 1


def test_only_weights_are_trained():
    network = parameters.network(SMALL, SMALL.first_vector(0))
    begin, end = SMALL.layout.span("weights.")
    assert sum(weight.numel() for weight in network.parameters()) == end - begin


def test_every_segment_lands_in_its_own_tensor():
    vector = SMALL.first_vector(5)
    network = parameters.network(SMALL, vector)
    for name, array in SMALL.layout.unflatten(vector).items():
        assert np.array_equal(network.tensor(name).detach().numpy(), array), name


def test_a_wrong_length_is_refused():
    with pytest.raises(InvalidUpdate):
        parameters.network(SMALL, np.zeros(SMALL.layout.size + 1, np.float32))


def test_an_unknown_segment_is_refused():
    with pytest.raises(KeyError):
        parameters.network(SMALL, SMALL.first_vector(0)).tensor("weights.other")
