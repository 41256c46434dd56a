# SPDX-License-Identifier: Apache-2.0
"""One process per database, and what was reported as written survives SIGKILL."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.unit.storage.chains import chain

from fedxdr.core.canonical import jcs
from fedxdr.core.errors import StorageFault, Unavailable
from fedxdr.core.ids import OrgId, RoundId, sha256
from fedxdr.parties.ports import StoredFact
from fedxdr.storage.blobs import FileBlobs
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.database import Database, place_of
from fedxdr.storage.purse import PURSE
from fedxdr.storage.registry import SqlNotes
from fedxdr.storage.rounds import SqlFactLog
from fedxdr.storage.schema import METADATA

ROUND = RoundId("round-1")

WRITER = """
import sys
from pathlib import Path
from fedxdr.core.ids import RoundId
from fedxdr.parties.ports import StoredFact
from fedxdr.storage.blobs import FileBlobs
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.database import Database, place_of
from fedxdr.storage.registry import SqlNotes
from fedxdr.storage.rounds import SqlFactLog

folder, first = Path(sys.argv[1]), int(sys.argv[2])
database = Database(folder / "party.sqlite")
facts, notes = SqlFactLog(database), SqlNotes(database)
blobs, round_ = FileBlobs(folder / "blobs"), RoundId("round-1")
facts.begin(round_, b"opening")
for number in range(first, 1_000_000):
    digest = blobs.put(number.to_bytes(4, "big") * 5_000)
    body = b"%d" % number
    facts.append(
        round_,
        StoredFact(name="Made", body=body, slot=f"s/{number}", message=digest.encode()),
    )
    notes.put("last", body)
    print(number, flush=True)
