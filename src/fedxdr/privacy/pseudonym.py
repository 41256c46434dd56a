# SPDX-License-Identifier: Apache-2.0
"""Keyed pseudonyms: an entity becomes a 64-bit token that only its organisation links.

A token is the first 8 bytes of HMAC-SHA256(key, label || 0x00 || kind || 0x00 || name).
The same entity has the same token everywhere inside one organisation, so that graphs
can be built; under another organisation's key the token is another, so that tokens of
two organisations cannot be joined.

It does NOT make records anonymous: who holds the key can try every address, and a
pattern of traffic can betray a host under any name. Tokens never leave the
organisation; the key is as secret as the logs.

Rule 1: one spelling per entity. IPv6 addresses are compressed, IPv4-mapped ones become
IPv4, names are lower-cased, so that two sensors agree.
Rule 2: no entity has the token 0, which means "not known".
Rule 3: the key is never shown, logged or derived from anything public.

Source: RFC 2104 (HMAC), RFC 5952 (IPv6 spelling).
"""

from __future__ import annotations

import functools
import hmac
import ipaddress
from typing import Final, Literal

from typing_extensions import override

from fedxdr.core.errors import InvalidSettings

EntityKind = Literal["address", "user", "service"]
"""Kinds of entities; the same name in two kinds is two entities."""

KEY_BYTES: Final = 32
TOKEN_BYTES: Final = 8
_LABEL: Final = b"fedxdr/pseudonym/v1"


class Pseudonymiser:
    """Tokens of one organisation's entities.

    Args:
        key: 32 secret bytes, one per organisation.
        cache_size: entities whose tokens are remembered, >= 0; the least recently
            used is forgotten first, so memory stays bounded at any number of entities.

    Raises:
        InvalidSettings: a key that is not 32 bytes long.
    """

    __slots__ = ("_key", "_remembered")

    def __init__(self, key: bytes, *, cache_size: int = 131_072) -> None:
        if len(key) != KEY_BYTES:
            raise InvalidSettings(
                f"a pseudonymisation key has {KEY_BYTES} bytes, got {len(key)}"
            )
        self._key = key
        self._remembered = functools.lru_cache(maxsize=cache_size)(self._compute)

    @override
    def __repr__(self) -> str:
        return "Pseudonymiser(<key hidden>)"

    def token(self, kind: EntityKind, text: str) -> int:
        """Return the token of an entity, in [-2^63, 2^63), never 0.

        Args:
            kind: what the name names.
            text: the entity's name, in any spelling of rule 1.
        """
        return self._remembered(kind, text)

    def address(self, text: str) -> int:
        """Return the token of a network address; what parsers take as ``tokenise``."""
        return self._remembered("address", text)

    def user(self, text: str) -> int:
        """Return the token of an account, with its domain as the log writes it."""
        return self._remembered("user", text)

    def _compute(self, kind: EntityKind, text: str) -> int:
        name = canonical_address(text) if kind == "address" else text.lower()
        message = b"\x00".join((_LABEL, kind.encode(), name.encode("utf-8", "replace")))
        digest = hmac.digest(self._key, message, "sha256")
        return int.from_bytes(digest[:TOKEN_BYTES], "big", signed=True) or 1


def canonical_address(text: str) -> str:
    """Return the one spelling of a network address.

    Args:
        text: an IPv4 or IPv6 address, with or without a zone (``%eth0``), or any other
            name of a host, which is lower-cased and stripped.
    """
    bare = text.strip().lower()
    if ":" not in bare:
        return bare
    try:
        address = ipaddress.IPv6Address(bare.partition("%")[0])
    except ipaddress.AddressValueError:
        return bare
    return str(address.ipv4_mapped or address)
