# SPDX-License-Identifier: Apache-2.0
"""The fence: one contract for disk and memory; every way to copy a file is noticed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import AlreadyAnswered, IntegrityFault, StorageFault
from fedxdr.core.ids import RoundId, sha256
from fedxdr.storage import fence as fences
from fedxdr.storage.database import Database
from fedxdr.storage.fence import FileFence, MemoryFence
from fedxdr.storage.memory import MemoryNotes
from fedxdr.storage.registry import SqlNotes

R1, R2 = RoundId("round-1"), RoundId("round-2")
ENTROPY, OTHER = bytes(range(32)), bytes(32)
X, Y = sha256(b"x"), sha256(b"y")


class Killed(BaseException):
    """The process ended here."""


@pytest.fixture(params=["memory", "disk"])
def reopen(request, tmp_path) -> Callable[[], Any]:
    if request.param == "memory":
        kept = MemoryFence()
        return lambda: kept
    notes = MemoryNotes()
    return lambda: FileFence(tmp_path / "fence", notes)


# The contract.


def test_entropy_is_there_until_it_is_erased(reopen):
    fence = reopen()
    fence.create(R1, ENTROPY)
    fence.create(R2, OTHER)
    assert not reopen().is_copy
    assert (reopen().read(R1), reopen().why_gone(R1)) == (ENTROPY, "")
    assert list(reopen().open_rounds()) == [R1, R2]
    reopen().erase(R1)
    reopen().erase(R1)
    assert reopen().read(R1) is None
    assert "erased" in reopen().why_gone(R1)
    assert list(reopen().open_rounds()) == [R2]


def test_a_round_that_never_was_has_no_entropy(reopen):
    assert reopen().read(R1) is None
    assert reopen().why_gone(R1)
    reopen().erase(R1)


def test_until_something_is_answered_a_round_may_begin_again(reopen):
    reopen().create(R1, OTHER)
    reopen().create(R1, ENTROPY)
    assert reopen().read(R1) == ENTROPY


def test_once_something_was_answered_a_round_is_not_begun_again(reopen):
    reopen().create(R1, ENTROPY)
    reopen().hold(f"{R1}/keys", X)
    reopen().erase(R1)
    with pytest.raises(AlreadyAnswered, match="not begun again"):
        reopen().create(R1, OTHER)
    reopen().create(RoundId("round-11"), OTHER)


def test_an_answer_binds_for_good(reopen):
    assert reopen().held("opening/a") is None
    reopen().hold("opening/a", X)
    reopen().hold("opening/a", X)
    reopen().hold("opening/b", Y)
    assert reopen().held("opening/a") == X
    with pytest.raises(AlreadyAnswered, match="answered otherwise"):
        reopen().hold("opening/a", Y)
    assert reopen().held("opening/a") == X


def test_settling_gives_up_open_rounds_and_keeps_answers(reopen):
    fence = reopen()
    fence.create(R1, ENTROPY)
    fence.hold(f"{R1}/keys", X)
    fence.settle()
    assert not fence.is_copy
    assert reopen().read(R1) is None
    assert list(reopen().open_rounds()) == []
    assert reopen().held(f"{R1}/keys") == X


@pytest.mark.parametrize("question", ["", " ", "a b", "A", "a\n", "../a", "/a", "é"])
def test_a_question_has_a_plain_name(reopen, question):
    with pytest.raises(IntegrityFault):
        reopen().hold(question, X)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b/c", "b"]), st.sampled_from([X, Y])),
        max_size=8,
    )
)
def test_disk_and_memory_hold_the_same(tmp_path_factory, answers):
    folder, notes, memory = tmp_path_factory.mktemp("f"), MemoryNotes(), MemoryFence()
    for question, answer in answers:
        seen = []
        for fence in (FileFence(folder, notes), memory):
            try:
                fence.hold(question, answer)
                seen.append(True)
            except AlreadyAnswered:
                seen.append(False)
        assert seen[0] == seen[1]
    for question, _ in answers:
        assert FileFence(folder, notes).held(question) == memory.held(question)


# On the disk.


class Agent:
    """A folder as an agent has it: a database, a fence, one open round."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._database: Database | None = None
        fence = self.open()
        fence.create(R1, ENTROPY)
        fence.hold(f"{R1}/keys", X)
        self.stop()

    def open(self, *, boot: str = "boot-1", at: Path | None = None) -> FileFence:
        self.stop()
        folder = at or self.folder
        self._database = Database(folder / "agent.db")
        return FileFence(folder / "fence", SqlNotes(self._database), boot=boot)

    def go_on(self) -> None:
        """Answer once more, as the round goes on."""
        self.open().hold(f"{R1}/contribution", X)
        self.stop()

    def stop(self) -> None:
        if self._database is not None:
            self._database.close()
        self._database = None


@pytest.fixture
def agent(tmp_path):
    made = Agent(tmp_path / "agent")
    yield made
    made.stop()


def test_files_are_the_owners_only(agent):
    agent.open()
    for path in (agent.folder / "fence").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert (agent.folder / "fence").stat().st_mode & 0o777 == 0o700


