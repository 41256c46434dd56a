# SPDX-License-Identifier: Apache-2.0
"""Shares in an agent's folder: what opens is stored, for its owner only."""

import pytest

from fedxdr.app import ceremonies
from fedxdr.core.errors import (
    BelowFloor,
    InvalidSettings,
    InvalidShare,
    UnknownSender,
)
from fedxdr.core.ids import OrgId
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.exchange import HybridPrivateKey
from fedxdr.secagg.encrypted.ceremony import CeremonyKey, hold
from fedxdr.secagg.encrypted.paillier import PrivateKey

ORGS = A, B, C = tuple(OrgId(name) for name in ("alpha", "bravo", "charlie"))
SEEDS = {org: bytes([place + 1]) * 32 for place, org in enumerate(ORGS)}
# 512 bits, made once by primes.safe_prime: for tests and nothing else
PRIMES = PrivateKey(
    p=0xD75D3E21FF44322CE34EF1B95D141B657CB12F091531A2F784ED5A2B2F035243,
    q=0xF48183DCE17550F6442F0B10B901D5A5CA36A98A3E94D9D76887BBCD18D999AB,
)


def deal(seed):
    keys = [
        CeremonyKey(holder=org, key=HybridPrivateKey.from_seed(SEEDS[org]).public)
        for org in ORGS
    ]
    return hold(PRIMES, keys, threshold=3, entropy=SeededEntropy(seed))


@pytest.fixture(scope="module")
def held():
    return deal(1)


def put(folder, held, org=A, **changed):
    options = {"record": held.record, "seed": SEEDS[org], "box": held.boxes[org]}
    ceremonies.install(folder, org, **(options | changed))


def test_an_installed_share_is_found_by_the_ceremony(tmp_path, held):
    share_of = ceremonies.installed(tmp_path, A)
    with pytest.raises(BelowFloor, match="fedxdr keys install"):
        share_of(held.record)
    put(tmp_path, held)
    assert share_of(held.record).holder == A
    put(tmp_path, held)
    for path in (tmp_path / "keys" / "ceremonies").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert len(list((tmp_path / "keys" / "ceremonies").iterdir())) == 2
    with pytest.raises(BelowFloor):
        share_of(deal(2).record)


def test_shares_of_two_ceremonies_lie_beside_each_other(tmp_path, held):
    other = deal(2)
    put(tmp_path, held)
    put(tmp_path, other)
    share_of = ceremonies.installed(tmp_path, A)
    assert share_of(held.record) != share_of(other.record)


def test_a_share_that_does_not_open_is_not_stored(tmp_path, held):
    for change, kind in (
        ({"box": held.boxes[B]}, InvalidShare),
        ({"seed": SEEDS[B]}, InvalidShare),
        ({"record": deal(2).record}, InvalidShare),
    ):
        with pytest.raises(kind):
            put(tmp_path, held, **change)
    with pytest.raises(UnknownSender):
        ceremonies.install(
            tmp_path,
            OrgId("stranger"),
            record=held.record,
            seed=SEEDS[A],
            box=held.boxes[A],
        )
    assert not (tmp_path / "keys").exists()


def test_another_secret_is_not_written_over(tmp_path, held):
    put(tmp_path, held)
    (path,) = (tmp_path / "keys" / "ceremonies").glob("*.key")
    path.write_text(SEEDS[B].hex() + "\n")
    with pytest.raises(InvalidSettings, match="another secret"):
        put(tmp_path, held)


def test_a_share_that_was_changed_on_disk_is_refused(tmp_path, held):
    put(tmp_path, held)
    (path,) = (tmp_path / "keys" / "ceremonies").glob("*.share")
    path.write_bytes(held.boxes[B])
    with pytest.raises(InvalidShare):
        ceremonies.installed(tmp_path, A)(held.record)


def test_the_newest_ceremony_with_our_key_is_chosen(held):
    other = deal(2).record
    both = [held.record, other]
    assert ceremonies.sealed_to(both, A, seed=SEEDS[A]) == other
    assert ceremonies.sealed_to(both, A, seed=SEEDS[B]) is None
    assert ceremonies.sealed_to([], A, seed=SEEDS[A]) is None
