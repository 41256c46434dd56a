# SPDX-License-Identifier: Apache-2.0
"""Heads with a quorum are offered to be anchored, once each, beside the rounds."""

import threading
from types import SimpleNamespace

import pytest

from fedxdr.app import anchoring
from fedxdr.app.anchoring import HeadWatch
from fedxdr.cli.anchored import anchor_target, anchored
from fedxdr.core.errors import InvalidSettings, StorageFault, WaitingForQuorum
from fedxdr.ledger.checkpoint import Checkpoint


class Heads:
    """Signed heads as the orchestrator has them."""

    def __init__(self):
        self.quorate = 0

    def newest_quorum(self):
        if not self.quorate:
            raise WaitingForQuorum("nobody has cosigned")
        return self.quorate

    def at(self, size):
        return Checkpoint(origin="test", size=size, root=bytes(32)).body()


@pytest.fixture
def service():
    heads = Heads()
    orchestrator = SimpleNamespace(heads=heads)
    return SimpleNamespace(orchestrator=orchestrator, lock=threading.Lock())


def test_a_head_is_offered_when_it_has_its_quorum_and_once(service):
    offered = []
    watch = HeadWatch(service, offered.append)
    watch.look()
    assert offered == []
    for size in (1, 1, 3, 3):
        service.orchestrator.heads.quorate = size
        watch.look()
    assert [head.size for head in offered] == [1, 3]


def test_the_lock_is_free_while_a_head_is_offered(service):
    service.orchestrator.heads.quorate = 1
    held = []
    HeadWatch(service, lambda _: held.append(service.lock.locked())).look()
    assert held == [False]


def test_it_stops_when_it_is_told_to(service):
    service.orchestrator.heads.quorate = 2
    seen = threading.Event()
    watch = HeadWatch(service, lambda _: seen.set(), look_s=0.001)
    watch.start()
    assert seen.wait(10)
    watch.stop()


@pytest.mark.parametrize("error", [RuntimeError("a bug"), StorageFault("the disk")])
def test_no_error_ends_the_watch_and_none_is_hidden(service, caplog, error):
    service.orchestrator.heads.quorate = 2
    seen = threading.Event()
    failures = [error, error]

    def offer(_head):
        if failures:
            raise failures.pop()
        seen.set()

    watch = HeadWatch(service, offer, look_s=0.001)
    watch.start()
    try:
        assert seen.wait(10), "it looks again"
    finally:
        watch.stop()
    told = [record for record in caplog.records if record.name == anchoring.__name__]
    assert len(told) == 2
    for record in told:
        if isinstance(error, StorageFault):
            assert (record.levelname, record.reason) == ("WARNING", "the disk")
        else:
            assert record.levelname == "ERROR"
            assert record.exc_info[1] is error


def test_while_it_fails_it_looks_less_and_less_often(service, monkeypatch):
    monkeypatch.setattr(anchoring, "_LONGEST_WAIT_S", 10.0)
    service.orchestrator.heads.quorate = 2
    outcomes = [True] * 4 + [False, True]
    waits = []

    def offer(_head):
        if outcomes.pop(0):
            raise RuntimeError("a bug")
        service.orchestrator.heads.quorate += 1

    class Clock:
        """Stands in for the event that ends the watch; no time passes."""

        def wait(self, seconds):
            waits.append(seconds)
            return not outcomes

    watch = HeadWatch(service, offer, look_s=2.0)
    watch._stop = Clock()
    watch._run()
    assert waits == [2.0, 4.0, 8.0, 10.0, 10.0, 2.0, 4.0]


def test_the_three_options_go_together(tmp_path):
    key = tmp_path / "owner.key"
    key.write_text("0x" + "11" * 32)
    key.chmod(0o600)
    assert anchor_target(None, None, None) is None
    found = anchor_target("http://127.0.0.1:1", "0x" + "22" * 20, key)
    assert found.secret == bytes.fromhex("11" * 32)
    for some in (("http://x", None, None), (None, "0x", key), ("http://x", "0x", None)):
        with pytest.raises(InvalidSettings, match="go together"):
            anchor_target(*some)


def test_without_a_target_nothing_is_started(tmp_path):
    with anchored(None, tmp_path, None):
        pass
    assert list(tmp_path.iterdir()) == []
