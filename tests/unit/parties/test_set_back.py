# SPDX-License-Identifier: Apache-2.0
"""A witness that was set back to a backup signs no second root for a size."""

import dataclasses

import pytest

from fedxdr.core.errors import AlreadyAnswered, BelowFloor
from fedxdr.core.ids import sha256
from fedxdr.parties.following import Follower
from fedxdr.parties.witness import Witness
from fedxdr.storage.memory import MemoryCheckpointStore


@pytest.fixture
def settled(world):
    """Return a federation after a round; every head is cosigned by all."""
    federation = world(n=4)
    federation.start()
    federation.go_on()
    federation.fed.step()
    return federation


def test_what_was_cosigned_outlives_the_database(settled):
    agent = settled.participant("org-a")
    size = agent.mirror.size()
    held = agent._desk.fence.held(f"head/{size}")
    assert held == agent.mirror.root_at(size)


def test_another_root_than_the_one_held_is_not_cosigned(settled):
    agent = settled.participant("org-a")
    fence = agent._desk.fence
    size = agent.mirror.size()
    store = MemoryCheckpointStore()
    root = agent.mirror.root_at(size)
    store.put(size, root, settled.orchestrator.heads._store.get(size))
    fence._answers[f"head/{size}"] = sha256(b"another root, before the backup")
    back = Witness(
        me=agent.me,
        mirror=agent.mirror,
        store=store,
        clock=settled.fed.clock,
        hold=fence.hold,
    )
    # (without its own lines, which the backup did not have)
    log_lines = settled.orchestrator.heads.at(size).split(b"\n")
    bare = b"\n".join(line for line in log_lines if b" org-a " not in line)
    store._heads[size] = (store._heads[size][0], bare)
    with pytest.raises(AlreadyAnswered):
        back.cosign(agent._desk.identity)
    assert b" org-a " not in store.get(size)


def test_whoever_cannot_remember_cosigns_nothing(settled):
    agent = settled.participant("org-a")
    size = agent.mirror.size()
    head = settled.orchestrator.heads.at(size).split(b"\n")
    bare = b"\n".join(line for line in head if b" org-a " not in line)
    store = MemoryCheckpointStore()
    store.put(size, agent.mirror.root_at(size), bare)
    reader = Witness(
        me=agent.me, mirror=agent.mirror, store=store, clock=settled.fed.clock
    )
    with pytest.raises(BelowFloor, match="outlives a backup"):
        reader.cosign(agent._desk.identity)


def test_a_copy_waits_for_the_others(world):
    federation = world(n=4)
    copy = federation.participant("org-a")

    @dataclasses.dataclass
    class Copy:
        """A fence that knows that it was restored."""

        port: object
        is_copy: bool = True

        def __getattr__(self, name):
            return getattr(self.port, name)

        def settle(self):
            """Stay a copy: what is looked at here is the time before."""

    fence = Copy(copy._desk.fence)
    copy._desk = dataclasses.replace(copy._desk, fence=fence)
    copy.follower._fence = fence
    heads = federation.orchestrator.heads
    copy.step(wait_s=0)
    assert heads.cosigned_by(1) == ()
    for org in ("org-b", "org-c", "org-d"):
        federation.participant(org).step(wait_s=0)
    copy.step(wait_s=0)
    assert heads.cosigned_by(1) == ("org-a", "org-b", "org-c", "org-d")
    assert isinstance(copy.follower, Follower)
