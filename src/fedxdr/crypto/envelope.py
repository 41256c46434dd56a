# SPDX-License-Identifier: Apache-2.0
"""DSSE envelopes: the one form in which anything in the house is signed.

The signature is over the pre-authentication encoding
``"DSSEv1" SP LEN(type) SP type SP LEN(body) SP body``, so that a signature made for one
kind of message never verifies as another: the payload type is the label and carries the
version.

What stands on the ledger is signed twice, by Ed25519 and by ML-DSA-65, and both must
hold (``sign_twice``, ``verify_twice``); messages of a round, worthless once it is over,
are signed by Ed25519 alone.

Not here: who is allowed to sign what (federation, ledger).

Source: Dead Simple Signing Envelope v1.0.2 (secure-systems-lab/dsse), protocol.md.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from fedxdr.core.canonical import jcs, parse_jcs
from fedxdr.core.errors import BadSignature, MalformedMessage
from fedxdr.core.ids import Digest, sha256
from fedxdr.crypto.keys import IdentityKey, PublicIdentity
from fedxdr.crypto.signing import verify as verify_signature


class Signer(Protocol):
    """Whatever signs bytes under a named key; ``IdentityKey`` does."""

    @property
    def public(self) -> PublicIdentity:
        """The public half of the key."""

    def sign(self, message: bytes) -> bytes:
        """Return the signature over message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeSignature:
    """One signature of an envelope.

    Attributes:
        keyid: name of the key, as ``PublicIdentity.keyid``.
        sig: the raw signature.
    """

    keyid: str
    sig: bytes


@dataclass(frozen=True, kw_only=True)  # no slots: its JSON is kept, once made
class Envelope:
    """A payload, its type and the signatures over both.

    Attributes:
        payload_type: label and version of what is signed.
        payload: the exact bytes that were signed.
        signatures: one or more.
    """

    payload_type: str
    payload: bytes
    signatures: tuple[EnvelopeSignature, ...]

    def to_value(self) -> dict[str, Any]:
        """Return the envelope as the JSON value that DSSE writes."""
        return {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": [
                {"keyid": s.keyid, "sig": base64.b64encode(s.sig).decode()}
                for s in self.signatures
            ],
        }

    def to_json(self) -> bytes:
        """Return the envelope in canonical JSON (RFC 8785)."""
        return self._json

    @cached_property
    def _json(self) -> bytes:
        return jcs(self.to_value())

    @classmethod
    def from_json(cls, data: bytes) -> Envelope:
        """Return the envelope whose canonical JSON is exactly ``data``.

        Raises:
            MalformedMessage: anything else.
        """
        return cls.from_value(parse_jcs(data))

    @classmethod
    def from_value(cls, value: Any) -> Envelope:  # noqa: ANN401 - any JSON value
        """Return the envelope that ``to_value`` would write as ``value``.

        Raises:
            MalformedMessage: a missing, unknown or mistyped field, other base64.
        """
        try:
            envelope = cls(
                payload_type=value["payloadType"],
                payload=base64.b64decode(value["payload"], validate=True),
                signatures=tuple(
                    EnvelopeSignature(
                        keyid=s["keyid"], sig=base64.b64decode(s["sig"], validate=True)
                    )
                    for s in value["signatures"]
                ),
            )
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise MalformedMessage("not a DSSE envelope") from error
        texts = (envelope.payload_type, *(s.keyid for s in envelope.signatures))
        if not all(isinstance(text, str) for text in texts):
            raise MalformedMessage("a DSSE envelope whose names are not text")
        if envelope.to_value() != value or not envelope.signatures:
            raise MalformedMessage("a DSSE envelope with other or missing fields")
        return envelope

    @property
    def digest(self) -> Digest:
        """SHA-256 over the canonical JSON of the envelope."""
        return sha256(self.to_json())


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: DSSE v1 PAE(type, payload)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, signer: Signer) -> Envelope:
    """Return an envelope with one signature.

    Args:
        payload_type: label and version, for example
            ``application/vnd.fedxdr.round-keys.v1+json``.
        payload: the bytes to sign, as they will be stored.
        signer: the key.
    """
    signature = EnvelopeSignature(
        keyid=signer.public.keyid,
        sig=signer.sign(pre_authentication_encoding(payload_type, payload)),
    )
    return Envelope(payload_type=payload_type, payload=payload, signatures=(signature,))


def verify(
    envelope: Envelope, *, public_key: PublicIdentity, payload_type: str
) -> bytes:
    """Return the payload if it is of that type and signed by that key.

    Raises:
        BadSignature: another type, no signature by this key, or a wrong one.
    """
    if envelope.payload_type != payload_type:
        raise BadSignature(
            f"signed as {envelope.payload_type}, but wanted {payload_type}"
        )
    mine = [s for s in envelope.signatures if s.keyid == public_key.keyid]
    if len(mine) != 1:
        raise BadSignature(f"no single signature by key {public_key.keyid[:16]}…")
    verify_signature(
        algorithm="ed25519",
        public_key=public_key.ed25519,
        message=pre_authentication_encoding(payload_type, envelope.payload),
        signature=mine[0].sig,
    )
    return envelope.payload


def sign_twice(payload_type: str, payload: bytes, key: IdentityKey) -> Envelope:
    """Return an envelope signed by Ed25519 and by ML-DSA-65, in this order.

    Args:
        payload_type: label and version.
        payload: the bytes to sign, as they will be stored.
        key: the identity.
    """
    message = pre_authentication_encoding(payload_type, payload)
    return Envelope(
        payload_type=payload_type,
        payload=payload,
        signatures=(
            EnvelopeSignature(keyid=key.public.keyid, sig=key.sign(message)),
            EnvelopeSignature(
                keyid=key.public.ml_dsa_keyid, sig=key.sign_ml_dsa_65(message)
            ),
        ),
    )


def verify_twice(
    envelope: Envelope, *, public_key: PublicIdentity, payload_type: str
) -> bytes:
    """Return the payload if both keys of that identity signed it, and nobody else.

    Raises:
        BadSignature: another type, other signers, or a wrong signature.
    """
    if envelope.payload_type != payload_type:
        raise BadSignature(
            f"signed as {envelope.payload_type}, but wanted {payload_type}"
        )
    wanted = (public_key.keyid, public_key.ml_dsa_keyid)
    if tuple(s.keyid for s in envelope.signatures) != wanted:
        raise BadSignature(
            f"not signed by key {public_key.keyid[:16]}… and its ML-DSA-65 key"
        )
    message = pre_authentication_encoding(payload_type, envelope.payload)
    for algorithm, key, signature in zip(
        ("ed25519", "ml-dsa-65"),
        (public_key.ed25519, public_key.ml_dsa_65),
        envelope.signatures,
        strict=True,
    ):
        verify_signature(
            algorithm=algorithm,
            public_key=key,
            message=message,
            signature=signature.sig,
        )
    return envelope.payload
