# SPDX-License-Identifier: Apache-2.0
"""secagg/encrypted/ceremony.py: the record binds keys and boxes; every swap is seen."""

from __future__ import annotations

import dataclasses

import pytest

from fedxdr.core import canonical
from fedxdr.core.errors import (
    InvalidPlan,
    InvalidShare,
    MalformedMessage,
    UnknownSender,
)
from fedxdr.core.ids import org_id, sha256
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.exchange import HybridPrivateKey, HybridPublicKey
from fedxdr.secagg.encrypted.ceremony import Ceremony, CeremonyKey, hold, open_box
from fedxdr.secagg.encrypted.dealing import seal_share

NAMES = tuple(org_id(name) for name in ("alpha", "bravo", "charlie"))
PRIVATE = {
    name: HybridPrivateKey.from_seed(bytes([place]) * 32)
    for place, name in enumerate(NAMES)
}
KEYS = [CeremonyKey(holder=name, key=PRIVATE[name].public) for name in NAMES]


@pytest.fixture(scope="module")
def held(keys):
    return hold(keys["a"], reversed(KEYS), threshold=3, entropy=SeededEntropy(1))


def test_everyone_gets_its_own_share(held) -> None:
    assert held.record.key.holders == NAMES
    shares = [
        open_box(held.record, name, held.boxes[name], PRIVATE[name]) for name in NAMES
    ]
    assert len({share.value for share in shares}) == 3
    assert held.record.boxes == tuple(sha256(held.boxes[name]) for name in NAMES)


def test_a_record_has_one_form_and_a_name(held) -> None:
    record = held.record
    assert canonical.decode(canonical.encode(record), Ceremony) == record
    for changed in (
        dataclasses.replace(record, boxes=record.boxes[::-1]),
        dataclasses.replace(record, recipients=record.recipients[::-1]),
    ):
        assert changed.fingerprint != record.fingerprint


def test_swapped_boxes_keys_and_names_are_noticed(held) -> None:
    record, boxes = held.record, held.boxes
    alpha, bravo, _ = NAMES
    with pytest.raises(InvalidShare, match="not the box"):
        open_box(record, alpha, boxes[bravo], PRIVATE[alpha])
    with pytest.raises(InvalidShare, match="sealed to another key"):
        open_box(record, alpha, boxes[alpha], PRIVATE[bravo])
    with pytest.raises(UnknownSender, match="delta"):
        open_box(record, org_id("delta"), boxes[alpha], PRIVATE[alpha])
    # a dealer that sealed alpha's share to somebody else as well says so in the record
    swapped = dataclasses.replace(record, recipients=record.recipients[::-1])
    with pytest.raises(InvalidShare, match="sealed to another key"):
        open_box(swapped, alpha, boxes[alpha], PRIVATE[alpha])


def test_a_share_that_is_not_committed_to_is_noticed(held, keys) -> None:
    alpha = NAMES[0]
    other = hold(keys["a"], KEYS, threshold=3, entropy=SeededEntropy(2))
    foreign = open_box(other.record, alpha, other.boxes[alpha], PRIVATE[alpha])
    box = seal_share(held.record.key, foreign, PRIVATE[alpha].public)
    record = dataclasses.replace(
        held.record, boxes=(sha256(box), *held.record.boxes[1:])
    )
    with pytest.raises(InvalidShare, match="commits to"):
        open_box(record, alpha, box, PRIVATE[alpha])


def test_ceremonies_that_cannot_be(held, keys) -> None:
    def holding(brought, threshold):
        return hold(keys["a"], brought, threshold=threshold, entropy=SeededEntropy(1))

    with pytest.raises(MalformedMessage, match="once"):
        holding([*KEYS, KEYS[0]], 4)
    with pytest.raises(InvalidPlan, match="two thirds"):
        holding(KEYS, 2)
    with pytest.raises(MalformedMessage, match="3 holders: got 3 recipients and 2"):
        dataclasses.replace(held.record, boxes=held.record.boxes[1:])
    with pytest.raises(MalformedMessage, match="got 2 recipients and 3"):
        dataclasses.replace(held.record, recipients=held.record.recipients[1:])


def test_keys_that_are_none_are_refused() -> None:
    good = PRIVATE[NAMES[0]].public
    with pytest.raises(MalformedMessage, match="small order"):
        CeremonyKey(
            holder=NAMES[0], key=HybridPublicKey(x25519=bytes(32), mlkem=good.mlkem)
        )
    with pytest.raises(MalformedMessage, match="ML-KEM"):
        CeremonyKey(
            holder=NAMES[0],
            key=HybridPublicKey(x25519=good.x25519, mlkem=b"\xff" * 1184),
        )
    with pytest.raises(MalformedMessage, match="name"):
        CeremonyKey(holder="No Name", key=good)
    assert KEYS[0].fingerprint != KEYS[1].fingerprint
