# SPDX-License-Identifier: Apache-2.0
"""The temporal graph network: an event scored from its bounded past.

For every event: (1) each neighbour (a recent earlier event of the same host, service,
…) is represented by a shared layer, with a learned vector for its place in the ranks;
(2) a mixer per node reads the ranks side by side; (3) the nodes' neighbourhoods are
fused with the event's own features into an embedding; (4) a head gives the logit of
"malicious", and, in the second version, one each ATT&CK tactic's and one that of "this
is the event that followed, not one with another destination". One hop, no recurrent
state: one event's influence ends with the largest rank and window.

Layers are smooth (tanh): with ReLU a difference in the eighth digit of one round's
mean, such as rounding before masking leaves, grows to other verdicts within eight
rounds; here it stays in the seventh.

It does NOT build neighbourhoods (graph.py), fit (learning/fit.py) or hold state between
calls. Inputs are standardised inside with the model's own statistics and clipped; with
bins the event's own numbers become ramps between federated quantiles (bins.py).

Source: link encoder with fixed-size recent neighbourhoods and a mixer, Cong et al. 2023
(GraphMixer), section 3; learned places instead of its fixed cosine time encoding. The
likelihood of what follows by contrast with other destinations: Gutmann and Hyvarinen
2010, equation (8), as in Rossi et al. 2020, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from typing_extensions import override

from fedxdr.models import bins
from fedxdr.models.architecture import Architecture

CLIP: Final = 4.0
"""Standardised inputs are cut to [-4, 4]: a rare value must not own the logit."""

MIN_STD: Final = 0.02
"""Smallest standard deviation: constant features stay near 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logits:
    """What the heads say of n events.

    Attributes:
        malicious: (n,) float32.
        tactics: (n, T) float32, None without that head.
        following: (n,) float32, None without that head; its negative is how surprising
            the event is.
    """

    malicious: Tensor
    tactics: Tensor | None = None
    following: Tensor | None = None


class TemporalGraphNetwork(nn.Module):
    """The network of an architecture.

    Args:
        architecture: its sizes.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        shapes = {s.name: s.shape for s in architecture.layout.segments}
        self._names: dict[str, str] = {}
        for name, shape in shapes.items():
            attribute = name.replace(".", "_")
            self._names[name] = attribute
            if name.startswith("weights."):
                self.register_parameter(attribute, nn.Parameter(torch.zeros(shape)))
            else:
                self.register_buffer(attribute, torch.zeros(shape))

    def tensor(self, name: str) -> Tensor:
        """Return the tensor of a layout's segment."""
        found = getattr(self, self._names[name])
        if not isinstance(found, Tensor):
            raise TypeError(f"{name} is not a tensor")
        return found

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits of "malicious".

        Args:
            inputs: (n, D) float32, not standardised.

        Returns:
            (n,) float32.
        """
        return self.score(self.embed(self.standardise(inputs)))

    def heads(self, inputs: Tensor) -> Logits:
        """Return what every head says.

        Args:
            inputs: (n, D) float32, not standardised.
        """
        return self.read(self.embed(self.standardise(inputs)))

    def standardise(self, inputs: Tensor) -> Tensor:
        """Return the inputs as the layers read them, with the model's own statistics.

        Args:
            inputs: (n, D) float32.

        Returns:
            (n, D) float32, (x - mean) / std, clipped; with bins the event's own numbers
            are own * bins ramps, each less its mean.
        """
        mean = self.tensor("statistics.mean")
        variance = self.tensor("statistics.mean_square") - mean.square()
        std = variance.clamp(min=MIN_STD**2).sqrt()
        shape = self.architecture
        if not shape.bins:
            return ((inputs - mean) / std).clamp(-CLIP, CLIP)
        count = shape.inputs - shape.own
        tokens = ((inputs[:, :count] - mean[:count]) / std[:count]).clamp(-CLIP, CLIP)
        histogram = self.tensor("statistics.histogram")
        edges = bins.edges(histogram, shape.bins)
        ramps = bins.ramps(inputs[:, count:], edges=edges)
        ramps -= bins.centres(histogram, edges=edges)
        return torch.cat([tokens, ramps.flatten(1)], dim=1)

    def embed(self, standardised: Tensor) -> Tensor:
        """Return the events' embeddings.

        Args:
            standardised: as ``standardise`` returns it.

        Returns:
            (n, embedding) float32.
        """
        shape = self.architecture
        own = standardised
        if shape.keys:
            count = shape.keys * shape.ranks * shape.token
            tokens = standardised[:, :count].reshape(
                -1, shape.keys, shape.ranks, shape.token
            )
            nodes = tokens.permute(1, 0, 2, 3).reshape(
                shape.keys, -1, shape.token
            )  # (keys, n * ranks, token)
            neighbours = torch.bmm(nodes, self.tensor("weights.neighbour.weight"))
            neighbours = neighbours.reshape(
                shape.keys, -1, shape.ranks, shape.neighbour
            )
            neighbours = torch.tanh(
                neighbours + self.tensor("weights.neighbour.place").unsqueeze(1)
            )
            mixed = torch.baddbmm(
                self.tensor("weights.mixer.bias").unsqueeze(1),
                neighbours.reshape(shape.keys, -1, shape.ranks * shape.neighbour),
                self.tensor("weights.mixer.weight"),
            )
            mixed = torch.tanh(mixed).permute(1, 0, 2).reshape(len(tokens), -1)
            own = torch.cat([mixed, standardised[:, count:]], dim=1)
        hidden = torch.tanh(
            nn.functional.linear(
                own,
                self.tensor("weights.fuse.weight"),
                self.tensor("weights.fuse.bias"),
            )
        )
        return torch.tanh(
            nn.functional.linear(
                hidden,
                self.tensor("weights.embed.weight"),
                self.tensor("weights.embed.bias"),
            )
        )

    def score(self, embedding: Tensor) -> Tensor:
        """Return the logits of "malicious", (n,), of embeddings (n, embedding)."""
        return self._head("malicious", embedding).squeeze(-1)

    def read(self, embedding: Tensor) -> Logits:
        """Return what every head says of embeddings (n, embedding)."""
        shape = self.architecture
        return Logits(
            malicious=self.score(embedding),
            tactics=self._head("tactic", embedding) if shape.tactics else None,
            following=(
                self._head("following", embedding).squeeze(-1)
                if shape.following
                else None
            ),
        )

    def _head(self, name: str, embedding: Tensor) -> Tensor:
        return nn.functional.linear(
            embedding,
            self.tensor(f"weights.{name}.weight"),
            self.tensor(f"weights.{name}.bias"),
        )
