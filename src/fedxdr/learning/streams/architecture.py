# SPDX-License-Identifier: Apache-2.0
"""Which network a plan's architecture names, and its first weights.

The architecture in a plan is a few names and numbers; everyone builds the same module
from them. First weights come from a public seed, so the genesis model can be redone.
"""

from __future__ import annotations

import numpy as np
import torch

from fedxdr.core.errors import InvalidPlan
from fedxdr.learning.streams.dataset import CONTEXT, FEATURES, KEYS, OWN
from fedxdr.models import snapshot
from fedxdr.learning.streams.parameters import layout_of, weights_of
from fedxdr.learning.streams.network import Shape, TemporalGraphNetwork

NAME = "temporal-graph/v1"
DEFAULT: dict[str, int | float | str] = {
    "name": NAME,
    "feature_set": "bounded/v1",
    "own_features": OWN,
    "context_features": CONTEXT,
    "recent_events": 8,
    "neighbour": 32,
    "embedding": 128,
    "seed": 0,
}


def build(architecture: dict[str, int | float | str]) -> TemporalGraphNetwork:
    """Return the network that an architecture names, with its first weights.

    Raises:
        InvalidPlan: an architecture that this version does not build.
    """
    wanted = {**DEFAULT, **architecture}
    for name in ("name", "feature_set", "own_features", "context_features"):
        if wanted[name] != DEFAULT[name]:
            raise InvalidPlan(
                f"architecture: {name} is {wanted[name]!r}; this version builds "
                f"{DEFAULT[name]!r}"
            )
    numbers = {name: int(wanted[name]) for name in ("neighbour", "embedding", "seed")}
    torch.manual_seed(numbers["seed"])
    return TemporalGraphNetwork(
        Shape(
            own=OWN,
            context=CONTEXT,
            keys=KEYS,
            neighbour=numbers["neighbour"],
            embedding=numbers["embedding"],
        )
    )


def initial_snapshot(
    architecture: dict[str, int | float | str] | None = None,
) -> snapshot.Snapshot:
    """Return the first model: seeded weights; statistics of mean 0 and square 1."""
    chosen = {**DEFAULT, **(architecture or {})}
    module = build(chosen)
    features = len(FEATURES)
    vector = np.concatenate(
        [np.zeros(features), np.ones(features), weights_of(module)]
    ).astype(np.float32)
    layout = layout_of(module, features=features)
    return snapshot.Snapshot(
        vector=vector, card=snapshot.Card(layout=layout, architecture=chosen)
    )
