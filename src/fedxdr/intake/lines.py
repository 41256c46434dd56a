# SPDX-License-Identifier: Apache-2.0
"""Where each event stands: from a row back to its line.

Parsers keep the order of lines and tell how many lines gave no event, but not which.
Most blocks need no more: every line gave one event. For the others lines are told apart
by what must stand in them, or else parts of the block are parsed again.

It does NOT read logs.

Rule: a line that is named is the line. What cannot be told for certain is parsed again,
and what cannot be told even so has the place of its whole block.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.intake.chunks import Chunk
from fedxdr.telemetry.findings import Position
from fedxdr.telemetry.parser import Parsed, Parser, lines_of

_Rows = NDArray[np.int64]
_MANY: Final = 4
"""Above one line in so many without an event, lines are parsed one by one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lines:
    """Where n events stand.

    Attributes:
        places: the blocks they were read from.
        place: (n,) int32, index into ``places``, -1 not known.
        begin: (n,) int64, where its line begins.
        end: (n,) int64, where its line ends.

    Raises:
        InvalidTelemetry: columns of different length or type, or a place that is none.
    """

    places: tuple[Position, ...]
    place: NDArray[np.int32]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]

    def __post_init__(self) -> None:
        rows = len(self.place)
        for column, dtype in (
            (self.place, np.dtype(np.int32)),
            (self.begin, np.dtype(np.int64)),
            (self.end, np.dtype(np.int64)),
        ):
            if column.shape != (rows,) or column.dtype != dtype:
                raise InvalidTelemetry("places of lines are (n,) int32, int64, int64")
        if rows and not -1 <= self.place.min() <= self.place.max() < len(self.places):
            raise InvalidTelemetry("a line stands in a place that is not told")

    def __len__(self) -> int:
        return len(self.place)

    def of(self, row: int) -> Position | None:
        """Return where the line of one event stands, None where that was not kept.

        Args:
            row: in [0, n).
        """
        place = int(self.place[row])
        if place < 0:
            return None
        return dataclasses.replace(
            self.places[place],
            begin=int(self.begin[row]),
            end=int(self.end[row]),
        )

    @classmethod
    def unknown(cls, rows: int) -> Self:
        """Return no places for some events.

        Args:
            rows: how many, >= 0.
        """
        none = np.zeros(rows, np.int64)
        place = np.full(rows, -1, np.int32)
        return cls(places=(), place=place, begin=none, end=none)

    @classmethod
    def concatenate(cls, parts: Sequence[Lines]) -> Self:
        """Return all rows of the parts, in their order."""
        if not parts:
            return cls.unknown(0)
        counts = [len(part.places) for part in parts]
        firsts = np.cumsum([0, *counts[:-1]]).astype(np.int32)
        return cls(
            places=tuple(place for part in parts for place in part.places),
            place=np.concatenate(
                [
                    np.where(part.place < 0, part.place, part.place + first)
                    for part, first in zip(parts, firsts, strict=True)
                ]
            ),
            begin=np.concatenate([part.begin for part in parts]),
            end=np.concatenate([part.end for part in parts]),
        )

    def select(self, rows: slice | NDArray[np.bool_] | NDArray[np.integer]) -> Self:
        """Return some rows, see ``Events.select``."""
        return dataclasses.replace(
            self, place=self.place[rows], begin=self.begin[rows], end=self.end[rows]
        )


def lines_of_events(
    chunk: Chunk, parsed: Parsed, *, again: Parser, needle: bytes | None = None
) -> Lines:
    """Return where the events of a chunk stand.

    Args:
        chunk: the lines.
        parsed: what they held.
        again: a parser of this log that knows its header; it is not changed.
        needle: what stands in each line that gives an event, None where nothing does.
    """
    texts = lines_of(chunk.block)
    rows, events = _rows(texts, parsed, again, needle), len(parsed.events)
    if chunk.offsets is None:
        lengths = [len(text) + 1 for text in texts]
        offsets = np.cumsum([chunk.position.begin, *lengths])
        offsets[-1] = chunk.position.end
        begin, end = offsets[rows], offsets[rows + 1]
    else:
        begin = chunk.offsets[rows]
        end = begin + 1
    if len(rows) != events:
        begin = np.full(events, chunk.position.begin, np.int64)
        end = np.full(events, chunk.position.end, np.int64)
    place = np.zeros(events, np.int32)
    return Lines(places=(chunk.position,), place=place, begin=begin, end=end)


def _rows(
    texts: list[bytes], parsed: Parsed, again: Parser, needle: bytes | None
) -> _Rows:
    """Return (n,) int64, the index of the line of each event."""
    events = len(parsed.events)
    if not events:
        return np.zeros(0, np.int64)
    if events == len(texts) and not parsed.skipped and not parsed.rejected:
        return np.arange(events)
    bad = {one.line_number for one in parsed.rejected}
    sound = [
        index
        for index, text in enumerate(texts)
        if index + 1 not in bad and text.strip()
    ]
    # one event for each line that was neither skipped nor refused, or parse again
    if events == len(sound) - parsed.skipped:
        if needle is not None:
            sound = [index for index in sound if needle in texts[index]]
        if events == len(sound):
            return np.array(sound, np.int64)
    is_sparse = (len(sound) - events) * _MANY > len(sound)
    return np.array(_search(texts, sound, again, by_one=is_sparse), np.int64)


def _search(
    texts: list[bytes], sound: list[int], again: Parser, *, by_one: bool
) -> list[int]:
    """Return the line of each event of some lines, by parsing halves of them."""
    found: list[int] = []
    stack = [[index] for index in reversed(sound)] if by_one else [sound]
    while stack:
        part = stack.pop()
        block = b"\n".join(texts[index] for index in part)
        parsed = copy.copy(again).parse(block)
        events = len(parsed.events)
        if not events:
            continue
        if len(part) == 1:
            found += part * events
        elif events == len(part) and not parsed.skipped and not parsed.rejected:
            found += part
        else:
            middle = len(part) // 2
            stack += [part[middle:], part[:middle]]
    return found
