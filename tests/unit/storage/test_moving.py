# SPDX-License-Identifier: Apache-2.0
"""Tables go from one database to another as they are, or not at all."""

from __future__ import annotations

import contextlib

import pytest
import sqlalchemy as sa
from tests.unit.storage.chains import chain

from fedxdr.core.errors import InvalidSettings
from fedxdr.core.ids import RoundId
from fedxdr.parties.ports import StoredFact
from fedxdr.storage import moving
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.database import Database
from fedxdr.storage.registry import SqlNotes
from fedxdr.storage.rounds import SqlFactLog
from fedxdr.storage.schema import METADATA


@pytest.fixture(params=["sqlite", "postgres"])
def target(request, tmp_path):
    with contextlib.ExitStack() as stack:
        place = tmp_path / "target.db"
        if request.param == "postgres":
            lent = request.getfixturevalue("postgres").lend()
            place = stack.enter_context(lent)
        opened = Database(place)
        stack.callback(opened.close)
        yield opened


def rows(database):
    with database.read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(table))]
            for table in METADATA.sorted_tables
            if table.name != "purse"
        }


def test_every_row_arrives_and_numbers_go_on(database, target, monkeypatch):
    monkeypatch.setattr(moving, "_ROWS", 2)
    SqlBlockStore(database).extend(chain(5))
    facts = SqlFactLog(database)
    for number in range(3):
        facts.begin(RoundId(f"r-{number}"), b"\0\xff")
        facts.append(
            RoundId("r-0"),
            StoredFact(name="x", body=b"", slot=f"{number}", message=b""),
        )
    before = rows(database)
    assert moving.move_tables(database, target) == 5 + 3 + 3 + 3
    assert rows(target) == rows(database) == before
    SqlFactLog(target).begin(RoundId("r-9"), b"")
    assert SqlFactLog(target).rounds() == ["r-0", "r-1", "r-2", "r-9"]


def test_nothing_is_copied_over_rows_that_are_there(database, target):
    SqlBlockStore(database).extend(chain(2))
    SqlNotes(database).put("a", b"1")
    SqlNotes(target).put("b", b"2")
    before = rows(target)
    with pytest.raises(InvalidSettings, match="rows in its table notes"):
        moving.move_tables(database, target)
    assert rows(target) == before
