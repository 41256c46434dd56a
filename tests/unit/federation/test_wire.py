# SPDX-License-Identifier: Apache-2.0
"""What travels has one form; everything else is refused by our own error."""

from __future__ import annotations

import base64
import json

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import MalformedMessage
from fedxdr.crypto.envelope import Envelope, EnvelopeSignature
from fedxdr.federation import wire
from fedxdr.federation.wire import Contribution, Evidence

ENVELOPES = st.builds(
    Envelope,
    payload_type=st.text(max_size=10),
    payload=st.binary(max_size=20),
    signatures=st.lists(
        st.builds(
            EnvelopeSignature, keyid=st.text(max_size=5), sig=st.binary(max_size=9)
        ),
        min_size=1,
        max_size=2,
    ).map(tuple),
)
ONE = Envelope(
    payload_type="t",
    payload=b"{}",
    signatures=(EnvelopeSignature(keyid="k", sig=b"s"),),
)
GOOD = wire.pack_contribution(Contribution(statement=ONE, vector=bytes(range(8))))


@given(st.lists(ENVELOPES, max_size=4))
def test_envelopes_come_back(envelopes):
    assert wire.unpack_envelopes(wire.pack_envelopes(envelopes)) == envelopes


@given(ENVELOPES, st.binary(max_size=40).map(lambda data: data * 4))
def test_contributions_come_back(statement, vector):
    contribution = Contribution(statement=statement, vector=vector)
    data = wire.pack_contribution(contribution)
    size = len(vector) // 4
    assert wire.unpack_contribution(data, size_bytes=4 * size) == contribution
    with pytest.raises(MalformedMessage, match="want"):
        wire.unpack_contribution(data, size_bytes=4 * (size + 1))
    as_json = json.dumps(
        {
            "statement": statement.to_value(),
            "vector": base64.b64encode(vector).decode(),
        }
    ).encode()
    assert wire.contribution_from_json(as_json, size_bytes=4 * size) == contribution
    with pytest.raises(MalformedMessage, match="want"):
        wire.contribution_from_json(as_json, size_bytes=4 * (size + 1))


@given(
    st.lists(ENVELOPES, max_size=2).map(tuple),
    st.lists(ENVELOPES, max_size=2).map(tuple),
    st.lists(ENVELOPES, max_size=2).map(tuple),
)
def test_evidence_comes_back(contributions, shares, answers):
    evidence = Evidence(contributions=contributions, shares=shares, answers=answers)
    assert wire.unpack_evidence(wire.pack_evidence(evidence)) == evidence


@given(st.binary())
def test_foreign_bytes_raise_our_error_only(data):
    for read in (
        wire.unpack_envelopes,
        wire.unpack_evidence,
        lambda d: wire.unpack_contribution(d, size_bytes=4),
        lambda d: wire.contribution_from_json(d, size_bytes=4),
    ):
        with pytest.raises(MalformedMessage):
            read(b"\xff" + data)


@given(st.data())
def test_a_contribution_that_was_damaged_is_refused_or_whole(data):
    """Any change is refused, or is one inside the statement's or vector's bytes."""
    place = data.draw(st.integers(0, len(GOOD) - 1))
    byte = data.draw(st.integers(0, 255))
    damaged = GOOD[:place] + bytes([byte]) + GOOD[place + 1 :]
    try:
        found = wire.unpack_contribution(damaged, size_bytes=8)
    except MalformedMessage:
        return
    assert wire.pack_contribution(found) == damaged


def test_the_form_of_a_contribution_is_deterministic_cbor():
    assert cbor2.loads(GOOD) == {"statement": ONE.to_json(), "vector": bytes(range(8))}
    value = cbor2.loads(GOOD)
    reordered = dict(reversed(value.items()))
    vector_first = bytes([0xA2])
    for key, item in reordered.items():
        vector_first += cbor2.dumps(key) + cbor2.dumps(item)
    indefinite = b"\xbf" + GOOD[1:] + b"\xff"
    long_head = GOOD.replace(b"\x48" + bytes(range(8)), b"\x58\x08" + bytes(range(8)))
    twice = bytes([0xA3]) + GOOD[1:] + cbor2.dumps("vector") + cbor2.dumps(bytes(8))
    tagged = b"\xd9\xd9\xf7" + GOOD
    for other in (
        indefinite,
        long_head,
        twice,
        tagged,
        GOOD + b"\x00",
        GOOD[:-1],
        vector_first if vector_first != GOOD else b"",
        cbor2.dumps({**value, "more": 1}, canonical=True),
        cbor2.dumps({"vector": b""}, canonical=True),
        cbor2.dumps({**value, "vector": "text"}, canonical=True),
        cbor2.dumps([1, 2]),
    ):
        assert other != GOOD
        with pytest.raises(MalformedMessage):
            wire.unpack_contribution(other, size_bytes=8)


@pytest.mark.parametrize(
    "head",
    [
        b"\x5b\x00\x00\xff\xff\xff\xff\xff\xff",
        b"\x9b\x00\x00\xff\xff\xff\xff\xff\xff",
        b"\xbb\x00\x00\xff\xff\xff\xff\xff\xff",
        b"\x7b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x81" * 100_000,
        b"\xd8\x1d\x19\x00\x07",  # a reference to nothing
        b"\xa1\x80\x00",  # an array as key
    ],
    ids=["bytes", "array", "map", "text", "deep", "reference", "key"],
)
def test_a_length_that_is_a_lie_costs_nothing(head):
    with pytest.raises(MalformedMessage):
        wire.unpack_contribution(head, size_bytes=8)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b"{}",
        b"[]",
        b"null",
        b'{"statement": 1, "vector": ""}',
        b'{"statement": {}, "vector": "!"}',
        json.dumps({"statement": ONE.to_value(), "vector": "AAAA AAAA"}).encode(),
        json.dumps({"statement": ONE.to_value(), "vector": 5}).encode(),
    ],
)
def test_json_that_is_no_contribution(data):
    with pytest.raises(MalformedMessage):
        wire.contribution_from_json(data, size_bytes=4)


@pytest.mark.parametrize("data", [b"{}", b"null", b"[1]", b"[{}]", b" []", b"[[]]"])
def test_json_that_is_no_list_of_envelopes(data):
    with pytest.raises(MalformedMessage):
        wire.unpack_envelopes(data)


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b'{"answers":[],"contributions":[]}',
        b'{"answers":[],"contributions":[],"shares":{}}',
        b'{"answers":[],"contributions":[],"more":[],"shares":[]}',
        b'{"shares":[],"contributions":[],"answers":[]}',
        b'{"answers":[],"contributions":[1],"shares":[]}',
    ],
)
def test_json_that_is_no_evidence(data):
    with pytest.raises(MalformedMessage):
        wire.unpack_evidence(data)
