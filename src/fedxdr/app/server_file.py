# SPDX-License-Identifier: Apache-2.0
"""What an operator's commands read from an orchestrator's folder: address and key.

Apart from orchestrating.py, so that a command that only talks to the running server
does not load the server.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fedxdr.core.errors import InvalidSettings
from fedxdr.crypto.keys import IdentityKey
from fedxdr.storage.files import replace_file
from fedxdr.storage.secrets import read_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFile:
    """What ``server.json`` holds.

    Attributes:
        federation: the federation's name.
        origin: the ledger's name (C2SP tlog-checkpoint).
        address: where the server was last run; empty before.
    """

    federation: str
    origin: str
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
        text = json.dumps(
            {
                "federation": self.federation,
                "origin": self.origin,
                "address": self.address,
            }
        )
        replace_file(folder / "server.json", f"{text}\n".encode())


def operator_key(folder: Path, *, name: str = "operator") -> IdentityKey:
    """Return one of the identity keys in an orchestrator's folder."""
    return IdentityKey(seed=read_seed(folder / "keys" / f"{name}.key"))
