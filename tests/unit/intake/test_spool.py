# SPDX-License-Identifier: Apache-2.0
"""Segments on a real disk: one rename is data and checkpoint at once."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest

from fedxdr.core.errors import (
    IntegrityFault,
    InvalidSettings,
    InvalidTelemetry,
    StorageFault,
)
from fedxdr.core.ids import sha256
from fedxdr.intake import spool as spool_module
from fedxdr.intake.lines import Lines
from fedxdr.intake.spool import Spool
from fedxdr.telemetry import Events
from fedxdr.telemetry.catalogue import Kind
from fedxdr.telemetry.findings import Position


def events(*times: int, **more: object) -> Events:
    columns = {"time_ns": np.array(times), "flow_id": np.array(times)}
    return Events.build(len(times), columns | more)  # type: ignore[arg-type]


def read_to(end: int, source: str = "/log") -> Position:
    return Position(
        source=source, device=1, inode=2, fingerprint=sha256(b""), begin=0, end=end
    )


def lines(*begins: int) -> Lines:
    begin = np.array(begins, np.int64)
    place = np.zeros(len(begins), np.int32)
    return Lines(places=(read_to(99),), place=place, begin=begin, end=begin + 5)


def numbers(spool: Spool, after: int = 0) -> list[int]:
    return [one.number for one in spool.batches(after)]


def test_what_is_appended_is_there_for_another_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    assert spool.positions() == ()
    assert spool.append(events(3, 1), [read_to(10)], lines=lines(0, 5)) == 1
    assert spool.append(events(2), [read_to(15)]) == 2
    other = Spool(tmp_path / "spool")
    assert other.read().time_ns.tolist() == [1, 2, 3]
    assert other.read(2).time_ns.tolist() == [2, 3]
    assert other.positions() == (read_to(15),)
    first, second = other.batches()
    assert first.events.time_ns.tolist() == [3, 1]
    where = first.lines.of(1)
    assert where is not None
    assert (where.source, where.begin, where.end) == ("/log", 5, 10)
    assert second.lines.of(0) is None


def test_a_batch_without_events_moves_the_positions(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(Events.empty(), [read_to(7)])
    assert Spool(tmp_path).positions() == (read_to(7),)
    assert len(Spool(tmp_path).read()) == 0


def test_it_is_for_its_owner_only(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.append(events(1), [])
    modes = {stat.S_IMODE(path.stat().st_mode) for path in spool._folder.iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(spool._folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_killed_between_write_and_rename_nothing_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    spool = Spool(tmp_path)
    spool.append(events(1), [read_to(1)])

    target = spool_module.os if step == "fsync" else Path
    with monkeypatch.context() as patch:
        patch.setattr(target, step, _die)
        with pytest.raises(KeyboardInterrupt):
            spool.append(events(2), [read_to(2)])
    spool.close()
    again = Spool(tmp_path)
    assert again.positions() == (read_to(1),)
    assert again.append(events(2), [read_to(2)]) == 2
    assert again.read().time_ns.tolist() == [1, 2]
    assert not list(tmp_path.glob("*.part"))


def test_killed_after_the_rename_it_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Spool, "_merge", _die)
        with pytest.raises(KeyboardInterrupt):
            spool.append(events(1), [read_to(1)])
    spool.close()
    again = Spool(tmp_path)
    assert again.positions() == (read_to(1),)
    assert again.append(events(2), [read_to(2)]) == 2


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_disk_that_says_no_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    spool.append(events(1), [read_to(1)])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(spool_module.os, "fsync", full)
        with pytest.raises(StorageFault, match="No space"):
            spool.append(events(2), [read_to(2)])
    assert spool.append(events(3), [read_to(3)]) == 2
    assert spool.read().time_ns.tolist() == [1, 3]
    with pytest.raises(StorageFault):
        Spool(tmp_path / "lock" / "below")


def test_only_one_process_appends(tmp_path: Path) -> None:
    first, second = Spool(tmp_path), Spool(tmp_path)
    first.append(events(1), [])
    with pytest.raises(InvalidSettings, match="another process"):
        second.append(events(2), [])
    first.close()
    assert second.append(events(2), []) == 2


def test_small_segments_are_put_together_and_numbers_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "MERGED", 4)
    spool = Spool(tmp_path)
    for n in range(1, 22):
        spool.append(events(n), [read_to(n)], lines=lines(n))
    names = sorted(path.name for path in tmp_path.glob("*.segment"))
    assert [(int(name[:15]), int(name[16:31])) for name in names] == [
        (1, 16),
        (17, 20),
        (21, 21),
    ]
    assert numbers(spool) == list(range(1, 22))
    assert numbers(spool, after=18) == [19, 20, 21]
    assert spool.read().time_ns.tolist() == list(range(1, 22))
    assert spool.positions() == (read_to(21),)
    kept = [one.lines.of(0) for one in spool.batches()]
    assert [one.begin for one in kept if one is not None] == list(range(1, 22))


def test_segments_with_many_rows_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "MERGED", 2)
    monkeypatch.setattr(spool_module, "MERGED_ROWS", 3)
    spool = Spool(tmp_path)
    for n in range(5):
        spool.append(events(n + 1, n + 1), [])
    assert len(list(tmp_path.glob("*.segment"))) == 5


def test_killed_while_they_are_put_together_nothing_is_there_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "MERGED", 3)
    spool = Spool(tmp_path)
    spool.append(events(1), [])
    spool.append(events(2), [])
    with monkeypatch.context() as patch:
        patch.setattr(Spool, "_remove", _die)
        with pytest.raises(KeyboardInterrupt):
            spool.append(events(3), [])
    spool.close()
    assert len(list(tmp_path.glob("*.segment"))) == 4
    again = Spool(tmp_path)
    assert again.read().time_ns.tolist() == [1, 2, 3]
    assert numbers(again, after=1) == [2, 3]
    again.append(events(4), [])
    assert len(list(tmp_path.glob("*.segment"))) == 2


def test_a_reader_goes_on_while_segments_change_under_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "MERGED", 4)
    spool, reader = Spool(tmp_path), Spool(tmp_path)
    for n in range(1, 4):
        spool.append(events(n), [])
    batches = reader.batches()
    assert next(batches).number == 1
    for n in range(4, 9):
        spool.append(events(n), [])
    assert [one.number for one in batches] == list(range(2, 9))


def test_positions_are_read_while_segments_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "MERGED", 2)
    spool, reader = Spool(tmp_path), Spool(tmp_path)
    spool.append(events(1), [read_to(1)])
    listed = Spool._listed
    left = [True]

    def then_merged(self: Spool) -> list[object]:
        found = listed(self)
        if left and self is reader:
            left.pop()
            spool.append(events(2), [read_to(2)])
        return list(found)

    monkeypatch.setattr(Spool, "_listed", then_merged)
    assert reader.positions() == (read_to(2),)
    assert reader.size_bytes > 0


def test_above_the_limit_the_oldest_go_and_the_newest_stays(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit_bytes=1)
    for n in range(1, 4):
        spool.append(events(n), [read_to(n)])
    assert spool.read().time_ns.tolist() == [3]
    assert spool.positions() == (read_to(3),)
    assert spool.size_bytes == next(tmp_path.glob("*.segment")).stat().st_size


def test_labels_of_alerts_are_carried_over_segments(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    ends = {"source": np.array([5]), "destination": np.array([6])}
    alert = {"kind": np.array([Kind.ALERT]), "label": np.array([1]), **ends}
    spool.append(events(7, **ends), [])
    spool.append(events(7, **alert), [])
    assert spool.read().label.tolist() == [1, 1]


@pytest.mark.parametrize("at", [-3, 20, 3])
def test_damage_stops_the_reader(tmp_path: Path, at: int) -> None:
    Spool(tmp_path).append(events(1, 2), [read_to(1)])
    (path,) = tmp_path.glob("*.segment")
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityFault):
        Spool(tmp_path).read()


def test_places_of_lines_are_checked() -> None:
    good = lines(1)
    with pytest.raises(InvalidTelemetry, match="not told"):
        Lines(places=(), place=good.place, begin=good.begin, end=good.end)
    with pytest.raises(InvalidTelemetry, match="int32"):
        Lines(places=(), place=good.begin, begin=good.begin, end=good.end)