"""


def test_what_was_reported_as_written_survives_sigkill(tmp_path):
    reported = -1
    for lines in (1, 7, 20):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(reported + 1)],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            for _ in range(lines):
                reported = int(writer.stdout.readline())
        finally:
            writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.read().split()
            assert writer.wait(timeout=30) == -signal.SIGKILL
            writer.stdout.close()
        # what came through the pipe before the kill was reported as well
        reported = int(rest[-1]) if rest else reported
        database = Database(tmp_path / "party.sqlite")
        try:
            reported = assert_written(database, tmp_path, reported)
        finally:
            database.close()


def assert_written(database: Database, folder: Path, reported: int) -> int:
    """Everything reported is there, whole; at most one more. Return the last one."""
    facts, notes = SqlFactLog(database), SqlNotes(database)
    blobs = FileBlobs(folder / "blobs")
    assert facts.opening(ROUND) == b"opening"
    stored = [int(f.body) for f in facts.facts(ROUND)]
    assert stored == list(range(len(stored)))
    assert len(stored) - 1 in {reported, reported + 1}
    last = notes.get("last")
    assert last is not None
    assert int(last) in {reported, reported + 1}
    for number in stored:
        digest = facts.message(ROUND, f"s/{number}")
        assert digest is not None
        data = number.to_bytes(4, "big") * 5_000
        assert digest == sha256(data).encode()
        assert blobs.get(sha256(data)) == data
    assert not list((folder / "blobs").glob("*.part"))
    return stored[-1]


def test_a_second_process_is_kept_out(tmp_path):
    path = tmp_path / "party.sqlite"
    database = Database(path)
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from fedxdr.core.errors import Unavailable\n"
        "from fedxdr.storage.database import Database\n"
        "try:\n    Database(Path(sys.argv[1]))\n"
        "except Unavailable as error:\n    print(error)\n    sys.exit(7)\n"
    )
    second = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert second.returncode == 7, second.stderr
    assert "in use by another fedxdr process" in second.stdout
    database.close()
    Database(path).close()


def test_a_second_handle_in_one_process_is_kept_out_too(tmp_path):
    database = Database(tmp_path / "party.sqlite")
    with pytest.raises(Unavailable):
        Database(tmp_path / "party.sqlite")
    database.close()


def test_it_writes_ahead_and_syncs_every_commit(tmp_path):
    database = Database(tmp_path / "party.sqlite")
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()


def test_the_folder_is_the_owners_only(tmp_path):
    database = Database(tmp_path / "new" / "party.sqlite")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    database.close()


def test_a_file_that_is_no_database_is_a_fault_of_ours(tmp_path):
    (tmp_path / "party.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(StorageFault):
        Database(tmp_path / "party.sqlite")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageFault):
        Database(tmp_path / "file" / "party.sqlite")


def test_what_the_database_refuses_is_a_fault_without_secrets(tmp_path):
    database = Database(tmp_path / "party.sqlite")
    SqlNotes(database).put("round-entropy/x", b"secret-bytes")
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE notes")
    with pytest.raises(StorageFault) as caught:
        SqlNotes(database).put("round-entropy/x", b"secret-bytes")
    shown = [str(caught.value), str(caught.value.__cause__)]
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    assert not any("secret" in text or "round-entropy" in text for text in shown)
    database.close()


def test_a_transaction_that_fails_leaves_nothing(tmp_path):
    database = Database(tmp_path / "party.sqlite")
    facts = SqlFactLog(database)
    fact = StoredFact(name="Received", body=b"{}", slot="keys/a", message=b"1")
    facts.append(ROUND, fact)
    for _ in range(3):
        with pytest.raises(StorageFault):
            facts.append(ROUND, fact)
    facts.append(ROUND, StoredFact(name="PhaseClosed", body=b"{}"))
    assert [f.name for f in facts.facts(ROUND)] == ["Received", "PhaseClosed"]
    database.close()


def test_every_table_has_a_key(tmp_path):
    del tmp_path
    assert {table.name for table in METADATA.sorted_tables} == {
        "rounds",
        "facts",
        "messages",
        "blocks",
        "checkpoints",
        "changes",
        "approvals",
        "invitations",
        "registrations",
        "nonces",
        "notes",
        PURSE.name,
    }
    for table in METADATA.sorted_tables:
        assert isinstance(table.primary_key, sa.PrimaryKeyConstraint)
        assert list(table.primary_key.columns), table.name


def test_names_with_odd_letters_are_values_and_no_sql(tmp_path):
    database = Database(tmp_path / "party.sqlite")
    notes, odd = SqlNotes(database), "x'; DROP TABLE notes; --\0é"
    notes.put(odd, jcs([OrgId("org-a")]))
    assert notes.get(odd) == b'["org-a"]'
    assert list(notes.names("x';")) == [odd]
    database.close()


def test_a_closed_database_is_not_written_to_without_its_lock(place):
    database = Database(place)
    notes, blocks = SqlNotes(database), SqlBlockStore(database)
    notes.put("a", b"1")
    database.close()
    (first,) = chain(1)
    for write in (lambda: notes.put("a", b"2"), lambda: blocks.append(first)):
        with pytest.raises(StorageFault, match="was closed"):
            write()
    again = Database(place)
    assert SqlNotes(again).get("a") == b"1"
    assert SqlBlockStore(again).size() == 0
    again.close()


def test_the_setting_names_a_path_or_a_server(tmp_path):
    url = "postgresql+psycopg://user@host/name"
    assert place_of("", tmp_path) == tmp_path / "server.db"
    assert place_of("/var/lib/x.db", tmp_path) == Path("/var/lib/x.db")
    assert place_of("~/x.db", tmp_path) == Path.home() / "x.db"
    assert place_of(url, tmp_path) == url


def test_what_only_a_file_can_do_is_refused_on_a_server(postgres, tmp_path):
    server = Database(postgres.new_place())
    with pytest.raises(StorageFault):
        server.copy_to(tmp_path / "copy")
    with pytest.raises(StorageFault):
        server.leave_no_journal()
    assert server.write_raw() is None
    server.erase_deleted()
    server.close()
