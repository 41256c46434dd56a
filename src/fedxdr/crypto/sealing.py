# SPDX-License-Identifier: Apache-2.0
"""Sealed boxes: bytes that only the holder of a hybrid private key can open.

Two forms. ``seal`` needs nothing but the recipient's public key; the sender is nobody
in particular. ``seal_between`` is made by one of two parties that already share an
X25519 secret, so it opens only if one of the two made it, and it costs two curve
operations less.

Layout: ``seal`` gives ``ephemeral X25519 key (32) || ML-KEM ciphertext (1,088) ||
AES-256-GCM ciphertext and tag``; ``seal_between`` the same without the first
part. The key of a box is HKDF-SHA256 over both secrets, bound to every public part of
the box, to the recipient's public key and to the caller's context; each box has a key
of its own, so the nonce is zero.

It does NOT hide lengths, and ``seal`` does NOT tell who sealed.

Rules that always hold: a wrong length or key is ``MalformedMessage``; a box that does
not open, for whatever reason, is ``InvalidShare`` and says no more.

Sources: NIST SP 800-38D (AES-256-GCM); the combiner binds ciphertexts and public keys
as draft-ietf-hpke-pq and X-Wing do for the same reason: no part can be exchanged.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fedxdr.core.errors import InvalidShare, MalformedMessage
from fedxdr.crypto.exchange import (
    MLKEM_CIPHERTEXT_BYTES,
    SECRET_BYTES,
    X25519_PUBLIC_BYTES,
    HybridPrivateKey,
    HybridPublicKey,
    agree,
    decapsulate,
    encapsulate,
)
from fedxdr.crypto.expand import hkdf

TAG_BYTES = 16
BETWEEN_OVERHEAD_BYTES = MLKEM_CIPHERTEXT_BYTES + TAG_BYTES
"""By how much ``seal_between`` makes a plaintext longer."""

SEAL_OVERHEAD_BYTES = X25519_PUBLIC_BYTES + BETWEEN_OVERHEAD_BYTES
"""By how much ``seal`` makes a plaintext longer."""

_NONCE = bytes(12)
_SEAL_LABEL = "fedxdr/seal/v1"
_BETWEEN_LABEL = "fedxdr/seal-between/v1"


def seal(recipient: HybridPublicKey, plaintext: bytes, *, context: bytes) -> bytes:
    """Return plaintext sealed for a recipient, by nobody in particular.

    Args:
        recipient: their public key.
        plaintext: any bytes.
        context: public bytes both sides know; the box opens under no other.

    Returns:
        1,136 bytes more than the plaintext; never the same twice.

    Raises:
        MalformedMessage: a public key that is none.
    """
    ephemeral = X25519PrivateKey.generate()
    ephemeral_public = ephemeral.public_key().public_bytes_raw()
    agreed = _exchange(ephemeral, recipient.x25519)
    secret, ciphertext = encapsulate(recipient.mlkem)
    head = ephemeral_public + ciphertext
    key = _key(_SEAL_LABEL, agreed + secret, head, recipient, context)
    return head + AESGCM(key).encrypt(_NONCE, plaintext, None)


def open_sealed(private: HybridPrivateKey, sealed: bytes, *, context: bytes) -> bytes:
    """Return what ``seal`` was given.

    Args:
        private: the recipient's key pair.
        sealed: what ``seal`` returned.
        context: as it was sealed.

    Raises:
        MalformedMessage: too short, or an ephemeral key of small order.
        InvalidShare: sealed for another key or context, or tampered with.
    """
    _want_at_least(sealed, SEAL_OVERHEAD_BYTES)
    head = sealed[: X25519_PUBLIC_BYTES + MLKEM_CIPHERTEXT_BYTES]
    agreed = agree(private, head[:X25519_PUBLIC_BYTES])
    secret = decapsulate(private, head[X25519_PUBLIC_BYTES:])
    key = _key(_SEAL_LABEL, agreed + secret, head, private.public, context)
    return _decrypt(key, sealed[len(head) :])


def seal_between(
    agreed: bytes, recipient: HybridPublicKey, plaintext: bytes, *, context: bytes
) -> bytes:
    """Return plaintext sealed by one of two parties for the other.

    Args:
        agreed: the 32-byte X25519 secret of the two (``exchange.agree``).
        recipient: the public key whose X25519 half went into ``agreed``.
        plaintext: any bytes.
        context: public bytes both sides know, naming sender and recipient: ``agreed``
            is the same in both directions.

    Returns:
        1,104 bytes more than the plaintext; never the same twice.

    Raises:
        MalformedMessage: a public key that is none, or a secret of another length.
    """
    _want_agreed(agreed)
    secret, ciphertext = encapsulate(recipient.mlkem)
    key = _key(_BETWEEN_LABEL, agreed + secret, ciphertext, recipient, context)
    return ciphertext + AESGCM(key).encrypt(_NONCE, plaintext, None)


def open_between(
    agreed: bytes, private: HybridPrivateKey, sealed: bytes, *, context: bytes
) -> bytes:
    """Return what ``seal_between`` was given.

    Args:
        agreed: the X25519 secret of the two.
        private: the recipient's key pair.
        sealed: what ``seal_between`` returned.
        context: as it was sealed.

    Raises:
        MalformedMessage: too short, or a secret of another length.
        InvalidShare: sealed by or for another key, under another context, or tampered
            with.
    """
    _want_agreed(agreed)
    _want_at_least(sealed, BETWEEN_OVERHEAD_BYTES)
    ciphertext = sealed[:MLKEM_CIPHERTEXT_BYTES]
    secret = decapsulate(private, ciphertext)
    key = _key(_BETWEEN_LABEL, agreed + secret, ciphertext, private.public, context)
    return _decrypt(key, sealed[MLKEM_CIPHERTEXT_BYTES:])


def _key(
    label: str, secrets: bytes, head: bytes, recipient: HybridPublicKey, context: bytes
) -> bytes:
    """Bind a box's key to all it rests on; all parts but the last have one size."""
    bound = head + recipient.x25519 + recipient.mlkem + context
    return hkdf(secrets, label=label, context=bound)


def _exchange(private: X25519PrivateKey, public_x25519: bytes) -> bytes:
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public_x25519))
    except ValueError as error:
        raise MalformedMessage("an X25519 public key of small order") from error


def _decrypt(key: bytes, ciphertext: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(_NONCE, ciphertext, None)
    except InvalidTag as error:
        raise InvalidShare("a sealed box does not open") from error


def _want_at_least(sealed: bytes, want: int) -> None:
    if len(sealed) < want:
        raise MalformedMessage(
            f"a sealed box: got {len(sealed)} bytes, want at least {want}"
        )


def _want_agreed(agreed: bytes) -> None:
    if len(agreed) != SECRET_BYTES:
        raise MalformedMessage(f"an agreed secret: got {len(agreed)} bytes, want 32")
