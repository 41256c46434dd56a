# SPDX-License-Identifier: Apache-2.0
"""What stands in place of an entity: keyed tokens, coarse forms, or a bare mark.

A token is the kind and 80 bits of HMAC-SHA256: ``host-5f1c07a9d2e4b8633a90``. The
same entity has the same token wherever it stands, under one key. Of a URL the scheme
stays, its host and path become tokens, its query goes; of a file's name its ending
stays. Cards, secrets and contents leave no trace but ``[card]``.

It does NOT make anonymous: whoever holds the key can try all addresses and names, and
who talks to whom how often stays visible. The key is as secret as the logs.

Rule 1: one spelling per entity (as in pseudonym.py): case, separators and compressed
addresses do not matter.
Rule 2: a key belongs to one organisation and one epoch (``epoch_key``); tokens of two
of them cannot be joined.
Rule 3: what is remembered is bounded; nothing is fetched or written.

Source: RFC 2104 (HMAC); RFC 5869 (keys of an epoch).
"""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import re
from typing import Final, Literal

from typing_extensions import override

from fedxdr.core.errors import InvalidSettings
from fedxdr.crypto.expand import hkdf
from fedxdr.privacy.addresses import parse, prefix, show
from fedxdr.privacy.pseudonym import KEY_BYTES, canonical_address

TOKEN_BYTES: Final = 10
_HASH_BLOCK_BYTES: Final = 64
_LABEL: Final = b"fedxdr/redaction/v1"
_URL: Final = re.compile(
    r"(?:([A-Za-z][\w+.-]{0,20})://(?:[^/?#@\s]{0,256}@)?(\[[^\]]{0,64}\]|[^/:?#]{0,253})"
    r"(:[0-9]{1,5})?)?([^?#]*)",
    re.DOTALL,
)
_NOT_ALNUM: Final = re.compile(r"[^0-9a-z]")
_ENDING: Final = re.compile(r"\.[A-Za-z0-9]{1,8}$")

AddressForm = Literal["token", "prefix"]
"""How addresses are shown: as tokens, or as addresses that keep shared prefixes."""


def epoch_key(master: bytes, *, organisation: str, epoch: str) -> bytes:
    """Return an organisation's pseudonymisation key for one epoch, 32 bytes.

    Args:
        master: at least 32 secret bytes that never leave the organisation.
        organisation: its identifier.
        epoch: a name for the time the key is used, for example ``2026-11``.
    """
    context = f"{organisation}\x00{epoch}".encode()
    return hkdf(master, label="fedxdr/redaction/epoch/v1", context=context)


class Tokens:
    """Replaces entities under one key.

    Args:
        key: 32 secret bytes.
        addresses: how addresses are shown.
        cache_size: entities whose replacement is remembered, >= 0.

    Raises:
        InvalidSettings: a key of another length.
    """

    __slots__ = ("_inner", "_outer", "_prefix_key", "_with_prefixes", "replace")

    def __init__(
        self,
        key: bytes,
        *,
        addresses: AddressForm = "token",
        cache_size: int = 131_072,
    ) -> None:
        if len(key) != KEY_BYTES:
            raise InvalidSettings(f"a key has {KEY_BYTES} bytes, got {len(key)}")
        # HMAC's two hashes with the key already in: copied for each token
        padded = key.ljust(_HASH_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + _LABEL)
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))
        self._with_prefixes = addresses == "prefix"
        self._prefix_key = hkdf(key, label="fedxdr/redaction/prefix/v1")
        self.replace = functools.lru_cache(maxsize=cache_size)(self._replacement)
        """``replace(kind, text)`` returns what stands in place of the entity."""

    @override
    def __repr__(self) -> str:
        return "Tokens(<key hidden>)"

    def token(self, kind: str, name: str) -> str:
        """Return the token of a name in its one spelling."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(f"\x00{kind}\x00{name}".encode("utf-8", "replace"))
        outer.update(inner.digest())
        return f"{kind}-{outer.digest()[:TOKEN_BYTES].hex()}"

    def _replacement(self, kind: str, text: str) -> str:
        match kind:
            case "card" | "secret" | "content":
                return f"[{kind}]"
            case "address":
                return self._address(text)
            case "url":
                return self._url(text)
            case "file":
                ending = _ENDING.search(text)
                return self.token(kind, text.lower()) + (ending[0] if ending else "")
            case "mac" | "phone":
                return self.token(kind, _NOT_ALNUM.sub("", text.lower()))
            case "account":
                return self.token(kind, text.lower().replace("\\\\", "\\"))
            case "host":
                return self.token(kind, text.lower().rstrip("."))
            case _:
                return self.token(kind, text.lower())

    def _address(self, text: str) -> str:
        name = canonical_address(text.strip("[]"))
        if self._with_prefixes:
            return show(prefix(parse([name]), self._prefix_key))[0]
        return self.token("address", name)

    def _url(self, text: str) -> str:
        parts = _URL.match(text)
        if parts is None:  # the pattern matches any text; this satisfies the checker
            return self.token("url", text)
        scheme, host, port, path = parts.groups()
        tail = "" if path in {"", "/"} else "/" + self.token("path", path)
        if scheme is None:
            return tail or "/"
        where = self.replace("address" if is_address(host) else "host", host)
        return f"{scheme.lower()}://{where}{port or ''}{tail}"


@functools.lru_cache(maxsize=16_384)
def is_address(text: str) -> bool:
    """Return whether a text is an IPv4 or IPv6 address, in brackets or not."""
    try:
        ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return False
    return True
