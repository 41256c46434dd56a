# SPDX-License-Identifier: Apache-2.0
"""Long-lived identity keys of organisations, operators and the orchestrator.

An identity is four key pairs grown from one 32-byte seed:

- ``ed25519`` (RFC 8032) signs requests, round messages and statements;
- ``ml_dsa_65`` (FIPS 204) signs statements a second time, against quantum computers;
- ``tlog_ed25519`` and ``tlog_ml_dsa_44`` sign heads of a ledger and nothing else: an
  organisation's as a witness, the orchestrator's as the log itself (C2SP
  tlog-cosignature wants keys of their own for that).

The Ed25519 key is the seed itself; the others are HKDF-SHA256 of it under a label each.
``TokenKey`` is an ML-DSA-65 pair that signs bearer tokens. Private keys never travel.

Not here: keys of one round (secagg), where a key file lies (storage), whether a foreign
public key is a good point (points.py).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa

from fedxdr.core.errors import InvalidInput, MalformedMessage
from fedxdr.core.ids import Digest, sha256
from fedxdr.core.randomness import Entropy

SEED_BYTES = 32
ED25519_PUBLIC_BYTES = 32
ML_DSA_44_PUBLIC_BYTES = 1312
ML_DSA_65_PUBLIC_BYTES = 1952

_MlDsa = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey

_SIZES = {
    "ed25519": ED25519_PUBLIC_BYTES,
    "ml_dsa_65": ML_DSA_65_PUBLIC_BYTES,
    "tlog_ed25519": ED25519_PUBLIC_BYTES,
    "tlog_ml_dsa_44": ML_DSA_44_PUBLIC_BYTES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicIdentity:
    """The public half of an identity.

    Attributes:
        ed25519: 32 bytes.
        ml_dsa_65: 1,952 bytes.
        tlog_ed25519: 32 bytes.
        tlog_ml_dsa_44: 1,312 bytes.
    """

    ed25519: bytes
    ml_dsa_65: bytes
    tlog_ed25519: bytes
    tlog_ml_dsa_44: bytes

    def __post_init__(self) -> None:
        for name, wanted in _SIZES.items():
            found = len(getattr(self, name))
            if found != wanted:
                raise MalformedMessage(
                    f"a public key {name}: got {found} bytes, want {wanted}"
                )

    @property
    def keyid(self) -> str:
        """Name of the Ed25519 key: SHA-256 over label and key, in hexadecimal."""
        return sha256(b"fedxdr/identity/v1\x00", self.ed25519)

    @property
    def ml_dsa_keyid(self) -> str:
        """Name of the ML-DSA-65 key: SHA-256 over label and key, in hexadecimal."""
        return sha256(b"fedxdr/identity/ml-dsa-65/v1\x00", self.ml_dsa_65)

    @property
    def fingerprint(self) -> Digest:
        """What people compare, as words: SHA-256 over a label and all four keys."""
        keys = (getattr(self, name) for name in _SIZES)
        return sha256(b"fedxdr/identity/all-keys/v1\x00", *keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityKey:
    """The private half of an identity.

    Attributes:
        seed: 32 secret bytes; the representation does not show them.
        public: the public half.
    """

    seed: bytes = field(repr=False)
    public: PublicIdentity = field(init=False)
    _ed25519: ed25519.Ed25519PrivateKey = field(init=False, repr=False, compare=False)
    _ml_dsa_65: mldsa.MLDSA65PrivateKey = field(init=False, repr=False, compare=False)
    _tlog_ed25519: ed25519.Ed25519PrivateKey = field(
        init=False, repr=False, compare=False
    )
    _tlog_ml_dsa_44: mldsa.MLDSA44PrivateKey = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if len(self.seed) != SEED_BYTES:
            raise MalformedMessage(f"a key seed: got {len(self.seed)} bytes, want 32")
        keys: tuple[ed25519.Ed25519PrivateKey | _MlDsa, ...] = (
            ed25519.Ed25519PrivateKey.from_private_bytes(self.seed),
            mldsa.MLDSA65PrivateKey.from_seed_bytes(_derive(self.seed, b"ml-dsa-65")),
            ed25519.Ed25519PrivateKey.from_private_bytes(
                _derive(self.seed, b"tlog-ed25519")
            ),
            mldsa.MLDSA44PrivateKey.from_seed_bytes(
                _derive(self.seed, b"tlog-ml-dsa-44")
            ),
        )
        for name, key in zip(_SIZES, keys, strict=True):
            object.__setattr__(self, f"_{name}", key)
        public = PublicIdentity(
            **{
                name: key.public_key().public_bytes_raw()
                for name, key in zip(_SIZES, keys, strict=True)
            }
        )
        object.__setattr__(self, "public", public)

    @classmethod
    def generate(cls, entropy: Entropy) -> IdentityKey:
        """Return a fresh key drawn from entropy."""
        return cls(seed=entropy.draw(SEED_BYTES))

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature over message (RFC 8032)."""
        return self._ed25519.sign(message)

    def sign_ml_dsa_65(self, message: bytes) -> bytes:
        """Return the 3,309-byte ML-DSA-65 signature over message (FIPS 204)."""
        return self._ml_dsa_65.sign(message)

    def sign_tlog_ed25519(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature by the key for heads of a ledger."""
        return self._tlog_ed25519.sign(message)

    def sign_tlog_ml_dsa_44(self, message: bytes) -> bytes:
        """Return the 2,420-byte ML-DSA-44 signature by the key for heads."""
        return self._tlog_ml_dsa_44.sign(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """An ML-DSA-65 private key that signs bearer tokens (FIPS 204).

    Attributes:
        seed: 32 secret bytes, the key's FIPS 204 seed.
    """

    seed: bytes = field(repr=False)

    @classmethod
    def generate(cls, entropy: Entropy) -> TokenKey:
        """Return a fresh key drawn from entropy."""
        return cls(seed=entropy.draw(SEED_BYTES))

    @property
    def public(self) -> bytes:
        """The 1,952-byte public key."""
        return self._private().public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Return the 3,309-byte ML-DSA-65 signature over message."""
        return self._private().sign(message)

    def _private(self) -> mldsa.MLDSA65PrivateKey:
        try:
            return mldsa.MLDSA65PrivateKey.from_seed_bytes(self.seed)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InvalidInput("this is no usable ML-DSA-65 seed") from error


def _derive(seed: bytes, label: bytes) -> bytes:
    """Return 32 bytes: HKDF-SHA256 of the seed under a label (RFC 5869).

    One block of output, so that extract and expand are one HMAC each.
    """
    extracted = hmac.new(b"fedxdr/identity/v1", seed, hashlib.sha256).digest()
    return hmac.new(extracted, label + b"\x01", hashlib.sha256).digest()
