# SPDX-License-Identifier: Apache-2.0
"""How a database lies in one SQLite file.

Journal in WAL mode with ``synchronous=FULL``: what was committed survives kill -9 and a
power cut. A transaction that writes begins IMMEDIATE, so two writers queue instead of
failing half-way; one that reads begins deferred and waits for nobody. A lock file
beside the database keeps a second process out.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.pool import ConnectionPoolEntry

from fedxdr.core.errors import StorageFault, Unavailable

WRITES = "fedxdr_writes"
"""Execution option of a connection whose transactions write."""

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "busy_timeout=30000",
    "foreign_keys=ON",
    "secure_delete=ON",
)
_READER_PRAGMAS = ("busy_timeout=30000", "query_only=ON")


class SqliteFile:
    """One file; close it when done.

    Args:
        path: the file; made, with its folder, if it does not exist and is not only
            read.
        is_sole: keep other processes out.
        is_read_only: refuse to write, and to make the file.

    Raises:
        Unavailable: another process has it open.
        StorageFault: it cannot be opened or made.
    """

    def __init__(self, path: Path, *, is_sole: bool, is_read_only: bool) -> None:
        self.name = str(path)
        self._lock: IO[str] | None = None
        if is_read_only and not path.is_file():
            raise StorageFault(f"cannot open {path}: there is no such file")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if is_sole:
                self._lock = _lock(path.with_suffix(".lock"))
        except OSError as error:
            raise StorageFault(f"cannot open {path}: {error}") from error
        self.engine = _engine(path, is_read_only=is_read_only)
        self.reader = self.engine
        self.writer = self.engine.execution_options(**{WRITES: True})

    def prepare(self, metadata: sa.MetaData) -> None:
        """Make the tables that are not there."""
        metadata.create_all(self.writer)

    @contextmanager
    def write_raw(self) -> Iterator[sqlite3.Connection]:
        """Hand out a transaction that writes, past SQLAlchemy: a quarter of its time.

        Raises:
            StorageFault: the database says no; nothing was written.
        """
        held = self.engine.raw_connection()
        raw = held.driver_connection
        try:
            if raw is None:
                raise StorageFault(f"the database {self.name} is closed")
            raw.execute("BEGIN IMMEDIATE")
            try:
                yield raw
                raw.execute("COMMIT")
            except BaseException:
                if raw.in_transaction:
                    raw.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StorageFault(f"the database {self.name} said no: {error}") from error
        finally:
            held.close()

    def erase_deleted(self) -> None:
        """Move the journal into the database file and cut it off.

        The database file overwrites what was deleted (``secure_delete``); the journal
        keeps older pages until it is cut.
        """
        with self.engine.connect() as connection:
            # outside of a transaction, where alone a checkpoint can cut the journal
            raw = connection.connection.driver_connection
            if raw is not None:
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def compact(self) -> None:
        """Give the room of deleted rows back to the disk, the journal's as well."""
        with self.engine.connect() as connection:
            raw = connection.connection.driver_connection
            if raw is not None:
                raw.execute("VACUUM")
        self.erase_deleted()

    def copy_to(self, path: Path) -> None:
        """Write what was committed into a new file of its own, without a journal.

        Writers go on meanwhile; the copy is of one instant.
        """
        with self.engine.connect() as connection:
            source = connection.connection.driver_connection
            target = sqlite3.connect(path)
            try:
                if source is not None:
                    source.backup(target)
                target.execute("PRAGMA journal_mode=DELETE")
            finally:
                target.close()

    def leave_no_journal(self) -> None:
        """Let everything lie in the one file; before it is closed for good."""
        self.engine.dispose()
        alone = sqlite3.connect(self.name)
        try:
            alone.execute("PRAGMA journal_mode=DELETE")
        finally:
            alone.close()

    def close(self) -> None:
        """Release the file and its lock."""
        self.engine.dispose()
        if self._lock is not None:
            self._lock.close()


def _lock(path: Path) -> IO[str]:
    handle = path.open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.close()
        raise Unavailable(
            f"{path.parent} is in use by another fedxdr process; stop that one first, "
            "or use another --dir"
        ) from error
    return handle


def _engine(path: Path, *, is_read_only: bool) -> Engine:
    engine = sa.create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": 30, "check_same_thread": False},
        hide_parameters=True,  # they hold secrets
    )

    @sa.event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        # a reader leaves the file's journal mode as it is: that is written to the file
        for pragma in _READER_PRAGMAS if is_read_only else _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get(WRITES, False)
        # past SQLAlchemy, which takes as long for this word as SQLite for a row
        raw = connection.connection.cursor()
        try:
            raw.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        except sqlite3.Error as error:
            raise StorageFault(f"the database {path.name} said no: {error}") from error

    @sa.event.listens_for(engine, "handle_error")
    def on_error(context: sa.engine.ExceptionContext) -> None:
        raise StorageFault(
            f"the database {path.name} said no: {context.original_exception}"
        ) from context.original_exception

    return engine
