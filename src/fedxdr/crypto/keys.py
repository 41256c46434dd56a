# SPDX-License-Identifier: Apache-2.0
"""Long-lived identity keys of organisations, operators and the orchestrator.

An identity is an Ed25519 key pair (RFC 8032). The orchestrator also holds an ML-DSA-65
pair (FIPS 204) that signs bearer tokens. Private keys never travel: an organisation
makes its own and hands out the public half only.

Not here: keys of one round (secagg), and where a key file lies (storage).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa

from fedxdr.core.errors import InvalidInput, MalformedMessage
from fedxdr.core.ids import sha256
from fedxdr.core.randomness import Entropy

SEED_BYTES = 32
ED25519_PUBLIC_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicIdentity:
    """The public half of an identity.

    Attributes:
        ed25519: 32 bytes.
    """

    ed25519: bytes

    def __post_init__(self) -> None:
        if len(self.ed25519) != ED25519_PUBLIC_BYTES:
            raise MalformedMessage(
                f"an Ed25519 public key: got {len(self.ed25519)} bytes, want 32"
            )

    @property
    def keyid(self) -> str:
        """SHA-256 over label and key, in hexadecimal: the key's name everywhere."""
        return sha256(b"fedxdr/identity/v1\x00", self.ed25519)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityKey:
    """An Ed25519 private key.

    Attributes:
        seed: 32 secret bytes; the representation does not show them.
        public: the public half.
    """

    seed: bytes = field(repr=False)
    public: PublicIdentity = field(init=False)
    _private: ed25519.Ed25519PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.seed) != SEED_BYTES:
            raise MalformedMessage(f"a key seed: got {len(self.seed)} bytes, want 32")
        private = ed25519.Ed25519PrivateKey.from_private_bytes(self.seed)
        public = PublicIdentity(ed25519=private.public_key().public_bytes_raw())
        object.__setattr__(self, "_private", private)
        object.__setattr__(self, "public", public)

    @classmethod
    def generate(cls, entropy: Entropy) -> IdentityKey:
        """Return a fresh key drawn from entropy."""
        return cls(seed=entropy.draw(SEED_BYTES))

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature over message (RFC 8032)."""
        return self._private.sign(message)


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
