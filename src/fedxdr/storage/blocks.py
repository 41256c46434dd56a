# SPDX-License-Identifier: Apache-2.0
"""The ledger's blocks in SQL (port ``BlockStore``).

The exact bytes of a block are stored and handed back; a block is appended only if it
follows the newest one, in one transaction, so there are never two blocks of one height.
``SELECT height, model_hash FROM blocks ORDER BY height;`` reads the chain by hand.

It does NOT notice that the newest blocks are gone, or that all of them were written
anew: only a signed head that somebody else has seen shows that.

Rules that always hold: of a row that is read, bytes, columns and envelopes fit each
other and the row before, or an ``IntegrityFault`` names the height; no row is skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from fedxdr.core.canonical import parse_jcs
from fedxdr.core.errors import IntegrityFault, MalformedMessage, NotFound
from fedxdr.core.ids import Digest
from fedxdr.crypto.envelope import Envelope
from fedxdr.ledger import block as blocks
from fedxdr.ledger import checkpoint
from fedxdr.ledger.block import GENESIS_PREV_HASH, Block, SignedBlock
from fedxdr.storage import checkpoints
from fedxdr.storage.database import Database
from fedxdr.storage.refusals import does_not_follow, require_bound
from fedxdr.storage.schema import BLOCKS

_MOST = 2**62  # heights above are asked for, but never there; columns have 64 bits
_PAGE_ROWS = 1_000

# made once: making them takes longer than running them
_NEWEST = (
    sa.select(BLOCKS.c.height, BLOCKS.c.hash).order_by(BLOCKS.c.height.desc()).limit(1)
)
_INSERT = BLOCKS.insert()
_SQLITE = sqlite.dialect(paramstyle="named")
_NEWEST_SQL = str(
    _NEWEST.compile(dialect=_SQLITE, compile_kwargs={"literal_binds": True})
)
_INSERT_SQL = str(_INSERT.compile(dialect=_SQLITE))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlock:
    """One row as it lies in the table, nothing of it checked.

    Attributes:
        height: the row's key.
        model_hash: the column that is read by hand.
        hash: the column that the next block is compared with.
        body: canonical bytes of the block.
        envelopes: RFC 8785 array of the envelopes beside it.
    """

    height: int
    model_hash: str
    hash: str
    body: bytes
    envelopes: bytes


class SqlBlockStore:
    """The port over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, signed: SignedBlock, *, head: bytes | None = None) -> None:
        """Add the next block: compare-and-swap on height and prev_hash.

        Args:
            signed: the block and the envelopes beside it.
            head: the signed head over the ledger with this block, if it was made
                already; stored with it in one transaction, both or neither. Nobody
                may see it before this returns.

        Raises:
            IntegrityFault: it does not follow the newest block, or binds other
                envelopes than those beside it; another root is stored for the head's
                size; nothing was written.
            MalformedMessage: a head of another size, or none.
        """
        self.extend((signed,), head=head)

    def extend(
        self, further: Iterable[SignedBlock], *, head: bytes | None = None
    ) -> None:
        """Add the next blocks, all of them or none: one sync of the disk for many.

        Args:
            further: the blocks, in order.
            head: as for ``append``, over the ledger with all of them.

        Raises:
            IntegrityFault: as ``append``, about any of them; nothing was written.
            MalformedMessage: as ``append``.
        """
        made = [_row(signed) for signed in further]
        rows = [row for _, row in made]
        over = None if head is None else _head_over(made, head)
        raw_write = self._database.write_raw()
        if raw_write is not None:
            with raw_write as raw:
                _require_next(raw.execute(_NEWEST_SQL).fetchone(), made)
                raw.executemany(_INSERT_SQL, rows)
                if over is not None:
                    checkpoints.put_raw(raw, *over)
            return
        with self._database.write() as connection:
            _require_next(connection.execute(_NEWEST).one_or_none(), made)
            if rows:
                connection.execute(_INSERT, rows)
            if over is not None:
                checkpoints.put_within(connection, *over)

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
        """Return blocks with heights [begin, end), the lowest first.

        Raises:
            IntegrityFault: a row that does not fit itself or the row before, or a gap.
        """
        begin = max(0, begin)
        if begin >= end:
            return []
        rows = self.stored(begin=begin - 1, end=end)
        previous = None
        if begin and rows and rows[0].height == begin - 1:
            previous = rows.pop(0)
        if rows and begin and previous is None:
            raise _fault(begin - 1, "is missing")
        return list(checked(rows, begin=begin, previous=previous))

    def stored(self, *, begin: int, end: int) -> list[StoredBlock]:
        """Return the rows with heights [begin, end) as they lie there, unchecked.

        For audits that check the bytes themselves, and for tests that damage them.
        """
        query = (
            sa.select(BLOCKS)
            .where(BLOCKS.c.height >= max(0, begin), BLOCKS.c.height < min(end, _MOST))
            .order_by(BLOCKS.c.height)
        )
        if begin >= _MOST:
            return []
        with self._database.read() as connection:
            return [
                StoredBlock(
                    height=row.height,
                    model_hash=row.model_hash,
                    hash=row.hash,
                    body=row.body,
                    envelopes=row.envelopes,
                )
                for row in connection.execute(query)
            ]

    def pages(self) -> Iterator[list[SignedBlock]]:
        """Return the whole ledger in pages, so that it need not fit into memory.

        Raises:
            IntegrityFault: as ``read``.
        """
        previous: StoredBlock | None = None
        begin, size = 0, self.size()
        while begin < size:
            rows = self.stored(begin=begin, end=min(begin + _PAGE_ROWS, size))
            yield list(checked(rows, begin=begin, previous=previous))
            if len(rows) < min(_PAGE_ROWS, size - begin):
                raise _fault(begin + len(rows), "is missing")
            previous = rows[-1]
            begin += len(rows)

    def bodies(self) -> Iterator[bytes]:
        """Return every block's bytes as they lie there, from the Genesis.

        For an audit by the Merkle tree (ledger/light.py), which checks the bytes;
        columns and envelopes beside them are not looked at.

        Raises:
            IntegrityFault: a row is missing.
        """
        begin = 0
        while True:
            query = (
                sa.select(BLOCKS.c.height, BLOCKS.c.body)
                .where(BLOCKS.c.height >= begin)
                .order_by(BLOCKS.c.height)
                .limit(_PAGE_ROWS)
            )
            with self._database.read() as connection:
                rows = connection.execute(query).all()
            for expected, (height, body) in enumerate(rows, start=begin):
                if height != expected:
                    raise _fault(expected, "is missing")
                yield body
            if len(rows) < _PAGE_ROWS:
                return
            begin += len(rows)

    def size(self) -> int:
        """Return how many blocks there are.

        Raises:
            IntegrityFault: some below the newest are missing.
        """
        query = sa.select(sa.func.count(), sa.func.max(BLOCKS.c.height)).select_from(
            BLOCKS
        )
        with self._database.read() as connection:
            count, newest = connection.execute(query).one()
        if count and newest != count - 1:
            raise IntegrityFault(
                f"{count} blocks are stored, the newest is {newest}: some are missing"
            )
        return int(count)


