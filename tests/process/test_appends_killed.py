# SPDX-License-Identifier: Apache-2.0
"""SIGKILL during appends: nothing acknowledged is lost, no size has two roots."""

from __future__ import annotations

import time

import pytest
from tests.process.drill_appends import THREADS, files, run, work
from tests.process.postgres import Postgres, PostgresMissing
from tests.unit.storage.chains import genesis, head

from fedxdr.core.ids import Digest
from fedxdr.ledger import checkpoint
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.checkpoints import SqlCheckpointStore
from fedxdr.storage.database import Database
from fedxdr.storage.schema import CHECKPOINTS

pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def postgres():
    try:
        server = Postgres()
    except PostgresMissing as error:
        pytest.skip(f"no PostgreSQL here: {error}")
    yield server
    server.close()


def assert_good(outcome, points):
    assert outcome.faults == []
    assert outcome.points == points
    assert outcome.blocks > points
    assert outcome.heads > points
    assert outcome.refused > 0


def test_a_killed_writer_loses_nothing_in_a_file():
    with files() as places:
        assert_good(run(40, places=places), 40)


def test_a_killed_writer_loses_nothing_on_a_server(postgres):
    assert_good(run(10, places=postgres.new_place), 10)


def test_a_killed_server_loses_nothing(postgres):
    outcome = run(
        3, places=postgres.new_place, kill=postgres.kill, revive=postgres.start
    )
    assert_good(outcome, 3)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_thousand_kills_lose_nothing_in_a_file():
    with files() as places:
        assert_good(run(1000, places=places, seed=1), 1000)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_hundreds_of_kills_lose_nothing_on_a_server(postgres):
    assert_good(run(300, places=postgres.new_place, seed=1), 300)
    outcome = run(
        50,
        places=postgres.new_place,
        seed=2,
        kill=postgres.kill,
        revive=postgres.start,
    )
    assert_good(outcome, 50)


# The drill finds what it is there to find.


def test_a_store_that_acknowledges_too_early_is_found():
    begin = Database.write

    def write_and_forget(self):
        """Hand out a transaction that is rolled back: it never reaches the disk."""
        manager = begin(self)

        class Forgetful:
            def __enter__(self):
                self.connection = manager.__enter__()
                return self.connection

            def __exit__(self, *_):
                self.connection.rollback()
                return manager.__exit__(None, None, None)

        return Forgetful()

    def forgetful(place, acknowledge):
        told = []

        def count(*words):
            told.append(words)
            if words[0] == "block" and len(told) > THREADS:
                Database.write = write_and_forget
                Database.write_raw = lambda _: None
            acknowledge(*words)

        work(place, count)

    with files() as places:
        outcome = run(10, places=places, work_=forgetful)
    assert any("lost the acknowledged" in fault for fault in outcome.faults)


def test_a_store_that_takes_a_second_root_is_found(monkeypatch):
    def put(self, size, root, note):
        with self._database.write() as connection:
            connection.execute(CHECKPOINTS.delete().where(CHECKPOINTS.c.size == size))
            connection.execute(
                CHECKPOINTS.insert().values(size=size, root=root, note=note)
            )

    monkeypatch.setattr(SqlCheckpointStore, "put", put)
    with files() as places:
        outcome = run(3, places=places)
    assert any("said fork" in fault for fault in outcome.faults)
    assert any("another root" in fault for fault in outcome.faults)


def test_a_store_that_writes_a_block_before_its_head_is_found(monkeypatch):
    append = SqlBlockStore.append

    def one_after_the_other(self, signed, *, head=None):
        append(self, signed)
        if head is not None:
            time.sleep(0.02)
            root = Digest(checkpoint.parse(head).root.hex())
            SqlCheckpointStore(self._database).put(signed.block.height + 1, root, head)

    monkeypatch.setattr(SqlBlockStore, "append", one_after_the_other)
    with files() as places:
        outcome = run(20, places=places)
    assert any("without its head" in fault for fault in outcome.faults)


def test_a_lost_signature_is_found():
    def unsign(place, acknowledge):
        database = Database(place)
        first, heads = genesis(), SqlCheckpointStore(database)
        SqlBlockStore(database).append(first)
        root = first.block.hash  # a tree of one leaf is that leaf
        heads.put(1, root, head(1, root, lines=3))
        acknowledge("head", 1, root, 3)
        heads.put(1, root, head(1, root, lines=1))

    with files() as places:
        outcome = run(1, places=places, work_=unsign)
    assert outcome.faults == ["lost signatures on the head of 1"]
