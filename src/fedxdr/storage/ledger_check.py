# SPDX-License-Identifier: Apache-2.0
"""Does what is stored hang together: every block, every head, the model in force.

Read before and after a backup, and after a process was killed.

It does NOT check signatures of heads or what only a bundle shows (ledger/verifier.py).

Rules that always hold: every row is read, none is skipped; a head that is larger than
the ledger is a fault, because blocks were acknowledged and are gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fedxdr.core.errors import IntegrityFault
from fedxdr.core.ids import Digest
from fedxdr.ledger import rules
from fedxdr.ledger.block import GENESIS_PREV_HASH, SignedBlock
from fedxdr.ledger.merkle import Tree
from fedxdr.ledger.standing import Standing
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.checkpoints import SqlCheckpointStore
from fedxdr.storage.database import Database

Judge = Callable[[SignedBlock], None]
"""Raises ``VerificationFailed`` about a block that may not follow those before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLedger:
    """What a database holds of a ledger.

    Attributes:
        size: number of blocks, >= 0.
        head: hash of the newest block, 64 zeros in an empty ledger.
        root: Merkle root over all blocks, hexadecimal.
        heads: how many signed heads are stored.
        newest_head: size of the largest one, 0 without one.
        model: SHA-256 of the model in force, None in an empty ledger.
    """

    size: int
    head: Digest
    root: Digest
    heads: int
    newest_head: int
    model: Digest | None


def check(
    database: Database,
    *,
    has_model: Callable[[Digest], bool],
    judge: Judge | None = None,
) -> StoredLedger:
    """Return what is stored if all of it fits.

    Args:
        database: an orchestrator's.
        has_model: whether a model's file is stored; asked about the one in force.
        judge: of each block, in order; see ``by_the_rules``.

    Raises:
        IntegrityFault: a block or head that does not fit, or a missing model.
        VerificationFailed: what the judge says.
    """
    _require_sound(database)
    tree, head, model = Tree(), GENESIS_PREV_HASH, None
    for page in SqlBlockStore(database).pages():
        for signed in page:
            if judge is not None:
                judge(signed)
            head, model = signed.block.hash, signed.block.model_hash
            tree.append(bytes.fromhex(head))
    sizes = _check_heads(database, tree)
    if model is not None and not has_model(model):
        raise IntegrityFault(f"the model in force, {model[:16]}…, is not stored")
    return StoredLedger(
        size=tree.size,
        head=head,
        root=Digest(tree.root().hex()),
        heads=len(sizes),
        newest_head=max(sizes, default=0),
        model=model,
    )


def by_the_rules() -> Judge:
    """Return a judge that applies the rules of the ledger from the first block on."""
    standing = Standing()

    def judge(signed: SignedBlock) -> None:
        rules.check(signed, standing)
        standing.follow(signed, signed.block.hash)

    return judge


def _check_heads(database: Database, tree: Tree) -> list[int]:
    roots = SqlCheckpointStore(database).roots()
    for size, root in roots.items():
        if size > tree.size:
            raise IntegrityFault(
                f"a head of {size} blocks is stored, but only {tree.size} blocks: the "
                "newest are missing"
            )
        if root != tree.root(size).hex():
            raise IntegrityFault(
                f"the stored head of {size} blocks has another root than they have"
            )
    return list(roots)


def _require_sound(database: Database) -> None:
    """Let SQLite look at its own pages; a server does so as it reads."""
    if not database.is_sqlite:
        return
    with database.read() as connection:
        found = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
    if found != "ok":
        raise IntegrityFault(f"the database {database.name} is damaged: {found}")
