# SPDX-License-Identifier: Apache-2.0
"""The facts of an organisation's privacy purse, in SQL and in memory.

What was reserved and spent (privacy/budget.py), one row each, in the order in which it
happened. ``append`` returns only after the fact would survive kill -9 and a power cut
(database.py), so whoever appends before it releases never
releases unpaid.

It does NOT judge: whether there is budget left is decided by the purse, before.

Rules that always hold:
    1. Rows are added, never changed, never removed: triggers of the database refuse it,
       whoever asks.
    2. The same fact again changes nothing; another one in its place is refused.
    3. A row that does not read back as it was written stops the process; it is never
       skipped, because that would give a round back.
"""

from __future__ import annotations

from typing import Literal, assert_never

import sqlalchemy as sa

from fedxdr.core import canonical
from fedxdr.core.errors import AlreadyAnswered, FedxdrError, IntegrityFault
from fedxdr.privacy.budget import Fact, Reserved, Spent
from fedxdr.storage.database import Database
from fedxdr.storage.schema import METADATA

Kind = Literal["reserved", "spent"]

PURSE = sa.Table(
    "purse",
    METADATA,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("release_id", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("release_id", "kind"),
)

_REFUSAL = "a privacy purse gives nothing back"
_SQLITE_GUARDS = tuple(
    f"CREATE TRIGGER IF NOT EXISTS purse_no_{verb.lower()} BEFORE {verb} ON purse "
    f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
    for verb in ("UPDATE", "DELETE")
)
_POSTGRES_GUARDS = (
    f"""
    CREATE OR REPLACE FUNCTION purse_refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$
    """,
    """
    CREATE OR REPLACE TRIGGER purse_no_change BEFORE UPDATE OR DELETE OR TRUNCATE
    ON purse FOR EACH STATEMENT EXECUTE FUNCTION purse_refuse()
    """,
)


class SqlPurseLog:
    """Port ``PurseLog`` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        guards = _SQLITE_GUARDS if database.is_sqlite else _POSTGRES_GUARDS
        with database.write() as connection:
            PURSE.create(connection, checkfirst=True)
            for guard in guards:
                connection.exec_driver_sql(guard)

    def append(self, fact: Fact) -> None:
        """Store one more fact; on the disk when this returns.

        Raises:
            AlreadyAnswered: this release was reserved with another charge, or spent
                with other bytes.
            IntegrityFault: it is spent and was never reserved.
        """
        kind, body = _kind(fact), canonical.encode(fact)
        name = fact.release_id
        with self._database.write() as connection:
            if kind == "spent" and _find(connection, name, "reserved") is None:
                raise _unpaid(name)
            found = _find(connection, name, kind)
            if found is None:
                connection.execute(
                    PURSE.insert().values(release_id=name, kind=kind, body=body)
                )
            elif found != body:
                raise _another(fact)

    def facts(self) -> list[Fact]:
        """Return every fact, the oldest first.

        Raises:
            IntegrityFault: a row does not read back.
        """
        query = sa.select(PURSE).order_by(PURSE.c.seq)
        with self._database.read() as connection:
            return [
                _read(row.kind, row.release_id, row.body)
                for row in connection.execute(query)
            ]


class MemoryPurseLog:
    """Port ``PurseLog`` in memory, for simulations and tests."""

    def __init__(self) -> None:
        self._facts: dict[tuple[str, Kind], Fact] = {}

    def append(self, fact: Fact) -> None:
        """Store one more fact."""
        kind = _kind(fact)
        if kind == "spent" and (fact.release_id, "reserved") not in self._facts:
            raise _unpaid(fact.release_id)
        if self._facts.setdefault((fact.release_id, kind), fact) != fact:
            raise _another(fact)

    def facts(self) -> list[Fact]:
        """Return every fact, the oldest first."""
        return list(self._facts.values())


def _kind(fact: Fact) -> Kind:
    match fact:
        case Reserved():
            return "reserved"
        case Spent():
            return "spent"
        case _:
            assert_never(fact)


def _find(connection: sa.Connection, release_id: str, kind: Kind) -> bytes | None:
    found: bytes | None = connection.scalar(
        sa.select(PURSE.c.body).where(
            PURSE.c.release_id == release_id, PURSE.c.kind == kind
        )
    )
    return found


def _read(kind: str, release_id: str, body: bytes) -> Fact:
    types: dict[str, type[Reserved | Spent]] = {"reserved": Reserved, "spent": Spent}
    if kind not in types:
        raise IntegrityFault(f"the purse holds a fact of the kind {kind!r}")
    try:
        fact = canonical.decode(body, types[kind])
    except FedxdrError as error:
        raise IntegrityFault(
            f"what the purse holds of {release_id} does not read back"
        ) from error
    if fact.release_id != release_id:
        raise IntegrityFault(f"what the purse holds of {release_id} is of another")
    return fact


def _another(fact: Fact) -> AlreadyAnswered:
    return AlreadyAnswered(
        f"the purse holds another fact ({_kind(fact)}) of release {fact.release_id}"
    )


def _unpaid(release_id: str) -> IntegrityFault:
    return IntegrityFault(
        f"release {release_id} was never reserved; nothing of it may leave"
    )
