# SPDX-License-Identifier: Apache-2.0
"""The publisher's key: ECDSA on P-256, under which strangers' tools verify a model.

Every other signature of the house is Ed25519 or ML-DSA. This one exists because
``model_signing`` takes no other key and ``openssl dgst`` of any age can check it. It
signs files of published models and nothing else; a quantum computer breaks it, and what
holds against one is the ledger (two signatures per statement, ML-DSA-65 among them).

Not here: which key a ledger names (ledger/entries.py), what is signed with it
(storage/model_directory.py), where the seed lies (storage/secrets.py).

Rules that always hold: the key is a function of its seed; the same message gives the
same signature; a public key has one form, 91 bytes of DER, and lies on the curve.

Sources: FIPS 186-5, sections 6.4 and A.2.1 (key pair from extra random bits); RFC 6979
(nonce); RFC 5480 (SubjectPublicKeyInfo); RFC 7468 (PEM).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedxdr.core.errors import BadSignature, MalformedMessage
from fedxdr.core.ids import Digest, sha256
from fedxdr.crypto.expand import hkdf

PUBLIC_DER_BYTES = 91
SEED_BYTES = 32

_LABEL = "fedxdr/publisher/p-256/v1"
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_WIDE_BYTES = 48  # 128 bits more than the order: the remainder's bias is below 2^-128
_PEM_LINE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """The public half of a publisher's key.

    Attributes:
        der: 91 bytes, SubjectPublicKeyInfo with an uncompressed point on P-256.

    Raises:
        MalformedMessage: other bytes, or a point that is not on the curve.
    """

    der: bytes
    _key: ec.EllipticCurvePublicKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.der) != PUBLIC_DER_BYTES:
            raise MalformedMessage(
                f"a publisher's key: got {len(self.der)} bytes, want {PUBLIC_DER_BYTES}"
            )
        try:
            key = serialization.load_der_public_key(self.der)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise MalformedMessage("a publisher's key that is no key") from error
        if (
            not isinstance(key, ec.EllipticCurvePublicKey)
            or not isinstance(key.curve, ec.SECP256R1)
            or _der(key) != self.der
        ):
            raise MalformedMessage("a publisher's key is a P-256 key in its one form")
        object.__setattr__(self, "_key", key)

    @property
    def pem(self) -> bytes:
        """The key as ``openssl`` and ``model_signing`` read it, RFC 7468."""
        text = base64.b64encode(self.der).decode()
        lines = [text[at : at + _PEM_LINE] for at in range(0, len(text), _PEM_LINE)]
        return "\n".join(
            ("-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----\n")
        ).encode()

    @property
    def fingerprint(self) -> Digest:
        """SHA-256 of ``pem``: what ``sha256sum publisher.pem`` prints."""
        return sha256(self.pem)

    def verify(self, message: bytes, signature: bytes) -> None:
        """Return if this key signed the message.

        Args:
            message: the signed bytes.
            signature: ECDSA-Sig-Value in DER, as ``openssl dgst -sign`` writes it.

        Raises:
            BadSignature: it does not verify.
        """
        try:
            self._key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise BadSignature("the publisher's signature does not verify") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherKey:
    """A publisher's private key.

    Attributes:
        seed: 32 secret bytes; the representation does not show them.
        public: the public half.

    Raises:
        MalformedMessage: a seed of another length.
    """

    seed: bytes = field(repr=False)
    public: Publisher = field(init=False)
    _private: ec.EllipticCurvePrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.seed) != SEED_BYTES:
            raise MalformedMessage(f"a key seed: got {len(self.seed)} bytes, want 32")
        wide = hkdf(self.seed, label=_LABEL, size_bytes=_WIDE_BYTES)
        # FIPS 186-5, A.2.1: d = (c mod (n - 1)) + 1
        number = int.from_bytes(wide, "big") % (_ORDER - 1) + 1
        private = ec.derive_private_key(number, ec.SECP256R1())
        object.__setattr__(self, "_private", private)
        object.__setattr__(self, "public", Publisher(der=_der(private.public_key())))

    @property
    def public_der(self) -> bytes:
        """The public key as the ledger holds it: 91 bytes of SubjectPublicKeyInfo."""
        return self.public.der

    @property
    def public_pem(self) -> bytes:
        """The public key as tools read it."""
        return self.public.pem

    def private_pem(self) -> bytes:
        """Return the private key unencrypted, PKCS #8 in PEM: for one call, not a file.

        ``model_signing`` reads its key from a path; see storage/model_directory.py.
        """
        return self._private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def sign(self, message: bytes) -> bytes:
        """Return the signature over message in DER, 70 to 72 bytes (RFC 6979)."""
        return self._private.sign(
            message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        )


def _der(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
