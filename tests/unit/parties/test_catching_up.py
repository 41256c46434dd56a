# SPDX-License-Identifier: Apache-2.0
"""An orchestrator that is set back to a backup never signs a second root for a size."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest

from fedxdr.core.errors import (
    BadSignature,
    InvalidInput,
    MalformedMessage,
    NotFound,
    Unavailable,
    UnknownSender,
    VerificationFailed,
    WaitingForQuorum,
    WrongPhase,
)
from fedxdr.core.ids import OrgId, RoundId, sha256
from fedxdr.federation.phases import Kind, Phase
from fedxdr.ledger import checkpoint, heads
from fedxdr.ledger.entries import PlanAdopted, RoundFailed
from fedxdr.parties import testifying
from fedxdr.parties.catching_up import Restoration
from fedxdr.parties.orchestrator import Orchestrator
from fedxdr.parties.recording import Recorder
from fedxdr.parties.testimony import Heard
from fedxdr.parties.testimony import Testimony as Told
from fedxdr.storage.fence import MemoryFence
from fedxdr.storage.memory import MemoryBlobs, MemoryBlockStore

A, B, C, D = ORGS = tuple(OrgId(f"org-{letter}") for letter in "abcd")


class MemoryMark:
    """What would stand in ``restored.json``."""

    def __init__(self, found: Restoration | None = None) -> None:
        self.found = found

    def read(self) -> Restoration | None:
        return self.found

    def write(self, found: Restoration) -> None:
        self.found = found

    def clear(self) -> None:
        self.found = None


@dataclass(kw_only=True)
class Backup:
    """A copy of all that an orchestrator has stored."""

    stores: dict[str, Any]

    @classmethod
    def of(cls, world) -> Backup:
        old = world.orchestrator
        stores = {
            "facts": old._facts,
            "blobs": old.blobs,
            "blocks": old.recorder._store,
            "checkpoints": old.heads._store,
            "changes": old.governance._store,
            "registry": old._registry,
        }
        return cls(stores=copy.deepcopy(stores))

    @property
    def size(self) -> int:
        return self.stores["blocks"].size()

    def restore(self, world, mark: MemoryMark | None, fence=None) -> Orchestrator:
        """Put an orchestrator on a copy of this backup in place of the present one."""
        old, stores = world.orchestrator, copy.deepcopy(self.stores)
        recorder = Recorder(
            store=stores.pop("blocks"), blobs=stores["blobs"], clock=world.fed.clock
        )
        new = Orchestrator(
            **stores,
            recorder=recorder,
            clock=old._clock,
            entropy=old._entropy,
            identity=old._identity,
            plan_for=old._plan_for,
            fence=fence,
            mark=mark,
        )
        world.fed.orchestrator, world.fed.recorder = new, recorder
        world.fed.registrar._orchestrator = new
        world.fed.registrar.recogniser._orchestrator = new
        for link in world.links.values():
            link._orchestrator = new
        return new


def marked(backup: Backup) -> MemoryMark:
    return MemoryMark(Restoration(since=backup.size))


def roots_seen(world) -> dict[int, set[str]]:
    """Return every root that anybody stores for a size."""
    stores = [world.orchestrator.heads._store]
    stores += [p._checkpoints for p in world.fed.participants.values()]
    found: dict[int, set[str]] = {}
    for store in stores:
        for size in store.sizes():
            root = checkpoint.parse(store.get(size)).root.hex()
            found.setdefault(size, set()).add(root)
    return found


def assert_one_history(world) -> None:
    assert all(len(roots) == 1 for roots in roots_seen(world).values())
    for agent in world.fed.participants.values():
        assert not agent.follower.accuser.proofs()


def failed() -> RoundFailed:
    return RoundFailed(
        round_id=RoundId("round-9-000000000000"),
        phase="announced",
        reason="too-few-participants",
        sentence="nobody came",
        survivors=(),
    )


@pytest.fixture
def federation(world):
    """Four members after a round; every head has its quorum and all know that."""
    found = world(n=4)
    found.play("statistics")
    found.fed.step()
    found.fed.step()
    return found


def adopt_unseen_quorum(world, *cosigners: OrgId) -> int:
    """Adopt a plan whose head these cosign, and nobody knows of its quorum yet."""
    world.orchestrator.propose_plan({"clip_norm": 3.5})
    size = world.orchestrator.recorder.size()
    for _ in range(3):
        if world.orchestrator.recorder.size() > size:
            break
        for org in ORGS[:3]:
            if world.orchestrator.recorder.size() == size:
                world.participant(org).step(wait_s=0)
    assert world.orchestrator.recorder.size() == size + 1
    for org in cosigners:
        world.participant(org).step(wait_s=0)
    return size + 1


# The promise.


def test_what_was_signed_after_the_backup_comes_back(federation):
    """The sequence of the review: one block more, its quorum not known to members."""
    backup = Backup.of(federation)
    size = adopt_unseen_quorum(federation, *ORGS)
    newest = federation.orchestrator.heads.newest()
    mark = marked(backup)
    restored = backup.restore(federation, mark)
    assert restored.recorder.size() == size - 1
    assert restored.standing().is_restored
    assert restored.standing().awaited == ORGS
    with pytest.raises(WaitingForQuorum, match="org-a, org-b, org-c, org-d"):
        restored.start_round()
    federation.step()
    assert mark.found is None
    assert not restored.standing().is_restored
    assert restored.recorder.size() == size
    assert isinstance(restored.recorder.in_force.head.entry, PlanAdopted)
    assert checkpoint.parse(restored.heads.newest()) == checkpoint.parse(newest)
    assert restored.heads.has_quorum(size)
    # and it goes on where the others are
    assert federation.play().phase is Phase.COMMITTED
    federation.step()
    # (the plan of the settings again, and the round)
    assert federation.orchestrator.recorder.size() == size + 2
    assert_one_history(federation)


def test_without_the_mark_it_would_convict_itself(federation):
    """The comparison can fail: this is what the mark is for."""
    backup = Backup.of(federation)
    size = adopt_unseen_quorum(federation, *ORGS)
    restored = backup.restore(federation, None)
    restored.heads.append(restored.recorder.draft(failed()))
    assert restored.recorder.size() == size
    with pytest.raises(BadSignature):
        federation.participant(A).follower.witness.check_old(restored.heads.newest())


def test_one_member_that_saw_it_is_enough(federation):
    backup = Backup.of(federation)
    size = adopt_unseen_quorum(federation, D)
    federation.orchestrator.heads.newest()
    assert federation.participant(D).mirror.size() == size
    behind = [o for o in ORGS if federation.participant(o).mirror.size() < size]
    assert behind == [A, B, C]
    mark = marked(backup)
    restored = backup.restore(federation, mark)
    for org in ORGS[:3]:
        federation.participant(org).step(wait_s=0)
    assert restored.recorder.size() == size - 1
    assert restored.standing().awaited == (D,)
    assert "not yet: org-d." in restored.catching_up.sentence
    federation.participant(D).step(wait_s=0)
    assert mark.found is None
    assert restored.recorder.size() == size
    federation.step()
    federation.step()
    assert_one_history(federation)


def test_a_silent_member_is_waited_for_and_named(federation):
    backup = Backup.of(federation)
    size = adopt_unseen_quorum(federation, *ORGS)
    restored = backup.restore(federation, marked(backup))
    for _ in range(3):
        federation.step(gone=lambda org: org == B)
    standing = restored.standing()
    assert standing.is_restored
    assert standing.awaited == (B,)
    # the blocks are back already, and are served
    assert restored.recorder.size() == size
    assert restored.heads.newest()
    refused = (
        restored.start_round,
        lambda: restored.propose_plan({}),
        lambda: restored.cosign(size, A, b""),
        lambda: restored.approve(sha256(b"x"), A, None),
        lambda: restored.receive(RoundId("round-1-0"), Kind.KEYS, A, b""),
        lambda: restored.heads.append(restored.recorder.draft(failed())),
    )
    for act in refused:
        with pytest.raises(WaitingForQuorum, match=r"not yet: org-b\."):
            act()
    assert restored.drive() is None
    assert restored.recorder.size() == size


def test_nobody_tells_twice_and_nobody_is_busy(federation):
    backup = Backup.of(federation)
    backup.restore(federation, marked(backup))
    link, told = federation.links[A], []
    link.testify = lambda said, tell=link.testify: told.append(said) or tell(said)
    for _ in range(4):
        federation.participant(A).step(wait_s=0)
    assert len(told) == 1
    assert not told[0].blocks


def test_many_blocks_come_in_pages_and_a_kill_between_them_loses_nothing(
    federation, monkeypatch
):
    monkeypatch.setattr(testifying, "BLOCKS_AT_ONCE", 2)
    backup = Backup.of(federation)
    for number in range(5):
        federation.orchestrator.propose_plan({"clip_norm": 2.0 + number})
        federation.step()
        federation.step()
    size = federation.orchestrator.recorder.size()
    assert size == backup.size + 5
    federation.step()
    newest = federation.orchestrator.heads.newest()
    mark = marked(backup)
    restored = backup.restore(federation, mark)
    # the first page, and the orchestrator is killed
    agent = federation.participant(A)
    page = testifying.page(agent.mirror, agent._checkpoints, begin=backup.size)
    heard = restored.testify(A, page)
    assert heard.size == backup.size + 2
    assert mark.found.owed == size
    assert mark.found.told == {}
    Backup.of(federation).restore(federation, mark)
    again = federation.orchestrator
    assert again is not restored
    assert again.recorder.size() == backup.size + 2
    # whoever has no more than that has told; the rest is owed
    federation.step(gone=lambda org: org == A)
    assert again.recorder.size() == size
    assert again.standing().awaited == (A,)
    federation.step()
    assert mark.found is None
    assert checkpoint.parse(again.heads.newest()) == checkpoint.parse(newest)
    federation.play()
    assert_one_history(federation)


def test_what_is_owed_is_waited_for_when_all_have_told(federation):
    """A head was shown, whose blocks nobody hands over."""
    backup = Backup.of(federation)
    size = adopt_unseen_quorum(federation, *ORGS)
    newest = federation.orchestrator.heads.newest()
    mark = marked(backup)
    restored = backup.restore(federation, mark)
    root = restored.recorder.root_at(size - 1)
    for org in ORGS:
        said = Told(size=size - 1, root=root, heads=(newest,))
        assert restored.testify(org, said) == Heard(size=size - 1)
    assert set(mark.found.told) == set(ORGS)
    assert mark.found.owed == size
    assert restored.standing().awaited == ORGS
    assert f"a head over {size} blocks and has {size - 1}" in (
        restored.catching_up.sentence
    )
    federation.participant(C).step(wait_s=0)
    assert mark.found is None
    assert restored.recorder.size() == size


def test_a_committed_round_comes_back_with_its_model(federation):
    backup = Backup.of(federation)
    assert federation.play().phase is Phase.COMMITTED
    federation.step()
    model = federation.orchestrator.recorder.in_force.model
    restored = backup.restore(federation, marked(backup))
    assert not restored.blobs.has(model)
    federation.step()
    assert not restored.standing().is_restored
    assert restored.recorder.in_force.model == model
    assert restored.blobs.has(model)
    assert federation.play().phase is Phase.COMMITTED
    assert_one_history(federation)


def test_the_model_in_force_is_waited_for(federation):
    backup = Backup.of(federation)
    federation.play()
    federation.step()
    model = federation.orchestrator.recorder.in_force.model
    file = federation.orchestrator.blobs.get(model)
    restored = backup.restore(federation, marked(backup))
    for org in ORGS:
        federation.participant(org)._desk.blobs.delete(model)
    federation.step()
    assert restored.standing().awaited == ORGS
    assert f"the model in force, {model}, yet" in restored.catching_up.sentence
    with pytest.raises(NotFound):
        restored.give_model(A, b"another file")
    with pytest.raises(UnknownSender):
        restored.give_model(OrgId("stranger"), file)
    federation.participant(B)._desk.blobs.put(file)
    federation.participant(B).step(wait_s=0)
    assert not restored.standing().is_restored
    restored.give_model(A, b"whatever")  # nothing is lacking any more


def test_nothing_but_models_of_the_ledger_leaves_an_agent(federation):
    backup = Backup.of(federation)
    backup.restore(federation, marked(backup))
    agent = federation.participant(A)
    secret = agent._desk.blobs.put(b"a masked vector")
    model = agent.mirror.in_force.model
    agent.model(model)
    given: list[bytes] = []
    link = federation.links[A]
    link.testify = lambda said: Heard(size=said.begin, models=(secret, model))
    link.give_model = given.append
    agent.step(wait_s=0)
    assert list(map(sha256, given)) == [model]


# Rounds that a backup interrupts.


@pytest.mark.parametrize("until", [Phase.ANNOUNCED, Phase.CONTRIBUTIONS])
def test_a_round_that_ended_since_ends_as_the_ledger_says(federation, until):
    federation.start()
    federation.go_on(until=until)
    backup = Backup.of(federation)
    assert federation.go_on().phase is Phase.COMMITTED
    height = federation.round.height
    federation.step()
    restored = backup.restore(federation, marked(backup))
    assert not restored.current.is_ended
    federation.step()
    assert restored.current.phase is Phase.COMMITTED
    assert restored.current.height == height
    assert federation.play().phase is Phase.COMMITTED
    assert_one_history(federation)


def test_a_round_that_was_running_is_not_taken_up_again(federation):
    federation.start()
    federation.go_on(until=Phase.CONTRIBUTIONS)
    backup = Backup.of(federation)
    federation.step()
    restored = backup.restore(federation, marked(backup))
    federation.step()
    assert restored.current.failure.reason == "restored"
    assert isinstance(restored.recorder.in_force.head.entry, RoundFailed)
    federation.step()
    assert federation.play().phase is Phase.COMMITTED
    assert_one_history(federation)


def test_a_round_that_failed_since_has_failed(federation):
    federation.start()
    backup = Backup.of(federation)
    federation.go_on(gone=lambda org, _: org in {C, D, B})
    assert federation.round.failure.reason == "too-few-participants"
    federation.step()
    restored = backup.restore(federation, marked(backup))
    federation.step()
    assert restored.current.failure.reason == "too-few-participants"
    assert_one_history(federation)


# Members, as far as the ledger is back.


def test_a_member_that_came_since_is_asked_too(federation):
    backup = Backup.of(federation)
    federation.admit("org-new")
    federation.step()
    mark = marked(backup)
    restored = backup.restore(federation, mark)
    assert restored.standing().awaited == ORGS
    federation.step()
    assert restored.standing().awaited == ("org-new",)
    root = restored.recorder.root_at(1)
    restored.testify(OrgId("org-new"), Told(size=1, root=root))
    assert mark.found is None


def test_nobody_else_is_heard(federation):
    backup = Backup.of(federation)
    restored = backup.restore(federation, marked(backup))
    with pytest.raises(UnknownSender):
        restored.testify(OrgId("stranger"), Told(size=0, root=""))
    assert restored.standing().awaited == ORGS


def test_founders_bring_back_the_founding(plain_world):
    federation = plain_world(n=4)
    orchestrator = federation.orchestrator
    federation.fed.step()
    # a copy from before: the same applications, no block
    empty = Backup.of(federation)
    empty.stores["blocks"] = MemoryBlockStore()
    empty.stores["checkpoints"]._heads.clear()
    for stored in orchestrator.governance._store.all(is_open=False):
        empty.stores["changes"]._changes[stored.digest] = dataclasses.replace(
            stored, outcome=""
        )
    mark = MemoryMark(Restoration(since=0))
    restored = empty.restore(federation, mark)
    assert not restored.recorder.is_begun
    assert restored.standing().awaited == ORGS
    federation.step()
    assert mark.found is None
    assert restored.recorder.size() == 1
    assert restored.governance.open_digests() == ()


def test_where_nobody_is_known_it_waits_for_the_operator(plain_world):
    federation = plain_world(n=4)
    empty = Backup.of(federation)
    empty.stores["blocks"] = MemoryBlockStore()
    empty.stores["checkpoints"]._heads.clear()
    empty.stores["changes"]._changes.clear()
    restored = empty.restore(federation, MemoryMark(Restoration(since=0)))
    assert restored.standing().is_restored
    assert restored.standing().awaited == ()
    assert "nobody is known here" in restored.catching_up.sentence


# What contradicts, and what proves nothing.


def forked(federation, size):
    """Return another history by the same key, of that size."""
    recorder = Recorder(
        store=MemoryBlockStore(), blobs=MemoryBlobs(), clock=federation.fed.clock
    )
    for signed in federation.fed.recorder.blocks(begin=0, end=size - 1):
        recorder.append(signed)
    recorder.record(failed())
    return recorder


def head_of(federation, size, root):
    return heads.sign(
        federation.fed.identity,
        origin=federation.fed.recorder.standing.log.origin,
        size=size,
        root=root,
        at=federation.fed.clock.now(),
    )


def sign(federation, recorder, size=None, key=None):
    size = size or recorder.size()
    return heads.sign(
        key or federation.fed.identity,
        origin=recorder.standing.log.origin,
        size=size,
        root=recorder.root_at(size),
        at=federation.fed.clock.now(),
    )


def test_our_own_head_over_another_root_ends_it_for_good(federation):
    backup = Backup.of(federation)
    mark = marked(backup)
    other = forked(federation, backup.size)
    restored = backup.restore(federation, mark)
    said = Told(
        size=backup.size,
        root=other.root_at(backup.size),
        heads=(sign(federation, other),),
    )
    with pytest.raises(WrongPhase, match="org-a shows our signature over another root"):
        restored.testify(A, said)
    assert mark.found.contradiction
    for act in (restored.start_round, lambda: restored.testify(B, said)):
        with pytest.raises(WrongPhase, match="another history"):
            act()
    assert restored.standing().is_restored
    assert restored.standing().awaited == ()
    with pytest.raises(WrongPhase):
        restored.heads.append(other.blocks(begin=other.size() - 1, end=other.size())[0])
    # a restart does not help
    again = Backup.of(federation).restore(federation, mark)
    federation.step()
    assert again.standing().is_restored
    assert "another history" in again.catching_up.sentence


def test_our_own_head_that_does_not_extend_our_ledger_ends_it_too(federation):
    backup = Backup.of(federation)
    other = forked(federation, backup.size)
    entry = dataclasses.replace(
        other.in_force.head.entry, round_id=RoundId("round-9-000000000001")
    )
    other.record(entry)
    size = other.size()
    restored = backup.restore(federation, marked(backup))
    tree = other.tree
    said = Told(
        size=size,
        root=other.root_at(size),
        heads=(sign(federation, other),),
        target=size,
        begin=size - 1,
        before=other.root_at(size - 1),
        since=testifying._proof(tree, size - 1, size),
        blocks=tuple(other.blocks(begin=size - 1, end=size)),
    )
    with pytest.raises(WrongPhase, match="do not extend our"):
        restored.testify(A, said)


def test_what_our_key_did_not_sign_proves_nothing(federation):
    backup = Backup.of(federation)
    mark = marked(backup)
    other = forked(federation, backup.size)
    stranger = federation.fed.keys[A]
    restored = backup.restore(federation, mark)
    root = other.root_at(backup.size)
    with pytest.raises(BadSignature, match="nor our key signed"):
        restored.testify(
            A,
            Told(
                size=backup.size,
                root=root,
                heads=(sign(federation, other, key=stranger),),
            ),
        )
    # other blocks, and no head at all: it is not believed, and not counted
    restored.testify(A, Told(size=backup.size, root=root))
    # more blocks, and no head at all: neither
    restored.testify(B, Told(size=backup.size + 1, root=root))
    assert mark.found == Restoration(since=backup.size)
    assert restored.standing().awaited == ORGS


def test_blocks_that_do_not_lie_under_the_head_are_refused(federation):
    backup = Backup.of(federation)
    size = adopt_unseen_quorum(federation, *ORGS)
    agent = federation.participant(A)
    good = testifying.page(agent.mirror, agent._checkpoints, begin=backup.size)
    other = forked(federation, size)
    restored = backup.restore(federation, marked(backup))
    wrong = tuple(other.blocks(begin=size - 1, end=size))
    zero = sha256(b"no node")
    for said, error in (
        (dataclasses.replace(good, blocks=wrong), VerificationFailed),
        (dataclasses.replace(good, before=zero), VerificationFailed),
        (dataclasses.replace(good, since=(zero,)), VerificationFailed),
        (dataclasses.replace(good, onward=(zero,)), VerificationFailed),
        (dataclasses.replace(good, blocks=()), MalformedMessage),
        (dataclasses.replace(good, target=size + 1), MalformedMessage),
        (dataclasses.replace(good, blocks=good.blocks * 2), InvalidInput),
    ):
        with pytest.raises(error):
            restored.testify(A, said)
        assert restored.recorder.size() == backup.size
        assert not restored.catching_up._known.contradiction
    restored.testify(A, good)
    assert restored.recorder.size() == size


def test_a_cosignature_that_is_not_good_is_not_kept(federation):
    backup = Backup.of(federation)
    size = backup.size
    restored = backup.restore(federation, marked(backup))
    head = restored.heads._store.get(size)
    lines = head.split(b"\n")
    place = next(i for i, line in enumerate(lines) if b" org-b " in line)
    bare = b"\n".join(line for line in lines if b" org-b " not in line)
    restored.heads._store._heads[size] = (restored.recorder.root_at(size), bare)
    flipped = lines[place][:-8] + b"AAAA" + lines[place][-4:]
    bad = b"\n".join([*lines[:place], flipped, *lines[place + 1 :]])
    root = restored.recorder.root_at(size)
    with pytest.raises(InvalidInput):
        restored.testify(B, Told(size=size, root=root, heads=(bad,)))
    assert b" org-b " not in restored.heads._store.get(size)
    restored.testify(B, Told(size=size, root=root, heads=(head,)))
    assert b" org-b " in restored.heads._store.get(size)


def test_a_testimony_comes_back_from_its_bytes(federation):
    agent = federation.participant(A)
    for begin in (0, 1, agent.mirror.size()):
        said = testifying.page(agent.mirror, agent._checkpoints, begin=begin)
        assert Told.from_value(said.to_value()) == said
    empty = Told(size=0, root="")
    assert Told.from_value(empty.to_value()) == empty
    for wrong in (
        None,
        {},
        empty.to_value() | {"size": -1},
        empty.to_value() | {"begin": 2**60},
        empty.to_value() | {"more": 1},
        empty.to_value() | {"since": ["zz"]},
        empty.to_value() | {"size": 1, "root": "x"},
    ):
        with pytest.raises(MalformedMessage):
            Told.from_value(wrong)


# Copies that nobody marked.


class CopiedFence(MemoryFence):
    """A fence that says that it came from somewhere else."""

    is_copy = True

    def settle(self) -> None:
        super().settle()
        self.is_copy = False


def test_a_copy_that_nobody_marked_asks_as_well(federation):
    backup = Backup.of(federation)
    size = adopt_unseen_quorum(federation, *ORGS)
    mark, fence = MemoryMark(), CopiedFence()
    restored = backup.restore(federation, mark, fence)
    assert restored.standing().is_restored
    assert mark.found.since == backup.size
    federation.step()
    assert mark.found is None
    assert not fence.is_copy
    assert restored.recorder.size() == size
    restored.heads.newest()
    assert fence.held(f"head/{size}") == restored.recorder.root_at(size)


def test_each_head_is_held_to_before_it_leaves(federation):
    fence = MemoryFence()
    orchestrator = Backup.of(federation).restore(federation, MemoryMark(), fence)
    assert not orchestrator.standing().is_restored
    size = orchestrator.recorder.size()
    orchestrator.heads.newest()
    assert fence.held(f"head/{size}") == orchestrator.recorder.root_at(size)
    federation.play()
    for at in range(size, orchestrator.recorder.size() + 1):
        assert fence.held(f"head/{at}") == orchestrator.recorder.root_at(at)


def test_a_database_that_was_set_back_is_noticed_by_the_heads_held(federation):
    fence, mark = MemoryFence(), MemoryMark()
    Backup.of(federation).restore(federation, mark, fence)
    backup = Backup.of(federation)
    size = adopt_unseen_quorum(federation, *ORGS)
    restored = backup.restore(federation, mark, fence)
    assert restored.standing().is_restored
    assert mark.found.owed == size
    federation.step()
    assert mark.found is None
    assert restored.recorder.size() == size


def test_a_database_of_another_history_never_signs_again(federation):
    fence, mark = MemoryFence(), MemoryMark()
    backup = Backup.of(federation)
    fence.hold(f"head/{backup.size}", sha256(b"another root"))
    restored = backup.restore(federation, mark, fence)
    assert "holds to another root" in restored.catching_up.sentence
    federation.step()
    with pytest.raises(WrongPhase):
        restored.start_round()


# When the newest head gets its quorum.


def test_members_are_woken_by_the_quorum_of_the_newest_head(federation):
    size = adopt_unseen_quorum(federation)
    orchestrator = federation.orchestrator
    seen = {orchestrator.standing().quorate}
    for org in ORGS:
        federation.participant(org).step(wait_s=0)
        seen.add(orchestrator.standing().quorate)
    assert orchestrator.standing().quorate == size
    # it changes once for each head, whoever cosigns later
    assert len(seen) == 2
    federation.step()
    for org in ORGS:
        assert federation.participant(org).follower._quorate == size


def test_an_agent_that_is_not_believed_goes_on_asking(federation, caplog):
    backup = Backup.of(federation)
    restored = backup.restore(federation, marked(backup))
    restored.catching_up._identity = federation.fed.keys[A].public
    agent = federation.participant(A)
    agent._checkpoints.put(
        size := backup.size + 1, root := sha256(b"x"), head_of(federation, size, root)
    )
    for _ in range(2):
        assert agent.step(wait_s=0).is_restored
    assert "does not take what we saw" in caplog.text
    assert "nor our key signed" in caplog.records[-1].reason


def test_an_agent_that_cannot_cosign_now_does_not_stop(federation):
    backup = Backup.of(federation)
    adopt_unseen_quorum(federation, *ORGS)
    restored = backup.restore(federation, marked(backup))
    agent = federation.participant(A)
    agent.follower.forget()
    agent.follow_ledger(restored.recorder.size())
    with pytest.raises(Unavailable):
        restored.start_round()
