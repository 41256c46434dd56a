# SPDX-License-Identifier: Apache-2.0
"""Verifying signatures: one function, three algorithms.

It raises or returns None, never False. Signing is a method of the keys (keys.py).

Sources: RFC 8032 (Ed25519), FIPS 204 (ML-DSA-44, ML-DSA-65).
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa

from fedxdr.core.errors import BadSignature, MalformedMessage

ALGORITHMS = ("ed25519", "ml-dsa-44", "ml-dsa-65")


def verify(
    *,
    algorithm: str,
    public_key: bytes,
    message: bytes,
    signature: bytes,
    context: bytes = b"",
) -> None:
    """Return if the signature is good, under any key that decodes.

    Whose key this is, and whether it could be enrolled, is not asked here: Ed25519 keys
    of low order, outside the prime-order group or with a second encoding are refused at
    enrolment (``points.check_ed25519``, by ledger/change_rules.py).

    Args:
        algorithm: one of ``ed25519``, ``ml-dsa-44``, ``ml-dsa-65``.
        public_key: raw public key: 32, 1,312 or 1,952 bytes.
        message: the signed bytes.
        signature: 64, 2,420 or 3,309 bytes.
        context: FIPS 204 context string, at most 255 bytes; empty for Ed25519.

    Raises:
        BadSignature: the signature does not verify, or key or signature have a wrong
            length.
        MalformedMessage: unknown algorithm, or a context where none is allowed.
    """
    try:
        match algorithm:
            case "ed25519":
                if context:
                    raise MalformedMessage("ed25519 (RFC 8032, pure) takes no context")
                ed25519.Ed25519PublicKey.from_public_bytes(public_key).verify(
                    signature, message
                )
            case "ml-dsa-44":
                mldsa.MLDSA44PublicKey.from_public_bytes(public_key).verify(
                    signature, message, context or None
                )
            case "ml-dsa-65":
                mldsa.MLDSA65PublicKey.from_public_bytes(public_key).verify(
                    signature, message, context or None
                )
            case _:
                raise MalformedMessage(
                    f"unknown signature algorithm; one of {', '.join(ALGORITHMS)}"
                )
    except (InvalidSignature, ValueError) as error:
        raise BadSignature(f"the {algorithm} signature does not verify") from error
