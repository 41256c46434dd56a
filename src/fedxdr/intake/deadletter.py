# SPDX-License-Identifier: Apache-2.0
"""The file of lines that could not be read; the organisation's own.

One JSON object per line: ``file``, ``line``, ``reason``, ``text``; of logs that are
followed lines are counted from the byte ``begin``. The file is readable
by its owner only. When it is full it becomes ``NAME.1``, the one before ``NAME.2``, and
the oldest goes; so a log that turns bad does not fill the disk.

It does NOT count (counters.py) and is never sent anywhere.

Rule: a line is in it at least once. Who follows logs and is killed may read lines
again that were not committed yet, and letters of theirs are written again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, Self

import msgspec

from fedxdr.core.errors import InvalidTelemetry, StorageFault
from fedxdr.telemetry.parser import Rejected

LIMIT_BYTES: Final = 64 << 20
"""Size from which on the file is moved aside."""

KEPT: Final = 2
"""Older files that are kept beside it."""


class DeadLetters:
    """Appends rejected lines; opened at once, so that a bad path shows early.

    Args:
        path: the file; its folder exists.
        limit_bytes: size from which on it is moved aside, >= 1.

    Raises:
        InvalidTelemetry: it cannot be written.
    """

    def __init__(self, path: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        self._file = self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is still in memory, and close."""
        self._file.close()

    def keep(
        self,
        source: Path | str,
        rejected: Sequence[Rejected],
        *,
        begin: int | None = None,
    ) -> None:
        """Append rejected lines of a log.

        Args:
            source: the log's name.
            rejected: its lines; none costs nothing.
            begin: where the lines were counted from, None: from the log's beginning.

        Raises:
            StorageFault: the disk said no.
        """
        if not rejected:
            return
        try:
            for letter in _letters(source, rejected, begin):
                self._file.write(letter + b"\n")
            self._file.flush()
            if self._file.tell() >= self._limit_bytes:
                self._turn()
        except OSError as error:
            raise StorageFault(f"dead letters: {error.strerror}") from error

    def _open(self) -> BinaryIO:
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise InvalidTelemetry(
                f"{self._path}: cannot be written: {error.strerror}"
            ) from error
        return os.fdopen(handle, "ab")

    def _turn(self) -> None:
        self._file.close()
        names = [self._path, *(_older(self._path, n) for n in range(1, KEPT + 1))]
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            if newer.exists():
                newer.replace(older)
        self._file = self._open()


def _older(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _letters(
    source: Path | str, rejected: Sequence[Rejected], begin: int | None
) -> Iterator[bytes]:
    for one in rejected:
        letter: dict[str, str | int] = {
            "file": os.fspath(source),
            "line": one.line_number,
            "reason": one.reason,
            "text": one.line.decode("utf-8", "backslashreplace"),
        }
        yield msgspec.json.encode(
            letter if begin is None else letter | {"begin": begin}
        )
