# SPDX-License-Identifier: Apache-2.0
"""Invitations, registrations, nonces and notes in SQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from fedxdr.core.errors import InvitationRefused, ReplayedRequest
from fedxdr.core.ids import Digest, OrgId
from fedxdr.parties.ports import Invitation, Registration
from fedxdr.storage.database import Database, begins_with
from fedxdr.storage.schema import (
    INVITATIONS,
    NONCES,
    NOTES,
    REGISTRATIONS,
    instant_of,
    text_of,
)


class SqlRegistry:
    """Port ``Registry`` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def invite(self, invitation: Invitation) -> None:
        """Store a new invitation."""
        with self._database.write() as connection:
            connection.execute(
                INVITATIONS.insert().values(
                    invitation_id=invitation.invitation_id,
                    proof_key=invitation.proof_key,
                    org=invitation.org,
                    expires=text_of(invitation.expires),
                    used_at=None,
                )
            )

    def invitation(self, invitation_id: Digest) -> Invitation | None:
        """Return an invitation, used or not."""
        query = sa.select(INVITATIONS).where(
            INVITATIONS.c.invitation_id == invitation_id
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return Invitation(
            invitation_id=Digest(row.invitation_id),
            proof_key=row.proof_key,
            org=OrgId(row.org),
            expires=instant_of(row.expires),
            used_at=instant_of(row.used_at) if row.used_at else None,
        )

    def use(
        self, invitation_id: Digest, registration: Registration, *, at: datetime
    ) -> None:
        """Mark an invitation as used and store the registration, both or neither."""
        with self._database.write() as connection:
            done = connection.execute(
                INVITATIONS.update()
                .where(
                    INVITATIONS.c.invitation_id == invitation_id,
                    INVITATIONS.c.used_at.is_(None),
                )
                .values(used_at=text_of(at))
            )
            if done.rowcount != 1:
                raise InvitationRefused("this invitation was used before")
            # an older one of that name was suspended, or its application withdrawn
            connection.execute(
                REGISTRATIONS.delete().where(REGISTRATIONS.c.org == registration.org)
            )
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
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return Registration(
            org=OrgId(row.org),
            receipt=row.receipt,
            endpoint=row.endpoint,
            capabilities=tuple(json.loads(row.capabilities)),
            last_update=instant_of(row.last_update) if row.last_update else None,
        )

    def touch(self, org: OrgId, *, at: datetime) -> None:
        """Note when a member's last contribution arrived."""
        with self._database.write() as connection:
            connection.execute(
                REGISTRATIONS.update()
                .where(REGISTRATIONS.c.org == org)
                .values(last_update=text_of(at))
            )

    def use_nonce(self, keyid: str, nonce: str, *, expires: datetime) -> None:
        """Remember a nonce until it expires."""
        found = sa.select(NONCES.c.expires).where(
            NONCES.c.keyid == keyid, NONCES.c.nonce == nonce
        )
        with self._database.write() as connection:
            if connection.scalar(found) is not None:
                raise ReplayedRequest(
                    "this request was received before; sign a new one with a new nonce"
                )
            connection.execute(
                NONCES.insert().values(
                    keyid=keyid, nonce=nonce, expires=text_of(expires)
                )
            )

    def forget_nonces(self, *, before: datetime) -> None:
        """Drop nonces that expired before that instant."""
        with self._database.write() as connection:
            connection.execute(
                NONCES.delete().where(NONCES.c.expires < text_of(before))
            )


class SqlNotes:
    """Port ``Notes`` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> bytes | None:
        """Return a value, None if there is none."""
        with self._database.read() as connection:
            found: bytes | None = connection.scalar(
                sa.select(NOTES.c.value).where(NOTES.c.name == name)
            )
        return found

    def put(self, name: str, value: bytes) -> None:
        """Store a value, replacing an older one; an empty one erases it from disk."""
        with self._database.write() as connection:
            replaced = connection.execute(
                NOTES.update().where(NOTES.c.name == name).values(value=value)
            )
            if replaced.rowcount == 0:
                connection.execute(NOTES.insert().values(name=name, value=value))
        if not value:
            self._database.erase_deleted()

    def names(self, prefix: str) -> Sequence[str]:
        """Return the names that begin with prefix, sorted."""
        query = (
            sa.select(NOTES.c.name)
            .where(begins_with(NOTES.c.name, prefix))
            .order_by(NOTES.c.name)
        )
        with self._database.read() as connection:
            return list(connection.scalars(query))
