# SPDX-License-Identifier: Apache-2.0
"""Copies of the ledger in folders: exporting one, and catching up after a restore.

Reading happens beside whatever runs on the folder; catching up needs it stopped.

Rule that always holds: an orchestrator that was restored from a backup signs nothing
before it has what its ledger grew by since: otherwise it would sign a second root for a
size, and convict itself. A bundle ends with the newest head that has a quorum: whether
the orchestrator had signed one more, which only some members saw, no bundle says.
"""

from __future__ import annotations

from pathlib import Path

from fedxdr.app.participating import AgentFile
from fedxdr.app.server_file import ServerFile, operator_key
from fedxdr.app.settings import database_setting
from fedxdr.core.clock import SystemClock
from fedxdr.core.errors import InvalidSettings, Unavailable
from fedxdr.core.ids import OrgId
from fedxdr.ledger import bundle as bundles
from fedxdr.ledger import heads, verifier
from fedxdr.parties.recording import Recorder
from fedxdr.parties.witness import Witness
from fedxdr.storage.backups import RESTORED
from fedxdr.storage.blobs import FileBlobs
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.checkpoints import SqlCheckpointStore
from fedxdr.storage.database import Database


def export(folder: Path) -> bytes:
    """Return the ledger in an orchestrator's or organisation's folder as a bundle.

    As far as a quorum has cosigned it.

    Raises:
        InvalidSettings: nobody's folder.
        Unavailable: no head of this ledger has a quorum yet.
    """
    database = Database(_place_in(folder), access="reading")
    try:
        blobs = FileBlobs(folder / "blobs")
        recorder = Recorder(
            store=SqlBlockStore(database), blobs=blobs, clock=SystemClock()
        )
        witness = Witness(
            me=OrgId("nobody"),
            mirror=recorder,
            store=SqlCheckpointStore(database),
            clock=SystemClock(),
        )
        signed = witness.for_bundle()
        if not signed:
            raise Unavailable(
                "no head of this ledger has a quorum of cosignatures yet: the members' "
                "agents must be running"
            )
        return recorder.export(heads=signed)
    finally:
        database.close()


def is_restored(folder: Path) -> bool:
    """Return whether an orchestrator's folder came from a backup and lags behind."""
    return (folder / RESTORED).exists()


def catch_up(folder: Path, bundle: bytes | None) -> int:
    """Put into a restored orchestrator's ledger what it grew by since the backup.

    Args:
        folder: the orchestrator's, with nothing running on it.
        bundle: exported by a member from its mirror; None: the operator knows that
            there was nothing after the backup.

    Returns:
        How many blocks came.

    Raises:
        VerificationFailed: the bundle does not verify, or is of another history.
        InvalidSettings: the folder was not restored.
    """
    if not is_restored(folder):
        raise InvalidSettings(f"{folder} was not restored from a backup")
    came = 0
    if bundle is not None:
        verifier.verify(bundle)
        found = bundles.read(bundle)
        database = Database(_place_in(folder))
        try:
            blobs = FileBlobs(folder / "blobs")
            recorder = Recorder(
                store=SqlBlockStore(database), blobs=blobs, clock=SystemClock()
            )
            log = verifier.log_of(found)
            ours = operator_key(folder, name="orchestrator").public
            if log.keys.identity != ours:
                raise InvalidSettings("the bundle is of another orchestrator's ledger")
            common = min(recorder.size(), len(found.blocks))
            if common and recorder.root_at(common) != _root(found, common):
                raise InvalidSettings("the bundle is of another ledger, or history")
            for file in found.models.values():
                blobs.put(file)
            for signed in found.blocks[recorder.size() :]:
                recorder.append(signed)
                came += 1
            store = SqlCheckpointStore(database)
            for size, head in found.heads.items():
                store.put(size, recorder.root_at(size), head)
        finally:
            database.close()
    (folder / RESTORED).unlink()
    return came


def _root(found: bundles.Bundle, size: int) -> str:
    return str(heads.root_of(found.hashes[:size]))


def _place_in(folder: Path) -> Path | str:
    if (folder / "server.json").exists():
        file = ServerFile.read(folder)
        return database_setting() or file.database or folder / "server.db"
    AgentFile.read(folder)
    return folder / "agent.db"
