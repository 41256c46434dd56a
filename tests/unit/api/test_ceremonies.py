# SPDX-License-Identifier: Apache-2.0
"""The record of a key ceremony reaches the ledger by the operator alone."""

import pytest

from fedxdr.core import canonical
from fedxdr.core.ids import OrgId
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.exchange import HybridPrivateKey
from fedxdr.ledger.entries import KeyCeremony
from fedxdr.secagg.encrypted.ceremony import CeremonyKey, hold
from fedxdr.secagg.encrypted.paillier import PrivateKey

PATH = "/federation/key-ceremony"
MEMBERS = ("alpha", "bravo", "charlie", "delta")
# 512 bits, made once by primes.safe_prime: for tests and nothing else
PRIMES = PrivateKey(
    p=0xD75D3E21FF44322CE34EF1B95D141B657CB12F091531A2F784ED5A2B2F035243,
    q=0xF48183DCE17550F6442F0B10B901D5A5CA36A98A3E94D9D76887BBCD18D999AB,
)


def record_of(names=MEMBERS, *, seed=1):
    keys = [
        CeremonyKey(
            holder=OrgId(name), key=HybridPrivateKey.from_seed(bytes([n]) * 32).public
        )
        for n, name in enumerate(names)
    ]
    return hold(PRIMES, keys, threshold=3, entropy=SeededEntropy(seed)).record


def publish(api, record):
    """Hand a record in as the operator does, while the members' agents run."""
    for _ in range(4):
        answer = api.send("POST", PATH, canonical.encode(record), by="operator")
        if answer.status_code != 503:
            break
        api.world.step()
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.fixture
def published(api):
    record = record_of()
    return api, record, publish(api, record)


def test_a_record_becomes_a_block(published):
    api, record, told = published
    recorder = api.world.recorder
    assert told == {
        "fingerprint": record.fingerprint,
        "holders": list(MEMBERS),
        "threshold": 3,
        "height": recorder.size() - 1,
    }
    entry = recorder.in_force.head.entry
    assert isinstance(entry, KeyCeremony)
    assert entry.fingerprint == record.fingerprint
    assert recorder.in_force.ceremonies == {record.fingerprint: record}


def test_members_read_the_newest_one(published, problem):
    api, record, told = published
    found = api.send("GET", PATH, headers=api.bearer()).json()
    assert found == told | {"record": canonical.builtins(record)}
    problem(api.send("GET", PATH), 401, "unauthorised")
    newer = record_of(seed=2)
    publish(api, newer)
    found = api.send("GET", PATH, headers=api.bearer()).json()
    assert found["fingerprint"] == newer.fingerprint


def test_before_a_ceremony_there_is_none(api, problem):
    problem(api.send("GET", PATH, headers=api.bearer()), 404, "not-found")


def test_again_changes_nothing_and_an_older_one_comes_back(published):
    api, record, told = published
    size = api.world.recorder.size()
    body = canonical.encode(record)
    assert api.send("POST", PATH, body, by="operator").json() == told
    assert api.world.recorder.size() == size
    publish(api, record_of(seed=2))
    again = publish(api, record)
    assert again["height"] == size + 1
    assert list(api.world.recorder.in_force.ceremonies)[-1] == record.fingerprint


def test_only_the_operator_publishes(api, problem):
    answer = api.send("POST", PATH, canonical.encode(record_of()), by="alpha")
    problem(answer, 403, "unknown-sender", "only the operator")
    assert api.world.recorder.in_force.ceremonies == {}


def test_holders_are_members(api, problem):
    record = record_of(("alpha", "bravo", "stranger"))
    answer = api.send("POST", PATH, canonical.encode(record), by="operator")
    problem(answer, 422, "invalid-input", "stranger", "invite them first")
    assert api.world.recorder.in_force.ceremonies == {}


def test_it_waits_for_the_members(api, problem):
    record = record_of()
    answer = api.send("POST", PATH, canonical.encode(record), by="operator")
    problem(answer, 503, "waiting-for-quorum", "0 of the 3", "alpha")
    assert api.world.recorder.in_force.ceremonies == {}
    api.world.step()
    assert list(api.world.recorder.in_force.ceremonies) == [record.fingerprint]


def test_it_waits_until_no_round_is_running(api, problem):
    started = api.send("POST", "/federation/round/start", {}, by="operator")
    assert started.status_code == 201
    record = record_of()
    answer = api.send("POST", PATH, canonical.encode(record), by="operator")
    problem(answer, 503, "waiting-for-quorum")
    for participant in api.world.participants.values():
        standing = participant.look()
        participant.follower.consent(standing.changes)
    (change,) = api.world.orchestrator.governance.proposals()
    assert len(change.approved_by) == 4
    # all have approved it, and the round goes on
    answer = api.send("POST", PATH, canonical.encode(record), by="operator")
    problem(answer, 503, "waiting-for-quorum")
    assert not api.world.orchestrator.current.is_ended
    assert api.world.recorder.in_force.ceremonies == {}
    for _ in range(20):
        api.world.step()
    assert api.world.orchestrator.current.is_ended
    assert list(api.world.recorder.in_force.ceremonies) == [record.fingerprint]


def test_what_is_no_record_is_refused(api, problem):
    for body in (b"{}", b"[]", b"not json"):
        answer = api.send("POST", PATH, body, by="operator")
        problem(answer, 422, "malformed-message")
