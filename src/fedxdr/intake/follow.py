# SPDX-License-Identifier: Apache-2.0
"""Log files that grow and rotate, as blocks of whole lines.

It does NOT parse, and stores nothing: what was read is known by ``positions``, which
whoever stores the events stores with them (spool.py). It does NOT follow a JSON array
or binary EVTX, and does NOT find files that were moved to another folder while it did
not run.

Rules that always hold:
    1. A torn last line waits for its end; only of a file that was rotated away and
       rests is it taken as it is.
    2. A renamed file is read until it has rested for ``idle_s``. A writer that comes
       back later is noticed by the next look at the folder.
    3. Nothing is read before it is asked for: memory is one block, and what is not
       asked for waits on the disk.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from typing_extensions import override

from fedxdr.core.clock import Clock
from fedxdr.core.errors import InvalidTelemetry
from fedxdr.intake.chunks import TOPIC, Chunk, Reader
from fedxdr.intake.parsers import instant
from fedxdr.intake.rotation import Seen, plan, root_of, siblings
from fedxdr.intake.stream import expand
from fedxdr.intake.tails import PackedTail, Piece, Tail, Truncated, look, open_tail
from fedxdr.telemetry.findings import Position

TURN: Final = 16
"""Blocks of one file after which the others have their turn."""

_Identity = tuple[int, int]


@dataclass(slots=True)
class _Log:
    """A log that is followed.

    Attributes:
        path: its own name.
        is_meant: whether a source means it; one that none means only keeps its marks.
        with_history: whether siblings are read that were there before it was followed.
        live: the file that had this name when its folder was looked through.
        marks: how far each of its files was read.
        tails: its open files.
        finished: packed files that were read as far as they go, and when written.
    """

    path: Path
    is_meant: bool = True
    with_history: bool = False
    live: _Identity | None = None
    marks: list[Position] = field(default_factory=list)
    tails: dict[_Identity, Tail] = field(default_factory=dict)
    finished: set[tuple[_Identity, int]] = field(default_factory=set)


class Follower(Reader):
    """Follows log files.

    Args:
        sources: files, folders and glob patterns, see ``stream``. What is not there yet
            is waited for.
        clock: tells when a file has rested.
        idle_s: for how long a rotated file must rest to be given up, > 0.
        positions: how far files were read before; none for a first start.
        with_history: whether a log that is followed for the first time is read with the
            siblings that rotation has left. Logs that turn up later, in a folder that
            is followed already, are.

    Attributes:
        truncated: how often a file was truncated; lines may have been lost with it.
    """

    def __init__(
        self,
        sources: Iterable[str | os.PathLike[str]],
        *,
        clock: Clock,
        idle_s: float = 1.0,
        positions: Iterable[Position] = (),
        with_history: bool = False,
    ) -> None:
        self._sources = [os.path.abspath(source) for source in sources]  # noqa: PTH100 - no link is followed
        self._clock = clock
        self._idle_s = idle_s
        self._with_history = with_history
        self._logs: dict[str, _Log] = {}
        self._sizes: dict[_Identity, tuple[int, int, float]] = {}
        self._due_s = float("-inf")
        self.truncated = 0
        for mark in positions:
            if not mark.source.startswith(TOPIC):
                path = Path(mark.source)
                log = _Log(path, is_meant=self._is_meant(path))
                self._logs.setdefault(mark.source, log).marks.append(mark)
        self._has_past = bool(self._logs)
        self._is_begun = False
        self._sweep(self._now_s())
        self._is_begun = True

    @override
    def poll(self) -> Iterator[Chunk]:
        """Yield what has come since it was asked last.

        A chunk counts as read when it is handed out. A busy file gives at most ``TURN``
        blocks; ask again at once as long as anything comes.
        """
        now_s = self._now_s()
        if now_s >= self._due_s or any(map(_is_moved, self._wanted())):
            self._sweep(now_s)
        for log in list(self._logs.values()):
            for identity, tail in list(log.tails.items()):
                yield from self._read(log, identity, tail, now_s)

    @override
    def positions(self) -> tuple[Position, ...]:
        """Return how far everything was read: enough to go on after a restart."""
        return tuple(mark for log in self._logs.values() for mark in log.marks)

    @override
    def stored(self) -> None:
        """Take note that what was read until now is stored; files need no note."""

    @override
    def close(self) -> None:
        """Close all files."""
        for log in self._logs.values():
            for tail in log.tails.values():
                tail.close()
            log.tails.clear()

    def _now_s(self) -> float:
        return self._clock.now().timestamp()

    def _read(
        self, log: _Log, identity: _Identity, tail: Tail, now_s: float
    ) -> Iterator[Chunk]:
        """Yield what a file has, and close one that is done."""
        try:
            for _ in range(TURN):
                before = tail.mark
                piece = tail.take()
                if piece is None:
                    break
                tail.grown_s = now_s
                yield _chunk(log, tail, before, piece)
            else:
                return
            is_packed = isinstance(tail, PackedTail)
            if not is_packed and (tail.is_live or now_s - tail.grown_s < self._idle_s):
                return
            before = tail.mark
            piece = tail.rest()
            if piece is not None:
                yield _chunk(log, tail, before, piece)
        except Truncated:
            self.truncated += 1
            self._due_s = now_s
        else:
            if isinstance(tail, PackedTail):
                log.finished.add((identity, tail.written_ns))
        tail.close()
        log.tails.pop(identity, None)

    def _sweep(self, now_s: float) -> None:
        """Look through the folders of all logs."""
        self._due_s = now_s + self._idle_s
        names: dict[Path, list[str]] = {}
        for path, is_named in self._paths().items():
            is_late = self._is_begun or (self._has_past and not is_named)
            log = _Log(path, with_history=self._with_history or is_late)
            self._logs.setdefault(os.fspath(path), log).is_meant = True
        sizes: dict[_Identity, tuple[int, int, float]] = {}
        for log in self._wanted():
            folder = log.path.parent
            if folder not in names:
                names[folder] = _listed(folder)
            self._plan(log, self._family(log, names[folder], sizes, now_s), now_s)
        self._sizes = sizes

    def _wanted(self) -> list[_Log]:
        """Return the logs that a source means."""
        return [log for log in self._logs.values() if log.is_meant]

    def _is_meant(self, path: Path) -> bool:
        return any(
            source == os.fspath(path)
            or os.fspath(path.parent) == source
            or (glob.has_magic(source) and fnmatch(os.fspath(path), source))
            for source in self._sources
        )

    def _paths(self) -> dict[Path, bool]:
        """Return the logs' own names, and whether each was named as a source.

        Siblings are no logs of their own.
        """
        found: dict[Path, bool] = {}
        for source in self._sources:
            try:
                found |= dict(expand([source]))
            except InvalidTelemetry:
                continue
        named = {path for path, is_named in found.items() if is_named}
        others = {path.with_name(root_of(path.name)) for path in found.keys() - named}
        by_folder: dict[Path, list[str]] = {}
        for path in named | others | {log.path for log in self._wanted()}:
            by_folder.setdefault(path.parent, []).append(path.name)
        made = {
            folder / sibling
            for folder, names in by_folder.items()
            for name in names
            for sibling in siblings(name, names)
        }
        own = {
            path for path in others - named if self._is_own(path) or path not in made
        }
        return dict.fromkeys(sorted(named), True) | dict.fromkeys(sorted(own), False)

    def _is_own(self, path: Path) -> bool:
        """Say whether a file is followed as a log of its own already."""
        return os.fspath(path) in self._logs

    def _family(
        self,
        log: _Log,
        names: list[str],
        sizes: dict[_Identity, tuple[int, int, float]],
        now_s: float,
    ) -> list[Seen]:
        """Return the files of a log as they lie there."""
        found = []
        log.live = _identity(log.path)
        for name in (log.path.name, *siblings(log.path.name, names)):
            if name != log.path.name and self._is_own(log.path.with_name(name)):
                continue
            is_live = name == log.path.name
            seen = look(log.path.with_name(name), is_live=is_live)
            if seen is None:
                continue
            identity = (seen.device, seen.inode)
            past = self._sizes.get(identity)
            if past is None or past[:2] != (seen.size, seen.written_ns):
                past = (seen.size, seen.written_ns, now_s)
            sizes[identity] = past
            found.append(seen.resting(is_still=now_s - past[2] >= self._idle_s))
        return found

    def _plan(self, log: _Log, seen: list[Seen], now_s: float) -> None:
        """Open what is to be read of a log."""
        for one in seen:
            tail = log.tails.get((one.device, one.inode))
            # one of the same size as before gives itself away here only
            if tail is not None and not one.is_same(tail.mark):
                self.truncated += 1
                log.tails.pop((one.device, one.inode)).close()
        planned = plan(
            os.fspath(log.path),
            seen,
            log.marks,
            held=frozenset(tail.mark for tail in log.tails.values()),
            with_history=log.with_history,
        )
        log.marks = list(planned.marks)
        live = set()
        for read in planned.reads:
            identity = (read.seen.device, read.seen.inode)
            if read.seen.is_live:
                live.add(identity)
            is_finished = (identity, read.seen.written_ns) in log.finished
            if identity in log.tails or is_finished:
                continue
            tail = open_tail(read.seen, read.mark, now_s=now_s)
            if tail is not None:
                log.tails[identity] = tail
        for identity, tail in log.tails.items():
            if tail.is_live and identity not in live:
                tail.grown_s = now_s
            tail.is_live = identity in live


def _chunk(log: _Log, tail: Tail, before: Position, piece: Piece) -> Chunk:
    """Return a piece as a chunk; it counts as read from now on."""
    log.marks[log.marks.index(before)] = tail.mark
    return Chunk(
        position=piece.position,
        block=piece.content,
        name=log.path.name,
        written=instant(tail.written_s),
        head=tail.lead,
    )


def _is_moved(log: _Log) -> bool:
    """Say whether another file has the log's own name by now."""
    return _identity(log.path) != log.live


def _identity(path: Path) -> _Identity | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _listed(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []
