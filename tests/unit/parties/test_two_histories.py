# SPDX-License-Identifier: Apache-2.0
"""A witness that dies between its writes and is shown another history next.

The orchestrator is real and signs both. Whatever of the first one is on the disk, the
witness cosigns nothing of the other, and its proof convicts the log.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from fedxdr.core.errors import BadSignature, InvalidInput
from fedxdr.core.ids import OrgId
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation.floor import Floor
from fedxdr.ledger import checkpoint, equivocation, note
from fedxdr.parties.following import Follower, Joined
from fedxdr.parties.recording import Recorder
from fedxdr.storage.fence import MemoryFence
from fedxdr.storage.memory import (
    MemoryBlobs,
    MemoryBlockStore,
    MemoryCheckpointStore,
    MemoryNotes,
)

A, B, C, D = (OrgId(f"org-{letter}") for letter in "abcd")


class Killed(BaseException):
    """The process ended here, as if by SIGKILL."""


class Fuse:
    """Ends the process before its n-th write."""

    def __init__(self, at: int) -> None:
        self.left = at

    def on(self, owner: Any, name: str) -> None:
        act = getattr(owner, name)

        def write(*args: Any, **how: Any) -> Any:
            self.left -= 1
            if not self.left:
                raise Killed
            return act(*args, **how)

        setattr(owner, name, write)


class Shown:
    """The way to an orchestrator that shows one history, as honestly as it can."""

    def __init__(self) -> None:
        self.fork: Any = None
        self.size = 0
        self.sent: list[tuple[int, bytes]] = []

    def show(self, fork: Any, *, size: int | None = None) -> None:
        self.fork, self.size = fork, size or fork.recorder.size()

    def checkpoint(self, size: int | None = None) -> bytes:
        return self.fork.head(size or self.size, by=(A, B, C))

    def blocks(self, *, begin: int, end: int) -> Any:
        return self.fork.recorder.blocks(begin=begin, end=min(end, self.size))

    def cosign(self, size: int, lines: bytes) -> None:
        self.sent.append((size, lines))


class Agent:
    """org-d's disk, and what runs over it.

    Args:
        world: whose Genesis it has seen.
        is_paired: whether blocks and heads lie in one database, as outside of tests.
    """

    def __init__(self, world: Any, *, is_paired: bool = True) -> None:
        self.world = world
        self.heads = MemoryCheckpointStore()
        self.blocks = MemoryBlockStore(self.heads if is_paired else None)
        self.fence, self.files, self.link = MemoryFence(), MemoryNotes(), Shown()
        seen = world.participant(D)
        self.heads._heads.update(seen.follower.witness._store._heads)
        self.blocks._blocks += seen.mirror._store._blocks
        self.fence._answers.update(seen._desk.fence._answers)
        self.start()
        assert (self.mirror.size(), self.heads.sizes()) == (1, [1])

    def start(self) -> None:
        clock = self.world.fed.clock
        self.mirror = Recorder(store=self.blocks, blobs=MemoryBlobs(), clock=clock)
        self.follower = Follower(
            me=D,
            identity=self.world.fed.keys[D],
            mirror=self.mirror,
            checkpoints=self.heads,
            link=self.link,
            floor=Floor(),
            clock=clock,
            joined=Joined,
            fence=self.fence,
            proofs=self.files,
        )

    def look(self) -> None:
        self.follower.follow(self.link.size)

    def killed(self, *, at: int) -> bool:
        """Look once and die before the n-th write, and start again; whether it died."""
        fuse = Fuse(at)
        writes = [(self.heads, "put"), (self.blocks, "append"), (self.fence, "hold")]
        writes.append((self.link, "cosign"))
        for port, name in writes:
            fuse.on(port, name)
        self.start()
        try:
            self.look()
        except Killed:
            return True
        finally:
            for port, name in writes:
                delattr(port, name)
            self.start()
        return False

    def cosigned(self, fork: Any) -> set[int]:
        """Return the sizes beyond the first at which it has cosigned a history."""
        found = set()
        for size in range(2, fork.recorder.size() + 1):
            text = note.parse(fork.head(size)).text
            stored = self.heads.get(size)
            mine = stored and D in {s.name for s in note.parse(stored).signatures}
            if mine and note.parse(stored).text == text:
                found.add(size)
            if self.fence.held(f"head/{size}") == fork.recorder.root_at(size):
                found.add(size)
        return found

    def holds(self, fork: Any) -> bool:
        """Return whether something of this history lies on the disk."""
        size = self.blocks.size()
        has_head = any(
            checkpoint.parse(self.heads.get(n)).root.hex() == fork.recorder.root_at(n)
            for n in self.heads.sizes()
            if n > 1
        )
        return has_head or (
            size > 1 and self.mirror.root_at(size) == fork.recorder.root_at(size)
        )

    def convicted(self, kind: str | None = None) -> equivocation.Conviction:
        """Return the one conviction; its proof is a file that anybody can check."""
        ((_, proof),) = self.follower.accuser.proofs().items()
        found = equivocation.verify(proof, log=self.world.fed.recorder.standing.log)
        assert kind in {None, found.kind}
        return found


@pytest.fixture(scope="module")
def world(plain_world):
    """Return four members whose ledger is their Genesis."""
    made = plain_world(n=4)
    made.fed.step()
    return made


def history(world: Any, name: str, *, begin: int = 1, turn: int = 0, size: int) -> Any:
    """Return a history that parts from any other one after its first blocks.

    Args:
        world: whose ledger it is.
        name: what it calls its rounds.
        begin: how many blocks are like those of the others.
        turn: with how many blocks a member joins, 0 for never.
        size: how many blocks it has.
    """
    fork = world.fork(1)
    fork.head = cache(fork.head)
    while fork.recorder.size() < size:
        now = fork.recorder.size() + 1
        if now == turn and now > begin:
            key = IdentityKey(seed=name.encode().ljust(32)[:32])
            fork.enrol("org-new", key, A, B, C)
        else:
            fork.fail_a_round(f"round-{now}{name if now > begin else ''}")
    return fork


# Heads whose blocks are not here: a death, or an agent of before, left them.


def leave(agent: Agent, fork: Any, size: int) -> None:
    agent.heads.put(size, fork.recorder.root_at(size), fork.head(size, by=(A, B, C)))


@pytest.mark.parametrize(("size", "kind"), [(2, "roots"), (3, "prefix"), (4, "prefix")])
def test_no_history_is_taken_that_a_stored_head_contradicts(world, size, kind):
    first = history(world, "x", turn=2, size=3)
    other = history(world, "y", size=size)
    agent = Agent(world)
    leave(agent, first, 2)
    agent.link.show(other)
    for _ in range(3):
        with pytest.raises(BadSignature, match="another root over 2 blocks before"):
            agent.look()
        assert agent.blocks.size() == 1
        assert agent.heads.sizes() == [1, 2]
    assert agent.cosigned(other) == set()
    assert not agent.link.sent
    found = agent.convicted(kind)
    assert (found.first.size, found.second.size) == (2, size)


def test_the_stored_head_of_a_later_block_contradicts_as_well(world):
    agent = Agent(world)
    leave(agent, history(world, "x", size=3), 3)
    other = history(world, "y", size=4)
    agent.link.show(other, size=2)
    agent.look()  # nothing shows yet that it is another one
    assert agent.cosigned(other) == {2}
    agent.link.show(other)
    with pytest.raises(BadSignature, match="another root over 3 blocks before"):
        agent.look()
    assert agent.blocks.size() == 2
    agent.convicted("prefix")


@pytest.mark.parametrize("size", [3, 4])
def test_every_stored_head_is_looked_at_for_a_proof(world, size):
    """The largest one agrees with what is shown, a smaller one does not."""
    other = history(world, "y", size=size)
    agent = Agent(world)
    leave(agent, history(world, "x", size=2), 2)
    leave(agent, other, 3)
    agent.link.show(other)
    with pytest.raises(BadSignature, match="another root over 2 blocks before"):
        agent.look()
    found = agent.convicted("prefix")
    assert (found.first.size, found.second.size) == (2, size)


def test_a_mirror_that_contradicts_its_stored_head_convicts(world):
    """What agents of before could come to: the blocks of one, the head of another."""
    agent = Agent(world)
    leave(agent, history(world, "x", turn=2, size=2), 2)
    other = history(world, "y", size=2)
    agent.mirror.append(other.recorder.blocks(begin=1, end=2)[0])
    agent.start()
    agent.link.show(other)
    assert not agent.follower.witness.has_head()
    for _ in range(2):
        with pytest.raises(BadSignature, match="another root over 2 blocks before"):
            agent.look()
    with pytest.raises(BadSignature, match="another root over 2 blocks before"):
        agent.follower.witness.cosign(world.fed.keys[D])
    assert agent.fence.held("head/2") is None
    agent.convicted("roots")


# Deaths.


@pytest.mark.parametrize("is_paired", [True, False])
@pytest.mark.parametrize(("begin", "size"), [(1, 5), (1, 6), (1, 3), (2, 4), (3, 7)])
def test_killed_at_any_write_and_shown_another_history(world, is_paired, begin, size):
    first = history(world, "x", turn=3, size=5)
    other = history(world, "y", begin=begin, turn=3, size=7)
    at = 0
    while True:
        at += 1
        agent = Agent(world, is_paired=is_paired)
        agent.link.show(first)
        is_burnt = agent.killed(at=at)
        is_begun = agent.holds(first)
        was = agent.blocks.size(), agent.mirror.root_at(agent.blocks.size())
        for shown in (size, 7):
            agent.link.show(other, size=shown)
            for _ in range(2):
                refused = is_refused(agent.look)
                agent.start()
        if is_begun:
            assert refused, at
            assert agent.mirror.root_at(was[0]) == was[1]
            agent.convicted()
        else:
            assert at == 1
            assert agent.mirror.root_at(7) == other.recorder.root_at(7)
        both = set(range(begin + 1))
        apart = [agent.cosigned(told) - both for told in (first, other)]
        assert not all(apart), at
        if not is_burnt:
            break
    assert at > 7
    assert apart == [{5}, set()]


def is_refused(look: Callable[[], None]) -> bool:
    try:
        look()
    except InvalidInput:
        return True
    return False


@pytest.mark.parametrize("is_paired", [True, False])
def test_killed_at_any_write_it_goes_on_with_the_true_history(world, is_paired):
    true = history(world, "x", turn=3, size=6)
    at, is_burnt = 0, True
    while is_burnt:
        at += 1
        agent = Agent(world, is_paired=is_paired)
        agent.link.show(true, size=5)
        is_burnt = agent.killed(at=at)
        for size in (5, 6):
            agent.link.show(true, size=size)
            agent.look()
        assert agent.blocks.size() == 6
        assert agent.cosigned(true) == {5, 6}
        # a bundle of it has the turn's head, with its quorum
        assert set(agent.follower.witness.for_bundle()) == {3, 6}
        assert not agent.follower.accuser.proofs()


def test_a_turn_is_stored_with_its_block_and_never_before(world):
    true = history(world, "x", turn=3, size=5)
    for at in range(1, 8):
        agent = Agent(world)
        agent.link.show(true)
        agent.killed(at=at)
        assert (agent.heads.get(3) is not None) == (agent.blocks.size() >= 3)
    # one block and its head are there both or neither
    seen = set()
    for at in range(1, 6):
        agent = Agent(world)
        agent.link.show(true, size=2)
        agent.killed(at=at)
        seen.add((agent.blocks.size(), tuple(agent.heads.sizes())))
    assert seen == {(1, (1,)), (2, (1, 2))}


def test_a_turn_without_its_quorum_leaves_nothing(world):
    true = history(world, "x", turn=3, size=5)
    agent = Agent(world)
    agent.link.show(true)
    honest = agent.link.checkpoint
    agent.link.checkpoint = lambda size=None: true.head(3) if size == 3 else honest()
    with pytest.raises(InvalidInput, match="quorum"):
        agent.look()
    assert (agent.blocks.size(), agent.heads.sizes()) == (1, [1])
