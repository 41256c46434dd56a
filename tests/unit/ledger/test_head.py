# SPDX-License-Identifier: Apache-2.0
"""A head is signed by one key over one root."""

import dataclasses

import pytest

from fedxdr.core.errors import BadSignature, MalformedMessage
from fedxdr.core.ids import sha256
from fedxdr.crypto import envelope as dsse
from fedxdr.ledger import head, merkle


@pytest.fixture
def told(federation):
    return federation().founded()


def head_over(told):
    hashes = [signed.block.hash for signed in told.blocks]
    return head.head_of("test.example/ledger", hashes, told.now)


def test_a_signed_head_is_read_back(told):
    stated = head_over(told)
    signed = head.sign(stated, told.orchestrator)
    assert head.verify(signed, public_key=told.orchestrator.public) == stated


def test_the_root_is_that_of_the_tree_over_the_bodies(told):
    leaves = [merkle.leaf_hash(signed.block.body()) for signed in told.blocks]
    assert bytes.fromhex(head_over(told).root) == merkle.root(leaves)


def test_another_key_is_refused(told):
    signed = head.sign(head_over(told), told.keys["alpha"])
    with pytest.raises(BadSignature):
        head.verify(signed, public_key=told.orchestrator.public)


def test_a_second_signature_is_refused(told):
    signed = head.sign(head_over(told), told.orchestrator)
    more = head.sign(head_over(told), told.keys["alpha"])
    both = dataclasses.replace(
        signed, signatures=(*signed.signatures, *more.signatures)
    )
    with pytest.raises(MalformedMessage, match="one signature"):
        head.verify(both, public_key=told.orchestrator.public)


@pytest.mark.parametrize("payload", [b"", b"{}", b"null", b'{"size":1}'])
def test_anything_but_a_head_is_refused(told, payload):
    signed = dsse.sign(head.HEAD_TYPE, payload, told.orchestrator)
    with pytest.raises(MalformedMessage):
        head.verify(signed, public_key=told.orchestrator.public)


@pytest.mark.parametrize(
    "lie",
    [{"size": 0}, {"size": -1}, {"root": "00"}, {"root": sha256(b"").upper()}],
)
def test_a_head_that_cannot_be(told, lie):
    with pytest.raises(MalformedMessage):
        dataclasses.replace(head_over(told), **lie)


def test_a_head_without_time_zone_is_refused(told):
    with pytest.raises(MalformedMessage, match="UTC"):
        dataclasses.replace(head_over(told), timestamp=told.now.replace(tzinfo=None))
