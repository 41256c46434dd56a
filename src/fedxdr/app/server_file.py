# SPDX-License-Identifier: Apache-2.0
"""What an operator's commands read from an orchestrator's folder: address and key.

Apart from orchestrating.py, so that a command that only talks to the running server
does not load the server.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from fedxdr.core.errors import InvalidSettings
from fedxdr.crypto.keys import IdentityKey
from fedxdr.crypto.publisher import PublisherKey
from fedxdr.storage.files import replace_file
from fedxdr.storage.secrets import read_seed

KEYS = ("orchestrator", "operator", "token", "publisher")
"""Names of the keys in an orchestrator's folder, ``keys/<name>.key``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFile:
    """What ``server.json`` holds.

    Attributes:
        federation: the federation's name.
        origin: the ledger's name (C2SP tlog-checkpoint).
        model: SHA-256 of the first model's file, in ``blobs/``.
        database: URL of a PostgreSQL database; empty for ``server.db`` in the folder.
        address: where the server was last run; empty before.
    """

    federation: str
    origin: str
    model: str
    database: str = ""
    address: str = ""

    @classmethod
    def read(cls, folder: Path) -> ServerFile:
        """Return what stands in a folder.

        Raises:
            InvalidSettings: it is no orchestrator's folder.
        """
        try:
            return cls(**json.loads((folder / "server.json").read_text()))
        except FileNotFoundError as error:
            raise InvalidSettings(
                f"{folder} holds no orchestrator: run `fedxdr server init --dir "
                f"{folder}` first"
            ) from error
        except (OSError, ValueError, TypeError) as error:
            raise InvalidSettings(f"{folder}/server.json cannot be read") from error

    def write(self, folder: Path) -> None:
        """Store it in a folder."""
        text = json.dumps(asdict(self))
        replace_file(folder / "server.json", f"{text}\n".encode())


def publisher_key(folder: Path) -> PublisherKey:
    """Return the key in an orchestrator's folder that signs model files."""
    return PublisherKey(seed=read_seed(folder / "keys" / "publisher.key"))


def operator_key(folder: Path, *, name: str = "operator") -> IdentityKey:
    """Return one of the identity keys in an orchestrator's folder."""
    return IdentityKey(seed=read_seed(folder / "keys" / f"{name}.key"))
