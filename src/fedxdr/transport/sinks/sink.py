# SPDX-License-Identifier: Apache-2.0
"""What a sink is, and what all of them share.

Rules that always hold, for every sink of this folder:
    1. ``send`` returns only when the other side has confirmed the whole batch, as far
       as its protocol can.
    2. The same finding may come again, after a crash of either side; its id goes with
       it wherever the protocol has a place.
    3. No secret is in a name, a message of an error, or a log record.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from fedxdr.core.errors import InvalidSettings
from fedxdr.telemetry.findings import Finding

TIMEOUT_S: Final = 10.0
"""How long a sink is waited for before it counts as away."""


class Sink(Protocol):
    """A system of the organisation that takes its findings."""

    @property
    def name(self) -> str:
        """What it is called, without secrets; the outbox knows it by that name."""

    def send(self, batch: Sequence[Finding]) -> None:
        """Deliver findings; they have arrived when this returns.

        Args:
            batch: at least one.

        Raises:
            Unavailable: not now: send the same batch again later.
            InvalidInput: at least one of them will never be taken.
        """

    def close(self) -> None:
        """Release what is open."""


def tls_context(ca: Path | None) -> ssl.SSLContext:
    """Return settings that check certificates.

    Args:
        ca: PEM file of the authorities trusted; the system's if None.

    Raises:
        InvalidSettings: no such file, or none of certificates.
    """
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:  # SSLError is one
        raise InvalidSettings(f"{ca} is no file of certificates") from error
