# SPDX-License-Identifier: Apache-2.0
"""Stored blocks fit their rows, or reading them stops everything and names the height.

What every block store does is in test_ports.py.
"""

from __future__ import annotations

import dataclasses
import threading

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.storage.chains import chain, failed, genesis, head

from fedxdr.core.canonical import jcs
from fedxdr.core.errors import IntegrityFault, MalformedMessage
from fedxdr.core.ids import sha256
from fedxdr.crypto.envelope import Envelope, EnvelopeSignature
from fedxdr.ledger import block as blocks
from fedxdr.storage import blocks as stores
from fedxdr.storage.blocks import SqlBlockStore, StoredBlock
from fedxdr.storage.checkpoints import SqlCheckpointStore
from fedxdr.storage.database import Database
from fedxdr.storage.schema import BLOCKS

N = 6


@pytest.fixture
def made():
    return chain(N)


@pytest.fixture
def store(database, made):
    filled = SqlBlockStore(database)
    for signed in made:
        filled.append(signed)
    return filled


def damage(database, height, **columns):
    with database.write() as connection:
        connection.execute(
            BLOCKS.update().where(BLOCKS.c.height == height).values(**columns)
        )


def test_the_chain_can_be_read_by_hand(database, store, made):
    with database.read() as connection:
        rows = connection.execute(
            sa.text("SELECT height, model_hash FROM blocks ORDER BY height;")
        ).all()
    assert [tuple(row) for row in rows] == [
        (height, signed.block.model_hash) for height, signed in enumerate(made)
    ]
    assert store.size() == N


def test_what_is_handed_out_raw_is_what_was_written(store, made):
    rows = store.stored(begin=0, end=N)
    assert [row.body for row in rows] == [signed.block.body() for signed in made]
    assert [row.hash for row in rows] == [signed.block.hash for signed in made]
    assert store.stored(begin=2, end=3) == rows[2:3]
    assert store.stored(begin=N, end=N + 1) == []


def test_damage_is_named_by_height_and_never_skipped(database, store, made):
    rows = store.stored(begin=0, end=N)
    other = Envelope(
        payload_type="x",
        payload=b"x",
        signatures=(EnvelopeSignature(keyid="k", sig=b"s"),),
    )
    body = made[3].block.body().replace(b"nobody came", b"nobody dared")
    again = dataclasses.replace(made[3].block, height=2, prev_hash=made[1].block.hash)
    cases = {
        "does not hash": {"body": body},
        "is no block": {"body": b"{}", "hash": blocks.hash_of(b"{}")},
        "says that it is block 2": {"body": again.body(), "hash": again.hash},
        "another model": {"model_hash": made[3].block.hash},
        "envelopes that are none": {"envelopes": b"[1]"},
        "has envelopes that are": {"envelopes": b"[] "},
        "are none": {"envelopes": b"1"},
        "other envelopes": {"envelopes": jcs([other.to_value()])},
    }
    for words, columns in cases.items():
        damage(database, 3, **columns)
        for read in (
            lambda: store.get(3),
            lambda: store.read(begin=0, end=N),
            lambda: list(store.pages()),
        ):
            with pytest.raises(IntegrityFault, match=f"block 3 .*{words}"):
                read()
        assert store.read(begin=0, end=3) == made[:3]
        kept = rows[3]
        damage(
            database,
            3,
            body=kept.body,
            hash=kept.hash,
            model_hash=kept.model_hash,
            envelopes=kept.envelopes,
        )
        assert store.read(begin=0, end=N) == made


def test_a_block_made_anew_is_found_at_the_next_one(database, store, made):
    body = made[3].block.body().replace(b"nobody came", b"nobody dared")
    damage(database, 3, body=body, hash=blocks.hash_of(body))
    for read in (
        lambda: store.get(4),
        lambda: store.read(begin=4, end=N),
        lambda: store.read(begin=0, end=N),
        lambda: list(store.pages()),
    ):
        with pytest.raises(IntegrityFault, match="block 4 does not follow"):
            read()
    with pytest.raises(IntegrityFault, match="does not follow"):
        store.append(made[4])


@pytest.mark.parametrize("height", [0, 3])
def test_a_missing_block_is_found(database, store, height):
    with database.write() as connection:
        connection.execute(BLOCKS.delete().where(BLOCKS.c.height == height))
    for read in (
        store.size,
        store.head,
        lambda: store.read(begin=0, end=N),
        lambda: store.get(height + 1),
        lambda: list(store.pages()),
    ):
        with pytest.raises(IntegrityFault, match="missing"):
            read()


def test_blocks_that_changed_places_are_found(database, store):
    rows = store.stored(begin=0, end=N)
    for height, row in ((1, rows[2]), (2, rows[1])):
        columns = {"body": row.body, "model_hash": row.model_hash}
        damage(database, height, hash=f"-{height}", **columns)
    for height, row in ((1, rows[2]), (2, rows[1])):
        damage(database, height, hash=row.hash)
    with pytest.raises(IntegrityFault, match="block 1 says that it is block 2"):
        store.read(begin=0, end=N)


