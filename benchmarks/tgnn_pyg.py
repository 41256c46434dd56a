# SPDX-License-Identifier: Apache-2.0
"""The temporal graph network of PyTorch Geometric, for benchmarks/tgnn.py.

Written anew after the library's own example, its parts the library's: ``TGNMemory``
with identity messages and the last one kept, ``LastNeighborLoader`` of 10 neighbours,
two heads of ``TransformerConv`` over memories, times and messages, a predictor of two
layers, Adam at 0.0001, batches of 200, memory, time and embedding of 100 numbers. Edges
have no numbers of their own; 16 random ones stand for the message.

Counted, when training: one epoch in time order, all of it. When scoring: neighbours,
memory, embedding and predictor of every edge and its rival, then memory and neighbours
brought up to date. Not counted: making modules and tensors, the flush of waiting
messages between training and scoring, precision.

This module imports torch_geometric; only benchmarks/tgnn.py starts it, in a process of
its own.

Source: PyTorch Geometric 2.8, ``examples/tgn.py`` (MIT licence); Rossi et al. 2020.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.nn import TGNMemory, TransformerConv
from torch_geometric.nn.models.tgn import (
    IdentityMessage,
    LastAggregator,
    LastNeighborLoader,
)
from typing_extensions import override

from benchmarks import tgnn_edges
from benchmarks.measure import Figures, Meter, show
from benchmarks.tgnn_edges import Edges

MESSAGE = 16
NEIGHBOURS = 10
BATCH = 200
_HEADS = 2
_DROPOUT = 0.1


class _Attention(nn.Module):
    """Embeddings of nodes from their neighbours' memories, times and messages."""

    def __init__(self, width: int, clock: nn.Module) -> None:
        super().__init__()
        self.clock = clock
        self.layer = TransformerConv(
            width,
            width // _HEADS,
            heads=_HEADS,
            dropout=_DROPOUT,
            edge_dim=MESSAGE + width,
        )

    @override
    def forward(
        self, memory: Tensor, updated: Tensor, links: Tensor, time: Tensor, said: Tensor
    ) -> Tensor:
        age = (updated[links[0]] - time).to(memory.dtype)
        edges = torch.cat([self.clock(age), said], dim=-1)
        found: Tensor = self.layer(memory, links, edges)
        return found


class _Predictor(nn.Module):
    """The logit that two nodes meet."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.source = nn.Linear(width, width)
        self.destination = nn.Linear(width, width)
        self.last = nn.Linear(width, 1)

    @override
    def forward(self, source: Tensor, destination: Tensor) -> Tensor:
        hidden = (self.source(source) + self.destination(destination)).relu()
        found: Tensor = self.last(hidden)
        return found


class Peer:
    """The network, its memory and what it knows of neighbours.

    Args:
        edges: to learn from and to score.
        width: of memory, time and embedding.
        rate: Adam's.
    """

    def __init__(self, edges: Edges, *, width: int, rate: float) -> None:
        nodes = 1 + int(
            max(edges.source.max(), edges.destination.max(), edges.rival.max())
        )
        self.source, self.destination, self.rival, self.time = (
            torch.from_numpy(column)
            for column in (edges.source, edges.destination, edges.rival, edges.time_s)
        )
        self.said = torch.randn(len(edges.source), MESSAGE)
        self.memory = TGNMemory(
            nodes,
            MESSAGE,
            width,
            width,
            message_module=IdentityMessage(MESSAGE, width, width),
            aggregator_module=LastAggregator(),
        )
        self.attention = _Attention(width, self.memory.time_enc)
        self.predictor = _Predictor(width)
        self.neighbours = LastNeighborLoader(nodes, size=NEIGHBOURS)
        self.places = torch.empty(nodes, dtype=torch.long)
        parts = (self.memory, self.attention, self.predictor)
        weights = {weight for part in parts for weight in part.parameters()}
        self.optimiser = torch.optim.Adam(weights, lr=rate)

    def train(self, size: int) -> None:
        """Learn from the first edges, one epoch in time order."""
        for begin in range(0, size, BATCH):
            batch = slice(begin, min(begin + BATCH, size))
            self.optimiser.zero_grad()
            own, rivals = self._logits(batch)
            entropy = nn.functional.binary_cross_entropy_with_logits
            loss = entropy(own, torch.ones_like(own))
            loss = loss + entropy(rivals, torch.zeros_like(rivals))
            self._take(batch)
            loss.backward()
            self.optimiser.step()
            self.memory.detach()

    def score(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the logits of edges [begin, end) and of their rivals."""
        found = []
        with torch.no_grad():
            for start in range(begin, end, BATCH):
                batch = slice(start, min(start + BATCH, end))
                found.append(torch.stack(self._logits(batch)))
                self._take(batch)
        own, rivals = torch.cat(found, dim=1).numpy()
        return own, rivals

    def rest(self) -> None:
        """Stop learning: dropout ends, waiting messages reach the memory."""
        for part in (self.memory, self.attention, self.predictor):
            part.eval()

    def _logits(self, batch: slice) -> tuple[Tensor, Tensor]:
        ends = [self.source[batch], self.destination[batch], self.rival[batch]]
        nodes, links, events = self.neighbours(torch.cat(ends).unique())
        self.places[nodes] = torch.arange(len(nodes))
        memory, updated = self.memory(nodes)
        embedded = self.attention(
            memory, updated, links, self.time[events], self.said[events]
        )
        source, own, rival = (embedded[self.places[end]] for end in ends)
        return (
            self.predictor(source, own).squeeze(-1),
            self.predictor(source, rival).squeeze(-1),
        )

    def _take(self, batch: slice) -> None:
        source, destination = self.source[batch], self.destination[batch]
        self.memory.update_state(
            source, destination, self.time[batch], self.said[batch]
        )
        self.neighbours.insert(source, destination)


def run(edges: Edges, *, width: int, rate: float, seed: int) -> Figures:
    """Train and score once; return the figures."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    peer = Peer(edges, width=width, rate=rate)
    with Meter() as training:
        peer.train(edges.trained)
    peer.rest()
    n = len(edges.source)
    with Meter() as scoring:
        own, rivals = peer.score(edges.trained, n)
    return tgnn_edges.figures(edges, training, scoring, own=own, rivals=rivals)


def main(arguments: list[str] | None = None) -> int:
    """Run once and print one JSON object."""
    parser = argparse.ArgumentParser(description="PyTorch Geometric's TGN, one run")
    tgnn_edges.add_options(parser)
    parser.add_argument("--width", type=int, default=100)
    parser.add_argument("--rate", type=float, default=1e-4)
    chosen = parser.parse_args(arguments)
    edges = tgnn_edges.chosen(chosen)
    show(run(edges, width=chosen.width, rate=chosen.rate, seed=chosen.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
