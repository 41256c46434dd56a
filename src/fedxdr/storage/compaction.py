# SPDX-License-Identifier: Apache-2.0
"""Which large files of an orchestrator nobody needs any more, and their end.

Kept: every model that a block names; whatever the rounds inside the audit window name,
and those that have not ended (masked contributions, sums, proofs: what replay needs);
whatever any other row names. What only older rounds name goes. A name is a SHA-256 in
hexadecimal, also inside of base64 inside of a signed message: what is not understood is
searched for names, so that too much is kept rather than too little.

It does NOT remove rows: facts and messages of rounds stay, and so does every block.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fedxdr.core.errors import InvalidSettings
from fedxdr.core.ids import Digest, RoundId
from fedxdr.ledger.block import Block, SignedBlock
from fedxdr.ledger.entries import RoundCommitted, RoundFailed
from fedxdr.storage.blobs import FileBlobs
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.database import Database
from fedxdr.storage.schema import FACTS, MESSAGES, METADATA, OPENINGS

WINDOW_ROUNDS = 100
"""For how many rounds back members can replay a round, by default."""

_NAME = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{64,}={0,2}")
_DEPTH = 4
_OF_ROUNDS = {OPENINGS.name, FACTS.name, MESSAGES.name}


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What can go.

    Attributes:
        kept: number of files that stay.
        kept_bytes: their size.
        unneeded: digest -> size in bytes of the files that can go.
        rounds: how many rounds lie inside the window or have not ended.
    """

    kept: int
    kept_bytes: int
    unneeded: dict[Digest, int]
    rounds: int


def survey(
    database: Database, blobs: FileBlobs, *, window_rounds: int = WINDOW_ROUNDS
) -> Survey:
    """Return what can go; nothing is changed.

    Args:
        database: the orchestrator's.
        blobs: its large files.
        window_rounds: how many of the newest rounds can still be replayed, >= 0.

    Raises:
        InvalidSettings: a negative window.
        IntegrityFault: a stored block does not fit.
    """
    if window_rounds < 0:
        raise InvalidSettings("the audit window has 0 rounds or more")
    ended = {
        entry.round_id
        for signed in _ledger(database)
        if isinstance(entry := signed.block.entry, RoundCommitted | RoundFailed)
    }
    with database.read() as connection:
        opened = list(
            connection.scalars(sa.select(OPENINGS.c.round_id).order_by(OPENINGS.c.seq))
        )
        window = set(opened[max(0, len(opened) - window_rounds) :])
        inside = window | (set(opened) - ended)
        needed: set[Digest] = set()
        for value in _values(connection, inside):
            needed |= names_in(value)
    for signed in _ledger(database):
        needed |= _needed(signed, inside)
    stored = blobs.all()
    unneeded = {name: size for name, size in stored.items() if name not in needed}
    return Survey(
        kept=len(stored) - len(unneeded),
        kept_bytes=sum(stored.values()) - sum(unneeded.values()),
        unneeded=unneeded,
        rounds=len(inside),
    )


def compact(database: Database, blobs: FileBlobs, found: Survey) -> None:
    """Remove what can go and give the room back; no round may run meanwhile.

    Args:
        database: opened alone.
        blobs: its large files.
        found: by ``survey`` since it was opened.
    """
    for name in found.unneeded:
        blobs.delete(name)
    database.compact()


def names_in(data: bytes, *, depth: int = _DEPTH) -> set[Digest]:
    """Return every digest that some bytes name.

    Args:
        data: text, JSON or anything else.
        depth: how often base64 is looked into.
    """
    found = {Digest(name.decode()) for name in _NAME.findall(data)}
    if depth:
        for text in _BASE64.findall(data):
            for inner in _decoded(text):
                found |= names_in(inner, depth=depth - 1)
    return found


def _decoded(text: bytes) -> Iterator[bytes]:
    plain = text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        yield base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        return


def _ledger(database: Database) -> Iterator[SignedBlock]:
    for page in SqlBlockStore(database).pages():
        yield from page


def _needed(signed: SignedBlock, inside: set[RoundId]) -> set[Digest]:
    """Return what has to stay because of a block."""
    block = signed.block
    models = {block.model_hash}
    if block.provenance.parent_model is not None:
        models.add(block.provenance.parent_model)
    if isinstance(block.entry, RoundCommitted) and block.entry.round_id not in inside:
        return models
    return models | _named_by(block, signed)


def _named_by(block: Block, signed: SignedBlock) -> set[Digest]:
    texts = (block.body(), *(envelope.payload for envelope in signed.envelopes))
    return set().union(*map(names_in, texts))


def _values(connection: sa.Connection, inside: set[RoundId]) -> Iterator[bytes]:
    """Yield every value that may name a file: of rounds inside, and of other tables."""
    there = set(sa.inspect(connection).get_table_names())
    for table in METADATA.sorted_tables:
        if table.name not in there or table.name == "blocks":
            continue
        for row in connection.execute(sa.select(table)).mappings():
            if table.name not in _OF_ROUNDS or row["round_id"] in inside:
                yield from _bytes_of(row.values())


def _bytes_of(values: Any) -> Iterator[bytes]:  # noqa: ANN401 - a row's, of any type
    for value in values:
        if isinstance(value, str):
            yield value.encode()
        elif isinstance(value, bytes):
            yield value
