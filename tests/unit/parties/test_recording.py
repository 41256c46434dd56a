# SPDX-License-Identifier: Apache-2.0
"""One hand on the ledger: what breaks a rule is not written; what is in force."""

from __future__ import annotations

import dataclasses

import pytest

from fedxdr.core import canonical
from fedxdr.core.errors import (
    IntegrityFault,
    InvalidInput,
    Unavailable,
    VerificationFailed,
)
from fedxdr.core.ids import OrgId, RoundId, sha256
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import block as blocks
from fedxdr.ledger import entries, heads, note, rules, verifier
from fedxdr.ledger.entries import PlanAdopted, RoundFailed
from fedxdr.ledger.note_form import Note
from fedxdr.parties.recording import Recorder
from fedxdr.parties.vouching import newest_signed
from fedxdr.storage.memory import MemoryBlobs, MemoryBlockStore, MemoryCheckpointStore


def empty(federation) -> Recorder:
    return Recorder(
        store=MemoryBlockStore(), blobs=MemoryBlobs(), clock=federation.fed.clock
    )


@pytest.fixture
def federation(plain_world):
    made = plain_world(n=3)
    made.play()
    return made


def test_an_empty_ledger_has_nothing_in_force(federation):
    recorder = empty(federation)
    assert not recorder.is_begun
    assert recorder.size() == 0
    with pytest.raises(Unavailable, match="founders join"):
        _ = recorder.in_force


def test_a_mirror_says_what_the_ledger_says(federation):
    source, mirror = federation.fed.recorder, empty(federation)
    for signed in source.blocks(begin=0, end=source.size()):
        mirror.append(signed)
    assert mirror.in_force == source.in_force
    assert mirror.model_version == source.model_version == "v1"
    again = Recorder(
        store=mirror._store, blobs=MemoryBlobs(), clock=federation.fed.clock
    )
    assert again.in_force == source.in_force
    assert again.in_force.tasks == ("statistics",)
    assert again.in_force.attempted == again.in_force.committed == 1
    assert again.in_force.cohort == tuple(federation.orgs)


def test_failed_rounds_count_as_attempted(federation):
    federation.play(gone=lambda *_: True)
    in_force = federation.fed.recorder.in_force
    assert (in_force.committed, in_force.attempted) == (1, 2)


def test_a_new_plan_of_the_same_layout_keeps_its_tasks(federation):
    federation.play()
    assert federation.fed.recorder.in_force.tasks == ("statistics", "training")
    federation.fed.start_round(wishes={"clip_norm": 3.0})
    assert federation.fed.recorder.in_force.tasks == ("statistics", "training")
    assert federation.fed.recorder.in_force.plan.clip_norm == 3.0


def test_a_block_that_breaks_a_rule_is_not_written(federation):
    source = federation.fed.recorder
    stored = source.blocks(begin=0, end=source.size())
    for place, signed in enumerate(stored):
        mirror = empty(federation)
        for before in stored[:place]:
            mirror.append(before)
        wrong = dataclasses.replace(
            signed,
            block=dataclasses.replace(signed.block, signatures_digest=sha256(b"x")),
        )
        with pytest.raises(VerificationFailed):
            mirror.append(wrong)
        if signed.envelopes:
            with pytest.raises(VerificationFailed):
                mirror.append(dataclasses.replace(signed, envelopes=()))
        assert mirror.size() == place
        mirror.append(signed)


def test_a_block_that_skips_one_is_not_written(federation):
    source, mirror = federation.fed.recorder, empty(federation)
    stored = source.blocks(begin=0, end=source.size())
    mirror.append(stored[0])
    with pytest.raises((VerificationFailed, IntegrityFault)):
        mirror.append(stored[2])
    assert mirror.size() == 1


