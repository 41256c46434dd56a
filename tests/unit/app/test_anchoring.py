# SPDX-License-Identifier: Apache-2.0
"""Heads with a quorum are offered to be anchored, once each, beside the rounds."""

import threading
from types import SimpleNamespace

import pytest

from fedxdr.app.anchoring import HeadWatch
from fedxdr.cli.anchored import anchor_target, anchored
from fedxdr.core.errors import InvalidSettings, WaitingForQuorum
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
