# SPDX-License-Identifier: Apache-2.0
"""Offline proofs that an entry stands in a log which witnesses saw.

One text file holds where the entry stands, its audit path and the cosigned head::

    c2sp.org/tlog-proof@v1
    extra BASE64                        (perhaps)
    index N
    BASE64(32 bytes)                    (from the leaf's sibling to the root's child)

    the checkpoint with its signature lines

Not here: what the entry is. ``verify`` takes its leaf hash, which the caller makes from
bytes that it has; and the extra data, which nobody signs.

Rules that always hold: what is read is written back byte for byte; a proof says nothing
before its checkpoint was verified under a policy.

Source: C2SP tlog-proof v1, "Format" and "Verifying a tlog proof".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedxdr.core.errors import MalformedMessage
from fedxdr.ledger import checkpoint as checkpoints
from fedxdr.ledger import merkle, note_form
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.policy import Policy

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PATH = 63  # a log has fewer than 2^63 leaves
MAX_EXTRA_BYTES = 65_535
MAX_PROOF_BYTES = note_form.MAX_NOTE_BYTES + 100_000

_EXTRA = "extra "
_INDEX = "index "


@dataclass(frozen=True, slots=True, kw_only=True)
class TlogProof:
    """A proof as it is written; nothing in it is verified.

    Attributes:
        index: of the entry, in [0, 2^63).
        path: audit path, 0 to 63 hashes of 32 bytes.
        checkpoint: the head with its signature lines.
        extra: 1 to 65,535 bytes that nobody vouches for, or None.
    """

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.index < checkpoints.MAX_SIZE:
            raise MalformedMessage(f"no log has an entry {self.index}")
        if len(self.path) > MAX_PATH:
            raise MalformedMessage(f"an audit path has at most {MAX_PATH} hashes")
        if any(len(hash_) != merkle.HASH_BYTES for hash_ in self.path):
            raise MalformedMessage("an audit path holds hashes of 32 bytes")
        if self.extra is not None and not 1 <= len(self.extra) <= MAX_EXTRA_BYTES:
            raise MalformedMessage("extra data has 1 to 65,535 bytes")
        checkpoints.parse_body(note_form.parse(self.checkpoint).text)

    def to_bytes(self) -> bytes:
        """Return the proof as a file."""
        lines = [HEADER]
        if self.extra is not None:
            lines.append(_EXTRA + note_form.to_base64(self.extra))
        lines.append(f"{_INDEX}{self.index}")
        lines += map(note_form.to_base64, self.path)
        head = "".join(f"{line}\n" for line in lines)
        return head.encode() + b"\n" + self.checkpoint


def write(
    *,
    index: int,
    path: Sequence[bytes],
    checkpoint: bytes,
    extra: bytes | None = None,
) -> bytes:
    """Return a proof as a file.

    Args:
        index: of the entry.
        path: its audit path in the tree of the checkpoint.
        checkpoint: the cosigned head, signature lines included.
        extra: data that goes with it, unauthenticated.

    Raises:
        MalformedMessage: parts that no proof can have.
    """
    proof = TlogProof(index=index, path=tuple(path), checkpoint=checkpoint, extra=extra)
    return proof.to_bytes()


def parse(data: bytes) -> TlogProof:
    """Return the proof of a file, nothing in it verified.

    Raises:
        MalformedMessage: not of that form.
    """
    if len(data) > MAX_PROOF_BYTES:
        raise MalformedMessage(f"a proof has at most {MAX_PROOF_BYTES} bytes")
    # The first empty line ends the path: none of the lines before it is empty.
    head, empty, checkpoint = data.partition(b"\n\n")
    if not empty:
        raise MalformedMessage("a proof has an empty line before its checkpoint")
    lines = note_form.require_text(head).split("\n")
    if lines.pop(0) != HEADER:
        raise MalformedMessage(f"a proof begins with {HEADER}")
    extra = None
    if lines and lines[0].startswith(_EXTRA):
        extra = note_form.from_base64(lines.pop(0).removeprefix(_EXTRA))
    if not lines or not lines[0].startswith(_INDEX):
        raise MalformedMessage("a proof says the index of its entry")
    index = checkpoints.parse_decimal(lines.pop(0).removeprefix(_INDEX))
    if len(lines) > MAX_PATH:
        raise MalformedMessage(f"an audit path has at most {MAX_PATH} hashes")
    path = tuple(map(note_form.from_base64, lines))
    return TlogProof(index=index, path=path, checkpoint=checkpoint, extra=extra)


def verify(proof: bytes, *, leaf_hash: bytes, policy: Policy) -> Checkpoint:
    """Return the head under which an entry provably stands.

    Args:
        proof: the file.
        leaf_hash: 32 bytes, of the entry, made by the caller from what it has.
        policy: whose signatures count.

    Raises:
        MalformedMessage: this is no proof.
        BadSignature: the checkpoint does not count under the policy.
        VerificationFailed: the entry does not stand there.
    """
    found = parse(proof)
    # (2), (3): the log's signature, and the cosignatures
    policy.check(found.checkpoint)
    head = checkpoints.parse(found.checkpoint)
    # (4): the entry stands under the root they signed
    merkle.verify_inclusion(
        leaf_hash=leaf_hash,
        index=found.index,
        size=head.size,
        proof=list(found.path),
        root=head.root,
    )
    return head