def test_what_is_no_plan_is_not_written(federation):
    """A plan with the terms the ledger reads, that this program would not follow."""
    recorder = federation.fed.recorder
    plan = canonical.builtins(recorder.in_force.plan)
    size, before = recorder.size(), recorder.in_force
    for wrong in (
        {**plan, "threshold": 1},
        {**plan, "epsilon": 1},
        {**plan, "version": 2},
    ):
        entry = PlanAdopted(
            change=before.changes + 1,
            plan=wrong,
            plan_digest=entries.plan_digest(wrong),
        )
        approvals = federation.approvals(entry)
        signed = recorder.draft(entry, envelopes=approvals)
        with pytest.raises(InvalidInput):
            recorder.append(signed)
        with pytest.raises(InvalidInput):
            recorder.record(entry, envelopes=approvals)
        with pytest.raises(InvalidInput):
            recorder.check_proposed(entry, envelopes=())
    assert recorder.size() == size
    assert recorder.in_force == before
    # not for want of approvals: a plan that is one enters with the very same ones
    other = canonical.builtins(dataclasses.replace(before.plan, clip_norm=3.0))
    entry = PlanAdopted(
        change=before.changes + 1, plan=other, plan_digest=entries.plan_digest(other)
    )
    recorder.record(entry, envelopes=federation.approvals(entry))
    assert recorder.in_force.plan.clip_norm == 3.0


def test_a_stored_block_that_breaks_a_rule_stops_the_start(federation):
    store = federation.fed.recorder._store
    entry = RoundFailed(
        round_id=RoundId("round-9"),
        phase="keys",
        reason="x",
        sentence="y",
        survivors=(OrgId("stranger"),),
    )
    head = federation.fed.recorder.in_force.head
    store.append(
        blocks.next_block(head, entry=entry, timestamp=federation.fed.clock.now())
    )
    with pytest.raises(VerificationFailed, match="stranger"):
        Recorder(store=store, blobs=MemoryBlobs(), clock=federation.fed.clock)


def test_a_clock_that_runs_behind_the_ledger_does_not_break_it(federation):
    recorder = federation.fed.recorder
    head = recorder.in_force.head
    federation.fed.clock._now = head.timestamp.replace(year=2020)
    entry = RoundFailed(
        round_id=RoundId("round-9"),
        phase="keys",
        reason="x",
        sentence="y",
        survivors=(),
    )
    assert recorder.record(entry).timestamp == head.timestamp


def test_the_export_is_verified_offline(federation):
    federation.play()
    federation.fed.step()
    recorder = federation.fed.recorder
    data = recorder.export(heads=federation.orchestrator.heads.for_bundle())
    report = verifier.verify(data)
    assert report.blocks_verified == recorder.size()
    assert report.cosigned_by == tuple(federation.orgs)
    with pytest.raises(VerificationFailed):
        verifier.verify(data[:-20] + b"x" + data[-19:])


def test_signers_roots_and_turns_are_those_of_each_size(federation):
    recorder = federation.fed.recorder
    hashes = [s.block.hash for s in recorder.blocks(begin=0, end=recorder.size())]
    for size in range(1, recorder.size() + 1):
        assert recorder.root_at(size) == heads.root_of(hashes[:size])
        assert sorted(recorder.signers_at(size).cosigners) == federation.orgs
    # nobody joined, left or changed keys
    assert recorder.turns_up_to(recorder.size()) == ()


def test_what_is_foreseen_is_what_comes_and_changes_nothing(federation):
    source, mirror = federation.fed.recorder, empty(federation)
    stored = source.blocks(begin=0, end=source.size())
    foreseen = mirror.foresee(stored)
    assert mirror.size() == 0
    assert mirror.standing.height == -1
    for (standing, root), signed in zip(foreseen, stored, strict=True):
        mirror.append(signed)
        assert root == mirror.root_at(mirror.size())
        assert standing.height == mirror.standing.height
        assert standing.cosigners == mirror.standing.cosigners
    with pytest.raises(VerificationFailed):
        mirror.foresee(stored[-1:])


