# SPDX-License-Identifier: Apache-2.0
"""What an agent must never have twice: round entropy, and what it answered.

An agent that is restored from a backup has forgotten what it did since. With the
entropy of an open round it would mask another vector under the same masks, and the
difference of the two is the difference of two plain vectors; having forgotten an answer
it would give a second one. So what it must remember is kept in files of this folder,
outside the database, and the database holds marks of those very files:

* ``<round>.entropy``, the secret of one open round. Its mark is device, inode, ctime
  and the boot of the machine.
* ``answers``, one line for each question that is answered once. Every answer replaces
  the file, so that its mark, inode and ctime, is another one each time. It names the
  files with the answers before its own (answers.py), so its mark is theirs as well.

Whatever copies a file back (cp, tar, rsync; in place or not) gives it another inode or
ctime, and no call of the system can set a ctime; whatever copies the database back
brings an older mark. Either way they no longer fit: this is a copy, and no entropy is
read from it. After kill -9 at any point they fit.

It does NOT notice: a folder set back to before its first start; a virtual machine set
back with its memory; a file system set back (LVM, ZFS) without a new start of the
machine, or with one as far as rounds that are over go; an administrator who turns back
the clock to forge a ctime. It does notice harmless things: a ``chmod``, a hard link, a
new start in the middle of a round. Such an agent sits out, which costs a round and no
secret.

A copy that has forgotten no answer fits: so whoever makes a message from a secret holds
its digest here before the message leaves, contributions above all.

Rules that always hold:
    1. Nothing secret is read from a copy, and a round that was answered in is not
       created again.
    2. An answer is on the disk before ``hold`` returns; another one is refused for
       good, by a copy too.
    3. Only ``settle`` makes a copy an original: what a copy answers is kept, but the
       database does not learn the file's new mark.
    4. Entropy is overwritten before its file is unlinked (file systems that copy on
       write do not honour it).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from fedxdr.core.errors import AlreadyAnswered, StorageFault
from fedxdr.core.ids import Digest, RoundId, round_id, sha256
from fedxdr.parties.ports import Notes
from fedxdr.storage.answers import AnswerFiles, require_line, sync, write_new

logger = logging.getLogger(__name__)

_ROUND, _HOME, _PENDING = "fence/round/", "fence/home", "fence/pending"
_SUFFIX = ".entropy"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NO_MARK = b"-"

COPIED = (
    "this agent's files are a copy (a restored backup): what it did since is not known "
    "here, so it sits out"
)


class FileFence:
    """The fence over one folder and one database; one process at a time.

    Args:
        folder: made if it does not exist, readable by its owner only; outside of the
            database, on the same machine.
        notes: of the same agent.
        boot: names this run of the machine; None reads it from Linux. Where it cannot
            be read every process counts as a new start.

    Raises:
        IntegrityFault: the answers cannot be read.
        StorageFault: the disk said no.
    """

    def __init__(self, folder: Path, notes: Notes, *, boot: str | None = None) -> None:
        self._folder = folder
        self._notes = notes
        self._boot = boot or _boot_of_machine()
        self._answers_file = folder / "answers"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._copied = not self._fits()
        except OSError as error:
            raise StorageFault(f"cannot use {folder}: {error}") from error
        self._files = AnswerFiles(folder)
        self._answers = self._files.known
        self._begun = {q.partition("/")[0] for q in self._answers if "/" in q}
        if not self._copied:
            self._keep({}, is_copy=False)
        else:
            logger.warning("restored from a copy", extra={"folder": str(folder)})

    # Copies.

    @property
    def is_copy(self) -> bool:
        """Whether database and files do not fit: restored, and not settled yet."""
        return self._copied

    def settle(self) -> None:
        """Begin anew on a copy: its open rounds are given up, its answers stay.

        The caller has seen to it before that no question is answered which this agent
        may have answered since the copy was made.
        """
        for name in self.open_rounds():
            self.erase(name)
        self._keep({}, is_copy=False)
        self._copied = False

    # Entropy.

    def create(self, name: RoundId, entropy: bytes) -> None:
        """Store the secret of a round that begins; on the disk when this returns.

        Until something was answered in the round a second call replaces the secret: the
        agent was killed before it used the first one.

        Raises:
            AlreadyAnswered: this agent answered in that round before; or a copy.
            StorageFault: the disk said no.
        """
        if self._copied:
            raise AlreadyAnswered(COPIED)
        if name in self._begun:
            raise AlreadyAnswered(
                f"something was answered in round {name} before; it is not begun again"
            )
        path = self._path(name)
        try:
            write_new(path, entropy)
            mark = _mark(path)
            sync(self._folder)
        except OSError as error:
            raise StorageFault(f"cannot write {path}: {error}") from error
        self._notes.put(f"{_ROUND}{name}", self._full(mark))

    def read(self, name: RoundId) -> bytes | None:
        """Return a round's secret; None if it is gone, ``why_gone`` says why.

        Raises:
            StorageFault: the disk said no.
        """
        return None if self.why_gone(name) else self._load(name)[0]

    def why_gone(self, name: RoundId) -> str:
        """Return why a round's secret cannot be used here, empty if it can.

        Raises:
            StorageFault: the disk said no.
        """
        known = self._notes.get(f"{_ROUND}{name}")
        if not known:
            return "this round's secrets are erased"
        if self._copied:
            return COPIED
        entropy, mark = self._load(name)
        if entropy is None:
            return f"the file of this round's secrets is not there; {COPIED}"
        if known.split()[-1] != self._boot.encode():
            return "the machine was started anew; this round's secrets are not used"
        if known != self._full(mark):
            return f"the file of this round's secrets was copied; {COPIED}"
        return ""

    def erase(self, name: RoundId) -> None:
        """Forget a round's secret; nothing happens if there is none.

        Raises:
            StorageFault: the disk said no.
        """
        path = self._path(name)
        try:
            with path.open("r+b") as handle:
                handle.write(bytes(path.stat().st_size))
                handle.flush()
                os.fsync(handle.fileno())
            path.unlink()
            sync(self._folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StorageFault(f"cannot erase {path}: {error}") from error
        if self._notes.get(f"{_ROUND}{name}"):
            self._notes.put(f"{_ROUND}{name}", b"")

    def open_rounds(self) -> Sequence[RoundId]:
        """Return the rounds of which something is kept, usable or not, sorted."""
        noted = {
            name.removeprefix(_ROUND)
            for name in self._notes.names(_ROUND)
            if self._notes.get(name)
        }
        on_disk = {
            path.name.removesuffix(_SUFFIX) for path in self._folder.glob(f"*{_SUFFIX}")
        }
        return [RoundId(name) for name in sorted(noted | on_disk)]

    # Answers.

    def hold(self, question: str, answer: Digest) -> None:
        """Bind this agent to one answer for good; before the answer leaves.

        Args:
            question: what is answered once: ``<round>/<step>`` within a round, any
                other path of names for what outlives rounds.
            answer: digest of the answer. The same one again changes nothing.

        Raises:
            AlreadyAnswered: another one was given before.
            IntegrityFault: not the name of a question.
            StorageFault: the disk said no.
        """
        require_line(question, answer)
        if self._answers.get(question, answer) != answer:
            raise AlreadyAnswered(f"{question} was answered otherwise before")
        if question not in self._answers:
            self._keep({question: answer}, is_copy=self._copied)

    def held(self, question: str) -> Digest | None:
        """Return the digest of the answer that was given, None if there is none."""
        return self._answers.get(question)

    # Files and marks.

    def _path(self, name: RoundId) -> Path:
        return self._folder / f"{round_id(name)}{_SUFFIX}"

    def _full(self, mark: tuple[int, int, int]) -> bytes:
        device, inode, ctime_ns = mark
        return f"{device} {inode} {ctime_ns} {self._boot}".encode()

    def _load(self, name: RoundId) -> tuple[bytes | None, tuple[int, int, int]]:
        try:
            descriptor = os.open(self._path(name), os.O_RDONLY | os.O_NOFOLLOW)
            with os.fdopen(descriptor, "rb") as handle:
                return handle.read(), _mark(handle.fileno())
        except FileNotFoundError:
            return None, (0, 0, 0)
        except OSError as error:
            raise StorageFault(f"cannot read {self._path(name)}: {error}") from error

    def _fits(self) -> bool:
        """Return whether the answers' file is the one the database knows."""
        home = self._notes.get(_HOME) or _NO_MARK
        pending = self._notes.get(_PENDING) or _NO_MARK
        try:
            with self._answers_file.open("rb") as handle:
                _, inode, ctime_ns = _mark(handle.fileno())
                content = handle.read()
        except FileNotFoundError:
            # before the very first answer, and nothing else was ever stored here
            is_empty = not any(self._folder.glob("answers-*"))
            return home == _NO_MARK and is_empty and not self.open_rounds()
        if home == _home(inode, ctime_ns):
            return True
        # killed between renaming the file and storing its mark
        return pending == f"{inode} {sha256(content)}".encode()

    def _keep(self, further: Mapping[str, Digest], *, is_copy: bool) -> None:
        """Store further answers, and let the database of an original know the file."""
        try:
            part, content = self._files.write(further)
            if not is_copy:
                _, inode, _ = _mark(part)
                self._notes.put(_PENDING, f"{inode} {sha256(content)}".encode())
            part.replace(self._answers_file)
            sync(self._folder)
            _, inode, ctime_ns = _mark(self._answers_file)
        except OSError as error:
            raise StorageFault(f"cannot write {self._answers_file}: {error}") from error
        self._files.take()
        self._begun.update(q.partition("/")[0] for q in further if "/" in q)
        if not is_copy:
            self._notes.put(_HOME, _home(inode, ctime_ns))
            self._notes.put(_PENDING, _NO_MARK)


