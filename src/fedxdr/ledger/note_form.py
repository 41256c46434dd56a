# SPDX-License-Identifier: Apache-2.0
"""The form of a signed note: text, signature lines, verifier keys.

A note is a text that ends in a newline, an empty line, and one or more signature
lines::

    — NAME BASE64(4-byte key ID || signature)

Not here: whether a signature is good (note.py) and what the text says (checkpoint.py).

Rules that always hold: what is read is written back byte for byte; base64 has its one
canonical spelling (RFC 4648 section 4, with padding, spare bits zero); a key ID is
``SHA-256(name || 0x0A || kind || public key)[:4]``.

Limits of this house: 1,000,000 bytes and 1,024 signature lines. The specification asks
for at least 16 lines; a checkpoint here carries two lines of each organisation, of
which there may be 100, one or two of the log, and those of keys rotated meanwhile.

Source: C2SP signed-note v1.0.0, "Format", "Signatures" and "Verifier keys".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

from typing_extensions import override

from fedxdr.core.errors import MalformedMessage

MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 1_024

ED25519 = 0x01  # over the text itself: how a log signs
COSIGNATURE_ED25519 = 0x04  # cosignature/v1, with a time
COSIGNATURE_ML_DSA_44 = 0x06  # subtree/v1, with a time

PUBLIC_KEY_BYTES = {ED25519: 32, COSIGNATURE_ED25519: 32, COSIGNATURE_ML_DSA_44: 1312}

_KEY_ID_BYTES = 4
_MARK = "— "
# All below U+0020 but the newline.
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """One signature line.

    Attributes:
        name: of the key; no spaces, no plus.
        key_id: 4 bytes.
        signature: 1 byte or more; what stands in it follows from the kind of the key,
            which the line does not say.
    """

    name: str
    key_id: bytes
    signature: bytes

    def __post_init__(self) -> None:
        require_name(self.name)
        if len(self.key_id) != _KEY_ID_BYTES:
            raise MalformedMessage(f"a key ID has 4 bytes, got {len(self.key_id)}")
        if not self.signature:
            raise MalformedMessage("a signature line without a signature")

    def line(self) -> str:
        """Return the line, with its newline."""
        return f"{_MARK}{self.name} {to_base64(self.key_id + self.signature)}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A signed text.

    Attributes:
        text: UTF-8, ends in a newline, no control characters but newlines.
        signatures: the lines, in order, at least one; good or not.
    """

    text: bytes
    signatures: tuple[NoteSignature, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.signatures) <= MAX_SIGNATURES:
            raise MalformedMessage(
                f"a note has 1 to {MAX_SIGNATURES} signature lines, got "
                f"{len(self.signatures)}"
            )
        if not require_text(self.text).endswith("\n"):
            raise MalformedMessage("the text of a note ends in a newline")

    def to_bytes(self) -> bytes:
        """Return the note as it is stored and sent.

        Raises:
            MalformedMessage: longer than a note may be.
        """
        lines = "".join(signature.line() for signature in self.signatures)
        data = self.text + b"\n" + lines.encode()
        if len(data) > MAX_NOTE_BYTES:
            raise MalformedMessage(f"a note has at most {MAX_NOTE_BYTES} bytes")
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A public key that signs notes under a name.

    Attributes:
        name: no spaces, no plus.
        kind: 0x01, 0x04 or 0x06.
        public_key: 32 bytes of Ed25519 or 1,312 bytes of ML-DSA-44.
    """

    name: str
    kind: int
    public_key: bytes

    def __post_init__(self) -> None:
        require_name(self.name)
        wanted = PUBLIC_KEY_BYTES.get(self.kind)
        if wanted is None:
            raise MalformedMessage(f"no verifier key of kind {self.kind:#04x} here")
        if len(self.public_key) != wanted:
            raise MalformedMessage(
                f"a verifier key of kind {self.kind:#04x} has {wanted} bytes, got "
                f"{len(self.public_key)}"
            )

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that signature lines name the key by."""
        return key_hash(name=self.name, kind=self.kind, public_key=self.public_key)

    @override
    def __str__(self) -> str:
        material = to_base64(bytes([self.kind]) + self.public_key)
        return f"{self.name}+{self.key_id.hex()}+{material}"


def key_hash(*, name: str, kind: int, public_key: bytes) -> bytes:
    """Return SHA-256(name || 0x0A || kind || public key)[:4], 4 bytes."""
    hashed = name.encode() + b"\n" + bytes([kind]) + public_key
    return hashlib.sha256(hashed).digest()[:_KEY_ID_BYTES]


