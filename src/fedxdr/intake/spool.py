# SPDX-License-Identifier: Apache-2.0
"""Events on the organisation's own disk, in segments, with how far every log was read.

A segment is one safetensors file: the columns of some events, where their lines stand,
and as metadata the positions of all readers behind them. It is written beside its
place, synced, renamed, and the folder synced. That one rename stores the events and
says that they were read; nothing else stores an offset. So after kill -9 or a power cut
each line is in the spool once: its segment is there, or is not and the line is read
again.

It does NOT read logs, and does NOT sort what it stores.

Rules that always hold:
    1. One process appends (the file ``lock``); any number read at the same time.
    2. Small segments are put together. The name of the new one tells the numbers that
       it holds; files whose numbers lie within another's count for nothing.
    3. Above ``limit_bytes`` the oldest segments go. The newest stays: it has the
       positions.
    4. A segment whose content is not what its digest says stops the process.
    5. Folder and files are for their owner only: tokens link an organisation's records.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedxdr.core.errors import InvalidSettings, StorageFault
from fedxdr.intake.lines import Lines
from fedxdr.intake.segments import (
    Header,
    Stored,
    decode,
    encode,
    header_length,
    header_of,
)
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.findings import Position
from fedxdr.telemetry.suricata import mark_alerted

LIMIT_BYTES: Final = 1 << 30
"""Size from which on the oldest segments go."""

MERGED: Final = 16
"""Segments that are put together, where they are small."""

MERGED_ROWS: Final = 100_000
"""Events that a segment has at most after it was put together."""

_NAME: Final = re.compile(r"(\d{15})-(\d{15})\.segment")


@dataclass(frozen=True, slots=True, order=True)
class _Segment:
    """A segment by its name: numbers [first, last]."""

    first: int
    last: int

    @property
    def name(self) -> str:
        return f"{self.first:015d}-{self.last:015d}.segment"


class Spool:
    """Events of one organisation on disk.

    Args:
        folder: made where it is not there.
        limit_bytes: size from which on the oldest segments go, >= 1.

    Raises:
        StorageFault: the folder cannot be made.
    """

    def __init__(self, folder: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._lock: int | None = None
        self._segments: list[_Segment] = []
        self._headers: dict[_Segment, tuple[Header, int]] = {}
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageFault(f"{folder}: {error.strerror}") from error

    def append(
        self,
        events: Events,
        positions: Sequence[Position],
        *,
        lines: Lines | None = None,
    ) -> int:
        """Store events, and how far every log was read with them; durable on return.

        Args:
            events: may be none.
            positions: of all readers, as they are after these events.
            lines: where the events stand, None where that is not kept.

        Returns:
            the segment's number; they rise by one.

        Raises:
            InvalidSettings: another process appends here.
            StorageFault: the disk said no; nothing of it is stored.
        """
        self._own()
        number = self._segments[-1].last + 1 if self._segments else 1
        stored = Stored(
            number=number,
            events=events,
            lines=lines or Lines.unknown(len(events)),
        )
        self._write(_Segment(number, number), [stored], positions)
        self._merge()
        self._forget()
        return number

    def positions(self) -> tuple[Position, ...]:
        """Return how far every log was read; none where nothing is stored."""
        while segments := self._listed():
            # one that was put together since it was listed has a successor
            with suppress(FileNotFoundError):
                return self._header(segments[-1])[0].positions
        return ()

    def read(self, since_ns: int = 0) -> Events:
        """Return stored events in the order of their times.

        Labels of alerts are carried over to the other records of their connections.

        Args:
            since_ns: UTC nanoseconds; earlier events are left out.
        """
        parts = []
        for stored in self._read(lambda header: header.last_ns >= since_ns):
            late = stored.events.time_ns >= since_ns
            whole = bool(late.all())
            parts.append(stored.events if whole else stored.events.select(late))
        return mark_alerted(Events.concatenate(parts).sort())

    def batches(self, after: int = 0) -> Iterator[Stored]:
        """Yield what was appended, in order: one by one, also where put together since.

        Args:
            after: number of the last one that is known already.
        """
        last = after
        for stored in self._read(lambda header: header.numbers[-1] > after):
            if stored.number > last:
                last = stored.number
                yield stored

    def close(self) -> None:
        """Let another process append."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def size_bytes(self) -> int:
        """What the segments take on disk."""
        total = 0
        for segment in self._listed():
            with suppress(FileNotFoundError):
                total += self._header(segment)[1]
        return total

    def _own(self) -> None:
        """Become the one that appends; clear away what a killed one left."""
        if self._lock is not None:
            return
        try:
            lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(lock)
                raise InvalidSettings(
                    f"{self._folder}: another process writes to this spool"
                ) from error
            self._lock = lock
            self._segments = self._listed()
            kept = {segment.name for segment in self._segments} | {"lock"}
            for path in self._folder.iterdir():
                if path.name not in kept and path.suffix in {".segment", ".part"}:
                    path.unlink()
        except OSError as error:
            raise StorageFault(f"{self._folder}: {error.strerror}") from error

    def _listed(self) -> list[_Segment]:
        """Return the segments that count, in order (rule 2)."""
        try:
            names = [_NAME.fullmatch(path.name) for path in self._folder.iterdir()]
        except OSError as error:
            raise StorageFault(f"{self._folder}: {error.strerror}") from error
        every = [_Segment(int(one[1]), int(one[2])) for one in names if one]
        counting: list[_Segment] = []
        for segment in sorted(every, key=lambda one: (one.first, -one.last)):
            if not counting or segment.first > counting[-1].last:
                counting.append(segment)
        return counting

    def _read(self, is_wanted: Callable[[Header], bool]) -> Iterator[Stored]:
        """Yield what was appended, in order, while another process may append."""
        last, is_over = 0, False
        while not is_over:
            is_over = True
            for segment in self._listed():
                if segment.last <= last:
                    continue
                try:
                    parts = []
                    if is_wanted(self._header(segment)[0]):
                        parts = decode((self._folder / segment.name).read_bytes())
                except FileNotFoundError:
                    # put together or forgotten since it was listed: list again
                    is_over = False
                    break
                except OSError as error:
                    raise StorageFault(f"{self._folder}: {error.strerror}") from error
                yield from (part for part in parts if part.number > last)
                last = segment.last

    def _header(self, segment: _Segment) -> tuple[Header, int]:
        """Return what a segment says about itself, and its size."""
        known = self._headers.get(segment)
        if known is None:
            with (self._folder / segment.name).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                first = file.read(8)
                header = header_of(first + file.read(header_length(first) - 8))
            known = self._headers[segment] = header, size
        return known

    def _write(
        self,
        segment: _Segment,
        parts: Sequence[Stored],
        positions: Sequence[Position],
    ) -> None:
        """Put a segment in its place, whole or not at all."""
        content = encode(parts, positions)
        part = self._folder / f"{segment.name}.part"
        try:
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._folder / segment.name)
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise StorageFault(f"{self._folder}: {error.strerror}") from error
        kept = [one for one in self._segments if one.last < segment.first]
        self._segments = [*kept, segment]

    def _merge(self) -> None:
        """Put the last segments together where they are many and small (rule 2)."""
        while len(self._segments) >= MERGED:
            last = self._segments[-MERGED:]
            widths = {segment.last - segment.first for segment in last}
            rows = sum(sum(self._header(segment)[0].rows) for segment in last)
            if len(widths) > 1 or rows > MERGED_ROWS:
                return
            parts = [
                part
                for segment in last
                for part in decode((self._folder / segment.name).read_bytes())
            ]
            merged = _Segment(last[0].first, last[-1].last)
            self._write(merged, parts, self._header(last[-1])[0].positions)
            self._remove(last)

    def _forget(self) -> None:
        """Remove the oldest segments above the limit (rule 3)."""
        sizes = [self._header(segment)[1] for segment in self._segments]
        total = sum(sizes)
        gone = 0
        while total > self._limit_bytes and gone < len(sizes) - 1:
            total -= sizes[gone]
            gone += 1
        self._remove(self._segments[:gone])
        del self._segments[:gone]

    def _remove(self, segments: Sequence[_Segment]) -> None:
        for segment in segments:
            self._headers.pop(segment, None)
            with suppress(FileNotFoundError):
                (self._folder / segment.name).unlink()
