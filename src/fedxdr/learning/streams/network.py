# SPDX-License-Identifier: Apache-2.0
"""The temporal graph network: an event, its endpoints' recent past, one score.

Each earlier event under an index key is encoded by one shared layer from its own
features and its age; means over the key's events are fused with the event's own and
context features into an embedding, from which a linear head tells how malicious the
event looks. Weights are shared by all organisations; node states are nothing but the
organisation's own recent events.

Not here: sampling and fitting (learning/fit.py), the context's index (graph.py).

Source: one-hop temporal mean aggregation as in GraphMixer (Cong et al. 2023) and
E-GraphSAGE (Lo et al. 2022), over bounded recency.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import override


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The numbers a network is built from.

    Attributes:
        own: features of one event, > 0.
        context: features of its bounded past, >= 0.
        keys: index keys, > 0.
        neighbour: width of a neighbour's encoding.
        embedding: width of an event's embedding.
    """

    own: int
    context: int
    keys: int
    neighbour: int = 32
    embedding: int = 128


class TemporalGraphNetwork(nn.Module):
    """Scores events from themselves and their endpoints' bounded past."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        # own features of the earlier event, its age, and whether it went the same way
        self.neighbour = nn.Linear(shape.own + 2, shape.neighbour)
        fused = shape.own + shape.context + 2 * shape.keys * shape.neighbour
        self.fuse = nn.Linear(fused, shape.embedding)
        self.mix = nn.Linear(shape.embedding, shape.embedding)
        self.malicious = nn.Linear(shape.embedding, 1)

    def embed(self, event: Tensor, neighbours: Tensor, is_there: Tensor) -> Tensor:
        """Return embeddings.

        Args:
            event: (b, own + context) standardised features.
            neighbours: (b, keys, K, own + 2) of the earlier events.
            is_there: (b, keys, K) 1.0 where there is one, else 0.0.

        Returns:
            (b, embedding).
        """
        encoded = torch.relu(self.neighbour(neighbours)) * is_there.unsqueeze(-1)
        count = is_there.sum(2, keepdim=True).clamp(min=1.0)
        mean = encoded.sum(2) / count
        largest = encoded.amax(2)
        fused = torch.cat([event, mean.flatten(1), largest.flatten(1)], dim=1)
        hidden = torch.relu(self.fuse(fused))
        return torch.relu(self.mix(hidden)) + hidden

    @override
    def forward(self, event: Tensor, neighbours: Tensor, is_there: Tensor) -> Tensor:
        """Return (b,) logits that the event is malicious; arguments as ``embed``."""
        logits: Tensor = self.malicious(self.embed(event, neighbours, is_there))
        return logits.squeeze(-1)
