# SPDX-License-Identifier: Apache-2.0
"""Copies of the ledger in folders: exporting one, and helping a restored orchestrator.

Reading happens beside whatever runs on the folder; catching up needs it stopped.

Rule that always holds: an orchestrator that was restored from a backup signs nothing
before every member has told it what it saw (parties/catching_up.py), or the operator
says that there was nothing: otherwise it would sign a second root for a size, and
convict itself. A bundle ends that for nobody: it ends with the newest head that has a
quorum, and whether the orchestrator had signed one more, no bundle says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedxdr.app.ledger_folder import LedgerFolder, database_in, ledger_in
from fedxdr.app.server_file import operator_key
from fedxdr.core.errors import InvalidSettings
from fedxdr.core.ids import OrgId
from fedxdr.crypto.keys import PublicIdentity
from fedxdr.ledger import bundle as bundles
from fedxdr.ledger import heads, verifier
from fedxdr.ledger.bundle import Bundle
from fedxdr.parties.catching_up import Restoration, beyond
from fedxdr.storage.backups import FENCE
from fedxdr.storage.database import Database
from fedxdr.storage.fence import FileFence
from fedxdr.storage.registry import SqlNotes
from fedxdr.storage.restored import RestoredFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Unasked:
    """What the operator's word stands in for.

    Attributes:
        told: members that had told what they saw.
        missing: members that had not: each may hold a head that was signed.
    """

    told: tuple[OrgId, ...]
    missing: tuple[OrgId, ...]


def export(folder: Path) -> bytes:
    """Return the ledger in an orchestrator's or organisation's folder as a bundle.

    As far as a quorum has cosigned it.

    Raises:
        InvalidSettings: nobody's folder.
        Unavailable: no head of this ledger has a quorum yet.
    """
    with ledger_in(folder) as found:
        return found.recorder.export(heads=found.cosigned())


def catch_up(folder: Path, given: Sequence[bytes]) -> int:
    """Put into a restored orchestrator's ledger what bundles hold beyond it.

    It stays restored: its members are asked all the same when it runs.

    Args:
        folder: the orchestrator's, with nothing running on it.
        given: exported by members from their mirrors, in any order.

    Returns:
        How many blocks came.

    Raises:
        VerificationFailed: a bundle does not verify.
        InvalidSettings: the folder was not restored, or a bundle is of another ledger
            or history.
    """
    _restoration(folder)
    found = [bundles.read(data) for data in given]
    for bundle in found:
        verifier.verify(bundle)
    key = operator_key(folder, name="orchestrator").public
    with ledger_in(folder, access="sole") as ours:
        return sum(_take(bundle, ours, key) for bundle in found)


def nothing_newer(folder: Path) -> Unasked:
    """End it by the operator's word: no member saw more than the ledger has now.

    Args:
        folder: the orchestrator's, with nothing running on it.

    Returns:
        Whom that word stands in for.

    Raises:
        InvalidSettings: the folder was not restored; or it is known that there is
            more, or that the ledger is of another history.
    """
    known = _restoration(folder)
    if known.contradiction:
        raise InvalidSettings(
            f"this backup is of another history: {known.contradiction}; hand the "
            "ledger over (docs/how-to/hand-over.md)"
        )
    with ledger_in(folder) as ours:
        recorder = ours.recorder
        members = recorder.in_force.members if recorder.is_begun else {}
        database = Database(database_in(folder))
        try:
            fence = FileFence(folder / FENCE, SqlNotes(database))
            owed = max(known.owed, beyond(fence, recorder))
            if owed > recorder.size():
                raise InvalidSettings(
                    f"this orchestrator signed a head over {owed} blocks, of which the "
                    f"last {owed - recorder.size()} are not here: give it a bundle "
                    "with them, wait for whoever has them, or hand the ledger over "
                    "(docs/how-to/hand-over.md)"
                )
            fence.settle()
        finally:
            database.close()
    RestoredFile(folder).clear()
    return Unasked(
        told=tuple(sorted(set(members) & set(known.told))),
        missing=tuple(sorted(set(members) - set(known.told))),
    )


def _restoration(folder: Path) -> Restoration:
    found = RestoredFile(folder).read()
    if found is None:
        raise InvalidSettings(f"{folder} was not restored from a backup")
    return found


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
