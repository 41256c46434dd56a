# SPDX-License-Identifier: Apache-2.0
"""One open file of a log: what stands behind the place that was read.

It does NOT know other files of the log (follow.py).

Rule 1: a block ends where a line ends, or has ``MAX_LINE_BYTES``: of a longer line each
part counts as a line.
Rule 2: after each read the file's head is looked at again; bytes of a file that was
truncated meanwhile are thrown away.
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

from typing_extensions import override

from fedxdr.intake import blocks
from fedxdr.intake.evtx import MAGIC
from fedxdr.intake.rotation import HEAD_BYTES, Seen, fingerprint
from fedxdr.telemetry.findings import Position

LEAD_BYTES: Final = 1 << 14
"""Of a log's beginning, kept for formats that say there what their columns mean."""

_GZIP_MAGIC: Final = b"\x1f\x8b"
_DAMAGE: Final = (EOFError, zlib.error, gzip.BadGzipFile)


class Truncated(Exception):  # a fact, not a fault of anybody
    """The file is not the one that was read any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Bytes of a log, [begin, end).

    Attributes:
        content: whole lines; the last may lack its end.
        position: where they stand.
    """

    content: bytes
    position: Position


class Tail(ABC):
    """An open file of a log.

    Attributes:
        mark: how far it was read.
        is_live: whether it has the log's own name.
        grown_s: when it had something new, by the follower's clock.
        lead: the first bytes of the log.
        written_ns: when it was last written as it was found, nanoseconds since 1970.
    """

    def __init__(self, seen: Seen, mark: Position, *, now_s: float) -> None:
        self.mark = mark
        self.is_live = seen.is_live
        self.grown_s = now_s
        self.lead = b""
        self.written_ns = seen.written_ns
        self._head = seen.head[: min(HEAD_BYTES, mark.end)]

    @abstractmethod
    def take(self) -> Piece | None:
        """Return the next lines, None where there are none yet.

        Raises:
            Truncated: it is another file by now.
        """

    @abstractmethod
    def rest(self) -> Piece | None:
        """Return a last line that has no end, None where there is none."""

    @property
    @abstractmethod
    def written_s(self) -> float:
        """When it was last written, seconds since 1970."""

    @abstractmethod
    def close(self) -> None:
        """Close it."""

    def _advance(self, content: bytes) -> Piece:
        begin, end = self.mark.end, self.mark.end + len(content)
        self.mark = replace(
            self.mark, fingerprint=fingerprint(self._head, end), end=end
        )
        return Piece(content=content, position=replace(self.mark, begin=begin))


class PlainTail(Tail):
    """A file that is not packed.

    Args:
        seen: the file as it was found.
        mark: how far it was read.
        now_s: the time by the follower's clock.

    Raises:
        OSError: it cannot be opened.
        Truncated: another file has its name by now.
    """

    def __init__(self, seen: Seen, mark: Position, *, now_s: float) -> None:
        super().__init__(seen, mark, now_s=now_s)
        self._file = os.open(seen.path, os.O_RDONLY | os.O_CLOEXEC)
        if _identity(self._file) != (mark.device, mark.inode):
            self.close()
            raise Truncated

    @property
    @override
    def written_s(self) -> float:
        return os.fstat(self._file).st_mtime

    @override
    def take(self) -> Piece | None:
        begin = self.mark.end
        if self._beyond() <= 0:
            return None
        wanted = blocks.BLOCK_BYTES
        content = os.pread(self._file, wanted, begin)
        cut = content.rfind(b"\n") + 1
        while not cut and wanted <= len(content) < blocks.MAX_LINE_BYTES:
            wanted = min(2 * wanted, blocks.MAX_LINE_BYTES)
            content = os.pread(self._file, wanted, begin)
            cut = content.rfind(b"\n") + 1
        if not cut and len(content) >= blocks.MAX_LINE_BYTES:
            cut = len(content)
        self._check(content, begin)
        return self._advance(content[:cut]) if cut else None

    @override
    def rest(self) -> Piece | None:
        begin = self.mark.end
        if self._beyond() <= 0:
            return None
        content = os.pread(self._file, blocks.MAX_LINE_BYTES, begin)
        self._check(content, begin)
        return self._advance(content) if content else None

    @override
    def close(self) -> None:
        os.close(self._file)

    def _beyond(self) -> int:
        """Return how many bytes stand behind the mark."""
        beyond = os.fstat(self._file).st_size - self.mark.end
        if beyond < 0:
            raise Truncated
        return beyond

    def _check(self, content: bytes, begin: int) -> None:
        """Rule 2: look whether content read at ``begin`` was of the same file."""
        lead = os.pread(self._file, LEAD_BYTES, 0)
        known = content[:HEAD_BYTES] if begin == 0 else self._head
        is_whole = os.fstat(self._file).st_size >= begin + len(content)
        if not (is_whole and lead.startswith(known)):
            raise Truncated
        self._head, self.lead = lead[:HEAD_BYTES], lead


