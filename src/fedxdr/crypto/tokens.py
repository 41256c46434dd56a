# SPDX-License-Identifier: Apache-2.0
"""Bearer tokens: JSON Web Tokens signed with ML-DSA-65.

A token names an organisation or an operator, the keys it was issued for, a role, an
issuer and an expiry. It lets its bearer read; writing takes a request signature
(requests.py), because whoever sees a token can use it again.

Not here: whether its bearer still has those keys (parties/recognising.py).

Sources: RFC 7519 (JWT), RFC 9964 (ML-DSA in JOSE), FIPS 204.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from jwt import InvalidTokenError, PyJWS
from jwt.algorithms import Algorithm
from typing_extensions import override

from fedxdr.core.errors import BadSignature, MalformedMessage, Unauthorised
from fedxdr.core.ids import Digest, digest
from fedxdr.crypto.keys import TokenKey
from fedxdr.crypto.signing import verify as verify_signature

ALGORITHM = "ML-DSA-65"
Role = Literal["organisation", "operator", "auditor"]
_ROLES = ("organisation", "operator", "auditor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a valid token says.

    Attributes:
        subject: name of the organisation or operator.
        fingerprint: of the keys that it had when the token was issued.
        role: what it may read.
        issuer: the federation's name.
        expires: from when on the token is worth nothing.
    """

    subject: str
    fingerprint: Digest
    role: Role
    issuer: str
    expires: datetime


class _MlDsa65(Algorithm):
    """The library's plug-in interface over our keys."""

    @override
    def prepare_key(self, key: Any) -> Any:
        return key

    @override
    def sign(self, msg: bytes, key: bytes) -> bytes:
        return TokenKey(seed=key).sign(msg)

    @override
    def verify(self, msg: bytes, key: bytes, sig: bytes) -> bool:
        try:
            verify_signature(
                algorithm="ml-dsa-65", public_key=key, message=msg, signature=sig
            )
        except BadSignature:
            return False
        return True

    @staticmethod
    @override
    def to_jwk(key_obj: Any, as_dict: bool = False) -> Any:
        raise BadSignature("token keys are not exported as JWK")

    @staticmethod
    @override
    def from_jwk(jwk: Any) -> Any:
        raise BadSignature("token keys are not read from JWK")


def _engine() -> PyJWS:
    engine = PyJWS(algorithms=[])
    engine.register_algorithm(ALGORITHM, _MlDsa65())
    return engine


def issue(
    *,
    key: TokenKey,
    subject: str,
    fingerprint: Digest,
    role: Role,
    issuer: str,
    now: datetime,
    lifetime_s: int,
) -> str:
    """Return a compact JWT, about 4.5 kB.

    Args:
        key: the issuer's token key.
        subject: name of the bearer.
        fingerprint: of its present keys.
        role: ``organisation``, ``operator`` or ``auditor``.
        issuer: the federation's name.
        now: the present instant.
        lifetime_s: seconds until expiry, > 0.
    """
    claims = {
        "sub": subject,
        "fingerprint": fingerprint,
        "role": role,
        "iss": issuer,
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(seconds=lifetime_s)).timestamp()),
    }
    return _engine().encode(json.dumps(claims).encode(), key.seed, algorithm=ALGORITHM)


def check(token: str, *, public_key: bytes, issuer: str, now: datetime) -> Claims:
    """Return what the token says, if it is ours and in force.

    Args:
        token: compact JWT.
        public_key: the issuer's 1,952-byte ML-DSA-65 key.
        issuer: the federation's name.
        now: the present instant.

    Raises:
        Unauthorised: malformed, another algorithm or issuer, wrong signature, expired.
    """
    try:
        payload = _engine().decode(token, public_key, algorithms=[ALGORITHM])
        claims = json.loads(payload)
        subject, role, said_issuer = claims["sub"], claims["role"], claims["iss"]
        fingerprint = digest(claims["fingerprint"])
        expires = datetime.fromtimestamp(int(claims["exp"]), tz=now.tzinfo)
    except (
        InvalidTokenError,
        ArithmeticError,
        KeyError,
        MalformedMessage,
        OSError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise Unauthorised("the bearer token is not valid here") from error
    if said_issuer != issuer or role not in _ROLES or not isinstance(subject, str):
        raise Unauthorised("the bearer token is not valid here")
    if expires <= now:
        raise Unauthorised("the bearer token has expired: ask for a new one")
    return Claims(
        subject=subject,
        fingerprint=fingerprint,
        role=role,
        issuer=said_issuer,
        expires=expires,
    )
