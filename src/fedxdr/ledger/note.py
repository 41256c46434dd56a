# SPDX-License-Identifier: Apache-2.0
"""Verifying signed notes: who of those we know stands for a text.

Not here: how many must sign and whose word counts (policy.py), and what the text says
(checkpoint.py). Nothing of a text may be used before its note was verified.

Rules that always hold: a line of a key we know (name AND key ID) must verify, or the
whole note is refused; a line of any other key is ignored, whatever it holds, as long
as it has the form of a line; a note that nobody we know signed is refused.

The specification lets a verifier be lenient about the first rule. Here a bad line under
a known name is never met in good faith: lines are verified before they are merged.

Source: C2SP signed-note v1.0.0, "Signatures"; C2SP tlog-cosignature.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fedxdr.core.errors import BadSignature, MalformedMessage
from fedxdr.ledger import cosignature
from fedxdr.ledger.note_form import (
    Note,
    NoteSignature,
    VerifierKey,
    key_hash,
    parse,
    parse_verifier_key,
    verifier_key,
)

__all__ = [
    "Keyring",
    "Note",
    "NoteSignature",
    "VerifierKey",
    "key_hash",
    "keyring",
    "parse",
    "parse_verifier_key",
    "signers",
    "verifier_key",
    "verify",
]

# Name and key ID -> the one key that signs under both.
Keyring = Mapping[tuple[str, bytes], VerifierKey]


def verify(text: bytes, verifier_keys: list[str]) -> tuple[str, ...]:
    """Return which of these keys signed a note.

    Args:
        text: the whole note: its text, an empty line, its signature lines.
        verifier_keys: ``NAME+KEYID+KEY`` each, of kind 0x01, 0x04 or 0x06.

    Returns:
        The names of the keys that signed, in the order of their first lines, one for
        each key. Two keys of one name give the name twice.

    Raises:
        MalformedMessage: the note or a key is not of its form, two different keys share
            name and key ID, or a witness cosigned what is no checkpoint.
        BadSignature: a line of a known key does not verify, or none of them signed.
    """
    found = signers(parse(text), keyring(map(parse_verifier_key, verifier_keys)))
    if not found:
        raise BadSignature("none of the keys we know signed this note")
    return tuple(key.name for key in found)


def keyring(keys: Iterable[VerifierKey]) -> Keyring:
    """Return keys by name and key ID.

    Raises:
        MalformedMessage: two different keys share both.
    """
    ring: dict[tuple[str, bytes], VerifierKey] = {}
    for key in keys:
        if ring.setdefault((key.name, key.key_id), key) != key:
            raise MalformedMessage(f"two keys {key.name}+{key.key_id.hex()}")
    return ring


def signers(note: Note, ring: Keyring) -> Sequence[VerifierKey]:
    """Return the known keys that signed a note, in the order of their first lines.

    Each line of a known key is verified, once; there may be none.

    Raises:
        BadSignature: a line of a known key does not verify.
        MalformedMessage: a witness cosigned what is no checkpoint.
    """
    found: dict[VerifierKey, None] = {}
    for line in dict.fromkeys(note.signatures):
        key = ring.get((line.name, line.key_id))
        if key is not None:
            cosignature.verify_line(note.text, line, key)
            found[key] = None
    return tuple(found)
