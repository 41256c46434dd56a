# SPDX-License-Identifier: Apache-2.0
r"""Signing checkpoints, and the messages that are signed.

A log signs the body of its checkpoint itself (kind 0x01). A witness cosigns: at this
time I saw this head, and it extends all I saw before. Its signature line holds
``timestamp || signature``, the timestamp as 8 bytes, big-endian.

Not here: whether a head extends what was seen, and writing down what was signed before
it is handed out: both are the witness's own business and come first.

What is signed:

* kind 0x01, a log, Ed25519: the body.
* kind 0x04, a witness, Ed25519: two lines and the whole body, extensions included::

      cosignature/v1
      time TIMESTAMP

* kind 0x06, a witness, ML-DSA-44 with an empty context::

      "subtree/v1\n\0"                     12 bytes
      length of the name || name           1 byte and 1 to 255
      timestamp                            8 bytes, big-endian
      length of the origin || origin       1 byte and 1 to 255
      start = 0                            8 bytes, big-endian
      end = size                           8 bytes, big-endian
      root                                 32 bytes

  It names the witness and leaves the extension lines out.

Sources: C2SP signed-note v1.0.0; C2SP tlog-cosignature, "Ed25519 signed message" and
"ML-DSA-44 signed message"; RFC 8032; FIPS 204.
"""

from __future__ import annotations

from collections.abc import Callable

from fedxdr.core.errors import BadSignature, MalformedMessage
from fedxdr.crypto import signing
from fedxdr.ledger import checkpoint
from fedxdr.ledger.note_form import (
    COSIGNATURE_ED25519,
    COSIGNATURE_ML_DSA_44,
    ED25519,
    Note,
    NoteSignature,
    VerifierKey,
)

MAX_TIMESTAMP = 2**63 - 1

_TIME_BYTES = 8
_SIGNATURE_BYTES = {
    ED25519: 64,
    COSIGNATURE_ED25519: _TIME_BYTES + 64,
    COSIGNATURE_ML_DSA_44: _TIME_BYTES + 2420,
}
_ALGORITHMS = {
    ED25519: "ed25519",
    COSIGNATURE_ED25519: "ed25519",
    COSIGNATURE_ML_DSA_44: "ml-dsa-44",
}


def sign_log(
    body: bytes, *, name: str, sign: Callable[[bytes], bytes], public_key: bytes
) -> NoteSignature:
    """Return a log's own signature line over a body, kind 0x01.

    Args:
        body: the text of a note, for a log that of a checkpoint.
        name: of the key; for a log its origin.
        sign: bytes -> 64 bytes of Ed25519.
        public_key: 32 bytes.

    Raises:
        MalformedMessage: a name or key that notes cannot carry, or a signature of
            another length.
    """
    key = VerifierKey(name=name, kind=ED25519, public_key=public_key)
    return _line(key, sign(body))


def sign_ed25519(
    body: bytes,
    *,
    name: str,
    timestamp: int,
    sign: Callable[[bytes], bytes],
    public_key: bytes,
) -> NoteSignature:
    """Return a witness's Ed25519 cosignature of a checkpoint, kind 0x04.

    Args:
        body: of the checkpoint.
        name: of the witness's key.
        timestamp: seconds since the Epoch, in [1, 2^63).
        sign: bytes -> 64 bytes of Ed25519.
        public_key: 32 bytes.

    Raises:
        MalformedMessage: not a checkpoint, or a name, key, time or signature that
            does not fit.
    """
    key = VerifierKey(name=name, kind=COSIGNATURE_ED25519, public_key=public_key)
    return _cosign(body, key=key, timestamp=timestamp, sign=sign)


def sign_ml_dsa_44(
    body: bytes,
    *,
    name: str,
    timestamp: int,
    sign: Callable[[bytes], bytes],
    public_key: bytes,
) -> NoteSignature:
    """Return a witness's ML-DSA-44 cosignature of a checkpoint, kind 0x06.

    Args:
        body: of the checkpoint; its extension lines are not covered.
        name: of the witness's key, at most 255 bytes.
        timestamp: seconds since the Epoch, in [1, 2^63).
        sign: bytes -> 2,420 bytes of ML-DSA-44 with an empty context.
        public_key: 1,312 bytes.

    Raises:
        MalformedMessage: not a checkpoint, or a name, key, time or signature that
            does not fit.
    """
    key = VerifierKey(name=name, kind=COSIGNATURE_ML_DSA_44, public_key=public_key)
    return _cosign(body, key=key, timestamp=timestamp, sign=sign)


