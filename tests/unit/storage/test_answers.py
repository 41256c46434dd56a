# SPDX-License-Identifier: Apache-2.0
"""Answers in files: a death at any byte loses none, and none costs more than another.

``SEALED_AT`` is small here, so that there are many sealed files. What is synced
when is told by test_fence.py; here nobody waits for the disk.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from fedxdr.core.errors import AlreadyAnswered, IntegrityFault, StorageFault
from fedxdr.core.ids import Digest, sha256
from fedxdr.storage import answers as files
from fedxdr.storage.answers import AnswerFiles
from fedxdr.storage.fence import FileFence
from fedxdr.storage.memory import MemoryNotes

FEW = 4
X, Y = sha256(b"x"), sha256(b"y")


class Killed(BaseException):
    """The process ended here."""


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(files, "SEALED_AT", FEW)
    monkeypatch.setattr(os, "fsync", lambda _: None)


def answer(number: int) -> tuple[str, Digest]:
    return f"head/{number}", sha256(b"%d" % number)


def given(folder: Path, notes: MemoryNotes, count: int, *, begin: int = 0) -> None:
    """Let an agent answer so many times, each time after a new start."""
    for number in range(begin, begin + count):
        FileFence(folder, notes).hold(*answer(number))


def holds(fence: FileFence, count: int) -> bool:
    return all(fence.held(q) == found for q, found in (answer(n) for n in range(count)))


def sealed_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("answers-*"))


def test_answers_are_sealed_and_all_of_them_are_known(tmp_path):
    notes = MemoryNotes()
    fence = FileFence(tmp_path, notes)
    for number in range(3 * FEW + 2):
        fence.hold(*answer(number))
        again = FileFence(tmp_path, notes)
        assert holds(again, number + 1)
        assert not again.is_copy
        with pytest.raises(AlreadyAnswered):
            again.hold("head/0", Y)
        fence = again
    assert sealed_in(tmp_path) == ["answers-1", "answers-2", "answers-3"]
    lines = (tmp_path / "answers").read_text().splitlines()
    content = (tmp_path / "answers-3").read_bytes()
    assert lines[0] == f"# 3 {sha256(content)}"
    assert len(lines) == 1 + 2


def test_a_sealed_file_is_never_changed_again(tmp_path):
    notes, seen = MemoryNotes(), dict[str, Any]()
    fence = FileFence(tmp_path, notes)
    for number in range(5 * FEW):
        fence.hold(*answer(number))
        for path in tmp_path.glob("answers-*"):
            stat = path.stat()
            mark = stat.st_ino, stat.st_ctime_ns, stat.st_mode & 0o777
            assert seen.setdefault(path.name, mark) == mark
            assert mark[2] == 0o600
    assert len(seen) == 4


def test_what_is_written_grows_with_the_answers_and_no_faster(tmp_path, monkeypatch):
    written = []
    write = files.write_new
    monkeypatch.setattr(
        files,
        "write_new",
        lambda path, data: (written.append(len(data)), write(path, data)),
    )
    fence = FileFence(tmp_path, MemoryNotes())
    for number in range(50 * FEW):
        fence.hold(*answer(number))
    line = len("head/1000 \n") + 64
    assert max(written) < (FEW + 2) * line
    assert sum(written) < 50 * FEW * (FEW + 2) * line


def test_a_file_of_before_is_read_whole_and_sealed(tmp_path):
    """Of an agent that kept all answers in one file."""
    text = "".join(f"{q} {a}\n" for q, a in map(answer, range(10 * FEW)))
    notes, path = MemoryNotes(), tmp_path / "answers"
    path.write_text(text)
    stat = path.stat()
    notes.put("fence/home", f"{stat.st_ino} {stat.st_ctime_ns}".encode())
    fence = FileFence(tmp_path, notes)
    assert not fence.is_copy
    assert holds(fence, 10 * FEW)
    given(tmp_path, notes, FEW, begin=10 * FEW)
    assert holds(FileFence(tmp_path, notes), 11 * FEW)
    assert (tmp_path / "answers-1").read_text() == text


# kill -9.


@pytest.mark.parametrize("before", [0, 2, FEW, FEW + 1, 2 * FEW])
def test_killed_at_any_byte_of_a_write_nothing_is_lost(tmp_path, monkeypatch, before):
    """Of the newest answers' file, and of the one that is sealed before it."""
    write = files.write_new
    count, is_through = 0, False
    while not is_through:
        folder, notes = tmp_path / str(count), MemoryNotes()
        fence = FileFence(folder, notes)
        for number in range(before):
            fence.hold(*answer(number))
        left = count

        def torn(path: Path, data: bytes) -> None:
            nonlocal left
            write(path, data[:left])
            if left < len(data):
                raise Killed
            left -= len(data)

        with monkeypatch.context() as patch:
            patch.setattr(files, "write_new", torn)
            try:
                fence.hold(*answer(before))
                is_through = True
            except Killed:
                pass
        fence = FileFence(folder, notes)
        assert not fence.is_copy
        assert holds(fence, before)
        fence.hold(*answer(before))
        fence.hold(*answer(before + 1))
        assert holds(FileFence(folder, notes), before + 2)
        count += 1
    assert count > 64


