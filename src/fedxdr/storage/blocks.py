# SPDX-License-Identifier: Apache-2.0
"""The ledger's blocks in SQLite (port ``BlockStore``).

The exact bytes of a block are stored and handed back; a block is appended only if it
follows the newest one, in one transaction, so there are never two blocks of one height.
``SELECT height, model_hash FROM blocks ORDER BY height;`` reads the chain by hand.
"""

from __future__ import annotations

import sqlalchemy as sa

from fedxdr.core.canonical import jcs, parse_jcs
from fedxdr.core.errors import IntegrityFault, NotFound
from fedxdr.crypto.envelope import Envelope
from fedxdr.ledger import block as blocks
from fedxdr.ledger.block import GENESIS_PREV_HASH, SignedBlock
from fedxdr.storage.database import BLOCKS, Database
from fedxdr.storage.refusals import does_not_follow


class SqlBlockStore:
    """The port over one database."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine

    def append(self, signed: SignedBlock) -> None:
        """Add the next block: compare-and-swap on height and prev_hash."""
        block = signed.block
        body = block.body()
        newest = (
            sa.select(BLOCKS.c.height, BLOCKS.c.hash)
            .order_by(BLOCKS.c.height.desc())
            .limit(1)
        )
        with self._engine.begin() as connection:
            row = connection.execute(newest).one_or_none()
            height, prev = (
                (0, GENESIS_PREV_HASH) if row is None else (row.height + 1, row.hash)
            )
            if (block.height, block.prev_hash) != (height, prev):
                raise does_not_follow(block.height, newest=height - 1)
            connection.execute(
                BLOCKS.insert().values(
                    height=block.height,
                    model_hash=block.model_hash,
                    hash=blocks.hash_of(body),
                    body=body,
                    envelopes=jcs([e.to_value() for e in signed.envelopes]),
                )
            )

    def head(self) -> SignedBlock | None:
        """Return the newest block, None for an empty ledger."""
        size = self.size()
        return self.get(size - 1) if size else None

    def get(self, height: int) -> SignedBlock:
        """Return one block."""
        found = self.read(begin=height, end=height + 1)
        if not found:
            raise NotFound(f"there is no block {height}")
        return found[0]

    def read(self, *, begin: int, end: int) -> list[SignedBlock]:
        """Return blocks with heights [begin, end), the lowest first."""
        query = (
            sa.select(BLOCKS)
            .where(BLOCKS.c.height >= begin, BLOCKS.c.height < end)
            .order_by(BLOCKS.c.height)
        )
        with self._engine.connect() as connection:
            return [_signed_block(row) for row in connection.execute(query)]

    def size(self) -> int:
        """Return how many blocks there are."""
        with self._engine.connect() as connection:
            count = connection.scalar(sa.select(sa.func.count()).select_from(BLOCKS))
        return int(count or 0)


def _signed_block(row: sa.Row[tuple[object, ...]]) -> SignedBlock:
    if blocks.hash_of(row.body) != row.hash:
        raise IntegrityFault(f"the stored block {row.height} does not hash to its hash")
    return SignedBlock(
        block=blocks.parse(row.body),
        envelopes=tuple(Envelope.from_value(e) for e in parse_jcs(row.envelopes)),
    )
