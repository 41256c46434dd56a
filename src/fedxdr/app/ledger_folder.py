# SPDX-License-Identifier: Apache-2.0
"""The ledger in a party's folder, opened beside whatever runs on it.

An orchestrator's folder or a member's: where its database is, the blocks in it, each
checked, the heads, and the models that lie there.

Rule that always holds: it is opened for reading unless the caller asks to write, and
whoever writes sees to it that nothing runs on the folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedxdr.app.participating import AgentFile, key_of
from fedxdr.app.server_file import ServerFile, operator_key
from fedxdr.app.settings import database_setting
from fedxdr.core.clock import SystemClock
from fedxdr.core.errors import InvalidSettings, Unavailable
from fedxdr.core.ids import OrgId
from fedxdr.parties.ports import CheckpointStore
from fedxdr.parties.recording import Recorder
from fedxdr.parties.vouching import newest_signed
from fedxdr.parties.witness import Witness
from fedxdr.storage.blobs import FileBlobs
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.checkpoints import SqlCheckpointStore
from fedxdr.storage.database import Access, Database

_ORCHESTRATOR = OrgId("orchestrator")  # a reserved name, which no member has


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFolder:
    """What a folder holds of the ledger.

    Attributes:
        org: the member whose it is; ``orchestrator`` in the orchestrator's.
        recorder: the blocks.
        store: the heads.
        blobs: the models.
    """

    org: OrgId
    recorder: Recorder
    store: CheckpointStore
    blobs: FileBlobs

    def newest_head(self) -> tuple[int, bytes]:
        """Return size and note of the newest head whose blocks are all here.

        Raises:
            Unavailable: it has seen none yet.
        """
        for size in reversed(self.store.sizes()):
            head = self.store.get(size)
            if head is not None and size <= self.recorder.size():
                return size, head
        raise Unavailable("this agent has seen no head of the ledger yet")

    def cosigned(self) -> dict[int, bytes]:
        """Return the heads that a bundle of the ledger holds, by size.

        Raises:
            Unavailable: no head of it has a quorum yet.
        """
        witness = Witness(
            me=self.org, mirror=self.recorder, store=self.store, clock=SystemClock()
        )
        heads = witness.for_bundle()
        if not heads:
            raise Unavailable(
                "no head of this ledger has a quorum of cosignatures yet: the members' "
                "agents must be running"
            )
        return heads


def database_in(folder: Path) -> Path | str:
    """Return where the database of an orchestrator's or a member's folder is.

    Raises:
        InvalidSettings: nobody's folder.
    """
    if (folder / "server.json").exists():
        file = ServerFile.read(folder)
        return database_setting() or file.database or folder / "server.db"
    if not (folder / "agent.json").exists():
        raise InvalidSettings(
            f"{folder} holds no ledger: name an orchestrator's or a member's folder"
        )
    AgentFile.read(folder)
    return folder / "agent.db"


@contextmanager
def ledger_in(folder: Path, *, access: Access = "reading") -> Iterator[LedgerFolder]:
    """Open the ledger in a folder.

    Args:
        folder: an orchestrator's or a member's.
        access: see ``Access``; whoever writes wants nothing to run on the folder.

    Raises:
        InvalidSettings: nobody's folder.
        VerificationFailed: a stored block that breaks the rules.
    """
    database = Database(database_in(folder), access=access)
    try:
        blobs = FileBlobs(folder / "blobs")
        store = SqlCheckpointStore(database)
        if (folder / "server.json").exists():
            org, key = _ORCHESTRATOR, operator_key(folder, name="orchestrator")
        else:
            org, key = OrgId(AgentFile.read(folder).org), key_of(folder)
        recorder = Recorder(
            store=SqlBlockStore(database),
            blobs=blobs,
            clock=SystemClock(),
            vouched=newest_signed(store, key.public),
        )
        yield LedgerFolder(org=org, recorder=recorder, store=store, blobs=blobs)
    finally:
        database.close()


@contextmanager
def mirror_in(folder: Path) -> Iterator[LedgerFolder]:
    """Open a member's mirror for reading, beside its agent.

    Raises:
        InvalidSettings: no member's folder.
        Unavailable: it has not seen the ledger yet.
    """
    AgentFile.read(folder)
    with ledger_in(folder) as mirror:
        if not mirror.recorder.is_begun:
            raise Unavailable(
                f"{folder} has not seen the ledger yet: its agent was never run"
            )
        yield mirror
