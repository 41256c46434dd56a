# SPDX-License-Identifier: Apache-2.0
"""Which number of the flat vector means what.

Every model, statistic and update travels as one flat float32 vector. Its layout names
the segments in order; the layout's digest is part of the plan, so two parties that
disagree about a model's shape find out before a round and not in a sum.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedxdr.core.canonical import fingerprint
from fedxdr.core.errors import InvalidUpdate, MalformedMessage
from fedxdr.core.ids import Digest

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One named array inside the flat vector.

    Attributes:
        name: unique within the layout, for example ``"head.weight"``.
        shape: the array's shape; ``()`` for one number.
    """

    name: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.name or any(side < 1 for side in self.shape):
            raise MalformedMessage("a segment has a name and sides of at least 1")

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The ordered segments of a flat vector.

    Attributes:
        segments: in the order in which they lie in the vector; names are unique.
    """

    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        names = [segment.name for segment in self.segments]
        if not names or len(set(names)) != len(names):
            raise MalformedMessage("a layout has one or more uniquely named segments")

    @property
    def size(self) -> int:
        """Length d of the flat vector."""
        return sum(segment.size for segment in self.segments)

    @property
    def digest(self) -> Digest:
        """SHA-256 over the canonical form of names and shapes."""
        return fingerprint("fedxdr/layout/v1", self)

    def span(self, prefix: str) -> tuple[int, int]:
        """Return [begin, end) of the segments whose names begin with ``prefix``.

        Raises:
            MalformedMessage: no such segment, or they do not lie side by side.
        """
        begin = end = 0
        found: list[tuple[int, int]] = []
        for segment in self.segments:
            begin, end = end, end + segment.size
            if segment.name.startswith(prefix):
                found.append((begin, end))
        if not found or any(a[1] != b[0] for a, b in itertools.pairwise(found)):
            raise MalformedMessage(f"no contiguous segments named {prefix}…")
        return found[0][0], found[-1][1]

    def flatten(self, arrays: Mapping[str, npt.ArrayLike]) -> Vector:
        """Return the arrays as one vector, (d,) float32, in the layout's order.

        Raises:
            InvalidUpdate: an array is missing, unknown or of another shape.
        """
        if set(arrays) != {segment.name for segment in self.segments}:
            raise InvalidUpdate("the arrays' names are not those of the layout")
        parts = []
        for segment in self.segments:
            array = np.asarray(arrays[segment.name], dtype=np.float32)
            if array.shape != segment.shape:
                raise InvalidUpdate(
                    f"{segment.name}: got shape {array.shape}, want {segment.shape}"
                )
            parts.append(array.ravel())
        return np.concatenate(parts)

    def unflatten(self, vector: Vector) -> dict[str, Vector]:
        """Return views of the vector by segment name.

        Raises:
            InvalidUpdate: the vector's shape is not (d,).
        """
        if vector.shape != (self.size,):
            raise InvalidUpdate(f"got shape {vector.shape}, want ({self.size},)")
        arrays, begin = {}, 0
        for segment in self.segments:
            end = begin + segment.size
            arrays[segment.name] = vector[begin:end].reshape(segment.shape)
            begin = end
        return arrays
