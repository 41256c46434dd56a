# SPDX-License-Identifier: Apache-2.0
"""A line by its place: for a person who wants to see what a finding rests on.

It does NOT keep lines: what was rotated away for good or lies at a broker is None.

Rule: a line is given only from a file that begins as the log began then.
"""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress
from pathlib import Path

from fedxdr.core.ids import sha256
from fedxdr.intake.blocks import MAX_LINE_BYTES
from fedxdr.intake.chunks import TOPIC
from fedxdr.intake.rotation import HEAD_BYTES, Seen, siblings
from fedxdr.intake.tails import look
from fedxdr.telemetry.findings import Position


def line_at(place: Position) -> bytes | None:
    """Return a line without its end, None where it is not there any more.

    Args:
        place: of an event, as ``Lines.of`` tells it.
    """
    path = Path(place.source)
    if place.source.startswith(TOPIC):
        return None
    with suppress(OSError, EOFError, zlib.error):
        names = [one.name for one in path.parent.iterdir()]
        for name in (path.name, *siblings(path.name, names)):
            seen = look(path.with_name(name), is_live=name == path.name)
            if seen is not None and _is_of(seen, place):
                line = _read(seen, place)
                if line:
                    return line.removesuffix(b"\n")
    return None


def _is_of(seen: Seen, place: Position) -> bool:
    """Say whether a file begins as the log did.

    The fingerprint is over the first KiB of what was read up to the end of the block
    that the line was in; where the log was shorter then, nobody knows how short.
    """
    head = seen.head
    first = min(place.end, HEAD_BYTES)
    return any(
        sha256(head[:end]) == place.fingerprint for end in range(first, len(head) + 1)
    )


def _read(seen: Seen, place: Position) -> bytes:
    size = min(place.end - place.begin, MAX_LINE_BYTES)
    with gzip.open(seen.path) if seen.is_packed else Path(seen.path).open("rb") as file:
        file.seek(place.begin)
        return file.read(size)
