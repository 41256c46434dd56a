# SPDX-License-Identifier: Apache-2.0
"""Findings into a file, one OCSF record a line.

On the disk when ``send`` returns. A batch that a crash cut is completed: the torn line
is cut off, and of the batch that comes again only what the file's end does not hold is
written, so no line stands twice. The file may be renamed at any time (logrotate's
``create``): the next batch begins a new one.

It does NOT rotate or delete. A crash between a write and its confirmation together with
a rename in between can write a line a second time, in the new file.

Rule 1: it appends, and cuts off nothing but a torn record of its own.
Rule 2: one process writes to a file; a lock keeps others out.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from fedxdr.core.errors import InvalidSettings, Unavailable
from fedxdr.core.ids import Digest
from fedxdr.telemetry.findings import Finding
from fedxdr.telemetry.ocsf_out import to_ocsf
from fedxdr.telemetry.shown import Names

_TAIL_BYTES: Final = 32 << 20
_BEGIN: Final = b'{"class_uid":2004,'
_REMEMBERED: Final = 8_192


class _Info(msgspec.Struct):
    uid: str


class _Line(msgspec.Struct):
    finding_info: _Info


_DECODER: Final = msgspec.json.Decoder(_Line)


class FileSink:
    """Appends to one file.

    Args:
        path: the file; made, readable by its owner only, with its folder.
        names: looks up who a token is.

    Raises:
        InvalidSettings: the file ends in something else than lines.
        Unavailable: it cannot be opened, or another process writes to it.
    """

    def __init__(self, path: Path, *, names: Names) -> None:
        self._path = path
        self._names = names
        self._descriptor = -1
        self._ids: dict[str, None] = {}
        self._open()

    @property
    def name(self) -> str:
        """Its path."""
        return f"file:{self._path}"

    def send(self, batch: Sequence[Finding]) -> None:
        """Append what the file does not end with; on the disk when this returns.

        Raises:
            Unavailable: the disk says no.
        """
        if self._is_moved():
            self.close()
            self._open()
        new: dict[Digest, bytes] = {
            one.id: to_ocsf(one, names=self._names) + b"\n"
            for one in batch
            if one.id not in self._ids
        }
        try:
            self._append(b"".join(new.values()))
        except OSError as error:
            raise Unavailable(f"cannot write to {self._path}: {error}") from error
        self._remember(new)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._mend()
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except BlockingIOError as error:
            self.close()
            raise Unavailable(f"another process writes to {self._path}") from error
        except OSError as error:
            self.close()
            raise Unavailable(f"cannot open {self._path}: {error}") from error

    def _mend(self) -> None:
        """Cut off a torn record and learn which findings the file ends with."""
        size = os.fstat(self._descriptor).st_size
        begin = max(0, size - _TAIL_BYTES)
        tail = os.pread(self._descriptor, size - begin, begin)
        whole, newline, torn = tail.rpartition(b"\n")
        if torn:
            if not (torn.startswith(_BEGIN) or _BEGIN.startswith(torn)):
                self.close()
                raise InvalidSettings(
                    f"{self._path} holds something else than findings"
                )
            os.ftruncate(self._descriptor, size - len(torn))
            os.fsync(self._descriptor)
        for line in (whole + newline).splitlines():
            try:
                self._remember([_DECODER.decode(line).finding_info.uid])
            except msgspec.DecodeError:
                continue  # cut at the tail's begin, or not ours

    def _append(self, data: bytes) -> None:
        if not data:
            return
        before = os.fstat(self._descriptor).st_size
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError:
            # a batch is written whole or comes again
            os.ftruncate(self._descriptor, before)
            raise

    def _is_moved(self) -> bool:
        if self._descriptor < 0:
            return True
        ours = os.fstat(self._descriptor)
        try:
            there = self._path.stat()
        except OSError:
            return True
        return (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino)

    def _remember(self, ids: Sequence[str] | dict[Digest, bytes]) -> None:
        self._ids.update(dict.fromkeys(ids))
        while len(self._ids) > _REMEMBERED:
            del self._ids[next(iter(self._ids))]
