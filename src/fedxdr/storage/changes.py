# SPDX-License-Identifier: Apache-2.0
"""Proposed changes of the federation and their approvals in SQL (port ``ChangeStore``).

It does NOT judge an approval or count them: parties do, before and after.

Rules that always hold: the entry under a digest never changes; what lies beside it and
who proposed it change only when, withdrawn, it is proposed again; an outcome is given
once.
"""

from __future__ import annotations

import base64
from typing import Any

import sqlalchemy as sa

from fedxdr.core.canonical import jcs, parse_jcs
from fedxdr.core.ids import Digest, OrgId
from fedxdr.parties.ports import StoredChange
from fedxdr.storage.database import Database
from fedxdr.storage.refusals import (
    WITHDRAWN,
    has_outcome,
    require_outcome,
    unknown_change,
)
from fedxdr.storage.schema import APPROVALS, CHANGES, instant_of, text_of


class SqlChangeStore:
    """The port over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def propose(self, change: StoredChange) -> None:
        """Store a change; one of that digest stays, unless it was withdrawn.

        Then it opens as it is proposed now, with the approvals that it had.
        """
        with self._database.write() as connection:
            found = _find(connection, change.digest)
            if found == WITHDRAWN:
                connection.execute(
                    CHANGES.update()
                    .where(CHANGES.c.digest == change.digest)
                    .values(
                        envelopes=_packed(change.envelopes),
                        proposed_by=change.proposed_by,
                        proposed_at=text_of(change.proposed_at),
                        outcome="",
                    )
                )
            if found is not None:
                return
            connection.execute(
                CHANGES.insert().values(
                    digest=change.digest,
                    number=change.number,
                    entry=change.entry,
                    envelopes=_packed(change.envelopes),
                    proposed_by=change.proposed_by,
                    proposed_at=text_of(change.proposed_at),
                    outcome=change.outcome,
                )
            )
            for org, envelope in change.approvals.items():
                connection.execute(
                    APPROVALS.insert().values(
                        digest=change.digest, org=org, envelope=envelope
                    )
                )

    def approve(self, digest: Digest, org: OrgId, envelope: bytes) -> None:
        """Store an organisation's approval, replacing an older one of its own."""
        mine = (APPROVALS.c.digest == digest, APPROVALS.c.org == org)
        with self._database.write() as connection:
            if _find(connection, digest) is None:
                raise unknown_change(digest)
            done = connection.execute(
                APPROVALS.update().where(*mine).values(envelope=envelope)
            )
            if done.rowcount == 0:
                connection.execute(
                    APPROVALS.insert().values(digest=digest, org=org, envelope=envelope)
                )

    def close(self, digest: Digest, *, outcome: str) -> None:
        """Note that a change was ``adopted`` or ``withdrawn``.

        Raises:
            NotFound: no such change.
            AlreadyAnswered: it has the other outcome.
            MalformedMessage: another word.
        """
        require_outcome(outcome)
        with self._database.write() as connection:
            found = _find(connection, digest)
            if found is None:
                raise unknown_change(digest)
            if found not in {"", outcome}:
                raise has_outcome(digest, found)
            connection.execute(
                CHANGES.update()
                .where(CHANGES.c.digest == digest)
                .values(outcome=outcome)
            )

    def get(self, digest: Digest) -> StoredChange | None:
        """Return a change with its approvals, None if there is none."""
        found = self._read(CHANGES.c.digest == digest)
        return found[0] if found else None

    def all(self, *, is_open: bool = True) -> list[StoredChange]:
        """Return the changes in the order in which they were proposed."""
        return self._read(CHANGES.c.outcome == "" if is_open else sa.true())

    def _read(self, condition: sa.ColumnElement[bool]) -> list[StoredChange]:
        query = sa.select(CHANGES).where(condition).order_by(CHANGES.c.seq)
        approved = (
            sa.select(APPROVALS)
            .join(CHANGES, CHANGES.c.digest == APPROVALS.c.digest)
            .where(condition)
            .order_by(APPROVALS.c.org)
        )
        approvals: dict[str, dict[OrgId, bytes]] = {}
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            for row in connection.execute(approved):
                approvals.setdefault(row.digest, {})[OrgId(row.org)] = row.envelope
        return [
            StoredChange(
                digest=Digest(row.digest),
                number=row.number,
                entry=row.entry,
                envelopes=_unpacked(row.envelopes),
                proposed_by=row.proposed_by,
                proposed_at=instant_of(row.proposed_at),
                outcome=row.outcome,
                approvals=approvals.get(row.digest, {}),
            )
            for row in rows
        ]


def _find(connection: sa.Connection, digest: Digest) -> str | None:
    """Return the outcome of a change, None if there is no such change."""
    found: str | None = connection.scalar(
        sa.select(CHANGES.c.outcome).where(CHANGES.c.digest == digest)
    )
    return found


def _packed(envelopes: tuple[bytes, ...]) -> bytes:
    return jcs([base64.b64encode(envelope).decode() for envelope in envelopes])


def _unpacked(data: bytes) -> tuple[bytes, ...]:
    texts: list[Any] = parse_jcs(data)
    return tuple(base64.b64decode(text, validate=True) for text in texts)
