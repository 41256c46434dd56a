# SPDX-License-Identifier: Apache-2.0
"""On a server: one writer, who is fenced off once another took over; no lost commit.

What every store does there is in test_ports.py, which runs on it as well.
"""

from __future__ import annotations

import sys

import pytest
import sqlalchemy as sa
from tests.unit.storage.chains import chain, failed

from fedxdr.core.errors import (
    IntegrityFault,
    InvalidSettings,
    StorageFault,
    Unavailable,
)
from fedxdr.privacy.budget import Reserved
from fedxdr.privacy.mechanism import Charge
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.database import Database
from fedxdr.storage.purse import PURSE, SqlPurseLog
from fedxdr.storage.registry import SqlNotes


@pytest.fixture
def place(postgres):
    return postgres.new_place()


def test_what_is_committed_is_on_the_disk(database):
    with database.read() as connection:
        shown = {
            name: connection.exec_driver_sql(f"SHOW {name}").scalar()
            for name in ("synchronous_commit", "fsync", "transaction_isolation")
        }
    assert shown == {
        "synchronous_commit": "on",
        "fsync": "on",
        "transaction_isolation": "repeatable read",
    }


def test_a_server_that_does_not_sync_is_refused(postgres):
    def set_fsync(value):
        alone = sa.create_engine(postgres.new_place(), isolation_level="AUTOCOMMIT")
        with alone.connect() as connection:
            connection.exec_driver_sql(f"ALTER SYSTEM SET fsync = {value}")
            connection.exec_driver_sql("SELECT pg_reload_conf()")
        alone.dispose()

    set_fsync("off")
    try:
        with pytest.raises(StorageFault, match="fsync off"):
            _until_refused(postgres.new_place())
    finally:
        set_fsync("on")


def _until_refused(place):
    for _ in range(200):  # the server reads its settings again when it comes to it
        Database(place).close()


def test_a_second_process_is_kept_out_until_the_first_is_gone(place):
    first = Database(place)
    for _ in range(2):
        with pytest.raises(Unavailable, match="in use by another"):
            Database(place)
    first.close()
    second = Database(place)
    SqlNotes(second).put("a", b"1")
    second.close()


def test_the_lock_is_free_before_its_session_has_ended(place, monkeypatch):
    first = Database(place)
    held = first._backend._hold
    # a server that is slow to notice that its client has gone
    close = sa.Connection.close
    monkeypatch.setattr(sa.Connection, "invalidate", lambda *_: None)
    monkeypatch.setattr(
        sa.Connection, "close", lambda one: None if one is held else close(one)
    )
    first.close()
    assert not held.closed
    Database(place).close()
    first.close()
    monkeypatch.undo()
    held.invalidate()
    held.close()


def test_two_schemas_are_two_databases(postgres):
    first, second = (Database(postgres.new_place()) for _ in range(2))
    SqlNotes(first).put("a", b"1")
    assert SqlNotes(second).get("a") is None
    first.close()
    second.close()


def test_who_lost_the_lock_writes_nothing_once_another_took_over(place):
    made = chain(3)
    first = Database(place)
    SqlBlockStore(first).append(made[0])
    _end_sessions(place)
    # nobody took over: the lock is gone, what we write is still ours
    SqlBlockStore(first).append(made[1])
    second = Database(place)
    for _ in range(2):
        with pytest.raises(StorageFault, match="taken over"):
            SqlBlockStore(first).append(made[2])
    assert SqlBlockStore(first).read(begin=0, end=9) == made[:2]
    SqlBlockStore(second).append(made[2])
    first.close()
    second.close()


def _end_sessions(place):
    engine = sa.create_engine(place, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    engine.dispose()


def test_killed_with_its_server_nothing_appended_is_lost(postgres, place):
    made = chain(4)
    database = Database(place)
    store = SqlBlockStore(database)
    for signed in made[:3]:
        store.append(signed)
    postgres.kill()
    with pytest.raises(StorageFault):
        store.append(made[3])
    postgres.start()
    assert store.read(begin=0, end=9) == made[:3]
    store.append(made[3])
    with pytest.raises(IntegrityFault):
        store.append(failed(made[1].block, name="fork"))
    assert store.size() == 4
    database.close()


def test_a_reader_reads_beside_the_writer_and_writes_nothing(place):
    reader = Database(place, access="reading")
    with pytest.raises(StorageFault):
        SqlBlockStore(reader).size()
    reader.close()
    made = chain(2)
    writer = Database(place)
    SqlBlockStore(writer).append(made[0])
    reader = Database(place, access="reading")
    with writer.write() as connection:
        connection.execute(sa.text("DELETE FROM blocks"))
        assert SqlBlockStore(reader).head() == made[0]
        connection.rollback()
    with pytest.raises(StorageFault, match="ReadOnly"):
        SqlBlockStore(reader).append(made[1])
    SqlBlockStore(writer).append(made[1])
    assert SqlBlockStore(reader).size() == 2
    reader.close()
    writer.close()


def test_one_reading_transaction_sees_one_instant(place):
    database = Database(place)
    notes = SqlNotes(database)
    with database.read() as connection:
        count = sa.text("SELECT count(*) FROM notes")
        before = connection.execute(count).scalar()
        notes.put("a", b"1")
        assert connection.execute(count).scalar() == before
    assert notes.get("a") == b"1"
    database.close()


def test_a_purse_gives_nothing_back_here_either(database):
    log = SqlPurseLog(database)
    SqlPurseLog(database)
    fact = Reserved(
        release_id="round-1/training", charge=Charge(unit="event", noise_multiplier=1.0)
    )
    log.append(fact)
    log.append(fact)
    for statement in (
        sa.delete(PURSE),
        sa.update(PURSE).values(body=b""),
        sa.text("TRUNCATE purse"),
    ):
        with pytest.raises(StorageFault), database.write() as connection:
            connection.execute(statement)
    assert log.facts() == [fact]


def test_names_that_a_server_cannot_store_are_a_fault(database):
    with pytest.raises(StorageFault):
        SqlNotes(database).put("a\0b", b"")
    SqlNotes(database).put("x'; DROP TABLE notes; --é", b"1")
    assert SqlNotes(database).names("x';") == ["x'; DROP TABLE notes; --é"]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg2://user:a-password@host/name",
        "postgresql+psycopg://user:a-password@host",
        "postgresql+psycopg://user:a-password@host:port/name",
        "postgresqlx://user:a-password@host/name",
        "postgresql",
    ],
)
def test_another_url_is_refused_and_its_password_not_shown(url):
    with pytest.raises(InvalidSettings, match="postgresql") as caught:
        Database(url)
    assert "a-password" not in str(caught.value)


def test_a_server_that_is_not_there_is_a_fault_without_a_password(tmp_path):
    url = f"postgresql+psycopg://user:a-password@/name?host={tmp_path}"
    with pytest.raises(StorageFault) as caught:
        Database(url)
    assert "a-password" not in f"{caught.value} {caught.value.__cause__}"


def test_without_the_driver_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InvalidSettings, match=r"fedxdr\[postgres\]"):
        Database("postgresql+psycopg://user@host/name")


def test_room_is_given_back(database):
    notes = SqlNotes(database)
    notes.put("a", bytes(100_000))
    notes.put("a", b"")
    database.compact()
    assert notes.get("a") == b""
