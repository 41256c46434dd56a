# SPDX-License-Identifier: Apache-2.0
"""What a detector has to keep over a restart, as one file; no code is in it.

It does NOT score (detector.py). What follows from the rest, such as thresholds, is not
kept but made again.

Rules that always hold: the same state gives the same bytes; a file of which a bit was
changed is refused; it is as private as the events it was made from.

Source: safetensors format 0.4 (header, then little-endian tensors).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from fedxdr.core import canonical
from fedxdr.core.errors import InvalidInput, MalformedMessage
from fedxdr.core.ids import Digest, sha256
from fedxdr.learning.campaigns import Examples
from fedxdr.learning.gate import CANDIDATES
from fedxdr.learning.streaming import Stream
from fedxdr.models.graph import Floats
from fedxdr.models.prefilter import Prefilter
from fedxdr.telemetry.event import COLUMNS, Events

Arrays = Mapping[str, npt.NDArray[Any]]

_KEY: Final = "fedxdr-detector"
_HEADER_BYTES: Final = 8
_VERSION: Final = 1
_NO_DIGEST: Final = Digest("")
_PREFILTER: Final = "prefilter."
_LABELS: Final = ("label", "technique")
_REMEMBERED: Final = tuple(name for name, _, _ in COLUMNS if name not in _LABELS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """What is kept of the held-out past.

    Attributes:
        features: (m, D) float32.
        is_attack: (m,) bool.
        burst: (m,) float64, what the pre-filter said.
    """

    features: Floats
    is_attack: npt.NDArray[np.bool_]
    burst: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """All there is to a detector.

    Attributes:
        models: files of snapshots, by candidate.
        stream: as it stands.
        prefilter: as it stands.
        held: of the past.
        examples: of techniques that the past is labelled with.
        memory: the last events; labels are not kept.
        budget: share of benign events that may alarm.
    """

    models: Mapping[str, bytes]
    stream: Stream
    prefilter: Prefilter
    held: Held
    examples: Examples
    memory: Events
    budget: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Card:
    """What the file says about itself; ``digest`` is of that and its arrays."""

    techniques: tuple[str, ...] = ()
    digest: Digest = _NO_DIGEST
    version: int = _VERSION


def pack(state: State) -> bytes:
    """Return the file of a detector."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "stream": np.frombuffer(state.stream.save(), np.uint8),
        "held.features": state.held.features,
        "held.is_attack": state.held.is_attack.astype(np.uint8),
        "held.burst": state.held.burst,
        "examples.features": state.examples.features,
        "examples.number": state.examples.number,
        "budget": np.array([state.budget]),
    }
    for name, model in state.models.items():
        arrays[f"model.{name}"] = np.frombuffer(model, np.uint8)
    for name in _REMEMBERED:
        arrays[f"memory.{name}"] = np.ascontiguousarray(getattr(state.memory, name))
    for name, array in state.prefilter.state().items():
        arrays[f"{_PREFILTER}{name}"] = array
    card = _Card(techniques=state.examples.names)
    card = dataclasses.replace(card, digest=_digest_of(card, arrays))
    return save_tensors(arrays, metadata={_KEY: canonical.encode(card).decode()})


def unpack(file: bytes) -> State:
    """Return the detector in a file.

    Raises:
        MalformedMessage: not such a file, of another version, or one of which a bit was
            changed.
    """
    try:
        size = int.from_bytes(file[:_HEADER_BYTES], "little")
        header = msgspec.json.decode(file[_HEADER_BYTES : _HEADER_BYTES + size])
        card = canonical.decode(header["__metadata__"][_KEY].encode(), _Card)
        arrays = load_tensors(file)
        if card.version != _VERSION:
            raise MalformedMessage(f"version {card.version}")
        if card.digest != _digest_of(card, arrays):
            raise MalformedMessage("it does not have its digest")
        return _state(card, arrays)
    except (
        InvalidInput,
        SafetensorError,
        msgspec.DecodeError,
        AttributeError,
        KeyError,
        MemoryError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise MalformedMessage(f"not the state of a detector: {error}") from error


def _state(card: _Card, arrays: Arrays) -> State:
    memory = {name: arrays[f"memory.{name}"] for name in _REMEMBERED}
    held, attacks = arrays["held.features"], arrays["held.is_attack"]
    stream = Stream.load(arrays["stream"].tobytes())
    burst = arrays["held.burst"]
    examples = Examples(
        features=arrays["examples.features"],
        number=arrays["examples.number"],
        names=card.techniques,
    )
    _check(held, np.float32, (len(attacks), stream.width))
    _check(burst, np.float64, attacks.shape)
    _check(examples.features, np.float32, (len(examples.number), stream.width))
    if not set(examples.number.tolist()) == set(range(len(examples.names))):
        raise MalformedMessage("techniques without an example, or without a name")
    return State(
        models={
            name: arrays[f"model.{name}"].tobytes()
            for name in CANDIDATES
            if f"model.{name}" in arrays
        },
        stream=stream,
        prefilter=Prefilter.from_state(
            {
                name.removeprefix(_PREFILTER): array
                for name, array in arrays.items()
                if name.startswith(_PREFILTER)
            }
        ),
        held=Held(features=held, is_attack=attacks.astype(np.bool_), burst=burst),
        examples=examples,
        memory=Events.build(len(memory["time_ns"]), memory),
        budget=float(arrays["budget"][0]),
    )


def _check(
    array: npt.NDArray[Any], dtype: npt.DTypeLike, shape: tuple[int, ...]
) -> None:
    if array.dtype != np.dtype(dtype) or array.shape != shape:
        raise MalformedMessage(
            f"got {array.dtype} {array.shape}, want {np.dtype(dtype)} {shape}"
        )


def _digest_of(card: _Card, arrays: Arrays) -> Digest:
    bare = dataclasses.replace(card, digest=_NO_DIGEST)
    return sha256(sha256(canonical.encode(bare)).encode(), save_tensors(dict(arrays)))
