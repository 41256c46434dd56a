# SPDX-License-Identifier: Apache-2.0
"""HTTP request signatures (RFC 9421): who sent these exact bytes, to which route, when.

Covered: method, target URI, content digest (RFC 9530) and, in the parameters, created,
expires (at most 60 s later), a 128-bit nonce and the key's name. A signature says who
and when; that a nonce is used once only is the caller's to remember.

The ``http-message-signatures`` library builds the signature base; keys are ours.
"""

from __future__ import annotations

import base64
from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureAlgorithm,
    HTTPSignatureKeyResolver,
)
from http_message_signatures.exceptions import HTTPMessageSignaturesException
from typing_extensions import override

from fedxdr.core.errors import BadSignature
from fedxdr.core.randomness import Entropy
from fedxdr.crypto.envelope import Signer
from fedxdr.crypto.keys import PublicIdentity
from fedxdr.crypto.signing import verify as verify_signature

TAG = "fedxdr"
LIFETIME_S = 60
CLOCK_SKEW_S = 30
_COVERED = ("@method", "@target-uri")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parts of an HTTP request that are signed.

    Attributes:
        method: upper case.
        url: absolute, as the client sent it.
        headers: names in lower case; signing adds to it.
        body: the exact bytes; empty for none.
    """

    method: str
    url: str
    headers: MutableMapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a verified signature says.

    Attributes:
        keyid: the key that signed.
        nonce: to be remembered until ``expires``.
        expires: from when on the request would be refused anyway.
    """

    keyid: str
    nonce: str
    expires: datetime


class _Ed25519(HTTPSignatureAlgorithm):
    """The library's interface; verification is ours, signing happens outside it."""

    algorithm_id = "ed25519"

    def __init__(self, public_key: Any = None, private_key: Any = None) -> None:  # noqa: ANN401, ARG002 - the library's signature
        self._public_key = public_key

    @override
    def sign(self, message: bytes) -> bytes:
        raise BadSignature("the key does not pass through the library")

    @override
    def verify(self, signature: bytes, message: bytes) -> None:
        verify_signature(
            algorithm="ed25519",
            public_key=self._public_key,
            message=message,
            signature=signature,
        )


class _OneKey(HTTPSignatureKeyResolver):
    def __init__(self, identity: PublicIdentity) -> None:
        self._identity = identity

    @override
    def resolve_public_key(self, key_id: str) -> bytes:
        if key_id != self._identity.keyid:
            raise BadSignature("signed by another key")
        return self._identity.ed25519

    @override
    def resolve_private_key(self, key_id: str) -> bytes:
        raise BadSignature(f"no private key {key_id}")


class _Verifier(HTTPMessageVerifier):
    """The library's verifier, with time handed in."""

    now: datetime

    @override
    def validate_created_and_expires(
        self,
        sig_input: Any,
        max_age: timedelta | None = None,
    ) -> None:
        created, expires = (sig_input.params.get(k) for k in ("created", "expires"))
        if type(created) is not int or type(expires) is not int:
            raise BadSignature("created and expires must both be there")
        if not created <= expires <= created + LIFETIME_S:
            raise BadSignature(f"expires is at most {LIFETIME_S} s after created")
        now = self.now.timestamp()
        if created > now + CLOCK_SKEW_S:
            raise BadSignature("created lies in the future: check the clocks")
        if expires < now - CLOCK_SKEW_S:
            raise BadSignature("the signature has expired: sign again")


def sign(request: Request, *, signer: Signer, now: datetime, entropy: Entropy) -> None:
    """Add Content-Digest, Signature-Input and Signature to the request's headers.

    Args:
        request: what will be sent, byte for byte.
        signer: the sender's identity key.
        now: the present instant.
        entropy: for the 128-bit nonce.
    """
    engine = HTTPMessageSigner(signature_algorithm=_Ed25519)
    nonce = base64.urlsafe_b64encode(entropy.draw(16)).decode()
    prepared = engine.prepare(
        request,
        key_id=signer.public.keyid,
        created=now,
        expires=now + timedelta(seconds=LIFETIME_S),
        nonce=nonce,
        tag=TAG,
        label=TAG,
        covered_component_ids=_COVERED,
        body=request.body,
    )
    engine.apply(request, prepared, signer.sign(prepared.signature_base))


def claimed_keyid(headers: MutableMapping[str, str]) -> str:
    """Return the key name a request claims, unverified, to look the key up by.

    Raises:
        BadSignature: no, or not exactly one, signature by this house's tag.
    """
    field = headers.get("signature-input", "")
    try:
        # the library's own parser of the structured field
        parsed = HTTPMessageSigner._parse_signature_dictionary(field)  # noqa: SLF001 - no public door
        (only,) = parsed.values()
        keyid = only.params["keyid"]
    except (HTTPMessageSignaturesException, ValueError, KeyError, TypeError) as error:
        raise BadSignature("the request carries no readable signature") from error
    if not isinstance(keyid, str):
        raise BadSignature("the signature's keyid is not text")
    return keyid


def verify(request: Request, *, identity: PublicIdentity, now: datetime) -> Proof:
    """Return what the request's signature proves.

    Args:
        request: as it arrived.
        identity: the key looked up by ``claimed_keyid``.
        now: the present instant.

    Raises:
        BadSignature: missing, expired, over other bytes, another route or another key.
    """
    engine = _Verifier(signature_algorithm=_Ed25519, key_resolver=_OneKey(identity))
    engine.now = now
    try:
        results = engine.verify(
            request,
            expect_tag=TAG,
            require_components=(*_COVERED, "content-digest"),
            body=request.body,
        )
    except HTTPMessageSignaturesException as error:
        raise BadSignature(f"request signature: {error}") from error
    if len(results) != 1:
        raise BadSignature(f"{len(results)} signatures; want one")
    parameters = results[0].parameters
    nonce = parameters.get("nonce")
    if not isinstance(nonce, str) or len(nonce) < 22:  # 128 bits in base64
        raise BadSignature("the signature needs a nonce of 128 bits")
    expires = datetime.fromtimestamp(int(parameters["expires"]), tz=now.tzinfo)
    return Proof(keyid=identity.keyid, nonce=nonce, expires=expires)