def verifier_key(*, name: str, kind: int, public_key: bytes) -> str:
    """Return a public key in the form that policies list.

    Args:
        name: no spaces, no plus.
        kind: 0x01, 0x04 or 0x06.
        public_key: 32 bytes of Ed25519 or 1,312 bytes of ML-DSA-44.

    Raises:
        MalformedMessage: any other name, kind or length.
    """
    return str(VerifierKey(name=name, kind=kind, public_key=public_key))


# A ledger asks for the same few hundred keys at every head.
@lru_cache(maxsize=1_024)
def parse_verifier_key(text: str) -> VerifierKey:
    """Return the key of a line ``NAME+HEX(key ID)+BASE64(kind || public key)``.

    Raises:
        MalformedMessage: not of that form, of another kind, or with a key ID that does
            not follow from name, kind and key.
    """
    # (base64 has plus signs of its own: only the first two divide)
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise MalformedMessage("a verifier key is NAME+KEYID+KEY")
    material = from_base64(parts[2])
    key = VerifierKey(name=parts[0], kind=material[0], public_key=material[1:])
    if key.key_id.hex() != parts[1]:
        raise MalformedMessage(
            f"the verifier key does not say its own key ID, {key.key_id.hex()}"
        )
    return key


def parse(data: bytes) -> Note:
    """Return the note of these bytes, its signatures unchecked.

    Raises:
        MalformedMessage: too long, not UTF-8, with control characters, without text,
            empty line or signature lines, or with a line that is no signature line.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise MalformedMessage(
            f"a note has at most {MAX_NOTE_BYTES} bytes, got {len(data)}"
        )
    whole = require_text(data)
    # The last empty line divides; the text before it may have some of its own.
    at = whole.rfind("\n\n")
    if at < 0:
        raise MalformedMessage("a note has an empty line between text and signatures")
    text, block = whole[: at + 1], whole[at + 2 :]
    if not block.endswith("\n"):
        raise MalformedMessage("a note ends in a signature line and its newline")
    if block.count("\n") > MAX_SIGNATURES:
        raise MalformedMessage(f"a note has at most {MAX_SIGNATURES} signature lines")
    return Note(
        text=text.encode(),
        signatures=tuple(_parse_line(line) for line in block[:-1].split("\n")),
    )


def parse_lines(data: bytes) -> tuple[NoteSignature, ...]:
    """Return signature lines that came without their text.

    Raises:
        MalformedMessage: not lines, too many, or none.
    """
    block = require_text(data[:MAX_NOTE_BYTES])
    if not block.endswith("\n") or block.count("\n") > MAX_SIGNATURES:
        raise MalformedMessage("signature lines, each with its newline")
    return tuple(_parse_line(line) for line in block[:-1].split("\n"))


def _parse_line(line: str) -> NoteSignature:
    if not line.startswith(_MARK):
        raise MalformedMessage("a signature line begins with an em dash and a space")
    name, space, encoded = line[len(_MARK) :].partition(" ")
    if not space:
        raise MalformedMessage("a signature line without a signature")
    signed = from_base64(encoded)
    return NoteSignature(
        name=name, key_id=signed[:_KEY_ID_BYTES], signature=signed[_KEY_ID_BYTES:]
    )


def require_name(name: str) -> None:
    """Return if a key may have this name.

    Raises:
        MalformedMessage: empty, or with a Unicode space, a plus, a control character or
            what UTF-8 cannot say.
    """
    if not name or "+" in name or any(map(str.isspace, name)) or _CONTROLS.search(name):
        raise MalformedMessage("a key name is not empty and has no spaces and no plus")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise MalformedMessage("a key name is UTF-8") from error


def require_text(data: bytes) -> str:
    """Return bytes of a note as text.

    Raises:
        MalformedMessage: not UTF-8, or control characters other than newlines.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise MalformedMessage("a note is UTF-8") from error
    if _CONTROLS.search(text):
        raise MalformedMessage("a note has no control characters but newlines")
    return text


def to_base64(data: bytes) -> str:
    """Return bytes in base64, RFC 4648 section 4, with padding."""
    return base64.b64encode(data).decode()


def from_base64(text: str) -> bytes:
    """Return the bytes of base64 in its one canonical spelling, at least one byte.

    Raises:
        MalformedMessage: another alphabet, no padding, spare bits set, or nothing.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedMessage("this is no base64") from error
    if not data or to_base64(data) != text:
        raise MalformedMessage("base64 that is empty or not in its one spelling")
    return data
