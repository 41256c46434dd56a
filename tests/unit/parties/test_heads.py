# SPDX-License-Identifier: Apache-2.0
"""Signed heads: one root for a size, whoever dies when; only good lines are kept."""

from __future__ import annotations

import dataclasses

import pytest

from fedxdr.core.errors import (
    BadSignature,
    IntegrityFault,
    MalformedMessage,
    NotFound,
    UnknownSender,
    VerificationFailed,
    WaitingForQuorum,
)
from fedxdr.core.ids import OrgId, RoundId
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import checkpoint, cosignature, heads, note, verifier
from fedxdr.ledger.entries import RoundFailed
from fedxdr.parties.heads import Heads
from fedxdr.parties.recording import Recorder
from fedxdr.storage.memory import MemoryBlobs, MemoryBlockStore, MemoryCheckpointStore

A, B, C, D = (OrgId(f"org-{letter}") for letter in "abcd")
NEW = OrgId("org-new")


@pytest.fixture
def federation(plain_world):
    """Return four members of whom nobody has seen the Genesis yet."""
    return plain_world(n=4)


def desk(federation) -> Heads:
    return federation.orchestrator.heads


def lines_of(federation, org, *, key=None, name=None, head=None):
    return heads.cosign(
        head or desk(federation).newest(),
        key or federation.key(org),
        org=OrgId(name or org),
        at=federation.fed.clock.now(),
    )


def cosign(federation, *orgs) -> None:
    for org in orgs:
        desk(federation).cosign(1, org, lines_of(federation, org))


# One head for a size.


def test_the_head_is_over_the_ledger_and_signed_once(federation):
    head = desk(federation).newest()
    says = heads.verify_log(head, federation.fed.recorder.in_force.log)
    assert (says.size, says.root.hex()) == (1, federation.fed.recorder.root_at(1))
    federation.fed.clock.advance(seconds=60)
    assert desk(federation).newest() == desk(federation).at(1) == head


def test_of_what_is_no_ledger_there_is_no_head(federation):
    for size in (-1, 0, 2, 10**9):
        with pytest.raises(NotFound):
            desk(federation).at(size)
    empty = Heads(
        recorder=Recorder(
            store=MemoryBlockStore(), blobs=MemoryBlobs(), clock=federation.fed.clock
        ),
        store=MemoryCheckpointStore(),
        identity=federation.fed.identity,
        clock=federation.fed.clock,
    )
    for ask in (empty.newest, lambda: empty.at(0), lambda: empty.at(1)):
        with pytest.raises(NotFound):
            ask()
    with pytest.raises(WaitingForQuorum, match="not founded"):
        empty.require_quorum()


def test_whoever_is_not_the_log_signs_no_head(federation):
    other = Heads(
        recorder=federation.fed.recorder,
        store=MemoryCheckpointStore(),
        identity=IdentityKey.generate(federation.fed.entropy),
        clock=federation.fed.clock,
    )
    with pytest.raises(NotFound):
        other.newest()


def test_a_block_is_stored_with_the_head_over_it(federation):
    """At each size there is a head before anybody asked for it."""
    federation.play()
    size = federation.fed.recorder.size()
    assert size > 2
    assert desk(federation)._store.sizes() == list(range(1, size + 1))


def test_a_block_that_breaks_a_rule_leaves_no_head(federation):
    recorder, store = federation.fed.recorder, desk(federation)._store
    entry = RoundFailed(
        round_id=RoundId("r"), phase="p", reason="r", sentence="s", survivors=(NEW,)
    )
    with pytest.raises(VerificationFailed):
        desk(federation).append(recorder.draft(entry))
    assert (recorder.size(), store.get(2)) == (1, None)


def test_whose_log_it_is_not_appends_without_a_head(federation):
    """A mirror that became an orchestrator's, before the members approved it."""
    store = MemoryCheckpointStore()
    other = Heads(
        recorder=federation.fed.recorder,
        store=store,
        identity=IdentityKey.generate(federation.fed.entropy),
        clock=federation.fed.clock,
    )
    entry = RoundFailed(
        round_id=RoundId("r"), phase="p", reason="r", sentence="s", survivors=(A,)
    )
    assert other.append(federation.fed.recorder.draft(entry)).height == 1
    assert store.sizes() == []


