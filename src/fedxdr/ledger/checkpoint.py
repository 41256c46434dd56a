# SPDX-License-Identifier: Apache-2.0
"""A checkpoint: the head of a transparency log, as text that is signed.

Its lines are the log's origin, the number of leaves, the Merkle root in base64, and
perhaps extension lines, each with a newline::

    example.com/federation
    42
    qINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=

Not here: signatures. What ``parse`` returns is what somebody wrote, not what anybody
stands for; note.py and policy.py say who signed it.

Rules that always hold: what is read is written back byte for byte; a size is below
2^63; a root has 32 bytes.

Source: C2SP tlog-checkpoint v1.0.0, "Note text".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fedxdr.core.errors import MalformedMessage
from fedxdr.ledger import note_form
from fedxdr.ledger.merkle import HASH_BYTES

MAX_SIZE = 2**63 - 1

_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,18})\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A tree head.

    Attributes:
        origin: the log's name; one line, not empty.
        size: number of leaves, in [0, 2^63).
        root: 32 bytes, the RFC 6962 root over the leaves.
        extensions: further lines, none of them empty. ML-DSA-44 cosignatures do not
            cover them.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for line in (self.origin, *self.extensions):
            _require_line(line)
        if not 0 <= self.size <= MAX_SIZE:
            raise MalformedMessage(f"a log has 0 to 2^63 - 1 leaves, not {self.size}")
        if len(self.root) != HASH_BYTES:
            raise MalformedMessage(f"a root has 32 bytes, got {len(self.root)}")

    def body(self) -> bytes:
        """Return the text that is signed, its last newline included."""
        root = note_form.to_base64(self.root)
        lines = (self.origin, str(self.size), root, *self.extensions)
        return "".join(f"{line}\n" for line in lines).encode()


def parse(text: bytes) -> Checkpoint:
    """Return the checkpoint of a body, or of a whole signed note.

    Of a note the signatures are read for their form and not checked.

    Args:
        text: the body with its last newline, or the note.

    Raises:
        MalformedMessage: not of that form.
    """
    # No line of a body is empty, so an empty line makes it a note.
    return parse_body(note_form.parse(text).text if b"\n\n" in text else text)


def parse_body(body: bytes) -> Checkpoint:
    """Return the checkpoint of a body, and of nothing else.

    Args:
        body: the text that is signed, its last newline included.

    Raises:
        MalformedMessage: not of that form; a note with its signatures is not.
    """
    if len(body) > note_form.MAX_NOTE_BYTES:
        raise MalformedMessage("a checkpoint has at most 1,000,000 bytes")
    lines = note_form.require_text(body).split("\n")
    if len(lines) < 4 or lines.pop():
        raise MalformedMessage("a checkpoint has three lines, each with its newline")
    origin, size, root, *extensions = lines
    return Checkpoint(
        origin=origin,
        size=parse_decimal(size),
        root=note_form.from_base64(root),
        extensions=tuple(extensions),
    )


def parse_decimal(text: str) -> int:
    """Return a number in [0, 2^63) from its one decimal spelling.

    Raises:
        MalformedMessage: signs, spaces, leading zeros, other digits, or too large.
    """
    if not _DECIMAL.match(text) or (found := int(text)) > MAX_SIZE:
        raise MalformedMessage("a number is 0 or more, below 2^63, without extra zeros")
    return found


def _require_line(line: str) -> None:
    if not line or "\n" in line:
        raise MalformedMessage("a line of a checkpoint is not empty and one line")
    try:
        note_form.require_text(line.encode())
    except UnicodeEncodeError as error:
        raise MalformedMessage("a checkpoint is UTF-8") from error