def _require_next(
    newest: Any,  # noqa: ANN401 - height and hash, a row of either driver
    further: Sequence[tuple[Block, dict[str, Any]]],
) -> None:
    """Refuse blocks that do not follow the newest row and each other."""
    height, prev = -1, GENESIS_PREV_HASH
    if newest is not None:
        height, prev = newest
    for block, row in further:
        if (block.height, block.prev_hash) != (height + 1, prev):
            raise does_not_follow(block.height, newest=height)
        height, prev = height + 1, row["hash"]


def _head_over(
    made: Sequence[tuple[Block, dict[str, Any]]], head: bytes
) -> tuple[int, Digest, bytes]:
    """Return size, root and note of a head whose newest block is the last of these."""
    says = checkpoint.parse(head)
    size = made[-1][0].height + 1 if made else 0
    if says.size != size or not made:
        raise MalformedMessage(f"a head of {says.size} blocks beside block {size - 1}")
    return size, Digest(says.root.hex()), head


def _row(signed: SignedBlock) -> tuple[Block, dict[str, Any]]:
    """Return a block and what its row will hold."""
    beside = require_bound(signed)
    block = signed.block
    body = block.body()
    return block, {
        "height": block.height,
        "model_hash": block.model_hash,
        "hash": blocks.hash_of(body),
        "body": body,
        # RFC 8785 section 3.2.1: no blanks, so an array's form is made of its items'
        "envelopes": b"[%b]" % b",".join(beside),
    }


def checked(
    rows: Iterable[StoredBlock], *, begin: int, previous: StoredBlock | None = None
) -> Iterator[SignedBlock]:
    """Return the blocks in rows that follow each other.

    Args:
        rows: in ascending order of their heights.
        begin: height of the first one.
        previous: the row before the first, if it was read.

    Raises:
        IntegrityFault: a row that does not fit itself or the row before, or a gap;
            with its height.
    """
    for height, row in enumerate(rows, start=begin):
        if row.height != height:
            raise _fault(height, "is missing")
        signed = _checked(row)
        before = GENESIS_PREV_HASH if height == 0 else None
        if previous is not None:
            before = Digest(previous.hash)
        if before is not None and signed.block.prev_hash != before:
            raise _fault(height, "does not follow the block stored before it")
        previous = row
        yield signed


def _checked(row: StoredBlock) -> SignedBlock:
    height = row.height
    if blocks.hash_of(row.body) != row.hash:
        raise _fault(height, "does not hash to its hash")
    try:
        block = blocks.parse(row.body)
    except MalformedMessage as error:
        raise _fault(height, "is no block") from error
    if block.height != height:
        raise _fault(height, f"says that it is block {block.height}")
    if block.model_hash != row.model_hash:
        raise _fault(height, "names another model than its row")
    try:
        envelopes = tuple(Envelope.from_value(e) for e in parse_jcs(row.envelopes))
    except (MalformedMessage, TypeError) as error:
        raise _fault(height, "has envelopes that are none") from error
    signed = SignedBlock(block=block, envelopes=envelopes)
    try:
        require_bound(signed)
    except IntegrityFault as error:
        raise _fault(height, "has other envelopes than it binds") from error
    return signed


def _fault(height: int, what: str) -> IntegrityFault:
    return IntegrityFault(f"the stored block {height} {what}")
