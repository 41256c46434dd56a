# SPDX-License-Identifier: Apache-2.0
"""Stored blocks hash to what was recorded, or reading them stops everything.

What every block store does is in test_ports.py.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from fedxdr.core.errors import IntegrityFault
from fedxdr.core.ids import sha256
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import block as blocks
from fedxdr.ledger.entries import Genesis, MemberKeys
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.database import BLOCKS, Database


@pytest.fixture
def database(tmp_path):
    opened = Database(tmp_path / "party.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def genesis():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    entry = Genesis(
        federation="f",
        origin="f.example/ledger",
        orchestrator=MemberKeys.of(IdentityKey.generate(SeededEntropy(1)).public),
        created=now,
        protocol_version=1,
        initial_model=sha256(b"model"),
        layout_digest=sha256(b"layout"),
    )
    return blocks.next_block(None, entry=entry, timestamp=now)


def test_a_row_that_was_changed_is_a_fault(database, genesis):
    store = SqlBlockStore(database)
    store.append(genesis)
    body = genesis.block.body().replace(b'"federation":"f"', b'"federation":"g"')
    assert body != genesis.block.body()
    with database.engine.begin() as connection:
        connection.execute(BLOCKS.update().values(body=body))
    with pytest.raises(IntegrityFault, match="does not hash"):
        store.head()


def test_the_chain_can_be_read_by_hand(database, genesis):
    SqlBlockStore(database).append(genesis)
    with database.engine.connect() as connection:
        rows = connection.execute(
            sa.text("SELECT height, model_hash, hash FROM blocks ORDER BY height")
        ).all()
    assert [tuple(row) for row in rows] == [
        (0, genesis.block.model_hash, genesis.block.hash)
    ]
