# SPDX-License-Identifier: Apache-2.0
"""An entity of a finding as its own organisation reads it: the real name, or its token.

Names are asked for at the moment of writing and stored nowhere
(docs/adr/0008-detection.md).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

Names = Callable[[int], str | None]
"""Looks up the real name of a token; None where nobody remembers it."""

Form = Literal["ipv4", "ipv6", "host", "token"]

_WORD: Final = 2**64


class Entity(NamedTuple):
    """What stands for a token.

    Attributes:
        text: address, host name or account; or the token.
        form: which of them; an account has the form ``host``.
    """

    text: str
    form: Form


def no_names(_token: int) -> str | None:
    """Return None: everything is written as its token."""
    return None


def entity_of(token: int, names: Names) -> Entity | None:
    """Return what stands for a token, None for 0, which nobody is.

    Args:
        token: of a finding or its evidence.
        names: looks the real one up.
    """
    if token == 0:
        return None
    name = names(token)
    if not name:
        return Entity(token_text(token), "token")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return Entity(name, "host")
    return Entity(name, "ipv4" if address.version == 4 else "ipv6")


def token_text(token: int) -> str:
    """Return a token as text: ``entity-`` and 16 hexadecimal digits."""
    return f"entity-{token % _WORD:016x}"
