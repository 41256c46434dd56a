# SPDX-License-Identifier: Apache-2.0
"""Invitations, registrations, nonces and notes in SQLite."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from fedxdr.core.errors import InvitationRefused, ReplayedRequest
from fedxdr.core.ids import Digest, OrgId
from fedxdr.parties.ports import Invitation, Registration
from fedxdr.storage.database import (
    INVITATIONS,
    NONCES,
    NOTES,
    REGISTRATIONS,
    Database,
    erase_journal,
)


class SqlRegistry:
    """Port ``Registry`` over one database."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine

    def invite(self, invitation: Invitation) -> None:
        """Store a new invitation."""
        with self._engine.begin() as connection:
            connection.execute(
                INVITATIONS.insert().values(
                    invitation_id=invitation.invitation_id,
                    proof_key=invitation.proof_key,
                    org=invitation.org,
                    expires=_text(invitation.expires),
                    used_at=None,
                )
            )

    def invitation(self, invitation_id: Digest) -> Invitation | None:
        """Return an invitation, used or not."""
        query = sa.select(INVITATIONS).where(
            INVITATIONS.c.invitation_id == invitation_id
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return Invitation(
            invitation_id=Digest(row.invitation_id),
            proof_key=row.proof_key,
            org=OrgId(row.org),
            expires=_instant(row.expires),
            used_at=_instant(row.used_at) if row.used_at else None,
        )

    def use(
        self, invitation_id: Digest, registration: Registration, *, at: datetime
    ) -> None:
        """Mark an invitation as used and store the registration, both or neither."""
        with self._engine.begin() as connection:
            done = connection.execute(
                INVITATIONS.update()
                .where(
                    INVITATIONS.c.invitation_id == invitation_id,
                    INVITATIONS.c.used_at.is_(None),
                )
                .values(used_at=_text(at))
            )
            if done.rowcount != 1:
                raise InvitationRefused("this invitation was used before")
            connection.execute(
                REGISTRATIONS.insert().values(
                    org=registration.org,
                    receipt=registration.receipt,
                    endpoint=registration.endpoint,
                    capabilities=json.dumps(registration.capabilities),
                    last_update=None,
                )
            )

    def registration(self, org: OrgId) -> Registration | None:
        """Return what is kept about a member."""
        query = sa.select(REGISTRATIONS).where(REGISTRATIONS.c.org == org)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return Registration(
            org=OrgId(row.org),
            receipt=row.receipt,
            endpoint=row.endpoint,
            capabilities=tuple(json.loads(row.capabilities)),
            last_update=_instant(row.last_update) if row.last_update else None,
        )

    def touch(self, org: OrgId, *, at: datetime) -> None:
        """Note when a member's last contribution arrived."""
        with self._engine.begin() as connection:
            connection.execute(
                REGISTRATIONS.update()
                .where(REGISTRATIONS.c.org == org)
                .values(last_update=_text(at))
            )

    def use_nonce(self, keyid: str, nonce: str, *, expires: datetime) -> None:
        """Remember a nonce until it expires."""
        with self._engine.begin() as connection:
            done = connection.execute(
                insert(NONCES)
                .values(keyid=keyid, nonce=nonce, expires=_text(expires))
                .on_conflict_do_nothing()
            )
            if done.rowcount != 1:
                raise ReplayedRequest(
                    "this request was received before; sign a new one with a new nonce"
                )

    def forget_nonces(self, *, before: datetime) -> None:
        """Drop nonces that expired before that instant."""
        with self._engine.begin() as connection:
            connection.execute(NONCES.delete().where(NONCES.c.expires < _text(before)))


class SqlNotes:
    """Port ``Notes`` over one database."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine

    def get(self, name: str) -> bytes | None:
        """Return a value, None if there is none."""
        with self._engine.connect() as connection:
            found: bytes | None = connection.scalar(
                sa.select(NOTES.c.value).where(NOTES.c.name == name)
            )
        return found

    def put(self, name: str, value: bytes) -> None:
        """Store a value, replacing an older one; an empty one erases it from disk."""
        with self._engine.begin() as connection:
            connection.execute(
                insert(NOTES)
                .values(name=name, value=value)
                .on_conflict_do_update(index_elements=["name"], set_={"value": value})
            )
        if not value:
            erase_journal(self._engine)

    def names(self, prefix: str) -> Sequence[str]:
        """Return the names that begin with prefix, sorted."""
        query = (
            sa.select(NOTES.c.name)
            .where(NOTES.c.name.startswith(prefix, autoescape=True))
            .order_by(NOTES.c.name)
        )
        with self._engine.connect() as connection:
            return list(connection.scalars(query))


def _text(instant: datetime) -> str:
    """Return an instant in a form whose order is that of time."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