def test_pages_are_the_whole_ledger(store, made, monkeypatch):
    for rows in (1, 2, 5, N, N + 1):
        monkeypatch.setattr(stores, "_PAGE_ROWS", rows)
        pages = list(store.pages())
        assert [signed for page in pages for signed in page] == made
        assert all(len(page) <= rows for page in pages)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_changed_byte_of_a_row_is_read_over(data):
    (row,) = [_row(genesis())]
    name = data.draw(st.sampled_from(["body", "envelopes", "hash", "model_hash"]))
    value = getattr(row, name)
    raw = bytearray(value if isinstance(value, bytes) else value.encode())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 127))
    changed = bytes(raw) if isinstance(value, bytes) else raw.decode(errors="replace")
    damaged = dataclasses.replace(row, **{name: changed})
    with pytest.raises(IntegrityFault, match="block 0"):
        list(stores.checked([damaged], begin=0))


def _row(signed):
    return StoredBlock(
        height=signed.block.height,
        model_hash=signed.block.model_hash,
        hash=signed.block.hash,
        body=signed.block.body(),
        envelopes=jcs([e.to_value() for e in signed.envelopes]),
    )


def test_of_many_writers_one_appends_each_height(place):
    """Several processes may share a database: the slower ones are refused."""
    first = Database(place, access="shared")
    SqlBlockStore(first).append(genesis())
    outcomes: list[str] = []
    barrier = threading.Barrier(4)

    def append(number):
        mine = Database(place, access="shared")
        store = SqlBlockStore(mine)
        for turn in range(5):
            block = failed(store.head().block, name=f"round-{number}-{turn}")
            barrier.wait()
            try:
                store.append(block)
            except IntegrityFault as fault:
                outcomes.append(str(fault))
            else:
                outcomes.append("appended")
            barrier.wait()
        mine.close()

    threads = [threading.Thread(target=append, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = SqlBlockStore(first)
    assert outcomes.count("appended") == 5
    assert len([o for o in outcomes if "does not follow" in o]) == 15
    assert len(store.read(begin=0, end=99)) == store.size() == 6
    first.close()


def test_bodies_are_those_of_every_block(store, made, monkeypatch):
    wanted = [signed.block.body() for signed in made]
    assert list(store.bodies()) == wanted
    for rows in (1, 2, 3, N):
        monkeypatch.setattr(stores, "_PAGE_ROWS", rows)
        assert list(store.bodies()) == wanted


@pytest.mark.parametrize("height", range(N - 1))
def test_bodies_name_a_missing_block(database, store, monkeypatch, height):
    monkeypatch.setattr(stores, "_PAGE_ROWS", 2)
    with database.write() as connection:
        connection.execute(BLOCKS.delete().where(BLOCKS.c.height == height))
    with pytest.raises(IntegrityFault, match=f"block {height} is missing"):
        list(store.bodies())


def test_a_block_and_its_head_are_stored_together(database, made):
    store, heads = SqlBlockStore(database), SqlCheckpointStore(database)
    for size, signed in enumerate(made, start=1):
        note = head(size, sha256(b"root %d" % size))
        store.append(signed, head=note)
        assert heads.get(size) == note
    assert store.size() == N
    assert heads.sizes() == list(range(1, N + 1))


def test_many_blocks_come_with_the_head_over_all_of_them(database, made):
    store, heads = SqlBlockStore(database), SqlCheckpointStore(database)
    store.extend(made, head=head(N, sha256(b"root")))
    assert (store.size(), heads.sizes()) == (N, [N])


def test_neither_block_nor_head_is_stored_where_one_of_them_is_refused(database, made):
    store, heads = SqlBlockStore(database), SqlCheckpointStore(database)
    store.append(made[0], head=head(1, sha256(b"root 1")))
    # somebody signed another tree of two blocks before: never two roots for one size
    heads.put(2, sha256(b"root 2"), head(2, sha256(b"root 2")))
    with pytest.raises(IntegrityFault, match="another one is never stored"):
        store.append(made[1], head=head(2, sha256(b"other")))
    assert store.size() == 1
    # the head is good, the block does not follow
    with pytest.raises(IntegrityFault, match="does not follow"):
        store.append(made[2], head=head(3, sha256(b"root 3")))
    assert heads.get(3) is None
    # the same root again, with further lines
    store.append(made[1], head=head(2, sha256(b"root 2"), lines=3))
    assert heads.get(2) == head(2, sha256(b"root 2"), lines=3)


@pytest.mark.parametrize("size", [1, 3])
def test_a_head_of_another_size_comes_with_no_block(database, made, size):
    store = SqlBlockStore(database)
    store.append(made[0])
    with pytest.raises(MalformedMessage, match=f"a head of {size} blocks"):
        store.append(made[1], head=head(size, sha256(b"root")))
    with pytest.raises(MalformedMessage):
        store.extend((), head=head(1, sha256(b"root")))
    assert store.size() == 1
    assert SqlCheckpointStore(database).sizes() == []
