# SPDX-License-Identifier: Apache-2.0
"""A party's database: a SQLite file, or a schema on a PostgreSQL server.

What was written survives kill -9 and a power cut once ``write`` has been left; writers
stand in line; whatever the database refuses becomes a ``StorageFault``. How each of the
two keeps that is in sqlite.py and postgres.py.
"""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from fedxdr.core.errors import FedxdrError, StorageFault
from fedxdr.storage.postgres import PostgresServer
from fedxdr.storage.schema import METADATA
from fedxdr.storage.sqlite import SqliteFile

Access = Literal["sole", "shared", "reading"]
"""``sole``: other processes are kept out. ``shared``: others may write as well; blocks
and heads stay right by compare-and-swap. ``reading``: beside whoever writes."""

_URL = "postgresql"


class Database:
    """An open database; close it when done.

    Args:
        place: path of a SQLite file, made with its folder if it does not exist; or
            ``postgresql+psycopg://…``.
        access: see ``Access``.

    Attributes:
        engine: SQLAlchemy's.
        name: where it is, without a password.

    Raises:
        InvalidSettings: a URL of another kind, or without its driver.
        Unavailable: another process has it open.
        StorageFault: it cannot be opened or made.
    """

    def __init__(self, place: Path | str, *, access: Access = "sole") -> None:
        how = {"is_sole": access == "sole", "is_read_only": access == "reading"}
        self._backend: SqliteFile | PostgresServer
        if is_url(place):
            self._backend = PostgresServer(str(place), **how)
        else:
            self._backend = SqliteFile(Path(place), **how)
        self.engine = self._backend.engine
        self.name = self._backend.name
        self._is_open = True
        if access == "reading":
            return
        try:
            self._backend.prepare(METADATA)
        except FedxdrError as error:
            self.close()
            raise StorageFault(f"cannot open {self.name}: {error}") from error

    def read(self) -> AbstractContextManager[sa.Connection]:
        """Return a transaction that reads: one instant, beside whoever writes."""
        return self._backend.reader.begin()

    def write(self) -> AbstractContextManager[sa.Connection]:
        """Return a transaction that writes: alone, durable once it is left.

        Raises:
            StorageFault: the database was closed, and may be another process's by now.
        """
        self._require_open()
        return self._backend.writer.begin()

    def write_raw(self) -> AbstractContextManager[sqlite3.Connection] | None:
        """Return a transaction that writes past SQLAlchemy; None on a server.

        Raises:
            StorageFault: as ``write``.
        """
        self._require_open()
        if isinstance(self._backend, SqliteFile):
            return self._backend.write_raw()
        return None

    @property
    def is_sqlite(self) -> bool:
        """Whether this is a SQLite file."""
        return isinstance(self._backend, SqliteFile)

    def erase_deleted(self) -> None:
        """Let what was deleted or replaced vanish from the disk; SQLite only."""
        self._backend.erase_deleted()

    def compact(self) -> None:
        """Give the room of deleted rows back to the disk."""
        if isinstance(self._backend, SqliteFile):
            self._backend.compact()
        else:
            there = set(sa.inspect(self.engine).get_table_names())
            self._backend.compact(
                table for table in METADATA.sorted_tables if table.name in there
            )

    def copy_to(self, path: Path) -> None:
        """Write a copy of this instant into a new SQLite file; from SQLite only.

        Raises:
            StorageFault: this is a server: copy its tables, moving.py.
        """
        if not isinstance(self._backend, SqliteFile):
            raise StorageFault(f"{self.name} is no file that could be copied")
        self._backend.copy_to(path)

    def leave_no_journal(self) -> None:
        """Let everything lie in one file from now on; SQLite only, before it is closed.

        Raises:
            StorageFault: this is a server.
        """
        if not isinstance(self._backend, SqliteFile):
            raise StorageFault(f"{self.name} is no file")
        self._backend.leave_no_journal()

    def close(self) -> None:
        """Release it for others; nothing is written through this object any more."""
        self._is_open = False
        self._backend.close()

    def _require_open(self) -> None:
        if not self._is_open:
            raise StorageFault(f"the database {self.name} was closed")


def is_url(place: Path | str) -> bool:
    """Return whether a place is a URL of a server and no path."""
    return isinstance(place, str) and place.startswith(_URL)


def place_of(setting: str, folder: Path) -> Path | str:
    """Return where an orchestrator's database is.

    Args:
        setting: value of ``FL_BLOCKCHAIN_DB_PATH``: a path, a URL, or empty.
        folder: of the orchestrator; ``server.db`` lies in it by default.
    """
    if is_url(setting):
        return setting
    return Path(setting).expanduser() if setting else folder / "server.db"


def begins_with(column: sa.Column[Any], prefix: str) -> sa.ColumnElement[bool]:
    """Return the condition that a text begins with exactly these letters."""
    return sa.func.substr(column, 1, len(prefix)) == prefix
