# SPDX-License-Identifier: Apache-2.0
"""Signed heads of the ledger: C2SP checkpoints by the log, cosigned by the members.

The log signs twice, by Ed25519 (kind 0x01) and by ML-DSA-44 (kind 0x06 under its
origin); a member cosigns twice as well (kinds 0x04 and 0x06 under its name). What a
cosignature says: "I saw this head, and it extends everything I saw before".

Not here: forms (note.py, checkpoint.py, cosignature.py), how many must cosign
(policy.py, standing.py), what a witness checks before it signs (parties/witness.py).

Rules that always hold: the root is the RFC 6962 root over the hashes of all blocks; a
head without both of the log's signatures is none.

Sources: C2SP tlog-checkpoint, tlog-cosignature, signed-note.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from fedxdr.core.errors import BadSignature, MalformedMessage
from fedxdr.core.ids import Digest, OrgId
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import checkpoint, cosignature, merkle, note
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.note_form import (
    COSIGNATURE_ML_DSA_44,
    ED25519,
    Note,
    NoteSignature,
    VerifierKey,
)
from fedxdr.ledger.standing import Log

LINES_OF_A_SIGNER = 2

_LAST_SECOND = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())


def root_of(hashes: Sequence[Digest]) -> Digest:
    """Return the Merkle root over blocks with these hashes, in hexadecimal."""
    return Digest(merkle.root([bytes.fromhex(found) for found in hashes]).hex())


def sign(
    key: IdentityKey, *, origin: str, size: int, root: Digest, at: datetime
) -> bytes:
    """Return the head over a ledger, signed by its log.

    Args:
        key: the orchestrator's.
        origin: the ledger's name.
        size: number of blocks, >= 1.
        root: over their hashes, in hexadecimal.
        at: UTC.
    """
    body = Checkpoint(origin=origin, size=size, root=bytes.fromhex(root)).body()
    lines = (
        cosignature.sign_log(
            body,
            name=origin,
            sign=key.sign_tlog_ed25519,
            public_key=key.public.tlog_ed25519,
        ),
        cosignature.sign_ml_dsa_44(
            body,
            name=origin,
            timestamp=int(at.timestamp()),
            sign=key.sign_tlog_ml_dsa_44,
            public_key=key.public.tlog_ml_dsa_44,
        ),
    )
    return Note(text=body, signatures=lines).to_bytes()


def cosign(
    head: bytes, key: IdentityKey, *, org: OrgId, at: datetime
) -> tuple[NoteSignature, ...]:
    """Return the two lines with which a member cosigns a head.

    Args:
        head: the note; everything about it was checked before.
        key: the member's.
        org: its name, which its lines carry.
        at: UTC.
    """
    body, timestamp = note.parse(head).text, int(at.timestamp())
    return (
        cosignature.sign_ed25519(
            body,
            name=org,
            timestamp=timestamp,
            sign=key.sign_tlog_ed25519,
            public_key=key.public.tlog_ed25519,
        ),
        cosignature.sign_ml_dsa_44(
            body,
            name=org,
            timestamp=timestamp,
            sign=key.sign_tlog_ml_dsa_44,
            public_key=key.public.tlog_ml_dsa_44,
        ),
    )


def verify_log(head: bytes, log: Log) -> Checkpoint:
    """Return what a head says, if the log signed it with both of its keys.

    Raises:
        BadSignature: another log's, or a signature that is missing or wrong.
        MalformedMessage: no head.
    """
    found = note.parse(head)
    if len(note.signers(found, note.keyring(_keys_of(log)))) != LINES_OF_A_SIGNER:
        raise BadSignature(f"the log {log.origin} did not sign this head with its keys")
    says = checkpoint.parse_body(found.text)
    if says.origin != log.origin or says.extensions:
        raise MalformedMessage(f"the head of another log, {says.origin}")
    return says


def member_lines(
    lines: Iterable[NoteSignature], *, head: bytes, org: OrgId, keys: Sequence[str]
) -> Note:
    """Return the head with a member's two lines, if both are good.

    Args:
        lines: what came.
        head: the note that they are for.
        org: the member.
        keys: its two verifier keys, of kinds 0x04 and 0x06.

    Raises:
        BadSignature: a line that does not verify, is missing, or is somebody else's.
        MalformedMessage: not two lines.
    """
    came = tuple(lines)
    if len(came) != LINES_OF_A_SIGNER or any(line.name != org for line in came):
        raise MalformedMessage(f"two lines by {org}, and no others")
    ring = note.keyring(map(note.parse_verifier_key, keys))
    found = note.parse(head)
    if len(note.signers(Note(text=found.text, signatures=came), ring)) != len(came):
        raise BadSignature(f"{org} did not cosign this head with both of its keys")
    return cosignature.merge(found, Note(text=found.text, signatures=came))


def without_strangers(head: bytes, *, log: Log, keys: Iterable[str]) -> bytes:
    """Return the head with the lines of the log and of these keys only, each once.

    Args:
        head: the note.
        log: who signs it.
        keys: verifier keys of the members.
    """
    ring = note.keyring((*_keys_of(log), *map(note.parse_verifier_key, keys)))
    found = note.parse(head)
    kept = dict.fromkeys(
        line for line in found.signatures if (line.name, line.key_id) in ring
    )
    return Note(text=found.text, signatures=tuple(kept)).to_bytes()


def cosigned_at(head: bytes, *, keys: Iterable[str]) -> datetime | None:
    """Return the latest time at which one of these keys cosigned, UTC.

    A time that no calendar has (a witness may write any) is passed over.

    Args:
        head: a note whose lines were verified.
        keys: verifier keys of witnesses.
    """
    ring = note.keyring(map(note.parse_verifier_key, keys))
    times = [
        cosignature.timestamp_of(line)
        for line in note.parse(head).signatures
        if (line.name, line.key_id) in ring
    ]
    known = [found for found in times if found <= _LAST_SECOND]
    return datetime.fromtimestamp(max(known), tz=UTC) if known else None


def _keys_of(log: Log) -> tuple[VerifierKey, VerifierKey]:
    """Return the two keys by which a log signs its heads."""
    return (
        VerifierKey(name=log.origin, kind=ED25519, public_key=log.keys.tlog_ed25519),
        VerifierKey(
            name=log.origin,
            kind=COSIGNATURE_ML_DSA_44,
            public_key=log.keys.tlog_ml_dsa_44,
        ),
    )
