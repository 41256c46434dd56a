# SPDX-License-Identifier: Apache-2.0
"""What is stored hangs together, or the check says what does not and at which size."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from tests.unit.storage.chains import chain, head

from fedxdr.core.errors import IntegrityFault, VerificationFailed
from fedxdr.core.ids import Digest, sha256
from fedxdr.ledger import merkle
from fedxdr.storage import ledger_check
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.checkpoints import SqlCheckpointStore
from fedxdr.storage.database import Database
from fedxdr.storage.schema import BLOCKS, CHECKPOINTS

N = 7


@pytest.fixture
def made():
    return chain(N)


@pytest.fixture
def filled(database, made):
    for size, signed in enumerate(made, start=1):
        SqlBlockStore(database).append(signed)
        if size % 2:
            root = root_of(made[:size])
            SqlCheckpointStore(database).put(size, root, head(size, root))
    return database


def root_of(ledger):
    leaves = [bytes.fromhex(signed.block.hash) for signed in ledger]
    return Digest(merkle.root(leaves).hex())


def check(database, **options):
    return ledger_check.check(database, has_model=lambda _: True, **options)


def test_an_empty_database_is_an_empty_ledger(database):
    found = check(database)
    assert (found.size, found.heads, found.newest_head, found.model) == (0, 0, 0, None)
    assert found.root == merkle.EMPTY_ROOT.hex()
    assert found.head == "0" * 64


def test_what_fits_is_summed_up(filled, made):
    asked = []
    found = ledger_check.check(filled, has_model=lambda name: not asked.append(name))
    assert found == ledger_check.StoredLedger(
        size=N,
        head=made[-1].block.hash,
        root=root_of(made),
        heads=4,
        newest_head=7,
        model=made[-1].block.model_hash,
    )
    assert asked == [made[-1].block.model_hash]


def test_a_missing_model_is_a_fault(filled):
    with pytest.raises(IntegrityFault, match="the model in force"):
        ledger_check.check(filled, has_model=lambda _: False)


def test_blocks_that_were_cut_off_are_missed(filled):
    with filled.write() as connection:
        connection.execute(BLOCKS.delete().where(BLOCKS.c.height == N - 1))
    with pytest.raises(IntegrityFault, match=r"head of 7 blocks .* only 6"):
        check(filled)


def test_a_head_over_other_blocks_is_a_fault(filled):
    other = sha256(b"other")
    with filled.write() as connection:
        connection.execute(
            CHECKPOINTS.update()
            .where(CHECKPOINTS.c.size == 5)
            .values(root=other, note=head(5, other))
        )
    with pytest.raises(IntegrityFault, match="head of 5 blocks has another root"):
        check(filled)


@pytest.mark.parametrize(
    "columns",
    [
        {"root": sha256(b"other")},
        {"root": "x"},
        {"note": head(5, sha256(b"other"))},
        {"note": b""},
        {"note": b"\xff"},
        {"size": 4},
    ],
)
def test_a_damaged_head_is_a_fault(filled, columns):
    with filled.write() as connection:
        where = CHECKPOINTS.c.size == 5
        connection.execute(CHECKPOINTS.update().where(where).values(**columns))
    size = columns.get("size", 5)
    heads = SqlCheckpointStore(filled)
    for read in (lambda: check(filled), lambda: heads.get(size), heads.roots):
        with pytest.raises(IntegrityFault, match=f"head of {size} blocks"):
            read()


def test_a_block_that_breaks_the_rules_is_refused_by_them(filled):
    # the chain of these tests is founded by nobody's signature
    with pytest.raises(VerificationFailed):
        check(filled, judge=ledger_check.by_the_rules())


def test_the_judge_sees_every_block_in_order(filled, made):
    seen = []
    check(filled, judge=seen.append)
    assert seen == made


def test_a_page_that_sqlite_cannot_read_is_a_fault(tmp_path, made):
    path = tmp_path / "party.sqlite"
    database = Database(path)
    for signed in made:
        SqlBlockStore(database).append(signed)
    database.compact()
    with database.read() as connection:
        index = connection.execute(
            sa.text("SELECT rootpage FROM sqlite_master WHERE name LIKE '%model_hash%'")
        ).scalar()
        size = connection.exec_driver_sql("PRAGMA page_size").scalar()
    database.close()
    data = bytearray(path.read_bytes())
    data[index * size - 40 : index * size - 20] = bytes(20)
    path.write_bytes(data)
    damaged = Database(path)
    with pytest.raises(IntegrityFault, match="damaged"):
        check(damaged)
    damaged.close()
