# SPDX-License-Identifier: Apache-2.0
"""Numbers as ramps between federated quantiles: a smooth network can cut sharply.

Boosted trees beat networks on tables because a split may stand anywhere: between port
21 and port 22, between nothing and one byte. Here every organisation counts its rows in
``CELLS`` equal cells of [0, ``TOP``]; the federation's mean of those shares is part of
the model, and gives ``bins`` - 1 edges per feature at equal steps of probability,
between 0 and ``TOP``. A value becomes ``bins`` numbers, each of which rises from 0 to 1
between two edges.

It does NOT count (histogram.py) or sum over organisations (the statistics round does).

Rules that always hold:
    1. An edge is a function of the shares alone: who has the model has the same edges.
    2. A ramp is continuous and lies in [0, 1]; where two edges fall together it is 0.

Source: piecewise-linear encoding with quantile bins, Gorishniy et al. 2022, section
3.2, equation (1), cut to [0, 1] at both ends; quantiles from summed histograms: ours.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from fedxdr.models.histogram import CELLS, TOP

_LOWEST: Final = 0.001
_SPAN: Final = 0.9985
"""The k-th of B quantiles is 0.1 % + 99.85 % k / B, no round number on purpose: with
half of the rows of each kind the median often lies between two heaps, where the last
digit of a sum would decide which one is taken."""


def edges(histogram: Tensor, bins: int) -> Tensor:
    """Return where ramps begin and end, (D, bins + 1) float32, from 0 to ``TOP``.

    Args:
        histogram: (D, ``CELLS``) float32 shares; what is negative counts as 0, and a
            feature without any share has evenly spread edges.
        bins: >= 1.
    """
    positive = histogram.to(torch.float64).clamp(min=0)
    whole = positive.sum(dim=1, keepdim=True)
    positive = torch.where(whole > 0, positive, torch.ones_like(positive))
    reached = positive.cumsum(dim=1)
    steps = torch.arange(1, bins, dtype=torch.float64) / bins
    wanted = (_LOWEST + _SPAN * steps) * reached[:, -1:]
    cell = torch.searchsorted(reached, wanted).clamp(max=CELLS - 1)
    inner = (cell + 0.5) * (TOP / CELLS)
    ends = torch.tensor([0.0, TOP], dtype=torch.float64).expand(len(inner), 2)
    return torch.cat([ends[:, :1], inner, ends[:, 1:]], dim=1).to(torch.float32)


def ramps(values: Tensor, *, edges: Tensor) -> Tensor:
    """Return how far each value has come on each ramp.

    Args:
        values: (n, D) float32.
        edges: (D, bins + 1), see ``edges``.

    Returns:
        (n, D, bins) float32 in [0, 1].
    """
    begin, width = edges[:, :-1], edges.diff(dim=1)
    slope = torch.where(width > 0, 1 / width.clamp(min=TOP / CELLS / 4), 0)
    return ((values.unsqueeze(2) - begin) * slope).clamp(0, 1)


def centres(histogram: Tensor, *, edges: Tensor) -> Tensor:
    """Return the mean of each ramp over the rows that were counted, (D, bins) float32.

    Args:
        histogram: (D, ``CELLS``) float32 shares.
        edges: (D, bins + 1).
    """
    middles = (torch.arange(CELLS, dtype=torch.float32) + 0.5) * (TOP / CELLS)
    positive = histogram.clamp(min=0)
    positive = positive / positive.sum(dim=1, keepdim=True).clamp(min=1e-9)
    reached = ramps(middles.unsqueeze(1).expand(-1, len(edges)), edges=edges)
    return torch.einsum("dc,cdb->db", positive, reached)
