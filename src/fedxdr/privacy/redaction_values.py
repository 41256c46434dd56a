# SPDX-License-Identifier: Apache-2.0
"""Judges single values: a card's number, an IPv6 address, a name, a secret.

It does NOT search (redaction_scan.py): it is handed what a pattern or a field proposes.

Rule: a word that could be a name or a secret is one, unless a list says it is a plain
word; in doubt a value is hidden.

Sources: ISO/IEC 7812-1 annex B (Luhn) and the issuers' published ranges; RFC 4291.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import Final

from fedxdr.privacy.redaction_names import is_no_secret, is_plain_word
from fedxdr.privacy.redaction_patterns import IPV4

IPV4_INSIDE: Final = re.compile(rf"(?<![0-9.~]){IPV4}(?![\w.]|-[A-Za-z])")
"""An IPv4 address inside a word that is no host's name."""
SHAPED: Final = re.compile(r"[0-9._$-]")
"""Marks of a name that is no plain word."""
_WEAK_SECRETS: Final = frozenset(
    ["token", "session", "cookie", "community", "pin", "pass", "secret", "credential"]
)
_WEAK_HOSTS: Final = frozenset(
    [
        *("client", "server", "peer", "site", "query", "relay", "gateway", "helo"),
        *("domain", "sensor", "collector", "asset", "machine"),
    ]
)


def kind_of_name(kind: str, name: str, key: str = "") -> str:
    """Return what a name in a field of users, hosts or realms is; empty for none.

    Args:
        kind: ``user``, ``host`` or ``account``, by the field.
        name: the value.
        key: the field's name in lower case, where it alone says little.
    """
    if is_plain_word(name):
        return ""
    if IPV4_INSIDE.fullmatch(name):
        return "address"
    if "@" in name and kind == "user":
        return "email"
    if "\\" in name:
        return "account"
    if kind == "host":
        has_letter = any(map(str.isalpha, name))
        if not has_letter or (key in _WEAK_HOSTS and not SHAPED.search(name)):
            return ""
    if kind == "user" and name.isdigit() and key.endswith("id"):
        return ""
    return kind


def is_secret(key: str, value: str) -> bool:
    """Return whether the value of a field of secrets is one.

    Args:
        key: the field's name in lower case.
        value: at least one character.
    """
    if is_no_secret(value.rstrip(".,:")) or not value.strip("*x.-"):
        return False
    if value.startswith("-----BEGIN") or (key == "pwd" and value[0] in "/~"):
        return False  # a key that has its own pattern; the working directory
    if key in _WEAK_SECRETS:
        return len(value) >= 8 and any(map(str.isalpha, value))
    return True


@functools.lru_cache(maxsize=8_192)
def is_ipv6(text: str) -> bool:
    """Return whether a text of hexadecimal digits and colons is an IPv6 address."""
    if "::" not in text and text.count(":") not in {6, 7}:
        return False
    try:
        ipaddress.IPv6Address(text.partition("%")[0])
    except ipaddress.AddressValueError:
        return False
    return any(map(str.isalnum, text))


def is_card(text: str) -> bool:
    """Return whether digits are a payment card's: issuer, length and check digit.

    Args:
        text: digits, with spaces or hyphens between them.
    """
    digits = [int(c) for c in text if c.isdigit()]
    first = int("".join(map(str, digits[:4])) or 0)
    size = len(digits)
    is_issued = (
        (4000 <= first < 5000 and size in {13, 16, 19})
        or (5100 <= first < 5600 and size == 16)
        or (2221 <= first <= 2720 and size == 16)
        or (first // 100 in {34, 37} and size == 15)
        or ((first == 6011 or 6440 <= first < 6600) and size in {16, 19})
        or (3528 <= first <= 3589 and size == 16)
        or (first // 100 in {30, 36, 38} and size == 14)
        or (first // 100 == 62 and 16 <= size <= 19)
        or (first // 100 in {50, 56, 57, 58, 63, 67} and 13 <= size <= 19)
    )
    if not is_issued:
        return False
    doubled = [
        digit * 2 - 9 * (digit > 4) if place % 2 else digit
        for place, digit in enumerate(reversed(digits))
    ]
    return sum(doubled) % 10 == 0
