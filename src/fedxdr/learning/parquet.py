# SPDX-License-Identifier: Apache-2.0
"""Columns of a Parquet file as arrays: numbers as they are, texts as codes.

It does NOT know what columns mean.

Rules that always hold: pyarrow is imported when a file is read; only the columns that
were asked for are read, block by block; a text is kept once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidSettings, InvalidTelemetry
from fedxdr.models.graph import Integers

_BLOCK_ROWS: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Texts:
    """A text column.

    Attributes:
        codes: (n,) int64, each row's place in ``values``.
        values: distinct texts, sorted.
    """

    codes: Integers
    values: tuple[str, ...]


Column = npt.NDArray[Any] | Texts


def read(path: Path, wanted: Sequence[str] | None = None) -> dict[str, Column]:
    """Return columns of a file by name.

    Args:
        path: of the file.
        wanted: names; all if None.

    Raises:
        InvalidSettings: pyarrow is not installed.
        InvalidTelemetry: it is no such file, has no rows, or lacks a column.
    """
    pa, pq = _pyarrow()
    try:
        with pq.ParquetFile(path) as file:
            there = file.schema_arrow.names
            wanted_here = there if wanted is None else list(wanted)
            missing = [name for name in wanted_here if name not in there]
            if missing:
                raise InvalidTelemetry(
                    f"{path.name}: no column {', '.join(missing)} (there is: "
                    f"{', '.join(there)})"
                )
            blocks = file.iter_batches(batch_size=_BLOCK_ROWS, columns=wanted_here)
            found = _collected(wanted_here, blocks, pa)
    except (pa.ArrowException, OSError) as error:
        raise InvalidTelemetry(f"{path.name}: not a Parquet file: {error}") from error
    if not found:
        raise InvalidTelemetry(f"{path.name}: no rows")
    return found


def names(path: Path) -> list[str]:
    """Return the columns that a file has.

    Raises:
        InvalidSettings: pyarrow is not installed.
        InvalidTelemetry: it is no such file.
    """
    pa, pq = _pyarrow()
    try:
        return [str(name) for name in pq.read_schema(path).names]
    except (pa.ArrowException, OSError) as error:
        raise InvalidTelemetry(f"{path.name}: not a Parquet file: {error}") from error


def _pyarrow() -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - extra "evaluate"
        import pyarrow.parquet as pq  # noqa: PLC0415 - extra "evaluate"
    except ImportError as error:
        raise InvalidSettings(
            "reading Parquet needs pyarrow: pip install 'fedxdr[evaluate]'"
        ) from error
    return pa, pq


class Codes:
    """Collects a text column block by block; every text is kept once."""

    def __init__(self) -> None:
        self._place: dict[str, int] = {}
        self._blocks: list[Integers] = []

    def add(self, texts: Sequence[str | None], rows: Integers | None = None) -> None:
        """Take in a block.

        Args:
            texts: of the rows, or distinct ones if ``rows`` points into them; None is
                the empty text.
            rows: (n,) places in ``texts``.
        """
        place = self._place
        codes = np.fromiter(
            (place.setdefault((text or "").strip(), len(place)) for text in texts),
            np.int64,
            len(texts),
        )
        self._blocks.append(codes if rows is None else codes[rows])

    def texts(self) -> Texts:
        """Return the whole column."""
        codes = np.concatenate(self._blocks)
        is_used = np.bincount(codes, minlength=len(self._place)) > 0
        values = sorted(text for text, code in self._place.items() if is_used[code])
        order = np.zeros(len(self._place), np.int64)
        order[[self._place[value] for value in values]] = np.arange(len(values))
        return Texts(codes=order[codes], values=tuple(values))


def _collected(
    names: Sequence[str], blocks: Iterator[Any], pa: ModuleType
) -> dict[str, Column]:
    arrays: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in names}
    codes: dict[str, Codes] = {}
    for block in blocks:
        for name, column in ((name, block.column(name)) for name in names):
            kind = column.type
            if pa.types.is_dictionary(kind):
                kind = kind.value_type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                arrays[name].append(column.to_numpy(zero_copy_only=False))
                continue
            if not pa.types.is_dictionary(column.type):
                column = column.dictionary_encode()  # noqa: PLW2901 - the same column
            rows = column.indices.fill_null(len(column.dictionary))
            codes.setdefault(name, Codes()).add(
                [*column.dictionary.to_pylist(), None],
                rows.to_numpy(zero_copy_only=False).astype(np.int64),
            )
    return {
        name: codes[name].texts() if name in codes else np.concatenate(arrays[name])
        for name in names
        if name in codes or arrays[name]
    }
