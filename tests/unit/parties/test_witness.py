# SPDX-License-Identifier: Apache-2.0
"""The agent as a witness: what it refuses, does not cosign, and sends twice alike.

The orchestrator lies with its own good signature: another history, a change of who
cosigns without their quorum, lines that nobody made.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from fedxdr.core.errors import (
    BadSignature,
    InvalidInput,
    NotFound,
    UnknownSender,
    VerificationFailed,
)
from fedxdr.core.ids import OrgId, RoundId
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation.phases import Phase
from fedxdr.ledger import checkpoint, heads, note, verifier
from fedxdr.ledger.entries import RoundFailed
from fedxdr.ledger.note_form import Note
from fedxdr.parties.following import Joined
from fedxdr.storage.memory import MemoryCheckpointStore

A, B, C, D = (OrgId(f"org-{letter}") for letter in "abcd")
NEW = OrgId("org-new")


@pytest.fixture
def federation(plain_world):
    """Return four members whose mirrors hold the Genesis, cosigned by all."""
    made = plain_world(n=4)
    made.fed.step()
    return made


def store_of(federation, org=A):
    return federation.participant(org).follower.witness._store


def mirrored(federation, org=A) -> int:
    return federation.participant(org).mirror.size()


def cosigned_in(head: bytes, *orgs: str) -> bool:
    names = [line.name for line in note.parse(head).signatures]
    return all(names.count(org) == 2 for org in orgs)


# What is taken.


def test_an_old_head_of_another_history_is_refused(federation):
    fork = federation.fork(1)
    fork.fail_a_round()
    federation.play()  # the mirror holds more than that by now
    federation.fed.step()
    size = mirrored(federation)
    agent = federation.participant(A)
    other = fork.head()
    federation.links[A].lies["checkpoint"] = lambda _: other
    with pytest.raises(BadSignature, match="another history"):
        agent.follow_ledger(size + 1)
    assert mirrored(federation) == size
    # an old head of this very history is only late
    true = federation.orchestrator.heads.at(2)
    federation.links[A].lies["checkpoint"] = lambda _: true
    agent.follow_ledger(size + 1)


def test_another_root_for_a_size_is_refused_and_nothing_stored(federation):
    fork = federation.fork(1)
    fork.fail_a_round()
    fork.show(A)
    agent = federation.participant(A)
    agent.follow_ledger(2)
    seen = store_of(federation).get(2)
    root = agent.mirror.root_at(2)
    # now the orchestrator goes back, and tells the story that the others hear
    federation.links[A].lies.clear()
    federation.start(gone=lambda org: org == A)
    with pytest.raises((BadSignature, VerificationFailed)):
        agent.step(wait_s=0)
    assert store_of(federation).get(2) == seen
    assert store_of(federation).sizes() == [1, 2]
    assert agent.mirror.root_at(2) == root


def test_blocks_without_the_head_over_them_are_not_taken(federation):
    fork = federation.fork(1)
    fork.fail_a_round()
    fork.show(A)
    head = fork.head(1)
    federation.links[A].lies["checkpoint"] = lambda _: head
    with pytest.raises((BadSignature, InvalidInput)):
        federation.participant(A).follower.witness.take(
            head, fork.recorder.blocks(begin=1, end=2), head_of=lambda _: head
        )
    assert mirrored(federation) == 1


def test_who_cosigns_changes_only_with_a_quorum_of_those_before(federation):
    """The operator has a member approve its Sybil, and builds on that at once."""
    fork = federation.fork(1)
    key = IdentityKey.generate(federation.fed.entropy)
    fork.enrol("org-new", key, A, B, C)
    fork.fail_a_round()
    fork.show(D)
    shown = {None: fork.head(), 2: b"", 3: fork.head()}
    federation.links[D].checkpoint = lambda size=None: shown[size]
    for cosigners in ((), (A, B)):
        shown[2] = fork.head(2, by=cosigners)
        with pytest.raises(VerificationFailed, match="quorum"):
            federation.participant(D).follow_ledger(3)
        assert mirrored(federation, D) == 1
        assert store_of(federation, D).sizes() == [1]
    shown[2] = fork.head(2, by=(A, B, C))
    federation.links[D].cosign = never
    federation.participant(D).follow_ledger(3)
    assert mirrored(federation, D) == 3
    assert cosigned_in(store_of(federation, D).get(2), A, B, C)


def never(size: int, lines: bytes) -> None:
    """Let a cosignature be lost on its way."""
    del size, lines


def test_a_turn_at_the_end_of_what_was_taken_needs_its_quorum_later(federation):
    fork = federation.fork(1)
    fork.enrol("org-new", IdentityKey.generate(federation.fed.entropy), A, B, C)
    fork.show(D)
    agent = federation.participant(D)
    agent.follower.witness.take(
        fork.head(), fork.recorder.blocks(begin=1, end=2), head_of=fork.head
    )
    assert mirrored(federation, D) == 2
    fork.fail_a_round()
    with pytest.raises(VerificationFailed):
        agent.follower.witness.take(
            fork.head(), fork.recorder.blocks(begin=2, end=3), head_of=fork.head
        )
    assert mirrored(federation, D) == 2
    agent.follower.witness.take(
        fork.head(),
        fork.recorder.blocks(begin=2, end=3),
        head_of=lambda size: fork.head(size, by=(A, B, C)),
    )
    assert mirrored(federation, D) == 3


def test_a_line_that_its_member_did_not_make_is_not_kept(federation):
    """It would make every copy of this head worthless, ours for a hand-over too."""
    federation.play()
    federation.fed.step()
    recorder = federation.fed.recorder
    recorder.record(
        RoundFailed(round_id=RoundId("round-9"), phase="keys", reason="x", sentence="y")
    )
    size = recorder.size()
    true = federation.orchestrator.heads.newest()
    lines = heads.cosign(true, federation.key(B), org=B, at=federation.fed.clock.now())
    forged = [
        dataclasses.replace(
            line, signature=line.signature[:-1] + bytes([line.signature[-1] ^ 1])
        )
        for line in lines
    ]
    found = note.parse(true)
    for spoilt in (
        (lines[0], forged[1]),
        (forged[0], lines[1]),
        forged,
        # and in our own name, so that we would send it as ours
        heads.cosign(true, federation.key(B), org=A, at=federation.fed.clock.now()),
    ):
        named = [
            dataclasses.replace(line, key_id=ours.key_id) if line.name == A else line
            for line, ours in zip(
                spoilt,
                heads.cosign(
                    true, federation.key(A), org=A, at=federation.fed.clock.now()
                ),
                strict=True,
            )
        ]
        head = Note(text=found.text, signatures=(*found.signatures, *named)).to_bytes()
        federation.links[A].lies["checkpoint"] = lambda _, head=head: head
        with pytest.raises(BadSignature, match="does not verify"):
            federation.participant(A).follow_ledger(size)
        assert store_of(federation).get(size) is None
    federation.links[A].lies.clear()
    federation.fed.step()
    federation.participant(A).follower.require_quorum()
    assert max(federation.participant(A).follower.witness.for_bundle()) == size


def test_lines_of_strangers_are_dropped(federation):
    federation.play()
    recorder = federation.fed.recorder
    federation.fed.step()
    recorder.record(
        RoundFailed(round_id=RoundId("round-9"), phase="keys", reason="x", sentence="y")
    )
    true = federation.orchestrator.heads.newest()
    found = note.parse(true)
    stranger = IdentityKey.generate(federation.fed.entropy)
    lines = heads.cosign(true, stranger, org=NEW, at=federation.fed.clock.now())
    head = Note(text=found.text, signatures=(*found.signatures, *lines)).to_bytes()
    federation.links[A].lies["checkpoint"] = lambda _: head
    federation.participant(A).follow_ledger(recorder.size())
    stored = store_of(federation).get(recorder.size())
    assert NEW not in {line.name for line in note.parse(stored).signatures}
    assert cosigned_in(stored, A)


# What is cosigned.


def test_nothing_is_cosigned_that_is_dated_too_far_ahead(federation):
    clock = federation.fed.clock
    clock.advance(seconds=301)
    federation.fed.recorder.record(
        RoundFailed(round_id=RoundId("round-9"), phase="keys", reason="x", sentence="y")
    )
    clock._now -= timedelta(seconds=301)
    with pytest.raises(InvalidInput, match="ahead of our clock"):
        federation.participant(A).step(wait_s=0)
    assert not cosigned_in(store_of(federation).get(2), A)
    assert federation.orchestrator.heads.cosigned_by(2) == ()
    clock.advance(seconds=1)
    federation.participant(A).step(wait_s=0)
    assert federation.orchestrator.heads.cosigned_by(2) == (A,)


def test_cosignatures_are_stored_before_they_leave_and_sent_alike(plain_world, killed):
    """Killed between store and send; and the answer lost; and both."""
    federation = plain_world(n=4)
    sent = []
    link = federation.links[A]
    honest = link.cosign

    def die(size, lines):
        sent.append((size, lines))
        assert cosigned_in(store_of(federation).get(size), A), "sent before stored"
        if len(sent) < 3:
            raise killed
        honest(size, lines)

    link.cosign = die
    for _ in range(2):
        with pytest.raises(killed):
            federation.participant(A).step(wait_s=0)
        federation.restart(A)
        federation.fed.clock.advance(seconds=60)
    federation.participant(A).step(wait_s=0)
    assert len(sent) == 3
    assert len(set(sent)) == 1
    assert federation.orchestrator.heads.cosigned_by(1) == (A,)


def test_killed_at_every_write_of_following_it_cosigns_all_the_same(
    plain_world, killed
):
    for left in range(1, 4):
        for is_after in (False, True):
            federation = plain_world(n=4)
            fuse = federation.make_mortal(A)
            fuse.left, fuse.is_after = left, is_after
            with pytest.raises(killed):
                federation.participant(A).step(wait_s=0)
            federation.restart(A)
            federation.participant(A).step(wait_s=0)
            assert federation.orchestrator.heads.cosigned_by(1) == (A,), (
                left,
                is_after,
            )


def test_whoever_does_not_count_for_a_head_does_not_cosign_it(federation):
    agent = federation.participant(A)
    stranger = IdentityKey.generate(federation.fed.entropy)
    assert agent.follower.witness.cosign(stranger) is None
    agent.follower.witness._me = OrgId("org-z")
    assert agent.follower.witness.cosign(federation.key(A)) is None
    lines = heads.cosign(
        federation.orchestrator.heads.newest(),
        stranger,
        org=OrgId("org-z"),
        at=federation.fed.clock.now(),
    )
    body = "".join(line.line() for line in lines).encode()
    with pytest.raises(UnknownSender):
        federation.orchestrator.cosign(1, OrgId("org-z"), body)


def test_a_new_member_counts_from_the_block_after_its_own(federation):
    federation.admit("org-new")
    size = federation.fed.recorder.size()
    lines = heads.cosign(
        federation.orchestrator.heads.newest(),
        federation.fed.keys[NEW],
        org=NEW,
        at=federation.fed.clock.now(),
    )
    body = "".join(line.line() for line in lines).encode()
    with pytest.raises(UnknownSender, match="org-new does not cosign"):
        federation.orchestrator.cosign(size, NEW, body)


# Rounds.


def test_a_round_on_a_head_without_a_quorum_is_sat_out(federation, monkeypatch, caplog):
    """The orchestrator says that it has one, and opens a round."""
    federation.play()
    federation.fed.step()
    federation.fed.recorder.record(
        RoundFailed(round_id=RoundId("round-9"), phase="keys", reason="x", sentence="y")
    )
    for org in (C, D):
        # two of four cosign; the lines of the others are lost
        federation.links[org].cosign = never
    monkeypatch.setattr(federation.orchestrator.heads, "require_quorum", lambda: None)
    opened = federation.orchestrator.start_round().announcement.round_id
    federation.fed.step()
    federation.fed.step()
    size = federation.fed.recorder.size()
    assert federation.orchestrator.heads.cosigned_by(size) == (A, B)
    for org in (A, B, C, D):
        assert federation.participant(org)._facts.opening(opened) is None
    said = [r.reason for r in caplog.records if r.message == "sat out"]
    assert len(said) == 4
    assert all("has no quorum" in reason for reason in said)
    # as soon as a third one's lines arrive, all take part in this very round
    del federation.links[C].cosign
    federation.restart(C)
    round_ = federation.go_on()
    assert round_.announcement.round_id == opened
    assert round_.phase is Phase.COMMITTED
    assert round_.survivors == (A, B, C, D)


def test_a_round_on_a_fork_of_our_mirror_is_sat_out(federation):
    """Another root over as many blocks, with whosesoever cosignatures."""
    federation.start()
    fork = federation.fork(1)
    fork.fail_a_round()
    assert fork.recorder.size() == mirrored(federation)
    other = fork.head(by=(A, B, C, D))
    federation.links[A].lies["checkpoint"] = lambda _: other
    federation.participant(A).step(wait_s=0)
    assert federation.participant(A).session is None
    round_ = federation.go_on(gone=lambda org, _: org == A)
    assert round_.phase is Phase.COMMITTED
    assert A not in round_.survivors


# The pinned head of an invitation.


def pinned(federation, head: bytes) -> None:
    """Let org-a begin anew, with an empty mirror, under an invitation's pin."""
    agent = federation.participant(A)
    agent.follower.witness._pinned = checkpoint.parse(head)
    assert Joined(pinned=checkpoint.parse(head)).genesis is None


