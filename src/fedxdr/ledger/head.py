# SPDX-License-Identifier: Apache-2.0
"""The signed head: the orchestrator's word that a ledger of this size has this root.

Not here: cosignatures and C2SP checkpoints. A head of this form proves who published a
ledger; that nobody was shown another one takes witnesses.

Rules that always hold: the root is the RFC 6962 root over the hashes of all blocks; a
head is never earlier than the newest block under it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fedxdr.core.canonical import decode, encode
from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import Digest, digest
from fedxdr.crypto import envelope as dsse
from fedxdr.crypto.envelope import Envelope, Signer
from fedxdr.crypto.keys import PublicIdentity
from fedxdr.ledger import merkle
from fedxdr.ledger.entries import require_utc

HEAD_TYPE = "application/vnd.fedxdr.ledger-head.v1+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Size and root of a ledger at a time.

    Attributes:
        origin: the ledger's name, as its Genesis says.
        size: number of blocks, >= 1.
        root: Merkle root over the blocks' hashes, in hexadecimal.
        timestamp: UTC.
    """

    origin: str
    size: int
    root: Digest
    timestamp: datetime

    def __post_init__(self) -> None:
        if self.size < 1:
            raise MalformedMessage("a head stands over at least one block")
        digest(self.root)
        require_utc(self.timestamp)


def head_of(origin: str, hashes: Sequence[Digest], timestamp: datetime) -> Head:
    """Return the head over blocks with these hashes, in order of height."""
    return Head(
        origin=origin, size=len(hashes), root=root_of(hashes), timestamp=timestamp
    )


def root_of(hashes: Sequence[Digest]) -> Digest:
    """Return the Merkle root over blocks with these hashes, in hexadecimal."""
    return Digest(merkle.root([bytes.fromhex(found) for found in hashes]).hex())


def sign(head: Head, signer: Signer) -> Envelope:
    """Return the head in an envelope signed by the orchestrator's key."""
    return dsse.sign(HEAD_TYPE, encode(head), signer)


def verify(envelope: Envelope, *, public_key: PublicIdentity) -> Head:
    """Return the head that this key, and no other, signed.

    Raises:
        BadSignature: another type or signer, or a wrong signature.
        MalformedMessage: a further signature, or not a head.
    """
    payload = dsse.verify(envelope, public_key=public_key, payload_type=HEAD_TYPE)
    if len(envelope.signatures) != 1:
        raise MalformedMessage(
            f"a head has one signature, got {len(envelope.signatures)}"
        )
    return decode(payload, Head)
