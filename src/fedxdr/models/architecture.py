# SPDX-License-Identifier: Apache-2.0
"""The shape of a temporal graph network: sizes, layout, first weights. No torch.

A plan carries the architecture as names and numbers and the layout derived from it; an
orchestrator can make and check the first model with this file alone.

The first version has one head and reads its own numbers standardised. The second may
read them as ramps between federated quantiles (bins.py) and may have heads for ATT&CK
tactics and for the next event. What needs nothing of the second is described as the
first, so that models on ledgers keep their bytes.

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
from fedxdr.models import histogram
from fedxdr.models.context import CONTEXTS

NAME: Final = "temporal-graph-network/v1"
NAME_2: Final = "temporal-graph-network/v2"

TACTICS: Final = 14
"""Tactics of ATT&CK Enterprise, in the order of telemetry/attack.py."""

_MAX_SIDE = 4096
_MAX_BINS = 64
_OF_THE_SECOND: Final = ("bins", "tactics", "following")
_HEADS: Final = frozenset(
    f"weights.{head}.weight" for head in ("malicious", "tactic", "following")
)


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
        bins: ramps per number of the event itself, 0 to 64; 0: standardised instead.
        tactics: how many tactics a head tells apart, 0 for no such head.
        following: 1 for a head that says whether this is an event that followed, or one
            with another destination; 0 for none.
    """

    features: str
    own: int
    keys: int = 0
    ranks: int = 1
    token: int = 1
    neighbour: int = 8
    mixer: int = 32
    embedding: int = 128
    bins: int = 0
    tactics: int = 0
    following: int = 0

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
        if not 0 <= self.bins <= _MAX_BINS:
            raise InvalidPlan(f"got {self.bins} bins, want 0 to {_MAX_BINS}")
        if self.tactics not in {0, TACTICS} or self.following not in {0, 1}:
            raise InvalidPlan(
                f"a network has 0 or {TACTICS} tactics and 0 or 1 head for what follows"
            )

    @property
    def name(self) -> str:
        """The version: the first, unless something of the second is asked for."""
        wants = any(getattr(self, field) for field in _OF_THE_SECOND)
        return NAME_2 if wants else NAME

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
        if self.bins:
            sides.append(("statistics.histogram", (self.own, histogram.CELLS)))
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
        fused = self.keys * self.mixer + self.own * max(self.bins, 1)
        sides += [
            ("weights.fuse.weight", (self.embedding, fused)),
            ("weights.fuse.bias", (self.embedding,)),
            ("weights.embed.weight", (self.embedding, self.embedding)),
            ("weights.embed.bias", (self.embedding,)),
            ("weights.malicious.weight", (1, self.embedding)),
            ("weights.malicious.bias", (1,)),
        ]
        heads = (("tactic", self.tactics), ("following", self.following))
        for head, width in heads:
            if width:
                sides += [
                    (f"weights.{head}.weight", (width, self.embedding)),
                    (f"weights.{head}.bias", (width,)),
                ]
        return Layout(
            segments=tuple(Segment(name=name, shape=shape) for name, shape in sides)
        )

    def describe(self) -> dict[str, int | float | str]:
        """Return names and numbers, as a plan and a snapshot carry them."""
        fields = asdict(self)
        if self.name == NAME:
            for field in _OF_THE_SECOND:
                del fields[field]
        return {"name": self.name, **fields}

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
            elif segment.name == "statistics.histogram":
                values = np.broadcast_to(histogram.even(), segment.shape)
            elif segment.name.endswith(".weight"):
                bound = math.sqrt(6.0 / _fan_in(segment))
                draw = generator(seed, place)
                values = draw.uniform(-bound, bound, size=segment.shape)
                if segment.name in _HEADS:
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
    if name not in {NAME, NAME_2}:
        raise InvalidPlan(
            f"architecture {name!r}: this program knows {NAME!r} and {NAME_2!r}"
        )
    wanted = set(Architecture.__dataclass_fields__)
    if name == NAME:
        wanted -= set(_OF_THE_SECOND)
    if set(fields) != wanted:
        raise InvalidPlan(f"an architecture has exactly {', '.join(sorted(wanted))}")
    features = fields.pop("features")
    sizes: dict[str, int] = {}
    for key, value in fields.items():
        if not isinstance(value, int):
            raise InvalidPlan(f"architecture: {key} is a whole number")
        sizes[key] = value
    if not isinstance(features, str):
        raise InvalidPlan("architecture: features is a name")
    found = Architecture(features=features, **sizes)
    if found.name != name:
        raise InvalidPlan(f"an architecture with nothing of {name!r} is {found.name!r}")
    return found


def _fan_in(segment: Segment) -> int:
    """Return how many inputs a weight array has: last side, or the middle one of 3."""
    three_sided = 3
    return segment.shape[1] if len(segment.shape) == three_sided else segment.shape[-1]
