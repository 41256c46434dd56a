# SPDX-License-Identifier: Apache-2.0
"""One SQLite file per party, through SQLAlchemy.

Journal in WAL mode with ``synchronous=FULL``: what was committed survives kill -9 and a
power cut. Every transaction that writes begins IMMEDIATE, so two writers queue instead
of failing half-way. One process writes; a lock file beside the database keeps a second
one out. Whatever the database refuses becomes a ``StorageFault``.
"""

from __future__ import annotations

import fcntl
import sqlite3
from pathlib import Path
from typing import IO

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.pool import ConnectionPoolEntry

from fedxdr.core.errors import StorageFault, Unavailable

METADATA = sa.MetaData()

OPENINGS = sa.Table(
    "rounds",
    METADATA,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("round_id", sa.Text, nullable=False, unique=True),
    sa.Column("opening", sa.LargeBinary, nullable=False),
)
FACTS = sa.Table(
    "facts",
    METADATA,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("round_id", sa.Text, nullable=False, index=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
MESSAGES = sa.Table(
    "messages",
    METADATA,
    sa.Column("round_id", sa.Text, primary_key=True),
    sa.Column("slot", sa.Text, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
BLOCKS = sa.Table(
    "blocks",
    METADATA,
    sa.Column("height", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("model_hash", sa.Text, nullable=False, index=True),
    sa.Column("hash", sa.Text, nullable=False, unique=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("envelopes", sa.LargeBinary, nullable=False),
)
CHECKPOINTS = sa.Table(
    "checkpoints",
    METADATA,
    sa.Column("size", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("root", sa.Text, nullable=False),
    sa.Column("note", sa.LargeBinary, nullable=False),
)
CHANGES = sa.Table(
    "changes",
    METADATA,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("entry", sa.LargeBinary, nullable=False),
    sa.Column("envelopes", sa.LargeBinary, nullable=False),
    sa.Column("proposed_by", sa.Text, nullable=False),
    sa.Column("proposed_at", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False, index=True),
)
APPROVALS = sa.Table(
    "approvals",
    METADATA,
    sa.Column("digest", sa.Text, sa.ForeignKey(CHANGES.c.digest), primary_key=True),
    sa.Column("org", sa.Text, primary_key=True),
    sa.Column("envelope", sa.LargeBinary, nullable=False),
)
INVITATIONS = sa.Table(
    "invitations",
    METADATA,
    sa.Column("invitation_id", sa.Text, primary_key=True),
    sa.Column("proof_key", sa.LargeBinary, nullable=False),
    sa.Column("org", sa.Text, nullable=False),
    sa.Column("expires", sa.Text, nullable=False),
    sa.Column("used_at", sa.Text),
)
REGISTRATIONS = sa.Table(
    "registrations",
    METADATA,
    sa.Column("org", sa.Text, primary_key=True),
    sa.Column("receipt", sa.LargeBinary, nullable=False),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("capabilities", sa.Text, nullable=False),
    sa.Column("last_update", sa.Text),
)
NONCES = sa.Table(
    "nonces",
    METADATA,
    sa.Column("keyid", sa.Text, primary_key=True),
    sa.Column("nonce", sa.Text, primary_key=True),
    sa.Column("expires", sa.Text, nullable=False, index=True),
)
NOTES = sa.Table(
    "notes",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)


class Database:
    """An open SQLite file; close it when done.

    Args:
        path: the file; made, with its folder, if it does not exist.

    Raises:
        Unavailable: another process has it open.
        StorageFault: it cannot be opened or made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(path.with_suffix(".lock"))
        except OSError as error:
            raise StorageFault(f"cannot open {path}: {error}") from error
        self.engine = _engine(path)
        try:
            METADATA.create_all(self.engine)
        except (StorageFault, sqlite3.Error, sa.exc.SQLAlchemyError) as error:
            self.close()
            raise StorageFault(f"cannot open {path}: {error}") from error

    def close(self) -> None:
        """Release the file and its lock."""
        self.engine.dispose()
        self._lock.close()


def erase_journal(engine: Engine) -> None:
    """Move the journal into the database file and cut it off.

    The database file overwrites what was deleted (``secure_delete``); the journal keeps
    older pages until it is cut.
    """
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        if raw is not None:
            # outside of a transaction, where alone a checkpoint can cut the journal
            connection.rollback()
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")


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


def _engine(path: Path) -> Engine:
    engine = sa.create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": 30, "check_same_thread": False},
        hide_parameters=True,  # they hold secrets
    )

    @sa.event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "busy_timeout=30000",
            "foreign_keys=ON",
            "secure_delete=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    @sa.event.listens_for(engine, "handle_error")
    def on_error(context: sa.engine.ExceptionContext) -> None:
        raise StorageFault(
            f"the database {path.name} said no: {context.original_exception}"
        ) from context.original_exception

    return engine
