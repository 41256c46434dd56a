# SPDX-License-Identifier: Apache-2.0
"""Real files that grow, rotate and are truncated, under a clock moved by hand."""

from __future__ import annotations

import datetime as dt
import gzip
import os
from pathlib import Path

import pytest

from fedxdr.core.clock import ManualClock
from fedxdr.intake import blocks
from fedxdr.intake.chunks import Chunk
from fedxdr.intake.follow import Follower
from fedxdr.telemetry.findings import Position


class Scene:
    """A log, and somebody who follows it."""

    def __init__(self, folder: Path, *, name: str = "eve.json") -> None:
        self.log = folder / name
        self.clock = ManualClock(dt.datetime(2024, 1, 1, tzinfo=dt.UTC))
        self.chunks: list[Chunk] = []

    def begin(self, *, positions: tuple[Position, ...] = (), **more: bool) -> None:
        self.follower = Follower(
            [self.log], clock=self.clock, positions=positions, **more
        )

    def restart(self) -> None:
        """Begin again with what was read, as after a kill."""
        positions = self.follower.positions()
        self.follower.close()
        self.begin(positions=positions)

    def write(self, text: bytes, path: Path | None = None) -> None:
        with (path or self.log).open("ab") as file:
            file.write(text)

    def rotate(self) -> Path:
        return self.log.rename(f"{self.log}.1")

    def poll(self, *, after_s: float = 0.0) -> bytes:
        self.clock.advance(seconds=after_s)
        new = list(self.follower.poll())
        self.chunks += new
        return b"".join(chunk.block for chunk in new)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_lines_come_as_they_are_written_and_a_torn_one_waits(scene: Scene) -> None:
    scene.write(b"a\nb\nto")
    scene.begin()
    assert scene.poll() == b"a\nb\n"
    assert scene.poll(after_s=60) == b""
    scene.write(b"rn\nc\n")
    assert scene.poll() == b"torn\nc\n"
    places = [(one.position.begin, one.position.end) for one in scene.chunks]
    assert places == [(0, 4), (4, 11)]


def test_a_file_that_is_not_there_is_waited_for(scene: Scene) -> None:
    scene.begin()
    assert scene.poll() == b""
    scene.write(b"a\n")
    assert scene.poll() == b"a\n"


def test_a_renamed_file_is_drained_until_it_rests(scene: Scene) -> None:
    scene.write(b"a\n")
    scene.begin()
    assert scene.poll() == b"a\n"
    renamed = scene.rotate()
    scene.write(b"x\n")
    scene.write(b"late\n", renamed)
    assert scene.poll() == b"late\nx\n"
    scene.write(b"later\n", renamed)
    assert scene.poll(after_s=0.9) == b"later\n"
    assert scene.poll(after_s=1.1) == b""
    scene.write(b"after all\n", renamed)
    assert scene.poll(after_s=1.1) == b"after all\n"


def test_the_torn_end_of_a_rotated_file_is_taken_when_it_rests(scene: Scene) -> None:
    scene.write(b"a\nto")
    scene.begin()
    assert scene.poll() == b"a\n"
    scene.rotate()
    assert scene.poll(after_s=0.5) == b""
    assert scene.poll(after_s=1.5) == b"to"


def test_a_file_deleted_under_the_reader_is_read_to_its_end(scene: Scene) -> None:
    scene.write(b"a\n")
    scene.begin()
    assert scene.poll() == b"a\n"
    scene.write(b"b\n")
    scene.log.unlink()
    assert scene.poll() == b"b\n"


@pytest.mark.parametrize("is_packed", [False, True])
def test_after_a_restart_the_renamed_file_is_found(
    scene: Scene, is_packed: bool
) -> None:
    scene.write(b"a\n" * 600)
    scene.begin()
    scene.poll()
    scene.write(b"b\n")
    renamed = scene.rotate()
    scene.write(b"x\n")
    if is_packed:
        content = renamed.read_bytes()
        renamed.unlink()
        Path(f"{renamed}.gz").write_bytes(gzip.compress(content))
    scene.restart()
    assert scene.poll() == b"b\nx\n"
    scene.restart()
    assert scene.poll(after_s=5) == b""


