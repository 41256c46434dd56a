# SPDX-License-Identifier: Apache-2.0
"""Hybrid key pairs: X25519 beside ML-KEM-768, both derived from one seed.

Whatever is agreed through both holds as long as either of the two holds: against
today's attackers by X25519, against recorded traffic and a later quantum computer by
ML-KEM.

It does NOT say whose key it is (identities sign round keys, see crypto/envelope.py) and
does NOT combine the two secrets (crypto/sealing.py and secagg/masking.py do, each under
its own label).

Rules that always hold: an agreement whose result is all zero is refused (RFC 7748,
section 6.1); keys and ciphertexts have their exact length; a private key shows nothing.

Sources: RFC 7748 (X25519), FIPS 203 (ML-KEM-768).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)

from fedxdr.core.errors import MalformedMessage
from fedxdr.crypto.expand import SEED_BYTES, hkdf

X25519_PUBLIC_BYTES = 32
MLKEM_PUBLIC_BYTES = 1184
MLKEM_CIPHERTEXT_BYTES = 1088
SECRET_BYTES = 32
"""Length of what either agreement gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridPublicKey:
    """The public half; plain bytes, so that core/canonical.py can encode it.

    Attributes:
        x25519: 32 bytes (RFC 7748).
        mlkem: 1,184 bytes, an ML-KEM-768 encapsulation key (FIPS 203).
    """

    x25519: bytes
    mlkem: bytes

    def __post_init__(self) -> None:
        _want_length("an X25519 public key", self.x25519, X25519_PUBLIC_BYTES)
        _want_length("an ML-KEM-768 public key", self.mlkem, MLKEM_PUBLIC_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridPrivateKey:
    """The private half, made by ``from_seed``; its representation shows the public one.

    Attributes:
        public: the public half.
    """

    public: HybridPublicKey
    _x25519: X25519PrivateKey = field(repr=False, compare=False)
    _mlkem: MLKEM768PrivateKey = field(repr=False, compare=False)

    @classmethod
    def from_seed(cls, seed: bytes) -> HybridPrivateKey:
        """Return the key pair of a seed; the same seed always gives the same pair.

        Args:
            seed: 32 secret bytes.

        Raises:
            MalformedMessage: a seed of another length.
        """
        _want_length("a hybrid key seed", seed, SEED_BYTES)
        x25519 = X25519PrivateKey.from_private_bytes(
            hkdf(seed, label="fedxdr/hybrid/x25519/v1")
        )
        mlkem = MLKEM768PrivateKey.from_seed_bytes(
            hkdf(seed, label="fedxdr/hybrid/ml-kem-768/v1", size_bytes=64)
        )
        public = HybridPublicKey(
            x25519=x25519.public_key().public_bytes_raw(),
            mlkem=mlkem.public_key().public_bytes_raw(),
        )
        return cls(public=public, _x25519=x25519, _mlkem=mlkem)


def agree(private: HybridPrivateKey, public_x25519: bytes) -> bytes:
    """Return the 32-byte X25519 secret of our private and their public key.

    Args:
        private: our key pair.
        public_x25519: their 32-byte X25519 public key.

    Raises:
        MalformedMessage: another length, or a point of small order, whose secret would
            be all zero whoever we are.
    """
    _want_length("an X25519 public key", public_x25519, X25519_PUBLIC_BYTES)
    try:
        # OpenSSL refuses an all-zero result, as RFC 7748 section 6.1 asks.
        return private._x25519.exchange(  # noqa: SLF001 - same module
            X25519PublicKey.from_public_bytes(public_x25519)
        )
    except ValueError as error:
        raise MalformedMessage("an X25519 public key of small order") from error


def check_public(public: HybridPublicKey) -> None:
    """Return if both halves are keys that can be agreed with.

    Args:
        public: a public key from outside.

    Raises:
        MalformedMessage: an X25519 point of small order, or bytes that are no
            ML-KEM-768 encapsulation key (FIPS 203, section 7.2, the modulus check).
    """
    try:
        X25519PrivateKey.generate().exchange(
            X25519PublicKey.from_public_bytes(public.x25519)
        )
    except ValueError as error:
        raise MalformedMessage("an X25519 public key of small order") from error
    encapsulate(public.mlkem)


def encapsulate(public_mlkem: bytes) -> tuple[bytes, bytes]:
    """Return a fresh 32-byte secret and the 1,088-byte ciphertext that carries it.

    The randomness is OpenSSL's own: FIPS 203 (section 3.3) forbids taking it from
    outside, so two calls never give the same pair. Store what you send.

    Args:
        public_mlkem: 1,184-byte ML-KEM-768 encapsulation key.

    Raises:
        MalformedMessage: not such a key.
    """
    _want_length("an ML-KEM-768 public key", public_mlkem, MLKEM_PUBLIC_BYTES)
    try:
        return MLKEM768PublicKey.from_public_bytes(public_mlkem).encapsulate()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise MalformedMessage("not an ML-KEM-768 public key") from error


def decapsulate(private: HybridPrivateKey, ciphertext: bytes) -> bytes:
    """Return the 32-byte secret a ciphertext carries.

    ML-KEM rejects implicitly: a ciphertext that was tampered with gives another secret,
    not an error (FIPS 203, algorithm 18). The seal around it then does not open.

    Args:
        private: our key pair.
        ciphertext: 1,088 bytes.

    Raises:
        MalformedMessage: another length.
    """
    _want_length("an ML-KEM-768 ciphertext", ciphertext, MLKEM_CIPHERTEXT_BYTES)
    return private._mlkem.decapsulate(ciphertext)  # noqa: SLF001 - same module


def _want_length(what: str, data: bytes, want: int) -> None:
    if len(data) != want:
        raise MalformedMessage(f"{what}: got {len(data)} bytes, want {want}")
