# SPDX-License-Identifier: Apache-2.0
"""A torch module as a flat vector in a layout's order, and back."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from fedxdr.core.layout import Layout, Segment, Vector

STATISTICS = "statistics."
WEIGHTS = "weights."


def layout_of(module: nn.Module, *, features: int) -> Layout:
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
    parts = [
        parameter.detach().cpu().numpy().ravel()
        for _, parameter in sorted(module.named_parameters())
    ]
    return np.concatenate(parts).astype(np.float32)


@torch.no_grad()
def set_weights(module: nn.Module, vector: Vector, *, layout: Layout) -> None:
    arrays = layout.unflatten(vector)
    for name, parameter in module.named_parameters():
        parameter.copy_(torch.from_numpy(arrays[f"{WEIGHTS}{name}"].copy()))
