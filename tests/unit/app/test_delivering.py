# SPDX-License-Identifier: Apache-2.0
"""Deliveries, first as a script of facts and commands, then in threads."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from tests.unit.telemetry.found import finding, findings

from fedxdr.app import delivering
from fedxdr.app.delivering import (
    LONGEST_S,
    PACE_S,
    Courier,
    Deliveries,
    Found,
    Look,
    Missed,
    Noted,
    Rejected,
    Rest,
    Send,
    SetAside,
    Settle,
    Taken,
)
from fedxdr.core.errors import InvalidInput, StorageFault, Unavailable
from fedxdr.storage.outbox import Outbox


def ids(found):
    return tuple(one.id for one in found)


def play(courier, *script, now_s=0.0):
    """Hand in facts one by one and compare what comes out."""
    for fact, want in script:
        assert courier.take(fact, now_s=now_s) == want


def test_what_is_due_is_sent_and_settled():
    courier = Courier("sink", limit=2)
    assert courier.begin() == Look(2)
    play(
        courier,
        (Found(findings(2)), Send(findings(2))),
        (Taken(), Settle(ids(findings(2)))),
        (Noted(), Look(2)),
        (Found([]), Rest(LONGEST_S, is_light=True)),
        (Noted(), Look(2)),
    )
    assert courier.standing.delivered == 2


def test_findings_gather_but_a_full_batch_goes_at_once():
    courier = Courier("sink", limit=2)
    play(
        courier,
        (Found(findings(1)), Send(findings(1))),
        (Taken(), Settle(ids(findings(1)))),
        (Noted(), Look(2)),
        (Found(findings(1)), Rest(PACE_S, is_light=False)),
        (Noted(), Look(2)),
        (Found(findings(2)), Send(findings(2))),
    )
    play(courier, (Found(findings(1)), Send(findings(1))), now_s=PACE_S)


def test_a_sink_that_is_away_is_tried_again_and_no_later_than_a_second(caplog):
    caplog.set_level(logging.INFO, "fedxdr")
    courier = Courier("sink")
    waits = []
    for turn in range(50):
        assert courier.take(Found(findings(1)), now_s=turn) == Send(findings(1))
        rest = courier.take(Missed("no answer"), now_s=turn)
        assert not rest.is_light
        waits.append(rest.seconds)
        assert courier.take(Noted(), now_s=turn) == Look(delivering.BATCH)
    assert waits[:6] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0]
    assert set(waits[6:]) == {LONGEST_S}
    assert courier.standing.failures == 50
    assert courier.standing.reason == "no answer"
    courier.take(Found(findings(1)), now_s=60)
    courier.take(Taken(), now_s=60.25)
    assert courier.standing.failures == 0
    assert courier.standing.reason == ""
    # told once when it goes and once when it comes back
    assert [record.message for record in caplog.records] == [
        "sink is away; its findings wait",
        "sink is back",
    ]
    assert caplog.records[1].down_s == 60.2


def test_one_bad_record_holds_up_no_other():
    courier = Courier("sink", limit=3)
    good, bad, last = findings(3)
    play(
        courier,
        (Found([good, bad, last]), Send([good, bad, last])),
        (Rejected("no"), Look(1)),
        (Found([good]), Send([good])),
        (Taken(), Settle((good.id,))),
        (Noted(), Look(1)),
        (Found([bad]), Send([bad])),
        (Missed("away"), Rest(0.05, is_light=False)),
        (Noted(), Look(1)),
        (Found([bad]), Send([bad])),
        (Rejected("no"), SetAside((bad.id,))),
        (Noted(), Look(1)),
        (Found([last]), Send([last])),
        (Taken(), Settle((last.id,))),
        (Noted(), Look(3)),
    )
    assert (courier.standing.delivered, courier.standing.set_aside) == (2, 1)


def test_alone_ends_when_nothing_is_due():
    courier = Courier("sink", limit=3)
    play(
        courier,
        (Found(findings(3)), Send(findings(3))),
        (Rejected("no"), Look(1)),
        (Found([]), Rest(LONGEST_S, is_light=True)),
        (Noted(), Look(3)),
    )


class Memory:
    """A sink in memory that can be away, refuse, and break."""

    def __init__(self, name="memory"):
        self.name = name
        self.taken = []
        self.error = None
        self.poison = set()
        self.is_closed = False
        self.arrived = threading.Condition()

    def send(self, batch):
        if self.error is not None:
            raise self.error
        if self.poison & set(ids(batch)):
            raise InvalidInput("poison")
        with self.arrived:
            self.taken += batch
            self.arrived.notify_all()

    def close(self):
        self.is_closed = True

    def wait(self, count, timeout_s=5):
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.taken) >= count, timeout_s)
        return self.taken


@pytest.fixture
def running(tmp_path):
    opened = []

    def start(*sinks, **settings):
        box = Outbox(tmp_path / "outbox.db", sinks=[one.name for one in sinks])
        opened.append(box)
        return box, Deliveries(box, sinks, **settings)

    yield start
    for one in opened:
        one.close()


def test_each_sink_gets_each_finding(running):
    one, two = Memory("one"), Memory("two")
    box, deliveries = running(one, two)
    box.put(findings(3))
    with deliveries:
        began = time.monotonic()
        assert deliveries.put(findings(5)) == 2
        assert one.wait(5) == two.wait(5) == findings(5)
        assert time.monotonic() - began < 2
        assert deliveries.drain(timeout_s=5)
        assert deliveries.newest(2) == findings(2, begin=3)
        assert [one.delivered for one in deliveries.standings()] == [5, 5]
    assert one.is_closed
    assert two.is_closed
    assert box.waiting("one") == 0


def test_who_is_away_holds_up_nobody_and_gets_all_later(running, caplog):
    there, away = Memory("there"), Memory("away")
    away.error = Unavailable("gone")
    box, deliveries = running(there, away)
    with deliveries:
        deliveries.put(findings(4))
        there.wait(4)
        assert deliveries.waiting()["away"] == 4
        assert not deliveries.drain(timeout_s=0.1)
        assert box.waiting("away") == 4
        away.error = None
        assert away.wait(4) == findings(4)
    assert "sink is away" in caplog.text


def test_poison_is_set_aside_and_kept(running):
    sink = Memory()
    sink.poison = {finding(1).id}
    box, deliveries = running(sink)
    with deliveries:
        deliveries.put(findings(4))
        sink.wait(3)
        assert deliveries.drain(timeout_s=5)
    assert ids(sink.taken) == ids([finding(0), finding(2), finding(3)])
    assert box.waiting("memory") == 1
    assert box.put_back("memory") == 1


def test_a_sink_with_a_bug_is_tried_again(running, caplog):
    sink = Memory()
    sink.error = ZeroDivisionError()
    _, deliveries = running(sink)
    with deliveries:
        deliveries.put(findings(1))
        while not deliveries.standings()[0].failures:
            time.sleep(0.01)
        assert deliveries.standings()[0].reason == "ZeroDivisionError"
        sink.error = None
        sink.wait(1)
    assert "a sink failed" in caplog.text


def test_a_fault_of_the_outbox_ends_deliveries(running, monkeypatch):
    sink = Memory()
    box, deliveries = running(sink)

    def fail(*_):
        raise StorageFault("the disk said no")

    monkeypatch.setattr(box, "done", fail)
    with deliveries:
        deliveries.put(findings(1))
        with pytest.raises(StorageFault, match="the disk"):  # noqa: PT012 - it comes
            while True:
                deliveries.put(findings(1))
                time.sleep(0.01)
        with pytest.raises(StorageFault):
            deliveries.drain(timeout_s=1)


def test_what_was_not_settled_comes_again(running, tmp_path):
    sink = Memory()
    box, deliveries = running(sink)
    sink.error = Unavailable("gone")
    with deliveries:
        deliveries.put(findings(2))
    box.close()
    again = Memory()
    _, deliveries = running(again)
    with deliveries:
        assert again.wait(2) == findings(2)
    assert (tmp_path / "outbox.db").exists()


def test_a_sink_that_hangs_is_left_to_the_end_of_the_process(running, monkeypatch):
    monkeypatch.setattr(delivering, "_PATIENCE_S", 0.1)
    sink, released = Memory(), threading.Event()
    sink.send = lambda _: released.wait(10)
    box, deliveries = running(sink)
    with deliveries:
        deliveries.put(findings(1))
        time.sleep(0.05)
    assert not sink.is_closed
    box.close()
    released.set()
    for line in deliveries._lines:
        line.thread.join(5)
    # what it took so late was not noted: the outbox may be another process's by now
    with pytest.raises(StorageFault, match="was closed"):
        deliveries.check()


def test_what_is_taken_while_it_ends_is_settled(running):
    sink, began = Memory(), threading.Event()

    def slow(_batch):
        began.set()
        time.sleep(0.1)

    sink.send = slow
    box, deliveries = running(sink)
    with deliveries:
        deliveries.put(findings(2))
        assert began.wait(5)
    assert box.waiting("memory") == 0
