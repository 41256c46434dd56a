# SPDX-License-Identifier: Apache-2.0
"""Copying every table of one database into another, SQLite or PostgreSQL.

Both sides see one instant; either all rows arrive or none.

Rules that always hold: nothing is copied over rows that are there.
"""

from __future__ import annotations

import sqlalchemy as sa

from fedxdr.core.errors import InvalidSettings
from fedxdr.storage.database import Database
from fedxdr.storage.schema import METADATA

_ROWS = 500


def move_tables(source: Database, target: Database) -> int:
    """Copy all rows and return how many there were.

    Args:
        source: read only.
        target: with its tables, and nothing in them.

    Raises:
        InvalidSettings: there are rows in the target; nothing was written.
    """
    copied = 0
    with source.read() as reading, target.write() as writing:
        there = set(sa.inspect(reading).get_table_names())
        for table in METADATA.sorted_tables:
            if table.name not in there:
                continue
            if writing.execute(sa.select(table).limit(1)).first() is not None:
                raise InvalidSettings(
                    f"{target.name} has rows in its table {table.name}; nothing is "
                    "written over them"
                )
            query = sa.select(table).order_by(*table.primary_key.columns)
            for rows in reading.execute(query).mappings().partitions(_ROWS):
                writing.execute(table.insert(), [dict(row) for row in rows])
                copied += len(rows)
            _count_on(writing, table, is_sqlite=target.is_sqlite)
    return copied


def _count_on(connection: sa.Connection, table: sa.Table, *, is_sqlite: bool) -> None:
    """Let numbers that the database gives to new rows begin after the copied ones."""
    column = table.autoincrement_column
    if column is None or is_sqlite:  # SQLite looks at the largest by itself
        return
    newest = connection.scalar(sa.select(sa.func.max(column)))
    if newest is not None:
        sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
        connection.execute(sa.select(sa.func.setval(sequence, newest)))
