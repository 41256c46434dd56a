# SPDX-License-Identifier: Apache-2.0
"""Putting a whole file in its place, or none: written beside, synced, renamed.

After kill -9 or a power cut the path holds the old bytes or the new ones, never a part.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from fedxdr.core.errors import StorageFault


def replace_file(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Store bytes durably under a path, in place of what was there.

    Args:
        path: the file; its folder exists.
        data: all of its bytes.
        mode: permissions of a new file, before the process's umask.

    Raises:
        StorageFault: the disk said no.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StorageFault(f"cannot write to {path.parent}: {error}") from error
