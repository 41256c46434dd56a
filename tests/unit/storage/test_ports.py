# SPDX-License-Identifier: Apache-2.0
"""One contract for every port of parties/ports.py: memory, SQLite, PostgreSQL."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.storage.chains import chain, failed, head

from fedxdr.core.errors import (
    AlreadyAnswered,
    IntegrityFault,
    InvitationRefused,
    MalformedMessage,
    NotFound,
    ReplayedRequest,
    StorageFault,
)
from fedxdr.core.ids import Digest, OrgId, RoundId, sha256
from fedxdr.crypto.envelope import Envelope, EnvelopeSignature
from fedxdr.parties.ports import (
    Invitation,
    Registration,
    StoredChange,
    StoredFact,
)
from fedxdr.storage.blobs import FileBlobs
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.changes import SqlChangeStore
from fedxdr.storage.checkpoints import SqlCheckpointStore
from fedxdr.storage.database import Database
from fedxdr.storage.memory import (
    MemoryBlobs,
    MemoryBlockStore,
    MemoryChangeStore,
    MemoryCheckpointStore,
    MemoryFactLog,
    MemoryNotes,
    MemoryRegistry,
)
from fedxdr.storage.registry import SqlNotes, SqlRegistry
from fedxdr.storage.rounds import SqlFactLog

NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
R1, R2 = RoundId("round-1"), RoundId("round-2")
A, B = OrgId("org-a"), OrgId("org-b")


@dataclass(kw_only=True)
class Store:
    """The ports, and a way to close and open them again."""

    facts: Any
    blobs: Any
    blocks: Any
    checkpoints: Any
    changes: Any
    registry: Any
    notes: Any
    reopen: Callable[[], Store]


def memory() -> Store:
    checkpoints = MemoryCheckpointStore()
    store = Store(
        facts=MemoryFactLog(),
        blobs=MemoryBlobs(),
        blocks=MemoryBlockStore(checkpoints),
        checkpoints=checkpoints,
        changes=MemoryChangeStore(),
        registry=MemoryRegistry(),
        notes=MemoryNotes(),
        reopen=lambda: store,
    )
    return store


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request, tmp_path):
    match request.param:
        case "memory":
            yield memory()
        case "sqlite":
            yield from durable(tmp_path / "party" / "party.sqlite", tmp_path / "blobs")
        case _:
            with request.getfixturevalue("postgres").lend() as place:
                yield from durable(place, tmp_path / "blobs")


def durable(place: Path | str, blobs: Path) -> Iterator[Store]:
    open_: list[Database] = []

    def disk() -> Store:
        for database in open_:
            database.close()
        open_[:] = [Database(place)]
        return Store(
            facts=SqlFactLog(open_[0]),
            blobs=FileBlobs(blobs),
            blocks=SqlBlockStore(open_[0]),
            checkpoints=SqlCheckpointStore(open_[0]),
            changes=SqlChangeStore(open_[0]),
            registry=SqlRegistry(open_[0]),
            notes=SqlNotes(open_[0]),
            reopen=disk,
        )

    yield disk()
    for database in open_:
        database.close()


def fact(name: str, slot: str = "", message: bytes | None = None) -> StoredFact:
    return StoredFact(name=name, body=b"{}", slot=slot, message=message)


# Facts.


def test_a_round_is_opened_once(store):
    assert store.facts.opening(R1) is None
    store.facts.begin(R1, b"opening")
    store.facts.begin(R1, b"opening")
    with pytest.raises(AlreadyAnswered):
        store.facts.begin(R1, b"another")
    store = store.reopen()
    assert store.facts.opening(R1) == b"opening"


def test_rounds_come_in_the_order_of_their_opening(store):
    for name in ("z", "a", "m"):
        store.facts.begin(RoundId(name), name.encode())
    store.facts.begin(RoundId("a"), b"a")
    store = store.reopen()
    assert store.facts.rounds() == ["z", "a", "m"]


def test_facts_come_in_order_and_of_their_round(store):
    for name in ("Third", "First", "Second"):
        store.facts.append(R1, fact(name))
    store.facts.append(R2, fact("Other"))
    store = store.reopen()
    found = store.facts.facts(R1)
    assert [f.name for f in found] == ["Third", "First", "Second"]
    assert all(f.body == b"{}" and f.message is None and not f.slot for f in found)
    assert store.facts.facts(RoundId("round-3")) == []


def test_messages_lie_in_their_slots(store):
    store.facts.append(R1, fact("Received", "keys/org-a", b"\x00bytes\xff"))
    store.facts.append(R1, fact("Received", "keys/org-b", b""))
    store = store.reopen()
    assert store.facts.message(R1, "keys/org-a") == b"\x00bytes\xff"
    assert store.facts.message(R1, "keys/org-b") == b""
    assert store.facts.message(R1, "keys/org-c") is None
    assert store.facts.message(R2, "keys/org-a") is None


def test_a_slot_that_is_taken_takes_neither_message_nor_fact(store):
    store.facts.append(R1, fact("Received", "keys/org-a", b"first"))
    with pytest.raises(StorageFault):
        store.facts.append(R1, fact("Received", "keys/org-a", b"second"))
    assert store.facts.message(R1, "keys/org-a") == b"first"
    assert len(store.facts.facts(R1)) == 1


def test_erasing_takes_the_messages_of_a_prefix_and_round(store):
    for round_, slot in (
        (R1, "shares/org-a"),
        (R1, "shares_x"),
        (R1, "keys/org-a"),
        (R2, "shares/org-a"),
    ):
        store.facts.append(round_, fact("Received", slot, b"x"))
    store.facts.erase(R1, prefix="shares/")
    store.facts.erase(R1, prefix="shares/")
    store.facts.erase(R1, prefix="%")
    store.facts.erase(R1, prefix="KEYS/")
    store = store.reopen()
    assert store.facts.message(R1, "shares/org-a") is None
    assert store.facts.message(R1, "shares_x") == b"x"
    assert store.facts.message(R1, "keys/org-a") == b"x"
    assert store.facts.message(R2, "shares/org-a") == b"x"
    assert len(store.facts.facts(R1)) == 3


# Blobs.


def test_blobs_are_named_by_their_hash(store):
    for data in (b"", b"x", bytes(100_000)):
        assert not store.blobs.has(sha256(data))
        assert store.blobs.put(data) == sha256(data)
        assert store.blobs.put(data) == sha256(data)
        store = store.reopen()
        assert store.blobs.get(sha256(data)) == data
        assert store.blobs.has(sha256(data))


def test_blobs_can_be_forgotten(store):
    digest = store.blobs.put(b"x")
    store.blobs.delete(digest)
    store.blobs.delete(digest)
    assert not store.blobs.has(digest)
    with pytest.raises(NotFound):
        store.blobs.get(digest)
    assert store.blobs.put(b"x") == digest
    assert store.blobs.get(digest) == b"x"


def test_blobs_are_kept_as_they_were_given(store):
    data = bytearray(b"abc")
    digest = store.blobs.put(data)
    data[0] = 0
    assert store.blobs.get(digest) == b"abc"


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/hostname", "", ".", "ABC", "0" * 63, "0" * 64 + "/x"]
)
def test_what_is_no_digest_names_no_blob(store, name, tmp_path):
    (tmp_path / "secret").write_text("x")
    assert not store.blobs.has(Digest(name))
    with pytest.raises(NotFound):
        store.blobs.get(Digest(name))
    store.blobs.delete(Digest(name))
    assert (tmp_path / "secret").exists()


# Blocks.


def test_blocks_come_back_as_they_were(store):
    assert store.blocks.head() is None
    assert store.blocks.size() == 0
    made = chain(4)
    for place, signed in enumerate(made, start=1):
        store.blocks.append(signed)
        assert store.blocks.size() == place
        assert store.blocks.head() == signed
    store = store.reopen()
    assert store.blocks.head() == made[-1]
    assert [store.blocks.get(h) for h in range(4)] == made
    for begin, end in ((0, 4), (1, 3), (2, 100), (3, 3), (4, 9), (3, 1), (-5, 2)):
        assert store.blocks.read(begin=begin, end=end) == made[max(0, begin) : end]
    assert store.blocks.read(begin=0, end=-1) == []
    assert store.blocks.read(begin=2**80, end=2**81) == []
    assert store.blocks.read(begin=3, end=2**81) == made[3:]
    for height in (-1, 4, 2**80):
        with pytest.raises(NotFound):
            store.blocks.get(height)


def test_a_block_that_does_not_follow_is_not_written(store):
    made = chain(3)
    for wrong in (made[1], made[2]):
        with pytest.raises(IntegrityFault):
            store.blocks.append(wrong)
    store.blocks.append(made[0])
    fork = failed(made[0].block, name="fork")
    store.blocks.append(made[1])
    for wrong in (made[0], made[1], fork):
        with pytest.raises(IntegrityFault):
            store.blocks.append(wrong)
    assert store.blocks.read(begin=0, end=9) == made[:2]


def test_many_blocks_are_added_together_or_not_at_all(store):
    made = chain(5)
    store.blocks.extend([])
    for wrong in ([made[1]], [made[0], made[2]], [*made, made[4]]):
        with pytest.raises(IntegrityFault, match="does not follow"):
            store.blocks.extend(wrong)
        assert store.blocks.size() == 0
    store.blocks.extend(made[:3])
    store.blocks.extend(made[3:])
    store = store.reopen()
    assert store.blocks.read(begin=0, end=9) == made


def test_a_block_with_other_envelopes_is_not_written(store):
    first = chain(1)[0]
    other = Envelope(
        payload_type="x",
        payload=b"x",
        signatures=(EnvelopeSignature(keyid="k", sig=b"s"),),
    )
    with pytest.raises(IntegrityFault, match="envelopes"):
        store.blocks.append(dataclasses.replace(first, envelopes=(other,)))
    assert store.blocks.size() == 0


# Checkpoints.


ROOT, OTHER = sha256(b"root"), sha256(b"other")


def test_a_block_and_the_head_over_it_are_stored_both_or_neither(store):
    made = chain(3)
    store.blocks.append(made[0], head=head(1, ROOT))
    assert store.checkpoints.get(1) == head(1, ROOT)
    store.checkpoints.put(2, ROOT, head(2, ROOT))
    for signed, of in ((made[1], head(2, OTHER)), (made[2], head(3, ROOT))):
        with pytest.raises(IntegrityFault):
            store.blocks.append(signed, head=of)
    with pytest.raises(MalformedMessage):
        store.blocks.append(made[1], head=head(3, ROOT))
    store = store.reopen()
    assert (store.blocks.size(), store.checkpoints.sizes()) == (1, [1, 2])


def test_a_head_takes_further_signatures_and_no_other_root(store):
    assert store.checkpoints.newest() is None
    assert store.checkpoints.get(1) is None
    assert store.checkpoints.sizes() == []
    note, cosigned = head(10, ROOT), head(10, ROOT, lines=3)
    store.checkpoints.put(10, ROOT, note)
    store.checkpoints.put(10, ROOT, note)
    store.checkpoints.put(2, OTHER, head(2, OTHER))
    assert store.checkpoints.newest() == (10, note)
    store.checkpoints.put(10, ROOT, cosigned)
    with pytest.raises(IntegrityFault, match="has the root"):
        store.checkpoints.put(10, OTHER, head(10, OTHER))
    store = store.reopen()
    assert store.checkpoints.get(10) == cosigned
    assert store.checkpoints.get(2) == head(2, OTHER)
    assert [store.checkpoints.get(size) for size in (3, 0, -1, 2**80)] == [None] * 4
    assert store.checkpoints.newest() == (10, cosigned)
    assert store.checkpoints.sizes() == [2, 10]
    with pytest.raises(IntegrityFault, match="has the root"):
        store.checkpoints.put(10, OTHER, head(10, OTHER))
    assert store.checkpoints.get(10) == cosigned


@pytest.mark.parametrize(
    ("size", "root", "note"),
    [
        (0, ROOT, head(0, ROOT)),
        (-1, ROOT, head(1, ROOT)),
        (1, ROOT[:-1], head(1, ROOT)),
        (1, ROOT.upper(), head(1, ROOT)),
        (1, ROOT, head(2, ROOT)),
        (1, ROOT, head(1, OTHER)),
        (1, ROOT, b"no note"),
        (1, ROOT, b""),
    ],
)
def test_what_is_no_head_is_not_stored(store, size, root, note):
    with pytest.raises(MalformedMessage):
        store.checkpoints.put(size, Digest(root), note)
    assert store.checkpoints.sizes() == []


# Proposed changes.


def change(name: str, **fields: Any) -> StoredChange:
    given: dict[str, Any] = {
        "digest": sha256(name.encode()),
        "number": 1,
        "entry": b"\x00entry of " + name.encode(),
        "envelopes": (b"\xffenrolment", b""),
        "proposed_by": "operator",
        "proposed_at": NOW,
    }
    return StoredChange(**(given | fields))


def test_changes_come_in_the_order_in_which_they_were_proposed(store):
    assert store.changes.all() == []
    assert store.changes.get(ROOT) is None
    made = [
        change("z", number=7),
        change("a", envelopes=()),
        change("m", proposed_by="org-a", approvals={B: b"b", A: b"a"}),
    ]
    for one in made:
        store.changes.propose(one)
    # one of that digest is there: what was proposed stays
    store.changes.propose(change("a", entry=b"another", approvals={A: b"slipped in"}))
    store = store.reopen()
    assert store.changes.all() == made
    assert [store.changes.get(one.digest) for one in made] == made
    store.changes.propose(change("b"))
    assert [c.digest for c in store.changes.all()][-1] == sha256(b"b")


def test_approvals_are_kept_one_for_each_organisation(store):
    store.changes.propose(change("x"))
    store.changes.propose(change("y"))
    x, y = sha256(b"x"), sha256(b"y")
    store.changes.approve(x, A, b"first")
    store.changes.approve(x, B, b"\x00")
    store.changes.approve(x, A, b"second")
    store.changes.approve(x, A, b"second")
    with pytest.raises(NotFound):
        store.changes.approve(ROOT, A, b"first")
    store = store.reopen()
    assert store.changes.get(x).approvals == {A: b"second", B: b"\x00"}
    assert store.changes.get(y).approvals == {}
    assert [len(c.approvals) for c in store.changes.all()] == [2, 0]


def test_what_was_handed_out_does_not_change_afterwards(store):
    approvals = {A: b"a"}
    store.changes.propose(change("x", approvals=approvals))
    approvals[B] = b"not proposed"
    before = store.changes.get(sha256(b"x"))
    store.changes.approve(sha256(b"x"), B, b"b")
    assert before.approvals == {A: b"a"}


def test_what_was_withdrawn_opens_when_it_is_proposed_again(store):
    store.changes.propose(change("x", approvals={A: b"a"}))
    store.changes.close(sha256(b"x"), outcome="withdrawn")
    assert store.changes.all() == []
    store.changes.propose(change("x"))
    assert store.changes.all() == [change("x", approvals={A: b"a"})]
    # open, it is whose it is; withdrawn, it is whoever proposes it again
    again: dict[str, Any] = {
        "proposed_by": "org-b",
        "proposed_at": NOW + timedelta(seconds=1),
        "envelopes": (b"another enrolment",),
    }
    store.changes.propose(change("x", **again))
    assert store.changes.all() == [change("x", approvals={A: b"a"})]
    store.changes.close(sha256(b"x"), outcome="withdrawn")
    store.changes.propose(change("x", **again, approvals={B: b"slipped in"}))
    store = store.reopen()
    assert store.changes.all() == [change("x", **again, approvals={A: b"a"})]
    store.changes.close(sha256(b"x"), outcome="adopted")
    store.changes.propose(change("x"))
    assert store.changes.all() == []


def test_a_change_has_one_outcome(store):
    for name in ("x", "y", "z"):
        store.changes.propose(change(name))
    x, y, z = (sha256(name) for name in (b"x", b"y", b"z"))
    store.changes.approve(x, A, b"a")
    store.changes.close(x, outcome="adopted")
    store.changes.close(x, outcome="adopted")
    store.changes.close(y, outcome="withdrawn")
    with pytest.raises(AlreadyAnswered):
        store.changes.close(x, outcome="withdrawn")
    with pytest.raises(NotFound):
        store.changes.close(ROOT, outcome="adopted")
    for word in ("", "open", "Adopted"):
        with pytest.raises(MalformedMessage):
            store.changes.close(z, outcome=word)
    store = store.reopen()
    assert [c.digest for c in store.changes.all()] == [z]
    found = store.changes.all(is_open=False)
    assert [c.outcome for c in found] == ["adopted", "withdrawn", ""]
    assert found[0] == change("x", outcome="adopted", approvals={A: b"a"})


# Invitations, registrations, nonces.


def invitation(name: str = "x", org: OrgId = A) -> Invitation:
    return Invitation(
        invitation_id=sha256(name.encode()),
        proof_key=b"\x00proof",
        org=org,
        expires=NOW + timedelta(hours=1),
    )


def registration(org: OrgId = A) -> Registration:
    return Registration(
        org=org,
        receipt=b"\xffreceipt",
        endpoint="https://x",
        capabilities=("secagg", "clear"),
    )


def test_an_invitation_is_used_once_together_with_a_registration(store):
    kept = invitation()
    assert store.registry.invitation(kept.invitation_id) is None
    store.registry.invite(kept)
    store = store.reopen()
    assert store.registry.invitation(kept.invitation_id) == kept
    assert store.registry.registration(A) is None
    store.registry.use(kept.invitation_id, registration(), at=NOW)
    store = store.reopen()
    assert store.registry.invitation(kept.invitation_id).used_at == NOW
    assert store.registry.registration(A) == registration()
    with pytest.raises(InvitationRefused):
        store.registry.use(kept.invitation_id, registration(B), at=NOW)
    assert store.registry.registration(B) is None
    with pytest.raises(InvitationRefused):
        store.registry.use(sha256(b"unknown"), registration(B), at=NOW)


def test_a_second_registration_of_one_name_replaces_the_first(store):
    """Of whoever was suspended and comes back with other keys."""
    for secret in (b"x", b"y"):
        store.registry.invite(
            dataclasses.replace(invitation(), invitation_id=sha256(secret))
        )
    store.registry.use(sha256(b"x"), registration(), at=NOW)
    store.registry.touch(A, at=NOW)
    again = dataclasses.replace(registration(), receipt=b"another", capabilities=())
    store.registry.use(sha256(b"y"), again, at=NOW)
    store = store.reopen()
    assert store.registry.registration(A) == again
    assert store.registry.invitation(sha256(b"y")).used_at == NOW
    # a refused one replaces nothing
    with pytest.raises(InvitationRefused):
        store.registry.use(sha256(b"y"), registration(), at=NOW)
    assert store.registry.registration(A) == again


def test_an_invitation_is_written_once(store):
    store.registry.invite(invitation())
    store.registry.use(invitation().invitation_id, registration(), at=NOW)
    with pytest.raises(StorageFault):
        store.registry.invite(invitation())
    assert store.registry.invitation(invitation().invitation_id).used_at == NOW


def test_signs_of_life_are_noted_for_members(store):
    store.registry.invite(invitation())
    store.registry.use(invitation().invitation_id, registration(), at=NOW)
    assert store.registry.registration(A).last_update is None
    later = NOW + timedelta(days=1)
    store.registry.touch(A, at=later)
    store.registry.touch(B, at=later)
    store = store.reopen()
    assert store.registry.registration(A).last_update == later
    assert store.registry.registration(B) is None


def test_a_nonce_is_used_once_per_key_until_it_is_forgotten(store):
    store.registry.use_nonce("key-1", "n", expires=NOW)
    store.registry.use_nonce("key-2", "n", expires=NOW)
    store.registry.use_nonce("key-1", "m", expires=NOW + timedelta(microseconds=1))
    store = store.reopen()
    for key, nonce in (("key-1", "n"), ("key-2", "n"), ("key-1", "m")):
        with pytest.raises(ReplayedRequest):
            store.registry.use_nonce(key, nonce, expires=NOW)
    store.registry.forget_nonces(before=NOW)
    with pytest.raises(ReplayedRequest):
        store.registry.use_nonce("key-1", "n", expires=NOW)
    store.registry.forget_nonces(before=NOW + timedelta(microseconds=1))
    store.registry.use_nonce("key-1", "n", expires=NOW)
    with pytest.raises(ReplayedRequest):
        store.registry.use_nonce("key-1", "m", expires=NOW)


# Notes.


def test_notes_are_replaced_and_listed_by_prefix(store):
    assert store.notes.get("a") is None
    for name, value in (("b/1", b"1"), ("b/2", b""), ("b_3", b"3"), ("a", b"\x00")):
        store.notes.put(name, value)
    store.notes.put("b/1", b"one")
    store = store.reopen()
    assert store.notes.get("b/1") == b"one"
    assert store.notes.get("b/2") == b""
    assert list(store.notes.names("b/")) == ["b/1", "b/2"]
    assert list(store.notes.names("b_")) == ["b_3"]
    assert list(store.notes.names("%")) == []
    assert list(store.notes.names("B/")) == []
    assert list(store.notes.names("")) == ["a", "b/1", "b/2", "b_3"]
