# SPDX-License-Identifier: Apache-2.0
"""One segment of the spool as bytes: columns of events, and what belongs to them.

It does NOT touch the disk (spool.py).

Rule: no code is in it and nothing is unpickled; what is read is checked against the
digest that was made when it was written.

Source: safetensors format 0.4 (header, then little-endian tensors).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from fedxdr.core.errors import IntegrityFault, InvalidInput
from fedxdr.intake.lines import Lines
from fedxdr.telemetry.event import COLUMNS, Events
from fedxdr.telemetry.findings import Position

_KEY: Final = "fedxdr-spool"
_LENGTH_BYTES: Final = 8
_MOST_HEADER_BYTES: Final = 1 << 26
_LINES: Final = ("place", "begin", "end")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a segment says about itself.

    Attributes:
        numbers: of what was appended, rising; several where it was put together.
        rows: events of each.
        first_ns: time of the earliest event, 0 where there is none.
        last_ns: time of the latest event, 0 where there is none.
        techniques: that events point into.
        places: that lines point into.
        positions: how far every log was read.
        digest: SHA-256 of all columns.
        version: of this form.
    """

    numbers: tuple[int, ...]
    rows: tuple[int, ...]
    first_ns: int
    last_ns: int
    techniques: tuple[str, ...]
    places: tuple[Position, ...]
    positions: tuple[Position, ...]
    digest: str
    version: int = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stored:
    """What was appended at once.

    Attributes:
        number: of it; numbers rise by one.
        events: in the order of their lines; only alerts are labelled, see
            ``mark_alerted``.
        lines: where they stand.
    """

    number: int
    events: Events
    lines: Lines


def encode(parts: Sequence[Stored], positions: Sequence[Position]) -> bytes:
    """Return a segment.

    Args:
        parts: what was appended, in order; at least one.
        positions: how far every log was read with the last of them.
    """
    events = Events.concatenate(part.events for part in parts)
    lines = Lines.concatenate([part.lines for part in parts])
    arrays: dict[str, NDArray[Any]] = {
        column.name: np.ascontiguousarray(getattr(events, column.name))
        for column in COLUMNS
    }
    arrays |= {f"line.{name}": getattr(lines, name) for name in _LINES}
    times = events.time_ns
    header = Header(
        numbers=tuple(part.number for part in parts),
        rows=tuple(len(part.events) for part in parts),
        first_ns=int(times.min()) if len(times) else 0,
        last_ns=int(times.max()) if len(times) else 0,
        techniques=events.techniques,
        places=lines.places,
        positions=tuple(positions),
        digest=_digest(arrays),
    )
    return bytes(
        save_tensors(arrays, metadata={_KEY: msgspec.json.encode(header).decode()})
    )


def header_length(first: bytes) -> int:
    """Return how many bytes the header takes, with those that tell it.

    Args:
        first: the first 8 bytes of a segment.

    Raises:
        IntegrityFault: it is none.
    """
    length = int.from_bytes(first, "little")
    if len(first) != _LENGTH_BYTES or length > _MOST_HEADER_BYTES:
        raise IntegrityFault("a segment of the spool is damaged")
    return _LENGTH_BYTES + length


def header_of(begin: bytes) -> Header:
    """Return what a segment says about itself.

    Args:
        begin: its first ``header_length`` bytes, or more.

    Raises:
        IntegrityFault: it is none.
    """
    try:
        text = begin[_LENGTH_BYTES : header_length(begin[:_LENGTH_BYTES])]
        said = msgspec.json.decode(text)["__metadata__"][_KEY]
        return msgspec.json.decode(said, type=Header)
    except (msgspec.MsgspecError, InvalidInput, KeyError, TypeError) as error:
        raise IntegrityFault("a segment of the spool is damaged") from error


def decode(segment: bytes) -> list[Stored]:
    """Return what was appended, in order.

    Raises:
        IntegrityFault: it is not what was written.
    """
    header = header_of(segment)
    try:
        arrays = load_tensors(segment)
        if _digest(arrays) != header.digest:
            raise IntegrityFault("a segment of the spool is not what was written")
        columns = {
            column.name: arrays[column.name]
            for column in COLUMNS
            if column.name in arrays
        }
        rows = sum(header.rows)
        events = Events.build(rows, columns, techniques=header.techniques)
        lines = Lines(
            places=header.places,
            **{name: arrays[f"line.{name}"] for name in _LINES},
        )
    except (SafetensorError, InvalidInput, KeyError, ValueError) as error:
        raise IntegrityFault("a segment of the spool is damaged") from error
    if len(header.numbers) == 1:
        return [Stored(number=header.numbers[0], events=events, lines=lines)]
    parts, begin = [], 0
    for number, count in zip(header.numbers, header.rows, strict=True):
        part = slice(begin, begin + count)
        begin += count
        parts.append(
            Stored(number=number, events=events.select(part), lines=lines.select(part))
        )
    return parts


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    state = hashlib.sha256()
    for name in sorted(arrays):
        state.update(
            f"{name} {arrays[name].dtype.str} {arrays[name].nbytes}\n".encode()
        )
        state.update(arrays[name].data)
    return state.hexdigest()