def test_a_whole_file_that_came_and_went_during_the_death_is_read(scene: Scene) -> None:
    scene.write(b"a\n")
    scene.begin()
    scene.poll()
    scene.rotate().rename(f"{scene.log}.2")
    scene.write(b"missed\n")
    scene.rotate()
    scene.write(b"x\n")
    scene.restart()
    assert scene.poll() == b"x\n"
    assert scene.poll(after_s=1.5) == b"missed\n"
    assert scene.poll(after_s=5) == b""


def test_a_rotated_file_packed_before_it_was_known(scene: Scene) -> None:
    scene.write(b"x\n")
    scene.begin()
    scene.poll()
    content = b"".join(b"line %d\n" % n for n in range(9000))
    Path(f"{scene.log}.1.gz").write_bytes(gzip.compress(content + b"torn"))
    assert scene.poll(after_s=1.5) == b""
    assert scene.poll(after_s=1.5) == content + b"torn"
    assert scene.poll(after_s=5) == b""
    scene.restart()
    assert scene.poll(after_s=5) == b""


def test_a_truncated_file_is_noticed_and_its_copy_read_on(scene: Scene) -> None:
    scene.write(b"a\n" * 700)
    scene.begin()
    scene.poll()
    scene.write(b"unread\n")
    Path(f"{scene.log}.1").write_bytes(scene.log.read_bytes())
    os.truncate(scene.log, 0)
    scene.write(b"n\n")
    assert scene.poll() == b""
    assert scene.poll() == b"unread\nn\n"
    assert scene.follower.truncated == 1
    assert scene.poll(after_s=5) == b""


def test_a_truncated_file_that_grew_again_is_noticed_by_its_head(scene: Scene) -> None:
    scene.write(b"a\n" * 10)
    scene.begin()
    scene.poll()
    os.truncate(scene.log, 0)
    scene.write(b"n\n" * 20)
    assert scene.poll() == b""
    assert scene.poll() == b"n\n" * 20


def test_a_truncated_file_of_the_same_size_is_noticed_in_a_while(scene: Scene) -> None:
    scene.write(b"a\n" * 10)
    scene.begin()
    scene.poll()
    os.truncate(scene.log, 0)
    scene.write(b"n\n" * 10)
    assert scene.poll() == b""
    assert scene.poll(after_s=1.1) == b"n\n" * 10
    assert scene.follower.truncated == 1


def test_a_long_line_is_cut_and_nothing_is_lost(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 16)
    monkeypatch.setattr(blocks, "MAX_LINE_BYTES", 64)
    scene.write(b"x" * 150 + b"\nshort\n")
    scene.begin()
    assert scene.poll() == b"x" * 150 + b"\nshort\n"
    assert max(len(chunk.block) for chunk in scene.chunks) == 64


def test_a_busy_file_lets_the_others_have_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 2)
    scene = Scene(tmp_path)
    scene.write(b"a\n" * 20)
    scene.write(b"z\n", tmp_path / "other.json")
    follower = Follower([tmp_path], clock=scene.clock)
    first = b"".join(chunk.block for chunk in follower.poll())
    assert first == b"a\n" * 16 + b"z\n"
    assert b"".join(chunk.block for chunk in follower.poll()) == b"a\n" * 4


