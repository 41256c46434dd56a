# SPDX-License-Identifier: Apache-2.0
"""Windows' binary event logs as JSON lines, which telemetry/windows.py reads.

Needs the extra ``windows``. Files are read whole, as they lie; it does NOT follow one
that grows, and does NOT unpack one.

Rule: a damaged part costs that part. It stands as one line that no parser reads, so
that it is counted and told; what comes behind it is read.

Source: libevtx, "Windows XML Event Log (EVTX) format", sections 2 and 3.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from fedxdr.core.errors import InvalidSettings, InvalidTelemetry

MAGIC: Final = b"ElfFile\x00"
"""First bytes of such a file."""

DAMAGED: Final = b"a part of a Windows event log that is damaged"
"""The line that stands for a part that cannot be read."""


def evtx_blocks(path: Path, *, block_bytes: int) -> Iterator[bytes]:
    """Yield the records of a file as blocks of JSON lines.

    Args:
        path: the file.
        block_bytes: size from which on a block is handed out, >= 1.

    Raises:
        InvalidSettings: the extra is not installed.
        InvalidTelemetry: it is no such file.
    """
    try:
        import evtx  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise InvalidSettings(
            "binary event logs need the extra windows: pip install 'fedxdr[windows]'"
        ) from error
    try:
        # one thread: more would keep several chunks in memory
        records = iter(evtx.PyEvtxParser(os.fspath(path), 1).records_json())
    except (OSError, RuntimeError) as error:
        raise InvalidTelemetry(f"{path.name}: a damaged Windows event log") from error
    lines: list[bytes] = []
    size = 0
    while (line := _next(records)) is not None:
        lines.append(line + b"\n")
        size += len(line) + 1
        if size >= block_bytes:
            yield b"".join(lines)
            lines, size = [], 0
    if lines:
        yield b"".join(lines)


def _next(records: Iterator[Any]) -> bytes | None:
    """Return the next record, None behind the last one."""
    try:
        record = next(records, None)
    except (OSError, RuntimeError):
        return DAMAGED
    # a line feed in JSON stands between values only
    return None if record is None else record["data"].replace("\n", " ").encode()
