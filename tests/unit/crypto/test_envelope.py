# SPDX-License-Identifier: Apache-2.0
"""DSSE envelopes: the published encoding, one form, one signer."""

from __future__ import annotations

import base64
import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.canonical import jcs
from fedxdr.core.errors import BadSignature, MalformedMessage
from fedxdr.core.ids import sha256
from fedxdr.crypto import envelope as dsse
from fedxdr.crypto.envelope import (
    Envelope,
    EnvelopeSignature,
    pre_authentication_encoding,
)
from fedxdr.crypto.keys import IdentityKey

PROTOCOL = Path(__file__).parents[4] / "shared/vectors/dsse/protocol.md"
KEY, OTHER = IdentityKey(seed=bytes(32)), IdentityKey(seed=b"\x01" * 32)
TYPE = "application/vnd.example.v1+json"


def test_the_published_encoding():
    want = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    kind, body = "http://example.com/HelloWorld", b"hello world"
    assert pre_authentication_encoding(kind, body) == want


def test_the_encoding_of_the_published_document():
    if not PROTOCOL.is_file():
        pytest.skip("no DSSE protocol document; see ../shared/vectors")
    text = PROTOCOL.read_text("utf-8")
    found = dict(
        re.findall(
            r"^(SERIALIZED_BODY|PAYLOAD_TYPE|PAE):\n\n```none\n(.*)\n```",
            text,
            re.MULTILINE,
        )
    )
    encoded = pre_authentication_encoding(
        found["PAYLOAD_TYPE"], found["SERIALIZED_BODY"].encode()
    )
    assert encoded == found["PAE"].encode()


def test_lengths_are_of_bytes_and_nothing_runs_together():
    assert pre_authentication_encoding("é", b"") == "DSSEv1 2 é 0 ".encode()
    assert pre_authentication_encoding("a b", b"c") != pre_authentication_encoding(
        "a", b"b 1 c"
    )


@given(st.text(max_size=20), st.binary(max_size=40))
def test_what_was_signed_is_read_back_under_its_key_and_type(kind, payload):
    envelope = dsse.sign(kind, payload, KEY)
    assert dsse.verify(envelope, public_key=KEY.public, payload_type=kind) == payload
    with pytest.raises(BadSignature):
        dsse.verify(envelope, public_key=OTHER.public, payload_type=kind)
    with pytest.raises(BadSignature, match="signed as"):
        dsse.verify(envelope, public_key=KEY.public, payload_type=kind + "x")
    assert Envelope.from_json(envelope.to_json()) == envelope
    assert envelope.digest == sha256(envelope.to_json())


def test_a_changed_payload_or_type_is_refused():
    envelope = dsse.sign(TYPE, b"{}", KEY)
    for changed in ({"payload": b"{ }"}, {"payload_type": TYPE + "2"}):
        wrong = dataclasses.replace(envelope, **changed)
        with pytest.raises(BadSignature):
            dsse.verify(wrong, public_key=KEY.public, payload_type=wrong.payload_type)


def test_one_signature_by_a_key_counts_among_others():
    mine, theirs = dsse.sign(TYPE, b"{}", KEY), dsse.sign(TYPE, b"{}", OTHER)
    both = dataclasses.replace(mine, signatures=theirs.signatures + mine.signatures)
    for key in (KEY, OTHER):
        dsse.verify(both, public_key=key.public, payload_type=TYPE)
    twice = dataclasses.replace(mine, signatures=mine.signatures * 2)
    with pytest.raises(BadSignature, match="no single signature"):
        dsse.verify(twice, public_key=KEY.public, payload_type=TYPE)
    stolen = EnvelopeSignature(keyid=KEY.public.keyid, sig=theirs.signatures[0].sig)
    with pytest.raises(BadSignature, match="does not verify"):
        dsse.verify(
            dataclasses.replace(mine, signatures=(stolen,)),
            public_key=KEY.public,
            payload_type=TYPE,
        )


@given(st.text(max_size=20), st.binary(max_size=40))
def test_what_was_signed_twice_is_read_back_if_both_hold(kind, payload):
    envelope = dsse.sign_twice(kind, payload, KEY)
    public = KEY.public
    found = dsse.verify_twice(envelope, public_key=public, payload_type=kind)
    assert found == payload
    assert [s.keyid for s in envelope.signatures] == [public.keyid, public.ml_dsa_keyid]
    assert Envelope.from_json(envelope.to_json()) == envelope


TWICE = dsse.sign_twice(TYPE, b"{}", KEY)
FIRST, SECOND = TWICE.signatures
THEIRS = dsse.sign_twice(TYPE, b"{}", OTHER).signatures


