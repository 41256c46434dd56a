# SPDX-License-Identifier: Apache-2.0
"""How a database lies on a PostgreSQL server.

``synchronous_commit=on``, and a server with ``fsync=off`` is refused: what was
committed survives kill -9 of either side and a power cut. Transactions that write stand
in line for one row (``writers``), so they follow each other as on SQLite; those that
read see one instant (REPEATABLE READ) and wait for nobody.

One process has the database to itself: an advisory lock keeps a second one out while it
lives. Where the lock is lost with the connection (the server was started again) and
another process takes over, the number in ``writers`` has grown, and nothing the first
one writes enters any more.

It does NOT overwrite what was deleted: the server keeps old rows until it vacuums, and
its journal as long as it is told to. Secrets of agents belong into files.

Source: PostgreSQL 16 documentation, 13.2 (isolation), 13.3.2 (row locks), 13.3.5
(advisory locks), 20.5 (synchronous_commit).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine
from sqlalchemy.pool import ConnectionPoolEntry

from fedxdr.core.errors import InvalidSettings, StorageFault, Unavailable
from fedxdr.storage.sqlite import WRITES

DRIVER = "postgresql+psycopg"

_OWN = sa.MetaData()
_WRITERS = sa.Table(
    "writers",
    _OWN,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, nullable=False),
)
# one lock for each schema of a database
_LOCK = "hashtextextended('fedxdr/{} ' || current_schema(), 0)"
_TURN = sa.select(_WRITERS.c.number).where(_WRITERS.c.id == 0).with_for_update()


class PostgresServer:
    """One schema of a database on a server; close it when done.

    Args:
        url: ``postgresql+psycopg://user:password@host/name``.
        is_sole: keep other processes out.
        is_read_only: refuse to write, and to make tables.

    Raises:
        InvalidSettings: no such URL, or the driver is not installed.
        Unavailable: another process has it open.
        StorageFault: the server cannot be reached, or does not sync to its disk.
    """

    def __init__(self, url: str, *, is_sole: bool, is_read_only: bool) -> None:
        address = _address(url)
        self.name = (
            f"{address.host or address.query.get('host', '')}/{address.database}"
        )
        self._number: int | None = None
        self._hold: sa.Connection | None = None
        self._is_sole = is_sole
        self.engine = self._engine(address)
        self.reader = self.engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self.writer = self.reader
        if not is_read_only:
            self.writer = self.engine.execution_options(**{WRITES: True})
        try:
            self._require_sync()
            if is_sole:
                self._lock()
        except BaseException:
            self.close()
            raise

    def prepare(self, metadata: sa.MetaData) -> None:
        """Make the tables that are not there; from now on nobody before us writes."""
        with self.engine.begin() as connection:
            lock = _LOCK.format("tables")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({lock})")
            _OWN.create_all(connection)
            metadata.create_all(connection)
            if connection.scalar(_TURN) is None:
                connection.execute(_WRITERS.insert().values(id=0, number=0))
            if self._is_sole:
                connection.execute(
                    _WRITERS.update().values(number=_WRITERS.c.number + 1)
                )
            number = connection.scalar(_TURN)
        if self._is_sole:
            self._number = number

    def erase_deleted(self) -> None:
        """Do nothing: see the module's docstring."""

    def compact(self, tables: Iterable[sa.Table]) -> None:
        """Give the room of deleted rows of some tables back to the disk."""
        names = ", ".join(table.name for table in tables)
        with self.engine.connect() as connection:
            alone = connection.execution_options(isolation_level="AUTOCOMMIT")
            alone.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {names}")

    def close(self) -> None:
        """Release the lock and the connections; once is enough, twice does no harm.

        The lock is given back by name: a server ends a session some time after its
        client has gone, and who opens the database at once must not find it locked.
        """
        held, self._hold = self._hold, None
        if held is not None:
            lock = _LOCK.format("sole")
            # with the session its lock is gone too
            with suppress(StorageFault, Unavailable):
                held.exec_driver_sql(f"SELECT pg_advisory_unlock({lock})")
            held.invalidate()
            held.close()
        self.engine.dispose()

    def _require_sync(self) -> None:
        with self.engine.connect() as connection:
            if connection.exec_driver_sql("SHOW fsync").scalar() != "on":
                raise StorageFault(
                    f"the server of {self.name} has fsync off: what it says is stored "
                    "may be lost with its machine"
                )

    def _lock(self) -> None:
        self._hold = self.engine.connect().execution_options(
            isolation_level="AUTOCOMMIT"
        )
        lock = _LOCK.format("sole")
        if not self._hold.exec_driver_sql(
            f"SELECT pg_try_advisory_lock({lock})"
        ).scalar():
            raise Unavailable(
                f"the database {self.name} is in use by another fedxdr process; stop "
                "that one first"
            )

    def _engine(self, address: URL) -> Engine:
        try:
            engine = sa.create_engine(
                address,
                pool_pre_ping=True,
                hide_parameters=True,  # they hold secrets
            )
        except ImportError as error:
            raise InvalidSettings(
                "PostgreSQL needs its driver: pip install 'fedxdr[postgres]'"
            ) from error

        @sa.event.listens_for(engine, "connect")
        def on_connect(connection: Any, _: ConnectionPoolEntry) -> None:  # noqa: ANN401 - psycopg's, which is optional
            connection.execute("SET synchronous_commit = on")
            connection.commit()

        @sa.event.listens_for(engine, "begin")
        def on_begin(connection: sa.Connection) -> None:
            if not connection.get_execution_options().get(WRITES, False):
                return
            found = connection.scalar(_TURN)
            if self._number is not None and found != self._number:
                raise StorageFault(
                    f"another process has taken over the database {self.name}; this "
                    "one writes nothing any more"
                )

        @sa.event.listens_for(engine, "handle_error")
        def on_error(context: sa.engine.ExceptionContext) -> None:
            if context.is_pre_ping:
                return
            raise StorageFault(
                f"the database {self.name} said no: "
                f"{type(context.original_exception).__name__}"
            ) from context.original_exception

        return engine


def _address(url: str) -> URL:
    try:
        address = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        # the message of the cause would show the password
        raise InvalidSettings(
            f"a database is a path or {DRIVER}://user@host/name"
        ) from error
    if address.drivername not in {"postgresql", DRIVER} or not address.database:
        raise InvalidSettings(
            f"a database is a path or {DRIVER}://user@host/name, not "
            f"{address.drivername}://"
        )
    return address.set(drivername=DRIVER)
