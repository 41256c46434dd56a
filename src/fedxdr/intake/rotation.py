# SPDX-License-Identifier: Apache-2.0
"""What of a log is to be read from where, however its files were renamed or packed.

A log is the file at its own name and the siblings that rotation makes of it:
``eve.json``, ``eve.json.1``, ``eve.json-20240101.gz``, ``conn-24-01-01_00.00.00.log``.
Facts go in (the files as they lie there, how far each was read), reads come out.

It does NOT touch a file (follow.py does).

Rules that always hold:
    1. A file is what its device, inode and first KiB say together; by content alone a
       moved, copied or packed one is found again. So an inode used again is another
       file, and ``gzip`` makes no new lines.
    2. A file that none of the marks knows is new and read from its beginning: siblings
       that lay there when a log was first followed have marks that say "read".
    3. What is at the log's own name is never left out. A sibling that nobody knows is
       begun when it is no longer written to, and no file is open that has lost its
       name: until then it may be a copy of that, or one in the making.
    4. A truncated file (copytruncate) is a new one. What the copy has beyond the mark
       is read there; what was written between copy and truncation is in no file, and
       nobody can read it.

Limit: two files of one log that begin with the same KiB and of which the second is
missed while it has the log's name are taken for copies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from fedxdr.core.ids import Digest, sha256
from fedxdr.telemetry.findings import Position

HEAD_BYTES: Final = 1024
"""Of a log, unpacked; its fingerprint."""

ALL: Final = 2**62
"""End of a packed file that counts as read though nobody knows how long it is."""

MOST_GONE: Final = 64
"""Marks of files that are not there any more, kept for each log."""

_NOTHING: Final = sha256(b"")
_STAMP: Final = r"[-_.]\d[-_.:T\d]*"
_SUFFIX: Final = rf"(?:{_STAMP})?(?:\.gz)?"
_BEHIND: Final = re.compile(rf"{_SUFFIX}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A file of a log as it lies there now.

    Attributes:
        path: where.
        device: of the file.
        inode: of the file.
        size: its bytes; of a packed one those of the unpacked content modulo 2^32, as
            its last member says.
        head: the first KiB of its content, unpacked.
        is_packed: whether it is compressed.
        is_live: whether it has the log's own name.
        is_still: whether it has not been written to for a while.
        written_ns: when it was written last; for the order only.
    """

    path: str = field(repr=False)
    device: int
    inode: int
    size: int
    head: bytes = field(repr=False)
    is_packed: bool = False
    is_live: bool = False
    is_still: bool = True
    written_ns: int = 0

    def resting(self, *, is_still: bool) -> Seen:
        """Return it with what is known about whether it is written to."""
        return replace(self, is_still=is_still)

    def holds(self, mark: Position) -> bool:
        """Say whether it has what was read up to a mark, by its content."""
        return not self.is_behind(mark) and self.begins_like(mark)

    def begins_like(self, mark: Position) -> bool:
        """Say whether its first KiB is that of what was read up to a mark."""
        if mark.end == 0:
            return False
        if len(self.head) < min(HEAD_BYTES, mark.end) and mark.end != ALL:
            return False
        return fingerprint(self.head, mark.end) == mark.fingerprint

    def is_behind(self, mark: Position) -> bool:
        """Say whether it is shorter than what was read."""
        return not self.is_packed and self.size < mark.end

    def is_same(self, mark: Position) -> bool:
        """Say whether it is the file that a mark speaks of."""
        if (self.device, self.inode) != (mark.device, mark.inode):
            return False
        return self.holds(mark) or mark.end == 0

    def is_read(self, mark: Position) -> bool:
        """Say whether nothing lies beyond a mark."""
        if self.is_packed:
            return mark.end == ALL or self.size == mark.end % 2**32
        return self.size == mark.end

    def is_copy_of(self, other: Seen) -> bool:
        """Say whether all it has can be a part of what another file has."""
        if not other.head.startswith(self.head):
            return False
        if self.is_packed or other.is_packed:
            return (self.size - other.size) % 2**32 == 0
        return self.size <= other.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A file to be read, and how far it was: ``mark.end``."""

    seen: Seen
    mark: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done with a log.

    Attributes:
        reads: the files that have or may get more, siblings first, oldest first.
        marks: the log's marks from now on.
    """

    reads: tuple[Read, ...]
    marks: tuple[Position, ...]


