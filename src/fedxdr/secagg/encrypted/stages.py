# SPDX-License-Identifier: Apache-2.0
"""What parties of an encrypted round agree on and send each other.

In the order of the round: ``Terms`` (agreed before anyone encrypts), ``Upload`` (one
per contributor, committed to by digest before any is sent), ``Product`` (each
decryptor's own), ``PartialDecryption`` (one per holder), ``Opening`` (for all, checked
by all).

It does NOT sign, store or send; federation does.

Rules that always hold: every digest binds the terms, hence key, round and size; names
are in order; lengths are checked where the bytes are read.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidPlan, MalformedMessage, TooFewParticipants
from fedxdr.core.ids import Digest, OrgId, sha256
from fedxdr.secagg.encrypted.dealing import ThresholdKey
from fedxdr.secagg.encrypted.slots import Slots
from fedxdr.secagg.masking import TRANSCRIPT_BYTES

_TERMS_LABEL = b"fedxdr/paillier/terms/v1\x00"
_UPLOAD_LABEL = b"fedxdr/paillier/upload/v1\x00"
_PRODUCT_LABEL = b"fedxdr/paillier/product/v1\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What every party must agree on before anyone encrypts.

    Attributes:
        key: under which, and who holds shares.
        transcript: 32-byte digest over plan, round and parent model, by the caller.
        contributors: who may upload, in the order of their names.
        min_survivors: fewest uploads whose sum may be opened, in [2, contributors].
        size: d, numbers in an update.
        bits: width of their sum, as in quantise.py.
    """

    key: ThresholdKey
    transcript: bytes
    contributors: tuple[OrgId, ...]
    min_survivors: int
    size: int
    bits: int

    def __post_init__(self) -> None:
        if len(self.transcript) != TRANSCRIPT_BYTES:
            raise MalformedMessage(
                f"transcript: got {len(self.transcript)} bytes, want {TRANSCRIPT_BYTES}"
            )
        if list(self.contributors) != sorted(set(self.contributors)):
            raise MalformedMessage("contributors are listed once, in order")
        n = len(self.contributors)
        if not 2 <= self.min_survivors <= n:
            raise TooFewParticipants(
                f"a sum of at least {self.min_survivors} cannot be had from {n}, and "
                "a sum of one is that one's update"
            )
        if n > 1 << (self.bits - 2):
            raise InvalidPlan(f"{n} contributors need more than {self.bits} bits")
        self.slots  # noqa: B018 - refuses sizes and bits that cannot be packed

    @property
    def slots(self) -> Slots:
        """How an update lies in plaintexts."""
        return Slots(
            size=self.size,
            bits=self.bits,
            plaintext_bits=self.key.encryption.plaintext_bits,
        )

    @property
    def upload_bytes(self) -> int:
        """Length of the ciphertexts of one upload."""
        return self.slots.count * self.key.encryption.ciphertext_bytes

    @property
    def digest(self) -> bytes:
        """32 bytes that bind everything in here."""
        return _digest_of(self)


@functools.lru_cache(maxsize=16)
def _digest_of(terms: Terms) -> bytes:
    numbers = (terms.min_survivors, terms.size, terms.bits, len(terms.contributors))
    return bytes.fromhex(
        sha256(
            _TERMS_LABEL,
            bytes.fromhex(terms.key.fingerprint),
            terms.transcript,
            b"".join(number.to_bytes(8) for number in numbers),
            *(name.encode() + b"\x00" for name in terms.contributors),
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One contributor's update, encrypted.

    Attributes:
        sender: who encrypted it.
        ciphertexts: ``Terms.upload_bytes`` bytes, each ciphertext of fixed width.
        proof: that the sender knows what is in them (knowledge.py).
    """

    sender: OrgId
    ciphertexts: bytes = field(repr=False)
    proof: bytes = field(repr=False)


def commit(terms: Terms, upload: Upload) -> Digest:
    """Return the digest by which a contributor is bound to its upload beforehand.

    SHA-256(label || terms || sender || 0x00 || proof length, 8 bytes || proof ||
    ciphertexts): who copies another's digest cannot open it under its own name.
    """
    return sha256(
        _UPLOAD_LABEL,
        terms.digest,
        upload.sender.encode() + b"\x00",
        len(upload.proof).to_bytes(8),
        upload.proof,
        upload.ciphertexts,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """The sum's ciphertexts; made by ``contributing.product`` alone.

    Attributes:
        survivors: whose uploads are in it, in order.
        ciphertexts: as long as one upload's.
    """

    survivors: tuple[OrgId, ...]
    ciphertexts: bytes = field(repr=False)

    def digest(self, terms: Terms) -> Digest:
        """Return what a holder remembers that it answered for."""
        return sha256(
            _PRODUCT_LABEL,
            terms.digest,
            len(self.survivors).to_bytes(8),
            *(name.encode() + b"\x00" for name in self.survivors),
            self.ciphertexts,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialDecryption:
    """One holder's answer for one product.

    Attributes:
        holder: whose share was used.
        values: one number mod n per ciphertext, each as long as n.
        proof: that they were made with that share (equality.py).
    """

    holder: OrgId
    values: bytes = field(repr=False)
    proof: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The opened sum, and what shows anyone that it is right.

    Attributes:
        total: (d,) int32, the sum of the survivors' quantised updates.
        roots: one number mod n per ciphertext, each as long as n.
        wrong: holders whose answer was not made with their share, in order.
    """

    total: npt.NDArray[np.int32] = field(repr=False)
    roots: bytes = field(repr=False)
    wrong: tuple[OrgId, ...] = ()