@pytest.fixture
def grown(plain_world):
    """Return a federation that org-a has not looked at yet."""
    made = plain_world(n=4)
    for _ in range(3):
        for org in (B, C, D):
            made.participant(org).step(wait_s=0)
    made.fed.recorder.record(
        RoundFailed(round_id=RoundId("round-9"), phase="keys", reason="x", sentence="y")
    )
    for org in (B, C, D):
        made.participant(org).step(wait_s=0)
    assert made.fed.recorder.size() == 2
    return made


def test_a_ledger_that_extends_the_pinned_head_is_followed(grown):
    pinned(grown, grown.orchestrator.heads.at(1))
    grown.participant(A).follow_ledger(2)
    assert mirrored(grown) == 2
    assert A in grown.orchestrator.heads.cosigned_by(2)


@pytest.mark.parametrize("size", [1, 2])
def test_a_ledger_that_does_not_extend_the_pinned_head_is_never_cosigned(grown, size):
    """Not at the first look, and not at any other."""
    fork = grown.fork(1)
    fork.fail_a_round("round-8")
    pinned(grown, fork.head())
    if size == 1:
        # what is shown is shorter than what was pinned
        one = grown.orchestrator.heads.at(1)
        grown.links[A].lies["checkpoint"] = lambda _: one
    for _ in range(3):
        with pytest.raises(BadSignature, match="the invitation pins"):
            grown.participant(A).follow_ledger(size)
        assert mirrored(grown) == 0
    assert A not in grown.orchestrator.heads.cosigned_by(2)


# Its own bundle: what a hand-over publishes.


def test_its_own_heads_make_a_bundle_that_verifies(federation):
    federation.admit("org-new")
    federation.fed.step()
    federation.orchestrator.governance.advance()
    federation.play(gone=lambda *_: True)
    federation.fed.step()
    agent = federation.participant(A)
    agent.follower.require_quorum()
    agent.model()
    # the newest change of who cosigns, and the newest head
    stored = agent.follower.witness.for_bundle()
    report = verifier.verify(agent.mirror.export(heads=stored))
    assert report.blocks_verified == mirrored(federation)
    assert set(agent.mirror.turns_up_to(mirrored(federation))) <= set(stored)


def test_without_a_quorum_there_is_nothing_to_publish(plain_world):
    federation = plain_world(n=4)
    for org in (A, B):
        federation.participant(org).step(wait_s=0)
    assert federation.participant(A).follower.witness.for_bundle() == {}
    witness = federation.participant(A).follower.witness
    witness._store = MemoryCheckpointStore()
    with pytest.raises(NotFound, match="no head over 1 blocks"):
        witness._stored(1)
