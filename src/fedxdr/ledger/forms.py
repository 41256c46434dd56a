# SPDX-License-Identifier: Apache-2.0
"""The forms that fields of entries, blocks and statements have.

Not here: what the fields mean (entries.py, statements.py), canonical bytes (core).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import OrgId, org_id

TEXT_LIMIT = 500
RESERVED_NAMES = frozenset({"auditor", "none", "operator", "orchestrator"})
"""What no organisation can be called: others go by these names, or nobody does."""

NESTING_LIMIT = 32

_P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
_ORIGIN = re.compile(r"[!-*,-~]{1,255}\Z")


def require_text(text: str, what: str) -> None:
    """Refuse a text that is empty, longer than 500 characters or not printable.

    Raises:
        MalformedMessage: such a text.
    """
    if not 1 <= len(text) <= TEXT_LIMIT or not text.isprintable():
        raise MalformedMessage(f"{what} has 1 to {TEXT_LIMIT} printable characters")


def require_origin(origin: str) -> None:
    """Refuse what cannot be a ledger's name in signed heads.

    Raises:
        MalformedMessage: such a text.
    """
    if not _ORIGIN.match(origin):
        raise MalformedMessage(
            "an origin has 1 to 255 printable ASCII characters, no blank, no plus"
        )


def require_publisher(key: bytes) -> None:
    """Refuse what has not the form of a P-256 key in DER (RFC 5480, uncompressed).

    Raises:
        MalformedMessage: another length, or another header.
    """
    if len(key) != len(_P256) + 64 or not key.startswith(_P256):
        raise MalformedMessage(
            "a publisher's key is a P-256 SubjectPublicKeyInfo in DER, 91 bytes"
        )


def require_change(number: int) -> None:
    """Refuse a change's number below 1.

    Raises:
        MalformedMessage: such a number.
    """
    if number < 1:
        raise MalformedMessage("changes are counted from 1")


def require_utc(instant: datetime) -> None:
    """Refuse a time that is not in UTC.

    Raises:
        MalformedMessage: a naive time, or one with another offset.
    """
    if instant.utcoffset() != timedelta(0):
        raise MalformedMessage("a time on the ledger is in UTC and says so")


def require_shallow(value: object, what: str) -> None:
    """Refuse a JSON value nested deeper than 32 lists or objects.

    So that whether a block can be read does not hang on how deep a stack may grow.

    Raises:
        MalformedMessage: such a value.
    """
    level = [value]
    for _ in range(NESTING_LIMIT + 1):
        level = [inner for outer in level for inner in _children(outer)]
        if not level:
            return
    raise MalformedMessage(f"{what} is nested deeper than {NESTING_LIMIT}")


def require_sorted(names: tuple[str, ...], what: str) -> None:
    """Refuse names that are not strictly ascending.

    Raises:
        MalformedMessage: another order, or a name twice.
    """
    if list(names) != sorted(set(names)):
        raise MalformedMessage(f"{what} are sorted, each once")


def require_organisations(organisations: tuple[OrgId, ...]) -> None:
    """Refuse anything but well-formed names of organisations, sorted, each once.

    Raises:
        MalformedMessage: such a list.
    """
    for organisation in organisations:
        org_id(organisation)
    require_sorted(organisations, "organisations")


def in_order(organisations: Iterable[OrgId]) -> tuple[OrgId, ...]:
    """Return a set of organisations in the order in which entries hold them."""
    return tuple(sorted(set(organisations)))


def _children(value: object) -> Iterable[object]:
    """Return what lies directly in a list or object, and None, so that [] counts."""
    match value:
        case dict():
            return (None, *value.values())
        case list() | tuple():
            return (None, *value)
        case _:
            return ()
