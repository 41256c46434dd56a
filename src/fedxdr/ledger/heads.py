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

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime

from fedxdr.core.errors import BadSignature, MalformedMessage
from fedxdr.core.ids import Digest, OrgId
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import checkpoint, cosignature, merkle, note, policy
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.note_form import (
    COSIGNATURE_ML_DSA_44,
    ED25519,
    Note,
    NoteSignature,
    VerifierKey,
    parse_verifier_key,
)
from fedxdr.ledger.standing import Log, Standing, witness_keys

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
    ring = note.keyring(map(parse_verifier_key, keys))
    found = note.parse(head)
    if len(note.signers(Note(text=found.text, signatures=came), ring)) != len(came):
        raise BadSignature(f"{org} did not cosign this head with both of its keys")
    return cosignature.merge(found, Note(text=found.text, signatures=came))


def known_lines(head: bytes, standing: Standing) -> bytes:
    """Return the head with the lines that count, in their one order.

    The log's, then each cosigner's by name; of each the Ed25519 key's line before the
    ML-DSA-44 key's, and one of each key. Lines by anybody else are left out.

    Args:
        head: the note; nothing is verified.
        standing: what is in force after the newest block under the head.

    Raises:
        MalformedMessage: no note, no log, or no line that counts.
    """
    if standing.log is None:
        raise MalformedMessage("a ledger without a Genesis has no heads")
    members = (_witness_keys(standing, org) for org in sorted(standing.cosigners))
    found = note.parse(head)
    of_key = {(line.name, line.key_id): line for line in reversed(found.signatures)}
    kept = [
        of_key[key.name, key.key_id]
        for keys in (_keys_of(standing.log), *members)
        for key in keys
        if (key.name, key.key_id) in of_key
    ]
    return Note(text=found.text, signatures=tuple(kept)).to_bytes()


def cosigned_at(
    head: bytes, standing: Standing, by: Collection[OrgId]
) -> datetime | None:
    """Return when a head was cosigned, UTC, as f liars cannot put it off.

    A member's time is that of its last line; the answer is the (f + 1)-th latest, so
    that somebody honest cosigned then or later. A time that no calendar has (a witness
    may write any) is passed over.

    Args:
        head: a note whose lines were verified.
        standing: what is in force after the newest block under the head.
        by: which of its cosigners did.
    """
    times: list[int] = []
    for org in by:
        ring = note.keyring(_witness_keys(standing, org))
        told = [
            cosignature.timestamp_of(line)
            for line in note.parse(head).signatures
            if (line.name, line.key_id) in ring
        ]
        known = [found for found in told if found <= _LAST_SECOND]
        times += [max(known)] if known else []
    if not times:
        return None
    times.sort(reverse=True)
    at = times[min(policy.faults(len(standing.cosigners)), len(times) - 1)]
    return datetime.fromtimestamp(at, tz=UTC)


def _witness_keys(standing: Standing, org: OrgId) -> list[VerifierKey]:
    keys = witness_keys(org, standing.cosigners[org].keys)
    return [parse_verifier_key(key) for key in keys]


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
