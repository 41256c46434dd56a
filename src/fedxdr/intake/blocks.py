# SPDX-License-Identifier: Apache-2.0
"""Files as blocks of whole lines: plain, gzipped, one JSON array, or binary EVTX.

Rule: memory is bounded by ``BLOCK_BYTES`` and ``MAX_LINE_BYTES`` at any file size; only
a JSON array is read whole, up to ``MAX_ARRAY_BYTES``.

It does NOT look into the lines.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

import msgspec

from fedxdr.core.errors import InvalidTelemetry, TooLarge
from fedxdr.intake.evtx import MAGIC, evtx_blocks
from fedxdr.intake.sniffing import is_array

BLOCK_BYTES: Final = 1 << 20
MAX_LINE_BYTES: Final = 1 << 22
MAX_ARRAY_BYTES: Final = 1 << 28
_GZIP_MAGIC: Final = b"\x1f\x8b"


def blocks_of(path: Path) -> Iterator[bytes]:
    """Yield a file's content in order, in blocks that end where a line ends.

    The last block may lack its line end. Of a line longer than ``MAX_LINE_BYTES`` only
    the beginning is kept, of about that length.

    Args:
        path: a file, compressed with gzip or not, whatever its name; EVTX is not
            unpacked.

    Raises:
        InvalidSettings: EVTX without the extra that reads it.
        InvalidTelemetry: the file cannot be read, or its compressed form is damaged;
            what came before the damage has been yielded.
        TooLarge: a JSON array above ``MAX_ARRAY_BYTES``.
    """
    try:
        with path.open("rb") as plain:
            magic = plain.read(len(MAGIC))
            plain.seek(0)
            if magic == MAGIC:
                yield from evtx_blocks(path, block_bytes=BLOCK_BYTES)
                return
            if not magic.startswith(_GZIP_MAGIC):
                yield from _lines(plain)
                return
            with gzip.open(plain) as unpacked:
                yield from _lines(cast("BinaryIO", unpacked))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidTelemetry(f"{path.name}: damaged gzip file ({error})") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidTelemetry(f"{path.name}: cannot be read: {reason}") from error


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    is_first = True
    while block := stream.read(BLOCK_BYTES):
        if is_first and is_array(block):
            yield _array_lines(block + stream.read(MAX_ARRAY_BYTES))
            return
        is_first = False
        if not block.endswith(b"\n"):
            rest = stream.readline(MAX_LINE_BYTES - 1)
            if len(rest) == MAX_LINE_BYTES - 1 and not rest.endswith(b"\n"):
                rest += b"\n"
                while (more := stream.readline(BLOCK_BYTES)) and more[-1:] != b"\n":
                    pass
            block += rest
        yield block


def _array_lines(content: bytes) -> bytes:
    """Return the records of a JSON array, one per line."""
    if len(content) > MAX_ARRAY_BYTES:
        raise TooLarge(
            f"a JSON array above {MAX_ARRAY_BYTES} bytes; write one record per line"
        )
    try:
        records = msgspec.json.decode(content, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidTelemetry("begins like a JSON array, but is none") from error
    return b"\n".join(msgspec.json.format(record, indent=-1) for record in records)
