# SPDX-License-Identifier: Apache-2.0
"""Names of organisations, rounds and digests: never a bare ``str``.

``OrgId`` and ``RoundId`` are lower-case letters, digits and hyphens, so that they are
safe in paths, URLs and file names. ``Digest`` is 64 lower-case hexadecimal digits.
"""

from __future__ import annotations

import hashlib
import re
from typing import NewType

from fedxdr.core.errors import MalformedMessage

OrgId = NewType("OrgId", str)
RoundId = NewType("RoundId", str)
Digest = NewType("Digest", str)

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


def org_id(text: str) -> OrgId:
    """Return text as an organisation's name.

    Args:
        text: 1 to 64 characters of ``a-z``, ``0-9`` and inner hyphens.

    Raises:
        MalformedMessage: any other text.
    """
    return OrgId(_name(text, "organisation"))


def round_id(text: str) -> RoundId:
    """Return text as a round's name; the same form as an organisation's.

    Raises:
        MalformedMessage: any other text.
    """
    return RoundId(_name(text, "round"))


def digest(text: str) -> Digest:
    """Return text as a SHA-256 digest in hexadecimal.

    Raises:
        MalformedMessage: not 64 lower-case hexadecimal digits.
    """
    if not _DIGEST.match(text):
        raise MalformedMessage("a digest is 64 lower-case hexadecimal digits")
    return Digest(text)


def sha256(*parts: bytes) -> Digest:
    """Return SHA-256 over the concatenated parts, in hexadecimal."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part)
    return Digest(state.hexdigest())


def _name(text: str, what: str) -> str:
    if not _NAME.match(text):
        raise MalformedMessage(
            f"the name of {'an' if what[0] in 'aeiou' else 'a'} {what} has 1 to 64 of "
            "a-z, 0-9 and inner hyphens"
        )
    return text