def test_a_second_root_for_a_size_is_never_stored(federation):
    head = desk(federation).newest()
    fork = federation.fork(1)
    fork.fail_a_round()
    federation.play()
    before = desk(federation).at(2)
    other = Heads(
        recorder=fork.recorder,
        store=desk(federation)._store,
        identity=federation.fed.identity,
        clock=federation.fed.clock,
    )
    with pytest.raises(IntegrityFault):
        desk(federation)._store.put(2, fork.recorder.root_at(2), fork.head())
    # over the other history it finds the head that was published, and signs no second
    assert other.at(2) == before
    assert desk(federation).at(1) != head  # cosigned meanwhile
    assert checkpoint.parse(desk(federation).at(1)) == checkpoint.parse(head)


def test_killed_at_every_write_there_are_never_two_roots_for_one_size(plain_world):
    """Whoever looks at any moment sees, for a size, one root and no other."""
    federation = plain_world(n=3, does_replay=False)
    federation.play()
    seen: dict[int, bytes] = {}

    def look(head: bytes) -> bytes:
        says = checkpoint.parse(head)
        assert seen.setdefault(says.size, says.root) == says.root
        return head

    for org in federation.orgs:
        federation.links[org].lies["checkpoint"] = look
    deaths = left = 0
    is_over = False
    while not is_over:
        left += 1
        for is_after in (False, True):
            fuse = federation.make_orchestrator_mortal(on_ledger_only=True)
            fuse.left, fuse.is_after = left, is_after
            federation.play()
            federation.step()
            is_over = fuse.left is not None
            fuse.left = None
            deaths += not is_over
    # before and after: a block with its head, and the lines of each of three members
    assert deaths >= 8
    federation.step()
    size = federation.fed.recorder.size()
    assert desk(federation).has_quorum(size)
    assert set(range(4, size + 1)) <= set(seen)


# Lines.


def test_lines_are_stored_once_and_counted(federation):
    cosign(federation, A)
    assert desk(federation).cosigned_by(1) == (A,)
    head = desk(federation).newest()
    federation.fed.clock.advance(seconds=1)
    cosign(federation, A)  # others, of a second later: the first ones stay
    assert desk(federation).newest() == head
    cosign(federation, B)
    assert desk(federation).cosigned_by(1) == (A, B)
    federation.restart_orchestrator()
    assert desk(federation).cosigned_by(1) == (A, B)


def test_lines_that_are_not_good_are_refused(federation):
    stranger = IdentityKey.generate(federation.fed.entropy)
    first, second = lines_of(federation, A)
    other_first, other_second = lines_of(federation, B)
    spoilt = dataclasses.replace(second, signature=second.signature[:-1] + b"\x00")
    fork = federation.fork(1)
    fork.fail_a_round()
    elsewhere = lines_of(federation, A, head=fork.head())
    for wrong, error in (
        ((), MalformedMessage),
        ((first,), MalformedMessage),
        ((second,), MalformedMessage),
        ((first, second, first), MalformedMessage),
        ((first, first), BadSignature),
        ((first, other_second), MalformedMessage),
        ((other_first, other_second), MalformedMessage),
        ((first, spoilt), BadSignature),
        (elsewhere, BadSignature),
        (lines_of(federation, A, key=stranger), BadSignature),
        (lines_of(federation, A, key=federation.key(B)), BadSignature),
    ):
        with pytest.raises(error):
            desk(federation).cosign(1, A, wrong)
        assert desk(federation).cosigned_by(1) == ()
    desk(federation).cosign(1, A, (first, second))
    assert desk(federation).cosigned_by(1) == (A,)
    # nor afterwards, when there is nothing left to store
    with pytest.raises(BadSignature):
        desk(federation).cosign(1, A, elsewhere)


