# SPDX-License-Identifier: Apache-2.0
"""The ledger's signed heads in SQL (port ``CheckpointStore``).

It does NOT check signatures (ledger/note.py), nor that a root is that of the blocks
(audits.py).

Rules that always hold: one root per size, for good: the size is the key, and a row
changes only together with the root that it already has; a note is about the size and
root of its row, when it is written and when it is read.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import sqlalchemy as sa

from fedxdr.core.errors import IntegrityFault, MalformedMessage
from fedxdr.core.ids import Digest
from fedxdr.ledger.checkpoint import MAX_SIZE
from fedxdr.storage.database import Database
from fedxdr.storage.refusals import another_root, require_head
from fedxdr.storage.schema import CHECKPOINTS

# one statement of SQL that SQLite and PostgreSQL read alike: compare-and-swap on root
_PUT = """
INSERT INTO checkpoints (size, root, note) VALUES (:size, :root, :note)
ON CONFLICT (size) DO UPDATE SET note = excluded.note
WHERE checkpoints.root = excluded.root
"""
_ROOT = "SELECT root FROM checkpoints WHERE size = :size"
_put, _root = sa.text(_PUT), sa.text(_ROOT)


class SqlCheckpointStore:
    """The port over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, size: int, root: Digest, note: bytes) -> None:
        """Store a head, or the same head with further signature lines.

        Raises:
            IntegrityFault: another root is stored for this size; nothing was written.
            MalformedMessage: no head, or a note about another one.
        """
        require_head(size, root, note)
        raw_write = self._database.write_raw()
        if raw_write is not None:
            with raw_write as raw:
                put_raw(raw, size, root, note)
            return
        with self._database.write() as connection:
            put_within(connection, size, root, note)

    def get(self, size: int) -> bytes | None:
        """Return the note stored for a size, None if there is none.

        Raises:
            IntegrityFault: the note is about another size or root than its row.
        """
        if not 0 < size <= MAX_SIZE:
            return None
        found = self._read(sa.select(CHECKPOINTS).where(CHECKPOINTS.c.size == size))
        return None if found is None else found[1]

    def newest(self) -> tuple[int, bytes] | None:
        """Return the largest size and its note, None before the first.

        Raises:
            IntegrityFault: as ``get``.
        """
        query = sa.select(CHECKPOINTS).order_by(CHECKPOINTS.c.size.desc()).limit(1)
        return self._read(query)

    def sizes(self) -> list[int]:
        """Return every size stored, the smallest first."""
        query = sa.select(CHECKPOINTS.c.size).order_by(CHECKPOINTS.c.size)
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def roots(self) -> dict[int, Digest]:
        """Return every size stored with its root, the smallest first.

        Raises:
            IntegrityFault: as ``get``.
        """
        query = sa.select(CHECKPOINTS).order_by(CHECKPOINTS.c.size)
        with self._database.read() as connection:
            return {
                row.size: Digest(row.root)
                for row in map(_checked, connection.execute(query))
            }

    def _read(self, query: sa.Select[Any]) -> tuple[int, bytes] | None:
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (_checked(row).size, row.note)


def put_raw(raw: sqlite3.Connection, size: int, root: Digest, note: bytes) -> None:
    """Store a head within a transaction that writes; it is one of that size and root.

    Raises:
        IntegrityFault: as ``SqlCheckpointStore.put``.
    """
    row = {"size": size, "root": root, "note": note}
    if raw.execute(_PUT, row).rowcount != 1:
        raise another_root(size, raw.execute(_ROOT, row).fetchone()[0])


def put_within(connection: sa.Connection, size: int, root: Digest, note: bytes) -> None:
    """Store a head as ``put_raw`` does, on a server.

    Raises:
        IntegrityFault: as ``SqlCheckpointStore.put``.
    """
    row = {"size": size, "root": root, "note": note}
    if connection.execute(_put, row).rowcount != 1:
        found = connection.scalar(_root, {"size": size})
        raise another_root(size, Digest(str(found)))


def _checked(row: sa.Row[Any]) -> sa.Row[Any]:
    try:
        require_head(row.size, row.root, row.note)
    except MalformedMessage as error:
        raise IntegrityFault(
            f"the stored head of {row.size} blocks is not the one of its row"
        ) from error
    return row