def plan(
    source: str,
    seen: Sequence[Seen],
    marks: Sequence[Position],
    *,
    held: frozenset[Position] = frozenset(),
    with_history: bool = False,
) -> Plan:
    """Return which files of a log are to be read from where.

    Args:
        source: the log's name.
        seen: its files.
        marks: of this log, how far each of its files was read; none: it was never
            followed.
        held: marks of files that are open and sound: whatever became of their names,
            they are read to their end where they are.
        with_history: whether siblings are read too that lie there when the log is first
            followed.
    """
    ordered = sorted(seen, key=lambda one: (one.is_live, one.written_ns, one.path))
    if not marks:
        anchor = Position(
            source=source, device=0, inode=0, fingerprint=_NOTHING, begin=0, end=0
        )
        past = [] if with_history else [one for one in ordered if not one.is_live]
        marks = (anchor, *(_read_already(source, one) for one in past))
    matches = _matches(ordered, marks, held)
    reads: list[Read] = []
    kept: list[Position] = []
    taken = list(matches.values())
    for place, mark in enumerate(marks):
        if place in matches:
            file = matches[place]
            at = replace(mark, device=file.device, inode=file.inode)
            kept.append(at)
            if file.is_live or not file.is_read(at):
                reads.append(Read(seen=file, mark=at))
        elif place == 0 or mark.end or mark in held:
            kept.append(mark)
    orphans = [mark for place, mark in enumerate(marks) if place not in matches]
    is_nameless = any(mark in held for mark in orphans)
    for file in ordered:
        if any(file is other for other in taken):
            continue
        if file.is_live or (not is_nameless and _is_new(file, taken, orphans)):
            begun = mark_of(source, file.device, file.inode, file.head, 0)
            kept.append(begun)
            taken.append(file)
            reads.append(Read(seen=file, mark=begun))
    reads.sort(key=lambda one: ordered.index(one.seen))
    return Plan(reads=tuple(reads), marks=_without_oldest(kept, taken, held))


def mark_of(source: str, device: int, inode: int, head: bytes, end: int) -> Position:
    """Return how far a file was read.

    Args:
        source: the log's name.
        device: of the file.
        inode: of the file.
        head: the first bytes of its content, a KiB of them or all.
        end: bytes read.
    """
    return Position(
        source=source,
        device=device,
        inode=inode,
        fingerprint=fingerprint(head, end),
        begin=0,
        end=end,
    )


def fingerprint(head: bytes, end: int) -> Digest:
    """Return SHA-256 of the first KiB, or of what was read where that is less."""
    return sha256(head[: min(HEAD_BYTES, end)])


def siblings(name: str, others: Iterable[str]) -> list[str]:
    """Return which names rotation makes of a log's.

    Args:
        name: the log's own, without folders.
        others: names in its folder.
    """
    stem, dot, ending = name.rpartition(".")
    behind = re.compile(re.escape(name) + _SUFFIX)
    between = re.compile(
        re.escape(stem or name) + _STAMP + re.escape(dot + ending) + _SUFFIX
    )
    return [
        other
        for other in others
        if other != name and (behind.fullmatch(other) or between.fullmatch(other))
    ]


def root_of(name: str) -> str:
    """Return the name that a log had before rotation put something behind it.

    Args:
        name: of a file, without folders: ``eve.json.2.gz``. Of names with a date before
            their ending nobody can tell: they stay as they are.
    """
    return _BEHIND.sub("", name) or name


def _read_already(source: str, file: Seen) -> Position:
    end = ALL if file.is_packed else file.size
    return mark_of(source, file.device, file.inode, file.head, end)


def _matches(
    seen: Sequence[Seen],
    marks: Sequence[Position],
    held: frozenset[Position],
) -> dict[int, Seen]:
    """Return the file of each mark that has one, by the mark's place.

    Where several marks could be of one file, the one that was read farthest has it.
    """
    found: dict[int, Seen] = {}
    free = list(seen)
    farthest = sorted(range(len(marks)), key=lambda place: -marks[place].end)
    is_held = {place for place in farthest if marks[place] in held}
    # of a file that was empty an inode alone is known, and may be used again
    is_begun = {place for place in farthest if marks[place].end}
    for places, fits in (
        (is_held | is_begun, Seen.is_same),
        (is_begun - is_held, Seen.holds),
    ):
        for place in farthest:
            if place in found or place not in places:
                continue
            fitting = [one for one in free if fits(one, marks[place])]
            if fitting:
                chosen = min(fitting, key=lambda one: one.is_packed)
                found[place] = chosen
                free = [one for one in free if one is not chosen]
    return found


def _is_new(file: Seen, taken: Sequence[Seen], orphans: Sequence[Position]) -> bool:
    """Say whether a sibling without a mark holds lines that nobody has read."""
    if not file.is_still or not file.head:
        return False
    if any(file.is_copy_of(other) for other in taken):
        return False
    # of a file that is open, or (4) a copy that ends before the mark
    return not any(file.begins_like(mark) for mark in orphans)


def _without_oldest(
    marks: Sequence[Position],
    taken: Sequence[Seen],
    held: frozenset[Position],
) -> tuple[Position, ...]:
    """Return marks without the oldest of files that are gone; the first one stays."""
    there = {(one.device, one.inode) for one in taken}
    there |= {(mark.device, mark.inode) for mark in held}
    gone = [
        place
        for place, mark in enumerate(marks)
        if place and (mark.device, mark.inode) not in there
    ]
    dropped = set(gone[: max(0, len(gone) - MOST_GONE)])
    return tuple(mark for place, mark in enumerate(marks) if place not in dropped)
