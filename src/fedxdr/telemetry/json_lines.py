# SPDX-License-Identifier: Apache-2.0
"""Newline-delimited JSON, read a block at a time.

A whole block is decoded in one call; only a block that holds a bad line is read again
line by line, to find it.

It does NOT know what is in the records: the typed decoder and the reader of their times
are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedxdr.telemetry.parser import Rejected, numbered

T = TypeVar("T")

TimesOf = Callable[[Sequence[T]], tuple[NDArray[np.int64], NDArray[np.bool_]]]
"""Returns (n,) int64 UTC nanoseconds of n records, and (n,) bool, which are times."""

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises for a line that is none of its records."""


def read_json_lines(
    block: bytes,
    decoder: msgspec.json.Decoder[T],
    times_of: TimesOf[T],
    *,
    first_line: int,
) -> tuple[list[T], NDArray[np.int64], tuple[Rejected, ...]]:
    """Return the records of a block, their times, and the lines that hold none.

    Args:
        block: bytes, cut at line ends; blank lines are passed over.
        decoder: decodes one record.
        times_of: reads the times of records; one without a time is rejected.
        first_line: number of the block's first line.
    """
    try:
        records = decoder.decode_lines(block)
        times, sound = times_of(records)
    except UNREADABLE:
        return read_line_by_line(block, decoder, times_of, first_line=first_line)
    if not sound.all():
        return read_line_by_line(block, decoder, times_of, first_line=first_line)
    return records, times, ()


def read_line_by_line(
    block: bytes,
    decoder: msgspec.json.Decoder[T],
    times_of: TimesOf[T],
    *,
    first_line: int,
) -> tuple[list[T], NDArray[np.int64], tuple[Rejected, ...]]:
    """Return what ``read_json_lines`` does, at many times its cost."""
    read: list[tuple[int, bytes, T]] = []
    rejected: list[Rejected] = []
    for number, line in numbered(block, first_line):
        try:
            read.append((number, line, decoder.decode(line)))
        except UNREADABLE as error:
            rejected.append(Rejected.of(number, _reason(error), line))
    times, sound = times_of([record for _, _, record in read])
    for row in np.flatnonzero(~sound).tolist():
        number, line, _ = read[row]
        rejected.append(Rejected.of(number, "its time is not a time", line))
    rejected.sort(key=lambda one: one.line_number)
    rows = np.flatnonzero(sound)
    return [read[row][2] for row in rows.tolist()], times[rows], tuple(rejected)


def _reason(error: Exception) -> str:
    """Say what is wrong with a line without repeating any of it."""
    match error:
        case msgspec.ValidationError():
            return str(error)
        case msgspec.DecodeError():
            return "not JSON"
        case UnicodeDecodeError():
            return "not UTF-8"
        case _:
            return "nested too deep"
