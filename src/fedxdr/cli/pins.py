# SPDX-License-Identifier: Apache-2.0
"""``--pin``: which ledger a bundle must be, as known from elsewhere; read in one place.

64 hexadecimal digits are the hash of the Genesis, though they are good base64 as well;
anything else is the first orchestrator's Ed25519 key.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from fedxdr.core.errors import InvalidSettings
from fedxdr.core.ids import Digest, digest

HELP = (
    "Hash of the Genesis, hexadecimal (`members list` prints it); or the "
    "orchestrator's Ed25519 key, base64."
)

_GENESIS = re.compile(r"[0-9a-fA-F]{64}")
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What a bundle is held against; nothing without ``--pin``.

    Attributes:
        genesis: hash of block 0.
        key: the first orchestrator's Ed25519 key, 32 bytes.
    """

    genesis: Digest | None = None
    key: bytes | None = None


def read_pin(text: str | None) -> Pin:
    """Return what a person pinned.

    Raises:
        InvalidSettings: neither a hash nor a key.
    """
    if text is None:
        return Pin()
    if _GENESIS.fullmatch(text):
        return Pin(genesis=digest(text.lower()))
    try:
        key = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise InvalidSettings(
            "--pin takes the hash of the Genesis (64 hexadecimal digits), or the "
            "orchestrator's key in base64"
        ) from error
    if len(key) != _KEY_BYTES:
        raise InvalidSettings(
            f"--pin takes a key of {_KEY_BYTES} bytes in base64, this has {len(key)}; "
            "or the hash of the Genesis, 64 hexadecimal digits"
        )
    return Pin(key=key)
