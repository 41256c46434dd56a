# SPDX-License-Identifier: Apache-2.0
"""A model in a file: safetensors bytes, named by their SHA-256.

The file holds one float32 tensor per segment of the layout and, as metadata, layout and
architecture in canonical JSON. It has exactly one form: the same model gives the same
bytes on every machine, so that anyone who replays a round can compare digests. There is
no code in it and nothing is unpickled; torch is not needed.

Source: safetensors format 0.4 (header, then little-endian tensors).
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from fedxdr.core import canonical
from fedxdr.core.errors import InvalidUpdate, MalformedMessage
from fedxdr.core.layout import Layout, Vector

_KEY = "fedxdr"
_HEADER_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a snapshot says about itself.

    Attributes:
        layout: order and shapes of the segments.
        architecture: names and numbers from which the model is built.
        version: of this form of file.
    """

    layout: Layout
    architecture: dict[str, int | float | str]
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A model as it was read from a file.

    Attributes:
        vector: (d,) float32 in the layout's order.
        card: layout and architecture.
    """

    vector: Vector
    card: Card


def save(
    vector: Vector, *, layout: Layout, architecture: dict[str, int | float | str]
) -> bytes:
    """Return the file of a model.

    Args:
        vector: (d,) float32, finite.
        layout: of d numbers.
        architecture: names and numbers.

    Raises:
        InvalidUpdate: a wrong shape or type, NaN or infinity.
    """
    if vector.dtype != np.float32 or not np.isfinite(vector).all():
        raise InvalidUpdate("a model is a finite float32 vector")
    arrays = layout.unflatten(vector)
    card = Card(layout=layout, architecture=architecture)
    # one metadata key only: the library does not order several
    return save_tensors(
        # not ascontiguousarray: it turns a single number into an array of one
        {name: np.asarray(array, order="C") for name, array in arrays.items()},
        metadata={_KEY: canonical.encode(card).decode()},
    )


def load(file: bytes) -> Snapshot:
    """Return the model in a file.

    Raises:
        MalformedMessage: not a snapshot, or not in its one form.
    """
    try:
        size = int.from_bytes(file[:_HEADER_BYTES], "little")
        header = file[_HEADER_BYTES : _HEADER_BYTES + size]
        card = canonical.decode(_metadata(header), Card)
        vector = card.layout.flatten(load_tensors(file))
        again = save(vector, layout=card.layout, architecture=card.architecture)
    except (
        SafetensorError,
        msgspec.DecodeError,
        InvalidUpdate,
        AttributeError,
        KeyError,
        MemoryError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise MalformedMessage(f"not a model snapshot: {error}") from error
    if again != file:
        raise MalformedMessage("a model snapshot in another form than ours")
    return Snapshot(vector=vector, card=card)


def _metadata(header: bytes) -> bytes:
    """Return our metadata value from a safetensors header (JSON)."""
    value = msgspec.json.decode(header)
    return str(value["__metadata__"][_KEY]).encode()
