# SPDX-License-Identifier: Apache-2.0
"""The shape of a temporal graph network: sizes, layout, first weights. No torch.

A plan carries the architecture as names and numbers and the layout derived from it; an
orchestrator can make and check the first model with this file alone.

It does NOT compute with the network (see tgnn.py).

Rules that always hold: feature statistics lie in ``statistics.*``, everything that is
trained in ``weights.*``; the same architecture and seed give the same bytes everywhere.

Source: first weights as in He et al. 2015, equation (10), uniform form.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from fedxdr.core.errors import InvalidPlan
from fedxdr.core.layout import Layout, Segment, Vector
from fedxdr.core.randomness import generator
from fedxdr.models.context import CONTEXTS

NAME: Final = "temporal-graph-network/v1"

_MAX_SIDE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Sizes of a temporal graph network.

    An event comes as ``keys * ranks`` neighbours of ``token`` numbers each, followed by
    ``own`` numbers of its own; a feature set without neighbours has keys 0.

    Attributes:
        features: name of the feature set (learning/features.py).
        keys: nodes per event whose past is read, 0 to 4096.
        ranks: neighbours per node, 1 to 4096.
        token: numbers per neighbour, 1 to 4096.
        own: numbers of the event itself, 1 to 4096.
        neighbour: width of a neighbour's representation.
        mixer: width of one node's mixed neighbourhood.
        embedding: width of the event's embedding.
    """

    features: str
    own: int
    keys: int = 0
    ranks: int = 1
    token: int = 1
    neighbour: int = 8
    mixer: int = 32
    embedding: int = 128

    def __post_init__(self) -> None:
        sides = (
            self.own,
            self.ranks,
            self.token,
            self.neighbour,
            self.mixer,
            self.embedding,
        )
        if not (0 <= self.keys <= _MAX_SIDE) or not all(
            1 <= side <= _MAX_SIDE for side in sides
        ):
            raise InvalidPlan(f"an architecture's sizes lie between 1 and {_MAX_SIDE}")

    @property
    def inputs(self) -> int:
        """D: how many numbers describe one event."""
        return self.keys * self.ranks * self.token + self.own

    @property
    def layout(self) -> Layout:
        """Statistics first, then the weights."""
        sides: list[tuple[str, tuple[int, ...]]] = [
            ("statistics.mean", (self.inputs,)),
            ("statistics.mean_square", (self.inputs,)),
        ]
        if self.keys:
            sides += [
                ("weights.neighbour.place", (self.keys, self.ranks, self.neighbour)),
                ("weights.neighbour.weight", (self.keys, self.token, self.neighbour)),
                (
                    "weights.mixer.weight",
                    (self.keys, self.ranks * self.neighbour, self.mixer),
                ),
                ("weights.mixer.bias", (self.keys, self.mixer)),
            ]
        fused = self.keys * self.mixer + self.own
        sides += [
            ("weights.fuse.weight", (self.embedding, fused)),
            ("weights.fuse.bias", (self.embedding,)),
            ("weights.embed.weight", (self.embedding, self.embedding)),
            ("weights.embed.bias", (self.embedding,)),
            ("weights.malicious.weight", (1, self.embedding)),
            ("weights.malicious.bias", (1,)),
        ]
        return Layout(
            segments=tuple(Segment(name=name, shape=shape) for name, shape in sides)
        )

    def describe(self) -> dict[str, int | float | str]:
        """Return names and numbers, as a plan and a snapshot carry them."""
        return {"name": NAME, **asdict(self)}

    def first_vector(self, seed: int) -> Vector:
        """Return the first model, (d,) float32.

        Statistics are the feature set's constants: without a statistics round, as
        under differential privacy, they stay (mean 0, mean square 1 where none are
        known).

        Args:
            seed: public, >= 0.
        """
        arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = {}
        known = CONTEXTS.get(self.features)
        centre, spread = (0.0, 1.0) if known is None else (known.centre, known.spread)
        for place, segment in enumerate(self.layout.segments):
            if segment.name == "statistics.mean":
                values = np.full(segment.shape, centre)
            elif segment.name == "statistics.mean_square":
                values = np.full(segment.shape, centre**2 + spread**2)
            elif segment.name.endswith(".weight"):
                bound = math.sqrt(6.0 / _fan_in(segment))
                draw = generator(seed, place)
                values = draw.uniform(-bound, bound, size=segment.shape)
                if segment.name == "weights.malicious.weight":
                    values *= 0.1
            else:
                values = np.zeros(segment.shape)
            arrays[segment.name] = values.astype(np.float32)
        return self.layout.flatten(arrays)


def architecture_of(described: dict[str, int | float | str]) -> Architecture:
    """Return the architecture that a plan or snapshot describes.

    Args:
        described: as made by ``Architecture.describe``.

    Raises:
        InvalidPlan: another network, a missing or unknown field, a wrong type.
    """
    fields = dict(described)
    name = fields.pop("name", None)
    if name != NAME:
        raise InvalidPlan(f"architecture {name!r}: this program knows {NAME!r}")
    wanted = Architecture.__dataclass_fields__
    if set(fields) != set(wanted):
        raise InvalidPlan(f"an architecture has exactly {', '.join(sorted(wanted))}")
    features = fields.pop("features")
    sizes: dict[str, int] = {}
    for key, value in fields.items():
        if not isinstance(value, int):
            raise InvalidPlan(f"architecture: {key} is a whole number")
        sizes[key] = value
    if not isinstance(features, str):
        raise InvalidPlan("architecture: features is a name")
    return Architecture(features=features, **sizes)


def _fan_in(segment: Segment) -> int:
    """Return how many inputs a weight array has: last side, or the middle one of 3."""
    three_sided = 3
    return segment.shape[1] if len(segment.shape) == three_sided else segment.shape[-1]
