# SPDX-License-Identifier: Apache-2.0
"""One contract for both purse logs, and what kill -9 leaves of the durable one."""

import itertools
import os
import signal
import sqlite3

import pytest
import sqlalchemy as sa

from fedxdr.core.errors import AlreadyAnswered, IntegrityFault, StorageFault
from fedxdr.core.ids import sha256
from fedxdr.privacy.budget import Purse, Reserved, Spent
from fedxdr.privacy.mechanism import Charge
from fedxdr.storage.database import Database
from fedxdr.storage.purse import PURSE, MemoryPurseLog, SqlPurseLog

CHARGE = Charge(unit="event", noise_multiplier=4.0)
DEARER = Charge(unit="event", noise_multiplier=1.0)
VECTOR, OTHER = sha256(b"vector"), sha256(b"other")
TERMS = {"epsilon": 8.0, "delta": 1e-5, "unit": "event"}


def reserved(number, charge=CHARGE):
    return Reserved(release_id=f"round-{number}/training", charge=charge)


def spent(number, digest=VECTOR):
    return Spent(release_id=f"round-{number}/training", digest=digest)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agent" / "agent.sqlite"


@pytest.fixture(params=["memory", "disk"])
def log(request, path):
    if request.param == "memory":
        yield MemoryPurseLog()
        return
    database = Database(path)
    yield SqlPurseLog(database)
    database.close()


@pytest.fixture
def database(path):
    opened = Database(path)
    yield opened
    opened.close()


def test_facts_come_back_in_order(log):
    facts = [reserved(1), reserved(2), spent(1), reserved(3), spent(3)]
    for fact in facts:
        log.append(fact)
    assert log.facts() == facts
    purse = Purse.of(log.facts(), **TERMS)
    assert purse.unconfirmed == ("round-2/training",)


def test_a_new_log_is_empty(log):
    assert log.facts() == []


def test_the_same_fact_twice_is_once(log):
    for fact in (reserved(1), reserved(1), spent(1), spent(1), reserved(1)):
        log.append(fact)
    assert log.facts() == [reserved(1), spent(1)]


def test_another_fact_in_its_place_is_refused(log):
    log.append(reserved(1))
    log.append(spent(1))
    for fact in (reserved(1, DEARER), spent(1, OTHER)):
        with pytest.raises(AlreadyAnswered):
            log.append(fact)
    assert log.facts() == [reserved(1), spent(1)]


def test_nothing_unpaid_is_spent(log):
    with pytest.raises(IntegrityFault, match="never reserved"):
        log.append(spent(1))
    assert log.facts() == []


def test_facts_survive_a_new_start(path):
    for number in range(3):
        database = Database(path)
        log = SqlPurseLog(database)
        assert len(log.facts()) == number
        log.append(reserved(number))
        database.close()


def test_no_row_is_ever_changed_or_removed(path, database):
    log = SqlPurseLog(database)
    log.append(reserved(1))
    for statement in (
        sa.delete(PURSE),
        sa.update(PURSE).values(body=b""),
        sa.update(PURSE).values(release_id="x"),
    ):
        with (
            pytest.raises(StorageFault, match="gives nothing back"),
            database.engine.begin() as connection,
        ):
            connection.execute(statement)
    # by hand, past our engine
    by_hand = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="gives nothing back"):
        by_hand.execute("DELETE FROM purse")
    by_hand.close()
    assert log.facts() == [reserved(1)]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE purse SET body = x'7b7d'",
        "UPDATE purse SET kind = 'released'",
        "UPDATE purse SET kind = 'spent'",
        "UPDATE purse SET release_id = 'round-2/training'",
    ],
)
def test_a_damaged_row_stops_and_is_not_skipped(path, database, damage):
    log = SqlPurseLog(database)
    log.append(reserved(1))
    with sqlite3.connect(path) as by_hand:
        by_hand.execute("DROP TRIGGER purse_no_update")
        by_hand.execute(damage)
    by_hand.close()
    with pytest.raises(IntegrityFault):
        log.facts()


def test_a_database_from_before_there_was_a_purse_gets_one(path):
    database = Database(path)
    with database.engine.begin() as connection:
        PURSE.drop(connection)
    SqlPurseLog(database).append(reserved(1))
    assert SqlPurseLog(database).facts() == [reserved(1)]
    database.close()


# --- kill -9, real processes


def spend_on(path, say):
    """Reserve and spend as an agent does, for ever; say what is stored."""
    log = SqlPurseLog(Database(path))
    purse = Purse.of(log.facts(), epsilon=50.0, delta=1e-5, unit="event")
    for number in itertools.count(len(purse.reserved)):
        name = f"round-{number}/training"
        paid = purse.reserve(name, CHARGE)
        log.append(paid)
        purse = purse.after(paid)
        say(f"paid {name}\n")
        confirmed = purse.spend(name, VECTOR)
        log.append(confirmed)
        purse = purse.after(confirmed)
        say(f"left {name}\n")


def start_agent(path):
    """Return a forked process and what it says; forked, so that nothing is imported."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reads)
            spend_on(path, lambda line: os.write(writes, line.encode()))
        finally:
            os._exit(1)
    os.close(writes)
    return child, os.fdopen(reads)


@pytest.mark.process
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_kill_9_at_any_moment_never_gives_a_round_back(path):
    known = 0
    for lines in (1, 2, 3, 4, 7, 12, 25, 50):
        child, told = start_agent(path)
        with told:
            said = [told.readline() for _ in range(lines)]
            os.kill(child, signal.SIGKILL)
            said += told.readlines()
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        database = Database(path)
        facts = SqlPurseLog(database).facts()
        database.close()
        words = [line.split() for line in said if line.endswith("\n")]
        paid = {f.release_id for f in facts if isinstance(f, Reserved)}
        confirmed = {f.release_id for f in facts if isinstance(f, Spent)}
        # what it said was paid is paid, and what left was confirmed before
        assert {name for word, name in words if word == "paid"} <= paid
        assert {name for word, name in words if word == "left"} <= confirmed <= paid
        assert len(words) >= lines
        assert len(paid) > known
        assert len(facts) == len(paid) + len(confirmed)
        known = len(paid)
