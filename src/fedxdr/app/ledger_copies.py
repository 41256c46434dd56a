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

from fedxdr.app.ledger_folder import LedgerFolder, ledger_in
from fedxdr.app.server_file import operator_key
from fedxdr.core.errors import InvalidSettings
from fedxdr.crypto.keys import PublicIdentity
from fedxdr.ledger import bundle as bundles
from fedxdr.ledger import heads, verifier
from fedxdr.ledger.bundle import Bundle
from fedxdr.storage.backups import RESTORED


def export(folder: Path) -> bytes:
    """Return the ledger in an orchestrator's or organisation's folder as a bundle.

    As far as a quorum has cosigned it.

    Raises:
        InvalidSettings: nobody's folder.
        Unavailable: no head of this ledger has a quorum yet.
    """
    with ledger_in(folder) as found:
        return found.recorder.export(heads=found.cosigned())


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
        found = bundles.read(bundle)
        verifier.verify(found)
        with ledger_in(folder, access="sole") as ours:
            came = _take(found, ours, operator_key(folder, name="orchestrator").public)
    (folder / RESTORED).unlink()
    return came


def _take(found: Bundle, ours: LedgerFolder, key: PublicIdentity) -> int:
    if found.standing().logs[-1].keys.identity != key:
        raise InvalidSettings("the bundle is of another orchestrator's ledger")
    recorder = ours.recorder
    common = min(recorder.size(), len(found.blocks))
    if common and recorder.root_at(common) != heads.root_of(found.hashes[:common]):
        raise InvalidSettings("the bundle is of another ledger, or history")
    for file in found.models.values():
        ours.blobs.put(file)
    further = found.blocks[recorder.size() :]
    for signed in further:
        recorder.append(signed)
    for size, head in found.heads.items():
        ours.store.put(size, recorder.root_at(size), head)
    return len(further)
