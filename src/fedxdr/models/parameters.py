# SPDX-License-Identifier: Apache-2.0
"""Between a flat vector and the tensors of a network.

Rules that always hold: the order is the layout's; what is read is a copy.
"""

from __future__ import annotations

import numpy as np
import torch

from fedxdr.core.layout import Vector
from fedxdr.models.architecture import Architecture
from fedxdr.models.tgnn import TemporalGraphNetwork


def network(architecture: Architecture, vector: Vector) -> TemporalGraphNetwork:
    """Return the network with the numbers of a vector.

    Args:
        architecture: of d numbers.
        vector: (d,) float32 in the layout's order.

    Raises:
        InvalidUpdate: the vector has another length.
    """
    built = TemporalGraphNetwork(architecture)
    write(built, vector)
    return built


def write(target: TemporalGraphNetwork, vector: Vector) -> None:
    """Set every tensor of the network from a vector, (d,) float32.

    Raises:
        InvalidUpdate: the vector has another length.
    """
    arrays = target.architecture.layout.unflatten(vector)
    with torch.no_grad():
        for name, array in arrays.items():
            target.tensor(name).copy_(torch.from_numpy(np.array(array)))


def read(source: TemporalGraphNetwork) -> Vector:
    """Return every number of the network as one vector, (d,) float32."""
    layout = source.architecture.layout
    return layout.flatten(
        {
            segment.name: source.tensor(segment.name).detach().numpy()
            for segment in layout.segments
        }
    )
