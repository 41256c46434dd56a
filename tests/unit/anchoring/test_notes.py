# SPDX-License-Identifier: Apache-2.0
"""Records survive kill -9 at any byte; nothing else passes for one."""

import dataclasses
import os

import pytest
from tests.unit.anchoring.chain_suite import ORIGIN, checkpoint
from tests.unit.anchoring.memory_chain import Ledger, MemoryChain

from fedxdr.anchoring import proofs
from fedxdr.anchoring.notes import Notes
from fedxdr.core.errors import (
    AlreadyAnswered,
    IntegrityFault,
    StorageFault,
    Unavailable,
)


@pytest.fixture
def record(clock):
    """Make the record of a size on one chain."""
    chain = MemoryChain(Ledger(clock=clock))

    def made(size, *, origin=ORIGIN):
        chain.send(checkpoint(size, origin=origin), attempt=0)
        return chain.record(origin, chain.head(origin))

    return made


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "anchors.jsonl"


def test_what_was_appended_is_there_again(path, record):
    made = [record(3), record(8), record(1, origin="b.example/log"), record(9)]
    with Notes(path) as notes:
        assert notes.newest(ORIGIN) is None
        for found in made:
            notes.append(found)
            assert notes.newest(found.origin) == found
    with Notes(path) as notes:
        assert list(notes.records) == made
        assert notes.newest(ORIGIN) == made[3]
        assert notes.newest("b.example/log") == made[2]
    lines = path.read_bytes().splitlines()
    assert [proofs.parse(line) for line in lines] == made


def test_cut_at_any_byte_the_whole_lines_stay(path, record):
    first, second = record(3), record(8)
    with Notes(path) as notes:
        notes.append(first)
        notes.append(second)
    data = path.read_bytes()
    whole = data.index(b"\n") + 1
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with Notes(path) as notes:
            kept = [first] if length >= whole else []
            assert list(notes.records) == kept, length
            # what follows stands on a line of its own
            notes.append(second)
        with Notes(path) as notes:
            assert list(notes.records) == [*kept, second]


def test_a_size_that_shrinks_or_has_another_root_is_not_noted(path, record):
    first, second = record(3), record(8)
    with Notes(path) as notes:
        notes.append(second)
        for wrong in (first, dataclasses.replace(second, root=bytes(32))):
            with pytest.raises(AlreadyAnswered):
                notes.append(wrong)
        # a chain forgot it, and it was anchored again
        again = dataclasses.replace(second, block_number=77)
        notes.append(again)
        assert notes.records == (second, again)


@pytest.mark.parametrize("place", [0, 1])
def test_a_changed_line_is_a_fault(path, record, place):
    with Notes(path) as notes:
        notes.append(record(3))
        notes.append(record(8))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[place] = lines[place].replace(b'"size":', b'"size": ')
    path.write_bytes(b"".join(lines))
    with pytest.raises(IntegrityFault, match=f"line {place + 1}"):
        Notes(path)


def test_lines_out_of_order_are_a_fault(path, record):
    with Notes(path) as notes:
        notes.append(record(3))
        notes.append(record(8))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(reversed(lines)))
    with pytest.raises(IntegrityFault, match="line 2: size 3 after 8"):
        Notes(path)


def test_one_at_a_time(path, record):
    with Notes(path) as notes:
        with pytest.raises(Unavailable, match="another process"):
            Notes(path)
        notes.append(record(3))
    with Notes(path) as notes:
        assert len(notes.records) == 1


def test_what_the_disk_refused_is_not_there(path, record, monkeypatch):
    first, second = record(3), record(8)

    def refuses(_):
        raise OSError(28, "No space left on device")

    with Notes(path) as notes:
        notes.append(first)
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", refuses)
            with pytest.raises(StorageFault, match="No space left"):
                notes.append(second)
        assert notes.newest(ORIGIN) == first
        assert path.read_bytes() == proofs.encode(first) + b"\n"
        notes.append(second)
    with Notes(path) as notes:
        assert notes.records == (first, second)


def test_a_path_that_cannot_be_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFault):
        Notes(tmp_path / "file" / "anchors.jsonl")
    with pytest.raises(StorageFault):
        Notes(tmp_path)
