# SPDX-License-Identifier: Apache-2.0
"""The ledger's signed heads in SQL (port ``CheckpointStore``).

It does NOT read the notes: what they say is ledger/checkpoint.py's to judge.

Rules that always hold: one root per size, for good: the size is the key, and a row
changes only together with the root that it already has.
"""

from __future__ import annotations

import sqlalchemy as sa

from fedxdr.core.ids import Digest
from fedxdr.storage.database import CHECKPOINTS, Database
from fedxdr.storage.refusals import another_root, require_head


class SqlCheckpointStore:
    """The port over one database."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine

    def put(self, size: int, root: Digest, note: bytes) -> None:
        """Store a head, or the same head with further signature lines.

        Raises:
            IntegrityFault: another root is stored for this size; nothing was written.
            MalformedMessage: a size below 1, or a root that is no digest.
        """
        require_head(size, root)
        with self._engine.begin() as connection:
            found = connection.scalar(
                sa.select(CHECKPOINTS.c.root).where(CHECKPOINTS.c.size == size)
            )
            if found is None:
                connection.execute(
                    CHECKPOINTS.insert().values(size=size, root=root, note=note)
                )
                return
            swapped = connection.execute(
                CHECKPOINTS.update()
                .where(CHECKPOINTS.c.size == size, CHECKPOINTS.c.root == root)
                .values(note=note)
            )
            if swapped.rowcount != 1:
                raise another_root(size, found)

    def get(self, size: int) -> bytes | None:
        """Return the note stored for a size, None if there is none."""
        with self._engine.connect() as connection:
            found: bytes | None = connection.scalar(
                sa.select(CHECKPOINTS.c.note).where(CHECKPOINTS.c.size == size)
            )
        return found

    def newest(self) -> tuple[int, bytes] | None:
        """Return the largest size and its note, None before the first."""
        query = (
            sa.select(CHECKPOINTS.c.size, CHECKPOINTS.c.note)
            .order_by(CHECKPOINTS.c.size.desc())
            .limit(1)
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (row.size, row.note)

    def sizes(self) -> list[int]:
        """Return every size stored, the smallest first."""
        query = sa.select(CHECKPOINTS.c.size).order_by(CHECKPOINTS.c.size)
        with self._engine.connect() as connection:
            return list(connection.scalars(query))
