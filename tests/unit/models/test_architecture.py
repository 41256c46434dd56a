# SPDX-License-Identifier: Apache-2.0
"""Sizes, layout and first weights, without torch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from fedxdr.core.errors import InvalidPlan
from fedxdr.core.ids import sha256
from fedxdr.models import snapshot
from fedxdr.models.architecture import Architecture, architecture_of

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


def test_statistics_and_weights_lie_side_by_side():
    layout = SMALL.layout
    assert SMALL.inputs == 2 * 4 * 3 + 3
    assert layout.span("statistics.") == (0, 2 * SMALL.inputs)
    assert layout.span("weights.") == (2 * SMALL.inputs, layout.size)


def test_a_network_without_neighbours_has_no_neighbour_weights():
    names = [s.name for s in replace(SMALL, keys=0).layout.segments]
    assert not [name for name in names if "neighbour" in name or "mixer" in name]


def test_first_vector_is_seeded_and_its_statistics_are_neutral():
    first = SMALL.first_vector(3)
    assert first.dtype == np.float32
    assert np.array_equal(first, SMALL.first_vector(3))
    assert not np.array_equal(first, SMALL.first_vector(4))
    arrays = SMALL.layout.unflatten(first)
    assert not arrays["statistics.mean"].any()
    assert (arrays["statistics.mean_square"] == 1).all()
    bound = np.sqrt(6 / (4 * 5))
    mixer = arrays["weights.mixer.weight"]
    assert 0.8 * bound < np.abs(mixer).max() <= bound


def test_what_is_described_is_read_back():
    assert architecture_of(SMALL.describe()) == SMALL


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"ranks": 0},
        {"own": 5000},
        {"token": "3"},
        {"features": 3},
        {"unknown": 1},
    ],
)
def test_a_wrong_description_is_refused(change):
    with pytest.raises(InvalidPlan):
        architecture_of({**SMALL.describe(), **change})


def test_a_missing_size_is_refused():
    described = SMALL.describe()
    del described["mixer"]
    with pytest.raises(InvalidPlan):
        architecture_of(described)


def test_neither_architecture_nor_snapshot_imports_torch():
    code = (
        "import sys, fedxdr.models.architecture, fedxdr.models.snapshot, "
        "fedxdr.models.graph, fedxdr.models.metrics; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("keys", "layout", "file"),
    [
        (
            0,
            "a2e0a62dbddb47f47d1d91a91cdd9a741b21ac643803bdcb45b55f4fe3060de3",
            "1cc24ce269cecbe762d2cc22da384320a8f4cee7b2bc28d5074b6695b8299e7b",
        ),
        (
            2,
            "d1e40a9584528a5ffb629a617d9fd0a856f6e1bbcd12b595977bc9ca3a24fc73",
            "e8e267969aaf1d4f907c44bd6971c4e8357161b4e6d139263f73bac500939216",
        ),
    ],
)
def test_the_first_version_keeps_its_bytes(keys, layout, file):
    """Models of it are on ledgers: layout, first weights and file form are frozen."""
    network = replace(SMALL, keys=keys)
    assert network.describe()["name"] == "temporal-graph-network/v1"
    assert network.layout.digest == layout
    stored = snapshot.save(
        network.first_vector(7),
        layout=network.layout,
        architecture=network.describe(),
    )
    assert sha256(stored) == file
    assert architecture_of(snapshot.load(stored).card.architecture) == network
