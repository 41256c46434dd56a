# SPDX-License-Identifier: Apache-2.0
"""One audit at a time, kept for its head; nobody waits for the lock meanwhile."""

import asyncio
import threading

import pytest

from fedxdr.api import audits
from fedxdr.api.audits import Audits
from fedxdr.core.errors import VerificationFailed
from fedxdr.core.ids import sha256
from fedxdr.ledger import verifier

VERIFY = "/blockchain/ledger/verify"
ASK = "/ledger/verify"


@pytest.fixture
def audited(monkeypatch):
    """How many blocks each audit looked at; none is made under the lock."""
    found = []
    verify = verifier.verify

    def watched(*args, **options):
        report = verify(*args, **options)
        found.append(report.blocks_verified)
        return report

    monkeypatch.setattr(audits.verifier, "verify", watched)
    return found


@pytest.fixture
def fresh(settled):
    """The settled federation, of which nothing was audited yet."""
    settled.app.state.audits = Audits()
    return settled


def test_a_ledger_is_audited_once_for_each_head(make_api, audited):
    api = make_api(rounds=1)
    model = api.world.recorder.in_force.model
    size = api.world.recorder.size()
    at = api.world.clock.now()
    for _ in range(3):
        found = api.send("GET", VERIFY).json()
        assert (found["chain_valid"], found["blocks_verified"]) == (True, size)
        # it says when the audit was, not when somebody asked
        assert found["verification_timestamp"] == f"{at:%Y-%m-%dT%H:%M:%SZ}"
        judged = api.send("POST", ASK, {"model_hash": model}).json()
        assert judged["verified"] is True
        api.world.clock.advance(seconds=5)
    assert audited == [size]
    api.world.run_round()
    found = api.send("GET", VERIFY).json()
    assert found["blocks_verified"] == size + 1
    assert found["verification_timestamp"] > f"{at:%Y-%m-%dT%H:%M:%SZ}"
    assert audited == [size, size + 1]


def test_further_cosignatures_are_audited_too(fresh, monkeypatch, audited):
    heads = fresh.service.orchestrator.heads
    whole = heads.for_bundle()
    asyncio.run(fresh.app.state.audits.newest(fresh.service))
    # the same blocks, under a head with fewer lines
    size = max(whole)
    fewer = b"\n".join(whole[size].split(b"\n")[:-3]) + b"\n"
    monkeypatch.setattr(heads, "for_bundle", lambda: whole | {size: fewer})
    found = asyncio.run(fresh.app.state.audits.newest(fresh.service))
    assert audited == [size, size]
    assert len(found.report.cosigned_by) == 3


def test_there_is_one_audit_at_a_time_and_all_get_what_it_found(fresh, monkeypatch):
    verify, running, most = verifier.verify, [], []
    begun, go_on = threading.Event(), threading.Event()

    def slow(*args, **options):
        assert not fresh.service.lock.locked()
        running.append(1)
        most.append(len(running))
        begun.set()
        go_on.wait(5)
        report = verify(*args, **options)
        running.pop()
        return report

    async def ask():
        wanted = [
            asyncio.ensure_future(fresh.app.state.audits.newest(fresh.service))
            for _ in range(4)
        ]
        assert await asyncio.to_thread(begun.wait, 5)
        # meanwhile the lock is free, and so are the threads
        async with asyncio.timeout(5):
            for _ in range(20):
                await fresh.service.run(lambda _: None)
        go_on.set()
        return await asyncio.gather(*wanted)

    monkeypatch.setattr(audits.verifier, "verify", slow)
    found = asyncio.run(ask())
    assert most == [1]
    assert all(one is found[0] for one in found)


def test_an_audit_that_failed_is_not_kept(fresh, monkeypatch):
    verify = verifier.verify
    faults = [VerificationFailed("broken", step="1 canonical form", height=2)]

    def once(*args, **options):
        if faults:
            raise faults.pop()
        return verify(*args, **options)

    monkeypatch.setattr(audits.verifier, "verify", once)
    found = fresh.send("GET", VERIFY).json()
    assert (found["chain_valid"], found["blocks_verified"]) == (False, 2)
    assert found["reason"] == "block 2, step 1 canonical form: broken"
    assert fresh.send("GET", VERIFY).json()["chain_valid"] is True


def test_the_lock_is_held_for_a_page_only(fresh, monkeypatch):
    monkeypatch.setattr(audits, "_PAGE_BLOCKS", 2)
    recorder, heads = fresh.world.recorder, fresh.service.orchestrator.heads
    wanted = recorder.export(heads=heads.for_bundle())
    asked, read, write = [], recorder.blocks, audits.bundle.write

    def noting(*, begin, end):
        assert fresh.service.lock.locked()
        asked.append((begin, end))
        return read(begin=begin, end=end)

    def watched(**parts):
        assert not fresh.service.lock.locked()
        return write(**parts)

    monkeypatch.setattr(recorder, "blocks", noting)
    monkeypatch.setattr(audits.bundle, "write", watched)
    assert fresh.send("GET", "/ledger/bundle").content == wanted
    assert asked == [(0, 2), (2, 4), (4, 5)]
    asked.clear()
    assert fresh.send("GET", VERIFY).json()["chain_valid"] is True
    assert asked == [(0, 2), (2, 4), (4, 5)]


def test_a_question_about_a_model_reads_one_block(fresh, monkeypatch):
    assert fresh.send("GET", VERIFY).json()["chain_valid"] is True
    recorder, asked = fresh.world.recorder, []
    read = recorder.blocks

    def noting(*, begin, end):
        found = read(begin=begin, end=end)
        asked.extend(signed.block.height for signed in found)
        return found

    monkeypatch.setattr(recorder, "blocks", noting)
    first = recorder.in_force.genesis.initial_model
    for model, height in ((recorder.in_force.model, 4), (first, 0)):
        judged = fresh.send("POST", ASK, {"model_hash": model}).json()
        assert judged["verified"] is True
        assert asked == [height]
        asked.clear()
    judged = fresh.send("POST", ASK, {"model_hash": sha256(b"another")}).json()
    assert judged["why"] == ["no block of this ledger has that model"]
    assert asked == []