def test_folders_give_their_logs_and_not_their_siblings(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for name in ("eve.json", "eve.json.1", "conn.log", "notes.txt", "a.evtx"):
        scene.write(b"%s\n" % name.encode(), tmp_path / name)
    (tmp_path / "a.evtx").write_bytes(b"ElfFile\x00binary\n")
    follower = Follower([tmp_path, tmp_path / "none*.log"], clock=scene.clock)
    assert {chunk.name for chunk in follower.poll()} == {"eve.json", "conn.log"}
    scene.write(b"new\n", tmp_path / "dns.log")
    scene.write(b"rotated\n", tmp_path / "dns.log.1")
    seen = []
    for _ in range(3):
        scene.clock.advance(seconds=1.5)
        seen += [chunk.block for chunk in follower.poll()]
    assert seen == [b"new\n", b"rotated\n"]


def test_what_is_handed_out_counts_as_read_and_the_rest_does_not(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 4)
    scene.write(b"a\nb\nc\nd\n")
    scene.begin()
    assert next(scene.follower.poll()).block == b"a\nb\n"
    scene.restart()
    assert scene.poll() == b"c\nd\n"


def test_the_head_of_a_log_comes_with_each_chunk(scene: Scene) -> None:
    scene.write(b"#fields\tts\n1\n")
    scene.begin()
    scene.poll()
    scene.restart()
    scene.write(b"2\n")
    assert scene.poll() == b"2\n"
    assert scene.chunks[-1].head == b"#fields\tts\n1\n2\n"


def test_a_damaged_packed_file_is_read_as_far_as_it_goes_once(scene: Scene) -> None:
    scene.begin(with_history=True)
    content = b"".join(b"line %d\n" % n for n in range(90_000))
    path = Path(f"{scene.log}.1.gz")
    path.write_bytes(gzip.compress(content)[:-3000])
    scene.poll(after_s=1.5)
    read = scene.poll(after_s=1.5)
    assert content.startswith(read)
    assert scene.poll(after_s=1.5) == b""
    path.write_bytes(gzip.compress(content))
    got = read + b"".join(scene.poll(after_s=1.5) for _ in range(3))
    assert got == content


def test_marks_of_logs_that_nobody_means_any_more_are_kept(scene: Scene) -> None:
    scene.write(b"a\n")
    scene.begin()
    scene.poll()
    scene.write(b"b\n")
    other = Follower(
        [scene.log.parent / "other.json"],
        clock=scene.clock,
        positions=scene.follower.positions(),
    )
    assert list(other.poll()) == []
    scene.begin(positions=other.positions())
    assert scene.poll() == b"b\n"


def test_a_log_of_a_folder_that_rotated_and_is_not_there_yet_is_read_on(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    scene.write(b"a\n")
    for source in (tmp_path, tmp_path / "*.json"):
        follower = Follower([source], clock=scene.clock)
        list(follower.poll())
        scene.write(b"b\n")
        positions = follower.positions()
        renamed = scene.rotate()
        again = Follower([source], clock=scene.clock, positions=positions)
        assert [chunk.block for chunk in again.poll()] == [b"b\n"]
        renamed.rename(scene.log)


def test_siblings_of_a_log_that_is_not_there_are_no_logs_of_their_own(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    scene.write(b"old\n", tmp_path / "eve.json.1")
    follower = Follower([tmp_path], clock=scene.clock)
    assert list(follower.poll()) == []
    scene.write(b"a\n")
    assert [chunk.block for chunk in follower.poll()] == [b"a\n"]
    (tmp_path / "eve.json.1").rename(tmp_path / "eve.json.2")
    scene.rotate()
    scene.clock.advance(seconds=5)
    assert list(follower.poll()) == []


def test_a_dated_log_stays_its_own_when_one_without_a_date_turns_up(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    scene.write(b"a\n", tmp_path / "eve-2024-01-01.json")
    follower = Follower([tmp_path], clock=scene.clock)
    scene.write(b"b\n")
    blocks_ = []
    for _ in range(4):
        scene.clock.advance(seconds=1.5)
        blocks_ += [chunk.block for chunk in follower.poll()]
    assert sorted(blocks_) == [b"a\n", b"b\n"]
