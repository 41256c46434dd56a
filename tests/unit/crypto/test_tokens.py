# SPDX-License-Identifier: Apache-2.0
"""Bearer tokens: ours, in force, signed with the one algorithm, or worth nothing."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import BadSignature, Unauthorised
from fedxdr.core.ids import sha256
from fedxdr.crypto import tokens
from fedxdr.crypto.keys import TokenKey
from fedxdr.crypto.signing import verify as verify_signature
from fedxdr.crypto.tokens import Claims

VECTORS = Path(__file__).parents[4] / "shared/vectors/rfc9964/examples/jose/examples"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY, OTHER = TokenKey(seed=bytes(32)), TokenKey(seed=b"\x01" * 32)
PUBLIC = KEY.public
PRINT = sha256(b"the bearer's keys")


def issue(*, key=KEY, role="organisation", issuer="f", lifetime_s=60) -> str:
    return tokens.issue(
        key=key,
        subject="org-a",
        fingerprint=PRINT,
        role=role,
        issuer=issuer,
        now=NOW,
        lifetime_s=lifetime_s,
    )


def check(token: str, *, now=NOW, issuer="f") -> Claims:
    return tokens.check(token, public_key=PUBLIC, issuer=issuer, now=now)


def encoded(part) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(claims, *, header=None, key=KEY) -> str:
    head = {"alg": tokens.ALGORITHM, "typ": "JWT"} if header is None else header
    signing_input = f"{encoded(head)}.{encoded(claims)}"
    return f"{signing_input}.{encoded(key.sign(signing_input.encode()))}"


GOOD = {
    "sub": "org-a",
    "fingerprint": PRINT,
    "role": "organisation",
    "iss": "f",
    "exp": 1_800_000_000,
}


def test_a_token_says_who_bears_it_with_which_keys_until_when():
    for role in ("organisation", "operator", "auditor"):
        assert check(issue(role=role)) == Claims(
            subject="org-a",
            fingerprint=PRINT,
            role=role,
            issuer="f",
            expires=NOW + timedelta(seconds=60),
        )
    header = json.loads(base64.urlsafe_b64decode(issue().split(".")[0] + "=="))
    assert header["alg"] == "ML-DSA-65"
    assert check(forged(GOOD)).subject == "org-a"


def test_a_token_expires():
    check(issue(), now=NOW + timedelta(seconds=59))
    for seconds in (60, 61, 10**9):
        with pytest.raises(Unauthorised, match="expired"):
            check(issue(), now=NOW + timedelta(seconds=seconds))


def test_a_token_of_another_key_or_issuer_is_worth_nothing():
    for token in (issue(key=OTHER), issue(issuer="g")):
        with pytest.raises(Unauthorised):
            check(token)


def test_other_algorithms_are_worth_nothing():
    hs256 = jwt.encode(GOOD, PUBLIC, algorithm="HS256")
    none = jwt.encode(GOOD, None, algorithm="none")
    lying = [
        forged(GOOD, header={"alg": alg, "typ": "JWT"})
        for alg in ("none", "HS256", "ML-DSA-44", "EdDSA", "")
    ]
    for token in (
        hs256,
        none,
        *lying,
        forged(GOOD, header={}),
        forged(GOOD, header=[]),
    ):
        with pytest.raises(Unauthorised):
            check(token)


@pytest.mark.parametrize(
    "claims",
    [
        {**GOOD, "role": "admin"},
        {**GOOD, "role": ["operator"]},
        {**GOOD, "sub": 5},
        {**GOOD, "sub": None},
        {**GOOD, "fingerprint": 5},
        {**GOOD, "fingerprint": None},
        {**GOOD, "fingerprint": ""},
        {**GOOD, "fingerprint": PRINT[:-1]},
        {**GOOD, "fingerprint": PRINT.upper()},
        {**GOOD, "exp": "soon"},
        {**GOOD, "exp": None},
        {**GOOD, "exp": 10**30},
        {**GOOD, "exp": -(10**30)},
        {k: v for k, v in GOOD.items() if k != "exp"},
        {k: v for k, v in GOOD.items() if k != "sub"},
        {k: v for k, v in GOOD.items() if k != "fingerprint"},
        {k: v for k, v in GOOD.items() if k != "role"},
        {k: v for k, v in GOOD.items() if k != "iss"},
        [],
        None,
        7,
        b"\xff",
        b"",
        b"[" * 100_000,
        b'{"exp": NaN}',
    ],
    ids=lambda value: repr(value)[:30],
)
def test_claims_that_are_none(claims):
    with pytest.raises(Unauthorised):
        check(forged(claims))


def test_a_changed_token_is_refused():
    head, claims, signature = issue().split(".")
    better = encoded({**GOOD, "role": "operator"})
    for token in (
        f"{head}.{better}.{signature}",
        f"{head}.{claims}.",
        f"{head}.{claims}",
        f"{head}.{claims}.{signature}.{signature}",
        f"{head}.{claims}.{signature[:-4]}",
        f".{claims}.{signature}",
    ):
        with pytest.raises(Unauthorised):
            check(token)


@settings(max_examples=50)
@given(st.text(max_size=60))
def test_foreign_text_raises_our_error_only(text):
    for token in (text, f"{text}.{text}.{text}"):
        with pytest.raises(Unauthorised):
            check(token)


def test_keys_do_not_travel_as_jwk():
    with pytest.raises(BadSignature):
        tokens._MlDsa65.to_jwk(KEY)
    with pytest.raises(BadSignature):
        tokens._MlDsa65.from_jwk({})


def test_the_published_token_verifies_with_our_signatures():
    path = VECTORS / "ML_DSA_65.jose.json"
    if not path.is_file():
        pytest.skip("no RFC 9964 vectors; see ../shared/vectors")
    vector = json.loads(path.read_text("utf-8"))
    signing_input, _, signature = vector["jws"].rpartition(".")
    key = TokenKey(seed=bytes.fromhex(vector["priv"]))
    verify_signature(
        algorithm="ml-dsa-65",
        public_key=key.public,
        message=signing_input.encode(),
        signature=base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)),
    )
    # it is a good signature over something that is no token of ours
    with pytest.raises(Unauthorised):
        tokens.check(vector["jws"], public_key=key.public, issuer="f", now=NOW)