def test_what_was_foreseen_is_checked_once_and_nothing_else_unchecked(
    federation, monkeypatch
):
    """A block or envelopes that were not foreseen here, at this place, are judged."""
    source, mirror = federation.fed.recorder, empty(federation)
    stored = source.blocks(begin=0, end=source.size())
    judged, honest = [], rules.check

    def counting(signed, standing):
        judged.append(signed.block.height)
        return honest(signed, standing)

    monkeypatch.setattr(rules, "check", counting)
    mirror.foresee(stored)
    assert judged == [0, 1, 2]
    mirror.append(stored[0])
    assert judged == [0, 1, 2]
    # the same block with fewer envelopes, and one at another place
    with pytest.raises(VerificationFailed):
        mirror.append(dataclasses.replace(stored[1], envelopes=()))
    with pytest.raises(VerificationFailed):
        mirror.append(stored[2])
    assert mirror.size() == 1
    mirror.append(stored[1])
    mirror.append(stored[2])
    assert mirror.in_force == source.in_force
    # what was foreseen and then not taken does not stay
    other = empty(federation)
    other.foresee(stored)
    other.foresee(())
    judged.clear()
    other.append(stored[0])
    assert judged == [0]


# What we signed for is not judged again.


def restarted(federation, monkeypatch, **changes):
    """Return a recorder over the same blocks, and the heights that it judged."""
    judged, check = [], rules.check

    def count(signed, standing):
        judged.append(signed.block.height)
        return check(signed, standing)

    monkeypatch.setattr(rules, "check", count)
    store = changes.get("store", federation.fed.recorder._store)
    vouched = newest_signed(
        changes.get("heads", federation.orchestrator.heads._store),
        changes.get("me", federation.fed.identity.public),
    )
    recorder = Recorder(
        store=store,
        blobs=MemoryBlobs(),
        clock=federation.fed.clock,
        vouched=vouched,
    )
    return recorder, judged


def test_under_its_own_head_a_ledger_is_not_judged_again(federation, monkeypatch):
    federation.play()
    recorder, judged = restarted(federation, monkeypatch)
    assert judged == []
    ours = federation.fed.recorder
    assert recorder.in_force == ours.in_force
    assert recorder.root_at(recorder.size()) == ours.root_at(ours.size())


def test_a_member_vouches_for_its_mirror(federation, monkeypatch):
    federation.play()
    agent = federation.participant("org-a")
    _, judged = restarted(
        federation,
        monkeypatch,
        store=agent.mirror._store,
        heads=agent.follower.witness._store,
        me=agent._desk.identity.public,
    )
    assert judged == []


def test_blocks_after_the_own_head_are_judged(federation, monkeypatch):
    federation.play()
    entry = RoundFailed(
        round_id=RoundId("round-9"), phase="p", reason="x", sentence="y", survivors=()
    )
    height = federation.fed.recorder.record(entry).height
    _, judged = restarted(federation, monkeypatch)
    assert judged == [height]


def test_a_ledger_that_was_changed_under_the_own_head_is_judged(
    federation, monkeypatch
):
    federation.play()
    store = federation.fed.recorder._store
    newest = store._blocks[-1]
    entry = dataclasses.replace(newest.block.entry, round_id=RoundId("round-x"))
    block = dataclasses.replace(newest.block, entry=entry)
    store._blocks[-1] = dataclasses.replace(newest, block=block)
    with pytest.raises(VerificationFailed):
        restarted(federation, monkeypatch)


def test_envelopes_that_were_taken_away_are_missed(federation, monkeypatch):
    federation.play()
    store = federation.fed.recorder._store
    store._blocks[-1] = dataclasses.replace(store._blocks[-1], envelopes=())
    with pytest.raises(VerificationFailed, match="not those it binds"):
        restarted(federation, monkeypatch)


def test_a_head_that_others_signed_vouches_for_nothing(federation, monkeypatch):
    federation.play()
    stranger = IdentityKey.generate(federation.fed.entropy).public
    recorder, judged = restarted(federation, monkeypatch, me=stranger)
    assert judged == list(range(recorder.size()))


def test_a_line_that_is_not_good_vouches_for_nothing(federation):
    federation.play()
    store = federation.orchestrator.heads._store
    size, head = store.newest()
    found = note.parse(head)
    forged = [
        dataclasses.replace(line, signature=bytes(len(line.signature)))
        for line in found.signatures
    ]
    bad = MemoryCheckpointStore()
    text = Note(text=found.text, signatures=tuple(forged)).to_bytes()
    bad.put(size, federation.fed.recorder.root_at(size), text)
    assert newest_signed(bad, federation.fed.identity.public) is None