class MemoryFence:
    """The fence in memory, for simulations and tests; never a copy."""

    is_copy = False

    def __init__(self) -> None:
        self._entropy: dict[RoundId, bytes] = {}
        self._answers: dict[str, Digest] = {}

    def settle(self) -> None:
        """Give up the open rounds; the answers stay."""
        self._entropy.clear()

    def create(self, name: RoundId, entropy: bytes) -> None:
        """Store the secret of a round that begins."""
        if any(question.startswith(f"{name}/") for question in self._answers):
            raise AlreadyAnswered(
                f"something was answered in round {name} before; it is not begun again"
            )
        self._entropy[name] = entropy

    def read(self, name: RoundId) -> bytes | None:
        """Return a round's secret; None if it is gone."""
        return self._entropy.get(name)

    def why_gone(self, name: RoundId) -> str:
        """Return why a round's secret cannot be used here, empty if it can."""
        return "" if name in self._entropy else "this round's secrets are erased"

    def erase(self, name: RoundId) -> None:
        """Forget a round's secret; nothing happens if there is none."""
        self._entropy.pop(name, None)

    def open_rounds(self) -> Sequence[RoundId]:
        """Return the rounds of which something is kept, sorted."""
        return sorted(self._entropy)

    def hold(self, question: str, answer: Digest) -> None:
        """Bind this agent to one answer for good; before the answer leaves."""
        require_line(question, answer)
        if self._answers.setdefault(question, answer) != answer:
            raise AlreadyAnswered(f"{question} was answered otherwise before")

    def held(self, question: str) -> Digest | None:
        """Return the digest of the answer that was given, None if there is none."""
        return self._answers.get(question)


def _boot_of_machine() -> str:
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return f"process-{os.getpid()}-{os.urandom(8).hex()}"


def _home(inode: int, ctime_ns: int) -> bytes:
    # no device: its number may change with every start of the machine
    return f"{inode} {ctime_ns}".encode()


def _mark(file: int | Path) -> tuple[int, int, int]:
    found = os.stat(file)  # noqa: PTH116 - a descriptor is no Path
    return found.st_dev, found.st_ino, found.st_ctime_ns
