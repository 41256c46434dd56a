# SPDX-License-Identifier: Apache-2.0
"""The file that says that an orchestrator's folder was set back to a backup.

``restored.json`` lies beside the database and never in it: a database that is set back
once more would forget what was heard since. ``backups.restore`` makes it with what it
knows; what members told is added; when all have told, it goes.

Not here: what follows from it (parties/catching_up.py).

Rule that always holds: a file that cannot be read is never taken for none.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fedxdr.core import canonical
from fedxdr.core.errors import IntegrityFault, MalformedMessage, StorageFault
from fedxdr.parties.catching_up import Restoration
from fedxdr.storage.backups import RESTORED
from fedxdr.storage.files import replace_file

_TOLD, _OWED, _CONTRADICTION = "told", "owed", "contradiction"


class RestoredFile:
    """Port ``RestoredMark`` over one folder.

    Args:
        folder: of the orchestrator.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / RESTORED

    def read(self) -> Restoration | None:
        """Return what is known since, None if it was not set back.

        Raises:
            IntegrityFault: the file cannot be read.
        """
        found = self._values()
        if found is None:
            return None
        known = {
            "since": found.get("size", 0),
            _TOLD: found.get(_TOLD, {}),
            _OWED: found.get(_OWED, 0),
            _CONTRADICTION: found.get(_CONTRADICTION, ""),
        }
        try:
            return canonical.from_builtins(known, Restoration)
        except MalformedMessage as error:
            raise self._damaged() from error

    def write(self, found: Restoration) -> None:
        """Store what is known; durable when this returns.

        Raises:
            StorageFault: the disk said no.
        """
        values = self._values() or {"size": found.since}
        values |= {
            _TOLD: dict(found.told),
            _OWED: found.owed,
            _CONTRADICTION: found.contradiction,
        }
        replace_file(self._path, canonical.jcs(values))

    def clear(self) -> None:
        """Remove the file; durable when this returns.

        Raises:
            StorageFault: the disk said no.
        """
        try:
            self._path.unlink(missing_ok=True)
            descriptor = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageFault(f"cannot remove {self._path}: {error}") from error

    def _values(self) -> dict[str, Any] | None:
        try:
            found = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise self._damaged() from error
        if not isinstance(found, dict):
            raise self._damaged()
        return found

    def _damaged(self) -> IntegrityFault:
        return IntegrityFault(f"{self._path} cannot be read")