def test_strangers_do_not_cosign(federation):
    stranger = IdentityKey.generate(federation.fed.entropy)
    lines = lines_of(federation, A, key=stranger, name="org-z")
    with pytest.raises(UnknownSender, match="org-z does not cosign"):
        desk(federation).cosign(1, OrgId("org-z"), lines)
    with pytest.raises(UnknownSender):
        desk(federation).cosign(1, OrgId("operator"), lines)
    with pytest.raises(NotFound):
        desk(federation).cosign(2, A, lines_of(federation, A))


def test_the_members_before_a_change_cosign_the_head_over_it(federation):
    federation.admit("org-new")
    size = federation.fed.recorder.size()
    lines = lines_of(federation, NEW, key=federation.fed.keys[NEW])
    with pytest.raises(UnknownSender):
        desk(federation).cosign(size, NEW, lines)
    federation.play(gone=lambda *_: True)
    federation.fed.step()
    later = federation.fed.recorder.size()
    assert later > size
    assert NEW in federation.fed.recorder.signers_at(later).cosigners
    lines = lines_of(federation, NEW, key=federation.fed.keys[NEW])
    desk(federation).cosign(later, NEW, lines)
    assert NEW in desk(federation).cosigned_by(later)


# The quorum.


def test_a_quorum_is_three_of_four_and_counted_once_each(federation):
    for orgs in ((), (A,), (A, B)):
        cosign(federation, *orgs, *orgs)
        assert not desk(federation).has_quorum(1)
        with pytest.raises(WaitingForQuorum, match="3 of 4 members"):
            desk(federation).require_quorum()
        with pytest.raises(WaitingForQuorum):
            desk(federation).newest_quorum()
        with pytest.raises(WaitingForQuorum):
            desk(federation).for_bundle()
    with pytest.raises(WaitingForQuorum, match="not yet there: org-c, org-d"):
        desk(federation).require_quorum()
    cosign(federation, C)
    desk(federation).require_quorum()
    assert desk(federation).newest_quorum() == 1


@pytest.mark.parametrize(("n", "quorum"), [(3, 2), (4, 3), (5, 4), (7, 5)])
def test_a_quorum_of_each_size(plain_world, n, quorum):
    federation = plain_world(n=n)
    for done, org in enumerate(federation.orgs, start=1):
        cosign(federation, org)
        assert desk(federation).has_quorum(1) is (done >= quorum)


def test_no_round_is_opened_on_a_head_without_a_quorum(federation):
    federation.play()
    federation.fed.step()
    federation.fed.recorder.record(
        RoundFailed(round_id=RoundId("round-9"), phase="keys", reason="x", sentence="y")
    )
    version = federation.orchestrator.version
    with pytest.raises(WaitingForQuorum, match="waits for the cosignatures"):
        federation.orchestrator.start_round()
    assert federation.orchestrator.version == version
    federation.fed.step()
    federation.orchestrator.start_round()


def test_the_newest_quorum_is_what_is_published(federation):
    cosign(federation, A, B, C)
    federation.fed.recorder.record(
        RoundFailed(round_id=RoundId("round-9"), phase="keys", reason="x", sentence="y")
    )
    desk(federation).newest()
    with pytest.raises(WaitingForQuorum):
        desk(federation).require_quorum()
    size = desk(federation).newest_quorum()
    assert size == federation.fed.recorder.size() - 1
    found = desk(federation).for_bundle()
    assert set(found) == {size}
    report = verifier.verify(federation.fed.recorder.export(heads=found))
    assert report.blocks_verified == size


def test_a_bundle_has_no_lines_by_strangers(federation):
    cosign(federation, A, B, C)
    head = desk(federation).newest()
    stranger = IdentityKey.generate(federation.fed.entropy)
    found = note.parse(head)
    both = cosignature.merge(
        found,
        note.Note(
            text=found.text,
            signatures=lines_of(federation, A, key=stranger, name="org-z"),
        ),
    )
    root = federation.fed.recorder.root_at(1)
    desk(federation)._store.put(1, root, both.to_bytes())
    assert desk(federation).newest() != head
    assert desk(federation).for_bundle() == {1: head}