def test_restarted_in_place_it_goes_on(agent):
    for _ in range(3):
        fence = agent.open()
        assert not fence.is_copy
        assert fence.read(R1) == ENTROPY
        agent.go_on()


def by_copy(source: Path, target: Path) -> None:
    shutil.rmtree(target)
    shutil.copytree(source, target, copy_function=shutil.copy2)


def by_copy_in_place(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file():
            goal = target / path.relative_to(source)
            stat = path.stat()
            goal.write_bytes(path.read_bytes())
            os.utime(goal, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def by_tar(source: Path, target: Path) -> None:
    archive = target.parent / "backup.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(source, arcname=".")
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")


def by_sync(source: Path, target: Path) -> None:
    """As rsync -a does: what has the same size and time is not touched."""
    for path in source.rglob("*"):
        goal = target / path.relative_to(source)
        if path.is_file():
            a, b = path.stat(), goal.stat() if goal.exists() else None
            if b and (a.st_size, a.st_mtime_ns) == (b.st_size, b.st_mtime_ns):
                continue
            part = goal.with_name("part")
            shutil.copy2(path, part)
            part.replace(goal)


WAYS = [by_copy, by_copy_in_place, by_tar, by_sync]


def backup(agent: Agent) -> Path:
    kept = agent.folder.parent / "backup"
    shutil.copytree(agent.folder, kept, copy_function=shutil.copy2)
    return kept


def is_refused(fence: FileFence) -> bool:
    return fence.read(R1) is None and "copy" in fence.why_gone(R1)


@pytest.mark.parametrize("way", WAYS)
def test_a_restored_backup_gives_no_entropy(agent, way):
    kept = backup(agent)
    agent.go_on()
    way(kept, agent.folder)
    fence = agent.open()
    assert fence.is_copy
    assert is_refused(fence)
    with pytest.raises(AlreadyAnswered, match="copy"):
        fence.create(R2, OTHER)
    agent.stop()
    assert is_refused(agent.open())


@pytest.mark.parametrize("way", WAYS)
def test_a_restored_database_alone_gives_no_entropy(agent, way):
    kept = backup(agent)
    agent.go_on()
    shutil.rmtree(kept / "fence")
    if way is by_copy:
        shutil.copytree(agent.folder / "fence", kept.parent / "live")
        for path in agent.folder.glob("agent.db*"):
            path.unlink()
        for path in kept.glob("agent.db*"):
            shutil.copy2(path, agent.folder / path.name)
    else:
        way(kept, agent.folder)
    fence = agent.open()
    assert is_refused(fence)
    # what was answered since is still known
    with pytest.raises(AlreadyAnswered):
        fence.hold(f"{R1}/contribution", Y)


@pytest.mark.parametrize("way", WAYS)
def test_restored_files_alone_give_no_entropy(agent, way):
    kept = backup(agent)
    agent.go_on()
    way(kept / "fence", agent.folder / "fence")
    assert is_refused(agent.open())


@pytest.mark.parametrize("way", WAYS)
def test_a_restored_entropy_file_alone_is_not_read(agent, way):
    kept = backup(agent) / "fence"
    (kept / "answers").unlink()
    target = agent.folder / "fence"
    if way is by_copy:
        (target / "round-1.entropy").unlink()
        shutil.copy2(kept / "round-1.entropy", target)
    elif way is by_sync:
        os.utime(kept / "round-1.entropy", ns=(1, 1))
        way(kept, target)
    else:
        way(kept, target)
    fence = agent.open()
    assert not fence.is_copy
    assert is_refused(fence)


def test_a_clone_beside_the_living_agent_gives_no_entropy(agent):
    kept = backup(agent)
    assert is_refused(agent.open(at=kept))
    agent.stop()
    assert agent.open().read(R1) == ENTROPY


def test_another_boot_counts_as_restored_for_open_rounds_only(agent):
    fence = agent.open(boot="boot-2")
    assert not fence.is_copy
    assert fence.read(R1) is None
    assert "started anew" in fence.why_gone(R1)
    fence.create(R2, OTHER)
    assert fence.read(R2) == OTHER


def test_a_backup_that_has_forgotten_nothing_may_answer(agent):
    """Marks that fit say that nothing was answered since: no harm in going on."""
    kept = backup(agent)
    for path in kept.glob("agent.db*"):
        shutil.copy2(path, agent.folder / path.name)
    assert agent.open().read(R1) == ENTROPY


@pytest.mark.parametrize("what", ["answers", "agent.db", "round-1.entropy"])
def test_what_is_lost_is_noticed(agent, what):
    for path in [*agent.folder.glob(f"{what}*"), *agent.folder.glob(f"fence/{what}*")]:
        path.unlink()
    fence = agent.open()
    assert fence.read(R1) is None
    assert fence.is_copy == (what != "round-1.entropy")


def test_settled_it_takes_part_in_new_rounds(agent):
    kept = backup(agent)
    agent.go_on()
    by_copy(kept, agent.folder)
    agent.open().settle()
    fence = agent.open()
    assert not fence.is_copy
    assert list(fence.open_rounds()) == []
    fence.create(R2, OTHER)
    assert agent.open().read(R2) == OTHER
    assert not list((agent.folder / "fence").glob("round-1*"))


def test_a_hard_link_is_not_followed_as_if_it_were_the_file(agent):
    os.link(agent.folder / "fence" / "round-1.entropy", agent.folder / "link")
    assert is_refused(agent.open())


def test_a_symbolic_link_is_not_followed(agent, tmp_path):
    path = agent.folder / "fence" / "round-1.entropy"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageFault, match="cannot read"):
        agent.open().read(R1)


def test_erased_entropy_is_overwritten_first(agent, monkeypatch):
    fence, seen, unlink = agent.open(), list[bytes](), Path.unlink
    monkeypatch.setattr(
        Path, "unlink", lambda self: (seen.append(self.read_bytes()), unlink(self))
    )
    fence.erase(R1)
    assert seen == [bytes(32)]


@pytest.mark.parametrize("torn", ["x\n", "round-1/keys 12\n", "a b c\n", "\xff"])
def test_answers_that_cannot_be_read_stop_the_agent(agent, torn):
    (agent.folder / "fence" / "answers").write_bytes(torn.encode("latin-1"))
    with pytest.raises(IntegrityFault):
        agent.open()


def test_without_a_boot_id_every_process_is_a_new_start(agent, monkeypatch):
    monkeypatch.setattr(fences, "_BOOT", agent.folder / "nowhere")
    database = Database(agent.folder / "agent.db")
    try:
        notes = SqlNotes(database)
        FileFence(agent.folder / "fence", notes).create(R2, OTHER)
        assert FileFence(agent.folder / "fence", notes).read(R2) is None
    finally:
        database.close()


def test_the_machine_names_its_boot():
    if not Path("/proc/sys/kernel/random/boot_id").exists():
        pytest.skip("no Linux")
    assert fences._boot_of_machine() == fences._boot_of_machine()


def test_a_disk_that_says_no_is_a_fault(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFault):
        FileFence(tmp_path / "file", MemoryNotes())


# kill -9.


def lethal(monkeypatch, at: int) -> Callable[[], int]:
    """Let the n-th write die: every call to the system that changes something."""
    count = 0

    def wrap(owner: Any, name: str) -> None:
        true = getattr(owner, name)

        def call(*args: Any, **how: Any) -> Any:
            nonlocal count
            count += 1
            if count == at:
                raise Killed
            return true(*args, **how)

        monkeypatch.setattr(owner, name, call)

    wrap(os, "open")
    wrap(os, "fsync")
    wrap(Path, "replace")
    wrap(Path, "unlink")
    wrap(MemoryNotes, "put")
    return lambda: count


@pytest.mark.parametrize("act", ["first", "create", "hold", "erase", "settle"])
def test_killed_at_any_write_it_is_no_copy(tmp_path, monkeypatch, act):
    at = 0
    while True:
        at += 1
        folder, notes = tmp_path / f"{act}-{at}", MemoryNotes()
        if act != "first":
            FileFence(folder, notes).create(R1, ENTROPY)
            FileFence(folder, notes).hold("before", X)
        with monkeypatch.context() as patch:
            count = lethal(patch, at)
            try:
                fence = FileFence(folder, notes)
                match act:
                    case "create":
                        fence.create(R2, OTHER)
                    case "hold":
                        fence.hold("during", Y)
                    case "erase":
                        fence.erase(R1)
                    case "settle":
                        fence.settle()
            except Killed:
                pass
            is_through = count() < at
        fence = FileFence(folder, notes)
        assert not fence.is_copy
        if act != "first":
            assert fence.held("before") == X
        assert fence.held("during") in {None, Y}
        if act in {"create", "hold"}:
            assert fence.read(R1) == ENTROPY
        fence.create(R2, OTHER)
        assert FileFence(folder, notes).read(R2) == OTHER
        if is_through:
            break
    assert at > 3


def test_an_answer_is_on_the_disk_before_hold_returns(tmp_path, monkeypatch):
    notes = MemoryNotes()
    fence = FileFence(tmp_path, notes)
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), fsync(fd)))
    monkeypatch.setattr(
        Path, "replace", lambda a, b: (order.append("rename"), replace(a, b))
    )
    fence.hold("question", X)
    assert order == ["fsync", "rename", "fsync"]


@pytest.mark.skipif(shutil.which("cp") is None, reason="there is no cp")
@pytest.mark.parametrize("options", ["-a", "-p", "--reflink=auto"])
def test_the_real_cp_is_noticed(agent, options):
    kept = agent.folder.parent / "backup"
    cp = shutil.which("cp") or ""
    subprocess.run([cp, "-r", options, agent.folder, kept], check=True)
    agent.go_on()
    shutil.rmtree(agent.folder)
    subprocess.run([cp, "-r", options, kept, agent.folder], check=True)
    assert is_refused(agent.open())