class PackedTail(Tail):
    """A gzipped file; it does not grow.

    Args:
        seen: the file as it was found.
        mark: how far its content was read, by whatever name and however packed.
        now_s: the time by the follower's clock.

    Raises:
        OSError: it cannot be opened.
        Truncated: another file has its name by now.
    """

    def __init__(self, seen: Seen, mark: Position, *, now_s: float) -> None:
        super().__init__(seen, mark, now_s=now_s)
        self._head = seen.head
        self._raw = Path(seen.path).open("rb")  # noqa: SIM115 - closed by close()
        if _identity(self._raw.fileno()) != (mark.device, mark.inode):
            self._raw.close()
            raise Truncated
        self._file = gzip.GzipFile(fileobj=self._raw)
        self._kept = b""
        self._is_begun = False
        self.is_damaged = False

    @property
    @override
    def written_s(self) -> float:
        return self.written_ns / 1e9

    @override
    def take(self) -> Piece | None:
        while content := self._read():
            cut = content.rfind(b"\n") + 1
            if cut or len(self._kept) + len(content) >= blocks.MAX_LINE_BYTES:
                cut = cut or len(content)
                whole, self._kept = self._kept + content[:cut], content[cut:]
                return self._advance(whole)
            self._kept += content
        return None

    @override
    def rest(self) -> Piece | None:
        if not self._kept or self.is_damaged:
            return None
        whole, self._kept = self._kept, b""
        return self._advance(whole)

    @override
    def close(self) -> None:
        self._file.close()
        self._raw.close()

    def _read(self) -> bytes:
        try:
            if not self._is_begun:
                self._is_begun = True
                self.lead = self._file.read(LEAD_BYTES)
                self._file.seek(self.mark.end)
            return self._file.read(blocks.BLOCK_BYTES)
        except _DAMAGE:
            self.is_damaged = True
            return b""


def open_tail(seen: Seen, mark: Position, *, now_s: float) -> Tail | None:
    """Return a file of a log, open; None where it cannot be opened or has gone.

    Args:
        seen: the file as it was found.
        mark: how far it was read.
        now_s: the time by the follower's clock.
    """
    try:
        return (PackedTail if seen.is_packed else PlainTail)(seen, mark, now_s=now_s)
    except (OSError, Truncated):
        return None


def look(path: Path, *, is_live: bool) -> Seen | None:
    """Return a file as it lies there; None where it is none that can be followed.

    Args:
        path: where.
        is_live: whether it has the log's own name.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            head, size = file.read(HEAD_BYTES), status.st_size
            is_packed = head.startswith(_GZIP_MAGIC)
            if head.startswith(MAGIC):
                return None
            if is_packed:
                head, size = _unpacked(file)
    except OSError:
        return None
    return Seen(
        path=os.fspath(path),
        device=status.st_dev,
        inode=status.st_ino,
        size=size,
        head=head,
        is_packed=is_packed,
        is_live=is_live,
        is_still=False,
        written_ns=status.st_mtime_ns,
    )


def _identity(file: int) -> tuple[int, int]:
    status = os.fstat(file)
    return status.st_dev, status.st_ino


def _unpacked(file: BinaryIO) -> tuple[bytes, int]:
    """Return the first KiB of what is packed, and the size that its end tells."""
    file.seek(-4, os.SEEK_END)
    (size,) = struct.unpack("<I", file.read(4))
    file.seek(0)
    try:
        return gzip.GzipFile(fileobj=file).read(HEAD_BYTES), size
    except _DAMAGE:
        return b"", size
