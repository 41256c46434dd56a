# SPDX-License-Identifier: Apache-2.0
"""Findings wait for every sink until it has them, whatever happens to the process."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import threading

import pytest
import sqlalchemy as sa
from tests.unit.telemetry.found import evidence, finding, findings

from fedxdr.core.errors import (
    IntegrityFault,
    InvalidInput,
    StorageFault,
    Unavailable,
)
from fedxdr.core.ids import sha256
from fedxdr.storage.outbox import Outbox


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new folder" / "outbox.db"


@pytest.fixture
def make(path):
    made = []

    def build(*sinks, **settings):
        for one in made:
            one.close()
        made.append(Outbox(path, sinks=sinks or ("a", "b"), **settings))
        return made[-1]

    yield build
    for one in made:
        one.close()


def ids(found):
    return [one.id for one in found]


def test_every_sink_has_a_queue_of_its_own(make):
    box = make()
    assert box.put(findings(3)) == 3
    box.done("a", ids(findings(2)))
    assert box.due("a", 10) == [finding(2)]
    assert box.due("b", 2) == findings(2)
    assert (box.waiting("a"), box.waiting("b")) == (1, 3)


def test_what_was_put_comes_back_as_it_was(make):
    whole = finding(7)
    bare = finding(
        8, tactic=None, technique=None, ledger_index=None, nearest=None, evidence=()
    )
    precise = finding(9, score=0.1 + 0.2, threshold=1e-300, evidence=(evidence(),))
    make().put([whole, bare, precise])
    assert make().due("b", 9) == [whole, bare, precise]


def test_the_same_finding_is_held_once(make):
    box = make()
    assert box.put([finding(1), finding(1)]) == 1
    assert box.put([finding(1, sentence="Told in other words."), finding(2)]) == 1
    assert box.due("a", 9) == [finding(1), finding(2)]
    for sink in ("a", "b"):
        box.done(sink, ids(findings(3)))
        box.done(sink, ids(findings(3)))
    # found again after a crash: every sink has it
    assert box.put([finding(1)]) == 0
    assert box.due("a", 9) == []
    assert box.waiting("a") == 0


def test_nothing_is_lost_when_it_is_opened_again(make):
    box = make()
    box.put(findings(5))
    box.done("a", [finding(1).id, finding(3).id])
    box.set_aside("a", [finding(0).id])
    box = make()
    assert box.due("a", 9) == [finding(2), finding(4)]
    assert box.due("b", 9) == findings(5)
    assert (box.waiting("a"), box.waiting("b")) == (3, 5)


def test_what_a_sink_will_never_take_is_kept_and_can_be_put_back(make):
    box = make()
    box.put(findings(4))
    box.set_aside("a", [finding(1).id, sha256(b"unknown")])
    box.done("a", [finding(2).id])
    assert box.due("a", 9) == [finding(0), finding(3)]
    assert box.waiting("a") == 3
    assert box.put_back("a") == 1
    assert box.put_back("a") == 0
    assert box.due("a", 9) == [finding(0), finding(1), finding(3)]


def test_a_full_outbox_refuses_whole_and_takes_again(make):
    box = make(most=4)
    box.put(findings(3))
    box.done("a", ids(findings(3)))
    with pytest.raises(Unavailable, match=r"3 findings wait for b, 4 may"):
        box.put(findings(2, begin=3))
    assert box.due("a", 9) == []
    assert box.put(findings(3)) == 0  # what it holds needs no room
    box.set_aside("b", [finding(0).id])  # kept: it takes room
    with pytest.raises(Unavailable):
        box.put(findings(2, begin=3))
    box.done("b", [finding(1).id])
    assert box.put(findings(2, begin=3)) == 2
    assert make(most=4).waiting("b") == 4


def test_a_new_sink_gets_what_comes_and_an_unnamed_one_keeps_its_queue(make):
    make("a").put(findings(2))
    box = make("b")
    assert box.due("b", 9) == []
    with pytest.raises(InvalidInput, match="knows no sink a"):
        box.due("a", 9)
    box.put([finding(2)])
    box = make("a", "b")
    assert box.due("a", 9) == findings(2)
    assert box.due("b", 9) == [finding(2)]
    with pytest.raises(InvalidInput, match="still meant"):
        box.forget("a")
    make("b").forget("a")
    assert make("a", "b").due("a", 9) == []


def test_without_sinks_findings_are_remembered_and_no_more(make):
    box = make("gone", remembered=16)
    box.forget("a")
    box.put(findings(10))
    box.done("gone", ids(findings(10)))
    box.put(findings(100, begin=10))
    box.done("gone", ids(findings(100, begin=10)))
    box = make("gone", remembered=16)
    assert box.newest(100) == findings(16, begin=94)
    assert box.newest(2) == findings(2, begin=108)
    assert box.put(findings(1, begin=100)) == 0


def test_what_waits_is_never_swept_away(make):
    box = make(remembered=0)
    box.put(findings(3))
    box.done("a", ids(findings(3)))
    box.put(findings(2, begin=3))
    assert box.due("b", 9) == findings(5)
    for sink in ("a", "b"):
        box.done(sink, ids(findings(5)))
    box.put([finding(9)])
    assert box.newest(9) == [finding(9)]
    assert box.put(findings(3)) == 3


@pytest.mark.parametrize("number", [1_999, 2_001])
def test_many_at_once(make, number):
    box = make()
    assert box.put(findings(number)) == number
    assert box.put(findings(number)) == 0
    box.done("a", ids(findings(number)))
    assert (box.waiting("a"), box.waiting("b")) == (0, number)


def test_threads_share_it(make):
    box = make()
    box.put(findings(40))

    def deliver(sink):
        while due := box.due(sink, 3):
            box.done(sink, ids(due))

    threads = [threading.Thread(target=deliver, args=(sink,)) for sink in ("a", "b")]
    for thread in threads:
        thread.start()
    for number in range(40, 60):
        box.put([finding(number)])
    for thread in threads:
        thread.join()
    for sink in ("a", "b"):
        deliver(sink)
        assert box.waiting(sink) == 0


def test_wrong_arguments(make, path):
    with pytest.raises(InvalidInput, match="twice"):
        Outbox(path, sinks=("a", "a"))
    for settings in ({"most": 0}, {"remembered": -1}):
        with pytest.raises(InvalidInput, match="at least one"):
            Outbox(path, sinks=("a",), **settings)
    box = make()
    for call in (
        lambda: box.due("c", 1),
        lambda: box.done("c", []),
        lambda: box.set_aside("c", []),
        lambda: box.put_back("c"),
        lambda: box.waiting("c"),
    ):
        with pytest.raises(InvalidInput, match="knows no sink c"):
            call()


def test_a_place_that_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFault, match="cannot open"):
        Outbox(tmp_path / "file" / "outbox.db", sinks=())


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "outbox.db"
    path.write_text("something else\n" * 100)
    for _ in range(2):  # it lets go of the lock
        with pytest.raises(StorageFault, match="said no"):
            Outbox(path, sinks=("a",))


def test_what_was_closed_is_not_written(make):
    box = make()
    box.put([finding()])
    box.close()
    for call in (
        lambda: box.put([finding(1)]),
        lambda: box.done("a", [finding().id]),
        lambda: box.set_aside("a", [finding().id]),
        lambda: box.put_back("a"),
    ):
        with pytest.raises(StorageFault, match="was closed"):
            call()


def test_it_is_for_one_process_and_its_owner(make, path):
    make()
    with pytest.raises(Unavailable, match="in use"):
        Outbox(path, sinks=("a",))
    for name in path.parent.iterdir():
        if name.suffix != ".lock":
            assert stat.S_IMODE(name.stat().st_mode) == 0o600, name


@pytest.mark.parametrize(
    ("statement", "match"),
    [
        ("UPDATE findings SET body = CAST('{}' AS BLOB)", "read back"),
        ("UPDATE findings SET body = replace(body, '\"score\":3.5', '\"score\":-3.5')",
         "read back"),
        ("UPDATE findings SET id = '00'", "another"),
    ],
)  # fmt: skip
def test_a_row_that_was_changed_stops_the_process(make, path, statement, match):
    make().put([finding()])
    changed = sqlite3.connect(path)
    changed.execute(statement)
    changed.commit()
    changed.close()
    box = make()
    with pytest.raises(IntegrityFault, match=match):
        box.due("a", 1)
    with pytest.raises(IntegrityFault, match=match):
        box.newest(1)


def test_a_database_that_says_no(make):
    box = make()
    with box._file.writer.begin() as connection:
        connection.execute(sa.text("DROP TABLE queues"))
    with pytest.raises(StorageFault, match="said no"):
        box.put([finding()])


def test_what_was_put_is_there_after_kill_9(make, path):
    for life in range(4):
        reads, writes = os.pipe()
        child = os.fork()
        if not child:
            try:
                box = Outbox(path, sinks=("a", "b"))
                for number in range(life * 1000, life * 1000 + 1000):
                    box.put([finding(number)])
                    os.write(writes, f"{number}\n".encode())
            finally:
                os._exit(1)
        os.close(writes)
        said = b""
        while said.count(b"\n") < 5 + life:
            more = os.read(reads, 4096)
            assert more, "the process has ended"
            said += more
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := os.read(reads, 4096):
            said += more
        os.close(reads)
        acknowledged = {finding(int(number)).id for number in said.split()}
        box = make()
        due = set(ids(box.due("a", 10_000)))
        assert acknowledged <= due
        assert len(due - acknowledged) <= 1
        box.done("a", due)
        assert box.waiting("a") == 0
        box.close()
