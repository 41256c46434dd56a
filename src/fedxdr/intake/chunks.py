# SPDX-License-Identifier: Apache-2.0
"""What readers of growing logs hand on: whole lines, and where they stand.

Two readers stand: files (follow.py) and topics (kafka.py).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fedxdr.telemetry.findings import Position

TOPIC: Final = "kafka:"
"""What the name of a topic begins with where logs are named."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chunk:
    """Some whole lines of a log.

    Attributes:
        position: where they stand.
        block: the lines.
        name: of the log, without folders.
        written: when it was last written, UTC-aware.
        head: the first bytes of the log, where lines there say what others mean.
        offsets: (lines,) int64, the message that each line is of; None where lines
            stand one behind another, byte by byte.
    """

    position: Position
    block: bytes = dataclasses.field(repr=False)
    name: str = dataclasses.field(repr=False)
    written: dt.datetime
    head: bytes = dataclasses.field(default=b"", repr=False)
    offsets: NDArray[np.int64] | None = dataclasses.field(default=None, repr=False)


class Reader(Protocol):
    """Whatever gives the lines of growing logs."""

    def poll(self) -> Iterator[Chunk]:
        """Yield what has come since it was asked last.

        A chunk counts as read when it is handed out.
        """

    def positions(self) -> tuple[Position, ...]:
        """Return how far everything was read: enough to go on after a restart."""

    def stored(self) -> None:
        """Take note that what was read until now is stored."""

    def close(self) -> None:
        """Give up files and connections."""
