# SPDX-License-Identifier: Apache-2.0
"""Large byte strings as files named by their SHA-256 (port ``Blobs``).

A file is written beside its place, synced and renamed, so a name that exists holds all
its bytes even after kill -9; reading checks the digest again. A digest that came
from elsewhere and is none names no file: it never leads out of the folder.
"""

from __future__ import annotations

from pathlib import Path

from fedxdr.core import ids
from fedxdr.core.errors import (
    IntegrityFault,
    MalformedMessage,
    NotFound,
    StorageFault,
)
from fedxdr.core.ids import Digest, sha256
from fedxdr.storage.files import replace_file


class FileBlobs:
    """The port over one folder.

    Args:
        folder: made if it does not exist, readable by its owner only.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in folder.glob("*.part"):
            left.unlink()

    def put(self, data: bytes) -> Digest:
        """Store the bytes durably and return their digest."""
        digest = sha256(data)
        path = self._folder / digest
        if path.exists():
            return digest
        replace_file(path, data)
        return digest

    def get(self, digest: Digest) -> bytes:
        """Return the bytes."""
        try:
            data = (self._folder / ids.digest(digest)).read_bytes()
        except (FileNotFoundError, MalformedMessage) as error:
            raise NotFound(f"nothing is stored under {digest[:16]}…") from error
        except OSError as error:
            raise StorageFault(f"cannot read from {self._folder}: {error}") from error
        if sha256(data) != digest:
            raise IntegrityFault(f"the file {digest} does not hash to its name")
        return data

    def has(self, digest: Digest) -> bool:
        """Return whether something is stored under that digest."""
        return _is_digest(digest) and (self._folder / digest).exists()

    def all(self) -> dict[Digest, int]:
        """Return the digest and size in bytes of everything stored."""
        return {
            Digest(path.name): path.stat().st_size
            for path in sorted(self._folder.iterdir())
            if _is_digest(path.name)
        }

    def delete(self, digest: Digest) -> None:
        """Forget the bytes; nothing happens if there are none."""
        if self.has(digest):
            (self._folder / digest).unlink(missing_ok=True)


def _is_digest(name: str) -> bool:
    try:
        ids.digest(name)
    except MalformedMessage:
        return False
    return True
