# SPDX-License-Identifier: Apache-2.0
"""What an agent answered, in files of one folder: question and digest, a line each.

``answers`` holds the newest lines and is replaced whole by every further answer. At
``SEALED_AT`` lines they go into a file of their own, ``answers-1``, ``answers-2``, …,
which is never changed again, and ``answers`` begins anew. So an answer costs the same
however many were given before. Whatever follows a sealed file names it in its first
line, ``# NUMBER SHA-256``: a sealed file that is missing or altered is noticed.

Nothing is ever dropped, not even the lines ``head/<size>`` below the newest head: the
database may be set back to any backup, and then knows no root beyond it, while other
members hold our cosignatures of every size up to today. Each size is asked about again
on the way back up, and only these lines say which root may be cosigned there.

Sealed files that nothing names are read as well. One is there after a death between
sealing and replacing ``answers``; or because an older ``answers`` was copied back
beside them, and then they know what was answered since.

Not here: whether the files are a copy, and when the database learns of them (fence.py).

Rules that always hold:
    1. A line that ``answers`` held is in ``answers`` or in a sealed file that it names,
       directly or through others, at every instant; each file is complete and synced
       before it gets its name.
    2. No question has two answers, in whichever files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from fedxdr.core.errors import IntegrityFault
from fedxdr.core.ids import Digest, sha256

SEALED_AT = 512
"""Lines in ``answers``; 40 KB."""

_LINE = re.compile(r"([a-z0-9][a-z0-9/-]*) ([0-9a-f]{64})")
_LINK = re.compile(r"# ([1-9][0-9]*) ([0-9a-f]{64})")
_SEALED = re.compile(r"answers-([1-9][0-9]*)")

Link = tuple[int, Digest]
"""Number and SHA-256 of a sealed file."""


class AnswerFiles:
    """The answers in one folder; one process at a time.

    Args:
        folder: where they are.

    Attributes:
        path: of the file that every answer replaces.

    Raises:
        IntegrityFault: they cannot be read, or do not fit each other.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / "answers"
        self._link, self._fresh = _parse(self.path, _read(self.path))
        self._written = (self._link, self._fresh)
        self.known = self._read_sealed()

    def write(self, further: Mapping[str, Digest]) -> tuple[Path, bytes]:
        """Write what replaces ``path``, under another name; synced when this returns.

        Args:
            further: answers that were not given before.

        Returns:
            Where it is, and what it holds.

        Raises:
            OSError: the disk said no.
        """
        link, fresh = self._link, self._fresh
        if len(fresh) >= SEALED_AT:
            link, fresh = self._seal(), {}
        fresh = {**fresh, **further}
        part, content = self.path.with_suffix(".part"), _content(link, fresh)
        write_new(part, content)
        self._written = link, fresh
        return part, content

    def take(self) -> None:
        """Go on from what was written last: it has replaced ``path``."""
        self._link, self._fresh = self._written
        self.known.update(self._fresh)

    def _seal(self) -> Link:
        """Store the fresh lines under the next number; not named by anything yet."""
        number = self._link[0] + 1 if self._link else 1
        path, content = self._sealed(number), _content(self._link, self._fresh)
        part = path.with_suffix(".part")
        write_new(part, content)
        part.replace(path)
        sync(self._folder)
        return number, sha256(content)

    def _read_sealed(self) -> dict[str, Digest]:
        """Return all answers; those that no sealed file holds by right become fresh."""
        sealed: dict[str, Digest] = {}
        link = self._link
        while link is not None:
            path = self._sealed(link[0])
            content = _read(path)
            if sha256(content) != link[1]:
                raise IntegrityFault(f"{path} is not there, or was altered")
            link, found = _parse(path, content)
            _join(sealed, found, path)
        for path in sorted(self._folder.glob("answers-*")):
            match = _SEALED.fullmatch(path.name)
            if match is not None and int(match[1]) > (self._link or (0,))[0]:
                _join(self._fresh, _parse(path, _read(path))[1], path)
        known = dict(sealed)
        _join(known, self._fresh, self.path)
        self._fresh = {q: a for q, a in self._fresh.items() if q not in sealed}
        return known

    def _sealed(self, number: int) -> Path:
        return self._folder / f"answers-{number}"


def require_line(question: str, answer: str) -> None:
    """Return if a question and a digest can be one line.

    Raises:
        IntegrityFault: they cannot.
    """
    if not _LINE.fullmatch(f"{question} {answer}"):
        raise IntegrityFault(f"no name of a question and digest: {question!r}")


def write_new(path: Path, data: bytes) -> None:
    """Write a new file, its owner's only, in place of one that was left; synced.

    Raises:
        OSError: the disk said no.
    """
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def sync(folder: Path) -> None:
    """Let the names in a folder be on the disk when this returns.

    Raises:
        OSError: the disk said no.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _content(link: Link | None, answers: Mapping[str, Digest]) -> bytes:
    first = "" if link is None else f"# {link[0]} {link[1]}\n"
    return (first + "".join(f"{q} {a}\n" for q, a in answers.items())).encode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise IntegrityFault(f"cannot read {path}") from error


def _parse(path: Path, content: bytes) -> tuple[Link | None, dict[str, Digest]]:
    """Return which sealed file comes before, and the answers of this one."""
    try:
        lines = content.decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise IntegrityFault(f"cannot read {path}") from error
    link: Link | None = None
    if lines and (named := _LINK.fullmatch(lines[0])):
        link = int(named[1]), Digest(named[2])
        lines = lines[1:]
    found: dict[str, Digest] = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise IntegrityFault(f"{path} holds {line[:80]!r}")
        _join(found, {match[1]: Digest(match[2])}, path)
    return link, found


def _join(known: dict[str, Digest], found: Mapping[str, Digest], path: Path) -> None:
    for question, answer in found.items():
        if known.setdefault(question, answer) != answer:
            raise IntegrityFault(f"{path} answers {question} a second time, otherwise")