@pytest.mark.parametrize("count", [FEW, 2 * FEW, 2 * FEW + 1])
def test_killed_between_any_two_writes_nothing_is_lost(tmp_path, monkeypatch, count):
    at, is_burnt = 0, True
    while is_burnt:
        at += 1
        folder, notes, left = tmp_path / str(at), MemoryNotes(), at
        given(folder, notes, count)
        fence, is_burnt = FileFence(folder, notes), False

        def fatal(true: Any) -> Any:
            def act(*args: Any) -> Any:
                nonlocal left
                left -= 1
                if not left:
                    raise Killed
                return true(*args)

            return act

        with monkeypatch.context() as patch:
            for owner, name in ((os, "open"), (os, "fsync"), (Path, "replace")):
                patch.setattr(owner, name, fatal(getattr(owner, name)))
            patch.setattr(MemoryNotes, "put", fatal(MemoryNotes.put))
            try:
                fence.hold(*answer(count))
            except Killed:
                is_burnt = True
        again = FileFence(folder, notes)
        assert not again.is_copy
        assert holds(again, count)
        given(folder, notes, FEW, begin=count)
        assert holds(FileFence(folder, notes), count + FEW)
    assert at > 8


def test_an_answer_that_the_disk_refused_is_not_taken_for_given(tmp_path, monkeypatch):
    notes = MemoryNotes()
    fence = FileFence(tmp_path, notes)
    fsync, left = os.fsync, 2

    def refused(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise OSError("no")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refused)
    with pytest.raises(StorageFault, match="cannot write"):
        fence.hold("head/1", X)
    assert fence.held("head/1") is None
    fence.hold("head/1", X)
    assert left < -1
    assert FileFence(tmp_path, notes).held("head/1") == X


# Copies, and files that do not fit each other.


def test_an_older_file_beside_newer_sealed_ones_forgets_only_its_own(tmp_path):
    """As a backup leaves it that is copied back and deletes nothing."""
    folder, notes = tmp_path / "agent", MemoryNotes()
    given(folder, notes, FEW + 2)
    kept = tmp_path / "kept"
    shutil.copytree(folder, kept)
    given(folder, notes, 2 * FEW, begin=FEW + 2)
    assert sealed_in(folder) == ["answers-1", "answers-2", "answers-3"]
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    fence = FileFence(folder, notes)
    assert fence.is_copy
    assert holds(fence, 3 * FEW)
    assert fence.held(f"head/{3 * FEW}") is None
    fence.settle()
    # what the files of before have is sealed anew, under their names
    given(folder, notes, FEW, begin=3 * FEW)
    assert not FileFence(folder, notes).is_copy
    assert holds(FileFence(folder, notes), 4 * FEW)


def test_a_copy_that_answers_is_a_copy_until_it_is_settled(tmp_path):
    folder, notes = tmp_path / "agent", MemoryNotes()
    given(folder, notes, 3)
    shutil.copytree(folder, tmp_path / "kept")
    given(folder, notes, 1, begin=3)
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "kept", folder)
    for number in range(10, 10 + 2 * FEW):
        fence = FileFence(folder, notes)
        assert fence.is_copy
        fence.hold(*answer(number))
    fence = FileFence(folder, notes)
    assert all(fence.held(f"head/{n}") for n in (0, 1, 2, 10, 11, 9 + 2 * FEW))
    fence.settle()
    assert not FileFence(folder, notes).is_copy


def test_sealed_files_without_the_newest_one_are_a_copy(tmp_path):
    given(tmp_path, MemoryNotes(), 2 * FEW + 1)
    (tmp_path / "answers").unlink()
    fence = FileFence(tmp_path, MemoryNotes())
    assert fence.is_copy
    assert holds(fence, 2 * FEW)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("damage", [None, b"", b"head/0 " + Y.encode() + b"\n"])
def test_a_sealed_file_that_is_missing_or_altered_stops_the_agent(
    tmp_path, number, damage
):
    notes = MemoryNotes()
    given(tmp_path, notes, 3 * FEW + 1)
    path = tmp_path / f"answers-{number}"
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    with pytest.raises(IntegrityFault, match=f"answers-{number} is not there, or was"):
        FileFence(tmp_path, notes)


def test_a_sealed_file_cut_at_any_byte_is_noticed(tmp_path):
    notes = MemoryNotes()
    given(tmp_path, notes, 2 * FEW + 1)
    path = tmp_path / "answers-2"
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(IntegrityFault):
            AnswerFiles(tmp_path)


def test_no_question_has_two_answers_in_whichever_files(tmp_path):
    notes = MemoryNotes()
    given(tmp_path, notes, FEW + 1)
    (tmp_path / "answers-2").write_text(f"head/{FEW} {Y}\n")
    with pytest.raises(IntegrityFault, match="a second time, otherwise"):
        FileFence(tmp_path, notes)
    (tmp_path / "answers-2").write_text(f"head/0 {Y}\n")
    with pytest.raises(IntegrityFault, match="a second time, otherwise"):
        FileFence(tmp_path, notes)


def test_what_is_no_sealed_file_is_not_read(tmp_path):
    notes = MemoryNotes()
    given(tmp_path, notes, 2)
    for name in ("answers-1.part", "answers-0", "answers-x", "answers.part"):
        (tmp_path / name).write_text("torn")
    assert holds(FileFence(tmp_path, notes), 2)


def test_files_that_cannot_be_read_stop_the_agent(tmp_path):
    (tmp_path / "answers").mkdir()
    with pytest.raises(IntegrityFault, match="cannot read"):
        AnswerFiles(tmp_path)
