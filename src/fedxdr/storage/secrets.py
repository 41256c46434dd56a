# SPDX-License-Identifier: Apache-2.0
"""Secret seeds in files of their own, readable by their owner only.

A seed is written once and never over: losing an identity by mistake is worse than
having to move a file away first.
"""

from __future__ import annotations

import os
from pathlib import Path

from fedxdr.core.errors import InvalidSettings, StorageFault

_SEED_BYTES = 32


def write_seed(path: Path, seed: bytes) -> None:
    """Store a 32-byte seed in a new file with mode 0600.

    Raises:
        InvalidSettings: the file exists.
        StorageFault: it cannot be written.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as handle:
            handle.write(seed.hex() + "\n")
            handle.flush()
            os.fsync(handle.fileno())
        # a link is made whole or not at all, and never over another file
        path.hardlink_to(part)
    except FileExistsError as error:
        raise InvalidSettings(
            f"{path} exists; move it away if you really want a new key"
        ) from error
    except OSError as error:
        raise StorageFault(f"cannot write {path}: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def read_seed(path: Path) -> bytes:
    """Return the seed in a file.

    Raises:
        InvalidSettings: no such file, or not a seed.
    """
    try:
        seed = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except FileNotFoundError as error:
        raise InvalidSettings(f"there is no key file {path}") from error
    except (OSError, ValueError) as error:
        raise InvalidSettings(f"{path} is not a key file") from error
    if len(seed) != _SEED_BYTES:
        raise InvalidSettings(f"{path} is not a key file: want 32 bytes in hexadecimal")
    return seed
