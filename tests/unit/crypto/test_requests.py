# SPDX-License-Identifier: Apache-2.0
"""Signed requests: the published base, every change refused, clocks that disagree."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import BadSignature
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto import requests
from fedxdr.crypto.keys import IdentityKey
from fedxdr.crypto.requests import CLOCK_SKEW_S, LIFETIME_S, Request
from fedxdr.crypto.signing import verify as verify_signature

VECTORS = Path(__file__).parents[4] / "shared/vectors/rfc9421"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY, OTHER = IdentityKey(seed=bytes(32)), IdentityKey(seed=b"\x01" * 32)
URL = "http://127.0.0.1:8080/api/v1/federation/rounds/r-1/keys?x=1"


def signed(
    *, key=KEY, body=b"{}", method="POST", url=URL, now=NOW, entropy=None
) -> Request:
    request = Request(method=method, url=url, headers={}, body=body)
    requests.sign(request, signer=key, now=now, entropy=entropy or SeededEntropy(1))
    return dataclasses.replace(
        request, headers={k.lower(): v for k, v in request.headers.items()}
    )


def verify(request: Request, *, key=KEY, now=NOW):
    return requests.verify(request, identity=key.public, now=now)


def test_a_good_request_says_who_when_and_a_nonce():
    request = signed()
    proof = verify(request)
    assert proof.keyid == KEY.public.keyid == requests.claimed_keyid(request.headers)
    assert proof.expires == NOW + timedelta(seconds=LIFETIME_S)
    assert base64.urlsafe_b64decode(proof.nonce) == SeededEntropy(1).draw(16)
    assert verify(signed(entropy=SeededEntropy(2))).nonce != proof.nonce


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
def test_an_empty_body_can_be_signed(method):
    assert verify(signed(method=method, body=b"")).keyid == KEY.public.keyid


@pytest.mark.parametrize(
    "changed",
    [
        {"body": b"{ }"},
        {"body": b""},
        {"body": b"{}\n"},
        {"method": "PUT"},
        {"method": "post"},
        {"url": URL + "&y=2"},
        {"url": URL.replace("r-1", "r-2")},
        {"url": URL.replace("http:", "https:")},
        {"url": URL.replace("8080", "8081")},
        {"url": URL.replace("127.0.0.1", "example.com")},
    ],
)
def test_another_body_method_or_url_is_refused(changed):
    with pytest.raises(BadSignature):
        verify(dataclasses.replace(signed(), **changed))


def test_a_body_put_under_a_signature_of_none_is_refused():
    request = signed(body=b"")
    with pytest.raises(BadSignature):
        verify(dataclasses.replace(request, body=b"{}"))


def with_header(request: Request, **changed: str | None) -> Request:
    headers = dict(request.headers)
    for name, value in changed.items():
        key = name.replace("_", "-")
        if value is None:
            headers.pop(key, None)
        else:
            headers[key] = value
    return dataclasses.replace(request, headers=headers)


@pytest.mark.parametrize("name", ["signature", "signature_input", "content_digest"])
def test_a_header_left_out_or_emptied_is_refused(name):
    for value in (None, "", "garbage", '"', "é", "fedxdr=(", "fedxdr=:AAAA:"):
        with pytest.raises(BadSignature):
            verify(with_header(signed(), **{name: value}))


def test_a_digest_of_another_body_is_refused():
    other = signed(body=b"[]").headers["content-digest"]
    with pytest.raises(BadSignature):
        verify(with_header(signed(), content_digest=other))
    with pytest.raises(BadSignature):
        verify(
            dataclasses.replace(with_header(signed(), content_digest=other), body=b"[]")
        )


@pytest.mark.parametrize("parameter", ["created", "expires", "nonce", "keyid", "tag"])
def test_a_signature_without_a_parameter_is_refused(parameter):
    request = signed()
    field = request.headers["signature-input"]
    without = re.sub(rf';{parameter}=(?:"[^"]*"|\d+)', "", field)
    assert without != field
    with pytest.raises(BadSignature):
        verify(with_header(request, signature_input=without))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (r"created=(\d+)", "created=1"),
        (r"expires=(\d+)", "expires=9999999999"),
        (r'nonce="[^"]*"', 'nonce="AAAAAAAAAAAAAAAAAAAAAA=="'),
        (r'tag="[^"]*"', 'tag="other"'),
        (r'"@method" ', ""),
        (r' "@target-uri"', ""),
        (r' "content-digest"', ""),
        (r'"@method"', '"@method" "@method"'),
        (r"created=(\d+)", 'created="1"'),
        (r"expires=(\d+)", "expires=1.5"),
        (r"created=(\d+)", "created=99999999999999"),
    ],
)
def test_a_changed_signature_input_is_refused(before, after):
    request = signed()
    field = request.headers["signature-input"]
    changed = re.sub(before, after, field)
    assert changed != field
    with pytest.raises(BadSignature):
        verify(with_header(request, signature_input=changed))


def resigned(request: Request, **parameters) -> Request:
    """Return the request signed by its own key with parameters that are not ours."""
    field = request.headers["signature-input"]
    for name, value in parameters.items():
        shown = f'"{value}"' if isinstance(value, str) else str(value)
        field = re.sub(rf';{name}=(?:"[^"]*"|\d+)', f";{name}={shown}", field)
    covered = field.removeprefix("fedxdr=")
    base = (
        f'"@method": {request.method}\n"@target-uri": {request.url}\n'
        f'"content-digest": {request.headers["content-digest"]}\n'
        f'"@signature-params": {covered}'
    )
    signature = base64.b64encode(KEY.sign(base.encode())).decode()
    return with_header(
        request, signature_input=field, signature=f"fedxdr=:{signature}:"
    )


def test_the_base_is_the_one_of_the_rfc():
    verify(resigned(signed()))


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"expires": int(NOW.timestamp()) + 61}, "at most 60 s"),
        ({"expires": int(NOW.timestamp()) - 1}, "at most 60 s"),
        ({"nonce": "short"}, "128 bits"),
        ({"nonce": ""}, "128 bits"),
        ({"nonce": "A" * 21}, "128 bits"),
        ({"tag": "other"}, "tag"),
        ({"keyid": OTHER.public.keyid}, "another key"),
    ],
)
def test_what_is_signed_but_not_allowed_is_refused(parameters, why):
    with pytest.raises(BadSignature, match=why):
        verify(resigned(signed(), **parameters))


@pytest.mark.parametrize(
    ("seconds", "is_good"),
    [
        (-CLOCK_SKEW_S, True),
        (-CLOCK_SKEW_S - 1, False),
        (0, True),
        (LIFETIME_S, True),
        (LIFETIME_S + CLOCK_SKEW_S, True),
        (LIFETIME_S + CLOCK_SKEW_S + 1, False),
        (10**9, False),
        (-(10**9), False),
    ],
)
def test_clocks_may_disagree_a_little(seconds, is_good):
    now = NOW + timedelta(seconds=seconds)
    if is_good:
        assert verify(signed(), now=now).keyid
    else:
        with pytest.raises(BadSignature, match=r"expired|clocks"):
            verify(signed(), now=now)


def test_another_key_is_refused():
    with pytest.raises(BadSignature):
        verify(signed(), key=OTHER)
    # a signature by another key that claims to be ours
    request = signed(key=OTHER)
    field = request.headers["signature-input"].replace(
        OTHER.public.keyid, KEY.public.keyid
    )
    with pytest.raises(BadSignature):
        verify(with_header(request, signature_input=field))


def both(first: Request, second: Request, label: str) -> Request:
    return with_header(
        first,
        signature_input=", ".join(
            (
                first.headers["signature-input"],
                second.headers["signature-input"].replace("fedxdr=", f"{label}=", 1),
            )
        ),
        signature=", ".join(
            (
                first.headers["signature"],
                second.headers["signature"].replace("fedxdr=", f"{label}=", 1),
            )
        ),
    )


@pytest.mark.parametrize("label", ["second", "fedxdr"])
@pytest.mark.parametrize("key", [KEY, OTHER])
def test_two_signatures_are_refused(label, key):
    request = both(signed(), signed(key=key, entropy=SeededEntropy(2)), label)
    with pytest.raises(BadSignature):
        verify(request)
    with pytest.raises(BadSignature):
        requests.claimed_keyid(request.headers)


def test_a_request_without_a_signature_claims_nobody():
    for headers in (
        {},
        {"signature-input": ""},
        {"signature-input": "x"},
        {"signature-input": "fedxdr=()"},
        {"signature-input": "fedxdr=();keyid=5"},
        {"signature-input": 'fedxdr=("@method");keyid=:AAAA:'},
        {"signature-input": "fedxdr=5;keyid"},
    ):
        with pytest.raises(BadSignature):
            requests.claimed_keyid(headers)


@given(st.text(), st.text(), st.text())
def test_foreign_headers_raise_our_error_only(first, second, third):
    request = with_header(
        signed(), signature=first, signature_input=second, content_digest=third
    )
    with pytest.raises(BadSignature):
        verify(request)
    with pytest.raises(BadSignature):
        requests.claimed_keyid(request.headers)


def test_the_published_signature_over_the_published_base():
    path = VECTORS / "b2.6.json"
    if not path.is_file():
        pytest.skip("no RFC 9421 vectors; see ../shared/vectors")
    vector = json.loads(path.read_text("utf-8"))
    pem = (VECTORS / "test" / "test-key-ed25519.key").read_bytes()
    private = load_pem_private_key(pem, password=None)
    base = vector["signature_base"].encode()
    want = base64.b64decode(vector["signature_base64"])
    key = IdentityKey(seed=private.private_bytes_raw())
    assert key.sign(base) == want
    verify_signature(
        algorithm="ed25519",
        public_key=key.public.ed25519,
        message=base,
        signature=want,
    )
