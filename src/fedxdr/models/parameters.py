# SPDX-License-Identifier: Apache-2.0
"""A torch module as a flat vector in a layout's order, and back.

The layout of a detector: ``statistics.mean`` and ``statistics.mean_square`` of its
features, then ``weights.*``, the module's parameters in the order of their names.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from fedxdr.core.layout import Layout, Segment, Vector

STATISTICS = "statistics."
WEIGHTS = "weights."


def layout_of(module: nn.Module, *, features: int) -> Layout:
    """Return the layout of a detector around a module.

    Args:
        module: the network.
        features: how many features have statistics, > 0.
    """
    statistics = (
        Segment(name=f"{STATISTICS}mean", shape=(features,)),
        Segment(name=f"{STATISTICS}mean_square", shape=(features,)),
    )
    weights = (
        Segment(name=f"{WEIGHTS}{name}", shape=tuple(parameter.shape))
        for name, parameter in sorted(module.named_parameters())
    )
    return Layout(segments=(*statistics, *weights))


def weights_of(module: nn.Module) -> Vector:
    """Return the module's parameters as one vector, float32, in order of names."""
    parts = [
        parameter.detach().cpu().numpy().ravel()
        for _, parameter in sorted(module.named_parameters())
    ]
    return np.concatenate(parts).astype(np.float32)


@torch.no_grad()
def set_weights(module: nn.Module, vector: Vector, *, layout: Layout) -> None:
    """Write the ``weights.*`` of a flat vector into a module.

    Args:
        module: the network.
        vector: (d,) float32 in the layout's order.
        layout: from ``layout_of``.

    Raises:
        InvalidUpdate: the vector is not of that layout.
    """
    arrays = layout.unflatten(vector)
    for name, parameter in module.named_parameters():
        parameter.copy_(torch.from_numpy(arrays[f"{WEIGHTS}{name}"].copy()))
