# SPDX-License-Identifier: Apache-2.0
"""Columns of a CSV file as arrays: numbers, instants, and texts as codes.

It does NOT know what columns mean: who asks says how each is to be read.

Rules that always hold: the file is read row by row and turned into arrays block by
block, so that what is held is those arrays and one block; only the columns that were
asked for are kept; a text is kept once.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum, auto
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning.parquet import Codes, Column

_BLOCK_ROWS: Final = 1 << 16
_UNKNOWN: Final = frozenset({"", "-", "nan", "none", "null", "(empty)"})


class Form(Enum):
    """How a column is to be read."""

    TEXT = auto()
    NUMBER = auto()
    INSTANT = auto()


def read(
    path: Path, choose: Callable[[Sequence[str]], Mapping[str, Form]]
) -> dict[str, Column]:
    """Return columns of a file by name.

    Args:
        path: of the file, in UTF-8, with a header.
        choose: from the header to the columns that are read and how.

    Returns:
        float64 numbers (NaN where nothing is known), texts, and instants: numbers as
        they are or datetime64[ns].

    Raises:
        InvalidTelemetry: it is no such file, has no rows, or a cell is not of its form.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            forms = choose(header)
            found = _collected(path, header, forms, _rows(path, rows, len(header)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidTelemetry(f"{path}: not CSV in UTF-8: {error}") from error
    if found is None:
        raise InvalidTelemetry(f"{path}: no rows below the header")
    return found


def instants(texts: Sequence[str]) -> npt.NDArray[Any]:
    """Return numbers as int64 or float64, else ISO 8601 texts as datetime64[ns], UTC.

    Raises:
        ValueError: they are neither.
    """
    for kind in (np.int64, np.float64):
        try:
            return np.array([kind(text) for text in texts], kind)
        except (ValueError, OverflowError):
            continue
    plain = [text.replace("Z", "").replace(" ", "T") for text in texts]
    return np.array(plain, "datetime64[ns]")


def numbers(path: Path, name: str, cells: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return texts as numbers, NaN where nothing is known.

    Args:
        path: for the message.
        name: of the column, for the message.
        cells: n texts.

    Raises:
        InvalidTelemetry: one of them is no number.
    """
    try:
        return np.array(
            ["nan" if cell.lower() in _UNKNOWN else cell for cell in cells], np.float64
        )
    except ValueError as error:
        raise InvalidTelemetry(f"{path}: column {name}: {error}") from error


def _rows(path: Path, rows: Iterator[list[str]], width: int) -> Iterator[list[str]]:
    for number, row in enumerate((row for row in rows if row), start=2):
        if len(row) != width:
            raise InvalidTelemetry(
                f"{path}: row {number} has {len(row)} cells, the header {width}"
            )
        yield row


def _collected(
    path: Path,
    header: Sequence[str],
    forms: Mapping[str, Form],
    rows: Iterator[list[str]],
) -> dict[str, Column] | None:
    codes = {name: Codes() for name, form in forms.items() if form is Form.TEXT}
    arrays: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in forms}
    places = {name: header.index(name) for name in forms}
    is_empty = True
    while block := list(islice(rows, _BLOCK_ROWS)):
        is_empty = False
        for name, form in forms.items():
            cells = [row[places[name]].strip() for row in block]
            if form is Form.TEXT:
                codes[name].add(cells)
            elif form is Form.NUMBER:
                arrays[name].append(numbers(path, name, cells))
            else:
                arrays[name].append(_instants(path, cells))
    if is_empty:
        return None
    for name, parts in arrays.items():
        if len({part.dtype.kind == "M" for part in parts}) > 1:
            raise InvalidTelemetry(f"{path}: {name} is numbers and ISO 8601 in turn")
    return {
        name: codes[name].texts() if name in codes else np.concatenate(arrays[name])
        for name in forms
    }


def _instants(path: Path, cells: Sequence[str]) -> npt.NDArray[Any]:
    try:
        return instants(cells)
    except ValueError as error:
        raise InvalidTelemetry(
            f"{path}: the time is neither seconds since 1970 nor ISO 8601: {error}"
        ) from error
