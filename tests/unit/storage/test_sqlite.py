# SPDX-License-Identifier: Apache-2.0
"""In a file: reads wait for nobody, a reader writes nothing, room is given back.

What survives kill -9, and who is kept out, is in test_database.py.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from tests.unit.storage.chains import chain

from fedxdr.core.errors import StorageFault
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.database import Database
from fedxdr.storage.registry import SqlNotes


@pytest.fixture
def place(tmp_path):
    return tmp_path / "party.sqlite"


def test_who_reads_waits_for_no_writer_and_sees_one_instant(database):
    notes = SqlNotes(database)
    count = sa.text("SELECT count(*) FROM notes")
    with database.read() as reading:
        assert reading.execute(count).scalar() == 0
        with database.write() as writing:
            writing.execute(sa.text("INSERT INTO notes VALUES ('a', x'00')"))
            # a read of its own beside an open writer: BEGIN IMMEDIATE would wait
            assert notes.get("a") is None
        assert reading.execute(count).scalar() == 0
    assert notes.get("a") == b"\0"


def test_a_reader_reads_beside_the_writer_and_writes_nothing(database, place):
    made = chain(2)
    SqlBlockStore(database).append(made[0])
    reader = Database(place, access="reading")
    assert SqlBlockStore(reader).head() == made[0]
    with pytest.raises(StorageFault, match="readonly"):
        SqlBlockStore(reader).append(made[1])
    SqlBlockStore(database).append(made[1])
    assert SqlBlockStore(reader).size() == 2
    reader.close()


def test_a_reader_makes_no_file(tmp_path):
    with pytest.raises(StorageFault, match="no such file"):
        Database(tmp_path / "new" / "party.sqlite", access="reading")
    assert list(tmp_path.iterdir()) == []


def spoil(database, statement):
    with database.write_raw() as raw:
        raw.execute("DELETE FROM blocks")
        raw.execute(statement)


def test_appends_past_sqlalchemy_are_transactions_too(database):
    made = chain(3)
    store = SqlBlockStore(database)
    store.append(made[0])
    for wrong in ("INSERT INTO blocks VALUES (1)", "no SQL"):
        with pytest.raises(StorageFault, match="said no"):
            spoil(database, wrong)
    assert store.read(begin=0, end=9) == made[:1]
    store.append(made[1])
    with database.write() as connection:
        connection.execute(sa.text("DROP TABLE blocks"))
    with pytest.raises(StorageFault, match="no such table"):
        store.append(made[2])


def test_room_is_given_back(database, place):
    notes = SqlNotes(database)
    for number in range(20):
        notes.put(f"n{number}", bytes(100_000))
    with database.write() as connection:
        connection.execute(sa.text("DELETE FROM notes"))
    before = place.stat().st_size
    database.compact()
    assert before > 10 * place.stat().st_size
    journal = place.with_name(f"{place.name}-wal")
    assert journal.stat().st_size == 0


def test_what_was_erased_is_on_no_page(database, place):
    notes = SqlNotes(database)
    notes.put("a", b"round-entropy" * 10)
    notes.put("a", b"")
    files = [place, place.with_name(f"{place.name}-wal")]
    assert not any(b"round-entropy" in path.read_bytes() for path in files)
