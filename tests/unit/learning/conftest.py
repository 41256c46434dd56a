# SPDX-License-Identifier: Apache-2.0
"""Small telemetry and small tables for the learning room's tests."""

from __future__ import annotations

import numpy as np
import pytest

from fedxdr.learning.dataset import Organisation
from fedxdr.models.architecture import Architecture
from fedxdr.telemetry.event import Events

SECOND = 10**9
FAMILIES = ("benign", "scan", "leak")


@pytest.fixture
def make_events():
    """Return a function that makes some events in time order."""

    def make(rows, *, seed=0, hosts=4):
        draw = np.random.default_rng(seed)
        label = (draw.random(rows) < 0.3).astype(np.int8)
        return Events.build(
            rows,
            {
                "time_ns": np.sort(draw.integers(0, 5000, rows)) * SECOND,
                "source": draw.integers(1, hosts, rows),
                "destination": draw.integers(1, hosts, rows),
                "source_port": draw.integers(-1, 65536, rows),
                "destination_port": draw.choice([22, 53, 443, 50_000], rows),
                "protocol": draw.choice([6, 17], rows),
                "service": draw.integers(0, 4, rows),
                "kind": draw.choice([1, 2], rows),
                "bytes_out": draw.integers(-1, 10**9, rows),
                "bytes_in": draw.integers(-1, 10**12, rows),
                "duration_s": draw.choice([0.1, 30.0, np.nan], rows),
                "state": draw.integers(0, 10, rows),
                "text_length": draw.integers(-1, 300, rows),
                "text_entropy": draw.choice([np.nan, 3.5], rows),
                "label": label,
                "technique": np.where(label == 1, draw.integers(0, 2, rows), -1),
            },
            techniques=("T1046", "T1110"),
        )

    return make


@pytest.fixture
def architecture():
    """Return sizes of a small network over four numbers."""
    return Architecture(features="alerts", own=4, embedding=8)


@pytest.fixture
def make_rows():
    """Return a function that makes rows in which the first feature tells attacks."""

    def make(benign, attacks, *, seed=0, family=1):
        draw = np.random.default_rng(seed)
        numbers = np.array([0] * benign + [family] * attacks)
        features = draw.uniform(0, 4, (len(numbers), 4))
        features[:, 0] = np.where(numbers == 0, 1.0, 3.0) + draw.uniform(
            -0.8, 0.8, len(numbers)
        )
        order = draw.permutation(len(numbers))
        return features[order].astype(np.float32), numbers[order]

    return make


@pytest.fixture
def make_organisation(make_rows):
    """Return a function that makes an organisation whose attacks come in one window."""

    def make(name, *, begin=0, attack_at=0.8, rows=1500, attacks=200, seed=0):
        draw = np.random.default_rng(seed)
        features, family = make_rows(rows, attacks, seed=seed)
        spread = draw.integers(0, 1000, rows + attacks)
        time = np.where(family == 0, spread, int(1000 * attack_at))
        time[np.argmin(time)], time[np.argmax(time)] = 0, 1000
        order = np.argsort(time, kind="stable")
        return Organisation(
            name=name,
            time_ns=(time[order] + begin).astype(np.int64) * SECOND,
            features=features[order],
            family=family[order],
            families=FAMILIES,
        )

    return make