def flipped(signature, at=0):
    sig = bytearray(signature.sig)
    sig[at] ^= 1
    return dataclasses.replace(signature, sig=bytes(sig))


@pytest.mark.parametrize(
    "signatures",
    {
        "none": (),
        "no ML-DSA-65": (FIRST,),
        "no Ed25519": (SECOND,),
        "wrong Ed25519": (flipped(FIRST), SECOND),
        "wrong ML-DSA-65": (FIRST, flipped(SECOND)),
        "wrong ML-DSA-65 at its end": (FIRST, flipped(SECOND, -1)),
        "empty ML-DSA-65": (FIRST, dataclasses.replace(SECOND, sig=b"")),
        "longer ML-DSA-65": (
            FIRST,
            dataclasses.replace(SECOND, sig=SECOND.sig + b"\0"),
        ),
        "turned round": (SECOND, FIRST),
        "Ed25519 under both names": (
            FIRST,
            dataclasses.replace(FIRST, keyid=SECOND.keyid),
        ),
        "one more": (FIRST, SECOND, FIRST),
        "another's besides": (FIRST, SECOND, *THEIRS),
        "another's": THEIRS,
        "half another's": (FIRST, THEIRS[1]),
        "another's under this name": (
            FIRST,
            dataclasses.replace(THEIRS[1], keyid=SECOND.keyid),
        ),
    }.items(),
    ids=lambda item: item[0],
)
def test_both_signatures_are_there_and_good_and_no_others(signatures):
    wrong = dataclasses.replace(TWICE, signatures=signatures[1])
    with pytest.raises(BadSignature):
        dsse.verify_twice(wrong, public_key=KEY.public, payload_type=TYPE)


def test_both_signatures_are_over_payload_and_type():
    for changed in ({"payload": b"{ }"}, {"payload_type": TYPE + "2"}):
        wrong = dataclasses.replace(TWICE, **changed)
        with pytest.raises(BadSignature):
            dsse.verify_twice(
                wrong, public_key=KEY.public, payload_type=wrong.payload_type
            )
        # of the two the second is good for the new text, and that is not enough
        half = dataclasses.replace(
            dsse.sign_twice(wrong.payload_type, wrong.payload, KEY),
            signatures=(
                FIRST,
                dsse.sign_twice(wrong.payload_type, wrong.payload, KEY).signatures[1],
            ),
        )
        with pytest.raises(BadSignature):
            dsse.verify_twice(
                half, public_key=KEY.public, payload_type=half.payload_type
            )
    with pytest.raises(BadSignature, match="signed as"):
        dsse.verify_twice(TWICE, public_key=KEY.public, payload_type=TYPE + "2")


GOOD = dsse.sign(TYPE, b"{}", KEY).to_value()
SIGNATURE = GOOD["signatures"][0]


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "text",
        7,
        {},
        {k: v for k, v in GOOD.items() if k != "payload"},
        {k: v for k, v in GOOD.items() if k != "payloadType"},
        {k: v for k, v in GOOD.items() if k != "signatures"},
        {**GOOD, "more": 1},
        {**GOOD, "payload": None},
        {**GOOD, "payload": "e30"},
        {**GOOD, "payload": "e31="},
        {**GOOD, "payload": "e3 0="},
        {**GOOD, "payload": "é"},
        {**GOOD, "payloadType": 5},
        {**GOOD, "payloadType": None},
        {**GOOD, "signatures": []},
        {**GOOD, "signatures": {}},
        {**GOOD, "signatures": "x"},
        {**GOOD, "signatures": [None]},
        {**GOOD, "signatures": [{"sig": SIGNATURE["sig"]}]},
        {**GOOD, "signatures": [{**SIGNATURE, "keyid": 5}]},
        {**GOOD, "signatures": [{**SIGNATURE, "keyid": None}]},
        {**GOOD, "signatures": [{**SIGNATURE, "sig": 5}]},
        {**GOOD, "signatures": [{**SIGNATURE, "sig": "!"}]},
        {**GOOD, "signatures": [{**SIGNATURE, "more": 1}]},
    ],
)
def test_values_that_are_no_envelope(value):
    with pytest.raises(MalformedMessage):
        Envelope.from_value(value)
    with pytest.raises(MalformedMessage):
        Envelope.from_json(jcs(value))


def test_url_safe_base64_is_another_form_and_refused():
    payload = b"\xff\xfe\xfd"
    value = dsse.sign(TYPE, payload, KEY).to_value()
    value["payload"] = base64.urlsafe_b64encode(payload).decode()
    with pytest.raises(MalformedMessage):
        Envelope.from_value(value)


@given(st.binary())
def test_foreign_bytes_raise_our_error_only(data):
    with pytest.raises(MalformedMessage):
        Envelope.from_json(data)
