# SPDX-License-Identifier: Apache-2.0
"""The file of what was anchored: one record in each line, only ever longer.

It does NOT say what the chain holds now: a chain can forget (proofs.py verifies).

Rules that always hold: a record is on the disk before ``append`` returns; a line that
kill -9 or a power cut left unfinished is removed, since nobody was told of it; any
other line that is no record is a fault; sizes of one log never shrink and one size has
one root (it can be anchored again where a chain forgot it); one process at a time.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from fedxdr.anchoring import proofs
from fedxdr.anchoring.proofs import AnchorRecord
from fedxdr.core.errors import (
    AlreadyAnswered,
    IntegrityFault,
    MalformedMessage,
    StorageFault,
    Unavailable,
)


class Notes:
    """An open file of records; a context manager.

    Args:
        path: the file; it and its folder are made.

    Raises:
        Unavailable: another process has it open.
        IntegrityFault: it holds something else than records in order.
        StorageFault: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._newest: dict[str, AnchorRecord] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # no buffer: what a full disk refused must not be written later
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise StorageFault(f"cannot open {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.seek(0)
            whole, end, _ = self._file.read().rpartition(b"\n")
            self._file.truncate(len(whole) + len(end))
            os.fsync(self._file.fileno())
            _sync_folder(path.parent)
            self.records = tuple(self._read(whole))
        except BlockingIOError as error:
            self._file.close()
            raise Unavailable(f"{path} is in use by another process") from error
        except OSError as error:
            self._file.close()
            raise StorageFault(f"cannot use {path}: {error.strerror}") from error
        except IntegrityFault:
            self._file.close()
            raise

    def newest(self, origin: str) -> AnchorRecord | None:
        """Return the last record of a log, None where there is none."""
        return self._newest.get(origin)

    def append(self, record: AnchorRecord) -> None:
        """Store a record durably.

        Raises:
            AlreadyAnswered: the log's size shrinks, or has another root.
            StorageFault: the disk said no; the file is as it was.
        """
        known = self.newest(record.origin)
        if known is not None and not _follows(record, known):
            raise AlreadyAnswered(
                f"size {known.size} of {record.origin!r} was anchored before "
                f"{record.size}, or with another root"
            )
        line = proofs.encode(record) + b"\n"
        end = self._file.seek(0, os.SEEK_END)
        try:
            self._write(line)
        except OSError as error:
            self._file.truncate(end)
            raise StorageFault(
                f"cannot write {self._path}: {error.strerror}"
            ) from error
        self._newest[record.origin] = record
        self.records += (record,)

    def close(self) -> None:
        """Close the file and let others have it."""
        self._file.close()

    def _read(self, whole: bytes) -> list[AnchorRecord]:
        found = []
        for number, line in enumerate(whole.split(b"\n") if whole else (), start=1):
            try:
                record = proofs.parse(line)
            except MalformedMessage as error:
                raise IntegrityFault(f"{self._path}, line {number}: {error}") from error
            known = self.newest(record.origin)
            if known is not None and not _follows(record, known):
                raise IntegrityFault(
                    f"{self._path}, line {number}: size {record.size} after "
                    f"{known.size}, or another root"
                )
            self._newest[record.origin] = record
            found.append(record)
        return found

    def _write(self, line: bytes) -> None:
        if self._file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        """Return the open file."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


def _follows(record: AnchorRecord, known: AnchorRecord) -> bool:
    if record.size == known.size:
        return record.root == known.root
    return record.size > known.size


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