def timestamp_of(signature: NoteSignature) -> int:
    """Return when a witness says it cosigned, in seconds since the Epoch.

    Only a line that was verified says anything; the line itself does not tell its kind.

    Raises:
        MalformedMessage: a line that has no room for a time, or one above 2^63 - 1.
    """
    if len(signature.signature) <= _TIME_BYTES:
        raise MalformedMessage("a cosignature is 8 bytes of time and a signature")
    found = int.from_bytes(signature.signature[:_TIME_BYTES], "big")
    if found > MAX_TIMESTAMP:
        raise MalformedMessage("a cosignature's time is at most 2^63 - 1")
    return found


def merge(first: Note, second: Note) -> Note:
    """Return one note with the lines of both: those of the first, then what is new.

    Raises:
        MalformedMessage: notes over two texts, or too many lines together.
    """
    if first.text != second.text:
        raise MalformedMessage("two notes over two texts cannot be merged")
    lines = dict.fromkeys((*first.signatures, *second.signatures))
    return Note(text=first.text, signatures=tuple(lines))


def message_of(body: bytes, *, key: VerifierKey, timestamp: int = 0) -> bytes:
    """Return the bytes that a key signs for a body.

    Args:
        body: the text of a note; of a checkpoint for the kinds 0x04 and 0x06.
        key: its kind says which message.
        timestamp: in [0, 2^63); not part of the message of kind 0x01.

    Raises:
        MalformedMessage: no checkpoint where one is cosigned, or a name or origin of
            more than 255 bytes under ML-DSA-44.
    """
    if key.kind == ED25519:
        return body
    head = checkpoint.parse_body(body)
    if key.kind == COSIGNATURE_ED25519:
        return b"cosignature/v1\ntime %d\n" % timestamp + head.body()
    return b"".join(
        (
            b"subtree/v1\n\0",
            _opaque(key.name),
            timestamp.to_bytes(8, "big"),
            _opaque(head.origin),
            (0).to_bytes(8, "big"),
            head.size.to_bytes(8, "big"),
            head.root,
        )
    )


def verify_line(body: bytes, signature: NoteSignature, key: VerifierKey) -> None:
    """Return if a key signed a body with this line.

    Args:
        body: the text of the note.
        signature: a line with the name and key ID of the key.
        key: whose line it is.

    Raises:
        BadSignature: it does not verify, or has another length than its kind.
        MalformedMessage: a cosignature over what is no checkpoint, or a time above
            2^63 - 1.
    """
    wanted = _SIGNATURE_BYTES[key.kind]
    if len(signature.signature) != wanted:
        raise BadSignature(
            f"the line of {key.name} has {len(signature.signature)} bytes of "
            f"signature, want {wanted}"
        )
    timestamp, signed = 0, signature.signature
    if key.kind != ED25519:
        timestamp, signed = timestamp_of(signature), signed[_TIME_BYTES:]
    try:
        signing.verify(
            algorithm=_ALGORITHMS[key.kind],
            public_key=key.public_key,
            message=message_of(body, key=key, timestamp=timestamp),
            signature=signed,
        )
    except BadSignature as error:
        raise BadSignature(f"the line of {key.name} does not verify") from error


def _cosign(
    body: bytes, *, key: VerifierKey, timestamp: int, sign: Callable[[bytes], bytes]
) -> NoteSignature:
    if not 1 <= timestamp <= MAX_TIMESTAMP:
        raise MalformedMessage("a witness cosigns at a time in [1, 2^63) seconds")
    signed = sign(message_of(body, key=key, timestamp=timestamp))
    return _line(key, timestamp.to_bytes(_TIME_BYTES, "big") + signed)


def _line(key: VerifierKey, signature: bytes) -> NoteSignature:
    if len(signature) != _SIGNATURE_BYTES[key.kind]:
        raise MalformedMessage(
            f"a line of kind {key.kind:#04x} has {_SIGNATURE_BYTES[key.kind]} bytes, "
            f"got {len(signature)}"
        )
    return NoteSignature(name=key.name, key_id=key.key_id, signature=signature)


def _opaque(text: str) -> bytes:
    """Return length and bytes, as RFC 8446 section 3.4 has ``opaque<1..2^8-1>``."""
    data = text.encode()
    if not 1 <= len(data) <= 255:
        raise MalformedMessage("ML-DSA-44 cosigns names and origins of 1 to 255 bytes")
    return bytes([len(data)]) + data
