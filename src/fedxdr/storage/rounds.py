# SPDX-License-Identifier: Apache-2.0
"""Facts of rounds and sessions in SQL (port ``FactLog``)."""

from __future__ import annotations

import sqlalchemy as sa

from fedxdr.core.errors import AlreadyAnswered
from fedxdr.core.ids import RoundId
from fedxdr.parties.ports import StoredFact
from fedxdr.storage.database import Database, begins_with
from fedxdr.storage.schema import FACTS, MESSAGES, OPENINGS


class SqlFactLog:
    """The port over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, round_id: RoundId, opening: bytes) -> None:
        """Store what opens a round; once per round."""
        with self._database.write() as connection:
            found = connection.scalar(
                sa.select(OPENINGS.c.opening).where(OPENINGS.c.round_id == round_id)
            )
            if found is None:
                connection.execute(
                    OPENINGS.insert().values(round_id=round_id, opening=opening)
                )
            elif found != opening:
                raise AlreadyAnswered(
                    f"round {round_id} was opened before, with another announcement"
                )

    def opening(self, round_id: RoundId) -> bytes | None:
        """Return what opened the round, None if it was never opened."""
        with self._database.read() as connection:
            found: bytes | None = connection.scalar(
                sa.select(OPENINGS.c.opening).where(OPENINGS.c.round_id == round_id)
            )
        return found

    def append(self, round_id: RoundId, fact: StoredFact) -> None:
        """Store one more fact, with its message, in one transaction."""
        with self._database.write() as connection:
            connection.execute(
                FACTS.insert().values(round_id=round_id, name=fact.name, body=fact.body)
            )
            if fact.message is not None:
                connection.execute(
                    MESSAGES.insert().values(
                        round_id=round_id, slot=fact.slot, body=fact.message
                    )
                )

    def facts(self, round_id: RoundId) -> list[StoredFact]:
        """Return the round's facts in order, without their messages."""
        query = (
            sa.select(FACTS.c.name, FACTS.c.body)
            .where(FACTS.c.round_id == round_id)
            .order_by(FACTS.c.seq)
        )
        with self._database.read() as connection:
            return [
                StoredFact(name=name, body=body)
                for name, body in connection.execute(query)
            ]

    def message(self, round_id: RoundId, slot: str) -> bytes | None:
        """Return the message stored in a slot, None if there is none."""
        with self._database.read() as connection:
            found: bytes | None = connection.scalar(
                sa.select(MESSAGES.c.body).where(
                    MESSAGES.c.round_id == round_id, MESSAGES.c.slot == slot
                )
            )
        return found

    def rounds(self) -> list[RoundId]:
        """Return every round, the oldest first."""
        query = sa.select(OPENINGS.c.round_id).order_by(OPENINGS.c.seq)
        with self._database.read() as connection:
            return [RoundId(name) for name in connection.scalars(query)]

    def erase(self, round_id: RoundId, *, prefix: str) -> None:
        """Delete the messages of a round whose slot begins with prefix."""
        with self._database.write() as connection:
            connection.execute(
                MESSAGES.delete().where(
                    MESSAGES.c.round_id == round_id,
                    begins_with(MESSAGES.c.slot, prefix),
                )
            )
