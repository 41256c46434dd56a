# SPDX-License-Identifier: Apache-2.0
"""Proofs against a log as files in an organisation's folder (port ``Notes``).

Files, so that a person sees them, hands them on and removes them.

Not here: what a proof is (ledger/equivocation.py), what follows from one
(parties/accusing.py).

Rule that always holds: a file is there whole or not at all; only ``<name>.json`` of
letters, digits and hyphens is touched.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from fedxdr.core.errors import StorageFault
from fedxdr.storage.files import replace_file

_NAME = re.compile(r"[a-z0-9-]{1,120}\.json\Z")


class ProofFiles:
    """The port over the files of one folder.

    Args:
        folder: exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> bytes | None:
        """Return a file's bytes, None if there is none."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageFault(f"cannot read {name}: {error.strerror}") from error

    def put(self, name: str, value: bytes) -> None:
        """Store a file, replacing an older one; an empty one removes it."""
        path = self._path(name)
        if value:
            replace_file(path, value)
        else:
            path.unlink(missing_ok=True)

    def names(self, prefix: str) -> Sequence[str]:
        """Return the names that begin with prefix, sorted."""
        found = (path.name for path in self._folder.glob("*.json"))
        return sorted(n for n in found if n.startswith(prefix) and _NAME.match(n))

    def _path(self, name: str) -> Path:
        if not _NAME.match(name):
            raise StorageFault(f"{name!r} is no name of a proof")
        return self._folder / name
