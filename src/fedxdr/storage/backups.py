# SPDX-License-Identifier: Apache-2.0
"""Backups of an orchestrator's folder, taken while it runs, and their way back.

A backup is a folder: a copy of the database as it was at one instant (always in
SQLite's form), every other file, ``manifest.json`` with the SHA-256 of each, and
``manifest.sha256`` over that (``sha256sum --check`` reads it). It comes into being
whole or not at all: written beside its place, synced, verified, renamed.

Not here: keys, unless asked for; what runs after a restore. A restored ledger may lack
blocks that others have seen: whoever goes on with it must first ask its members for
them, or it signs two roots for one size. ``restored.json`` says so (restored.py).

Rules that always hold: nothing is restored over anything; a backup in which one byte
differs is refused before and after; damage is never backed up.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from fedxdr.core import canonical
from fedxdr.core.errors import (
    IntegrityFault,
    InvalidSettings,
    MalformedMessage,
    StorageFault,
)
from fedxdr.core.ids import Digest, sha256
from fedxdr.storage import ledger_check
from fedxdr.storage.database import Database, is_url
from fedxdr.storage.files import replace_file
from fedxdr.storage.ledger_check import Judge, StoredLedger
from fedxdr.storage.moving import move_tables

MANIFEST = "manifest.json"
CHECKSUM = "manifest.sha256"
RESTORED = "restored.json"
DATABASE = "server.db"
KEYS = "keys"
BLOBS = "blobs"
FENCE = "fence"

_FORMAT = "fedxdr/backup/v1"
_SERVER = "server.json"
_OF_BACKUPS = (MANIFEST, CHECKSUM, RESTORED)
# (a fence that comes back would say that its heads are all that was ever signed)
_LEFT_OUT = re.compile(rf".*\.part|.*\.lock|.*-wal|.*-shm|.*-journal|{FENCE}")

JudgeMaker = Callable[[], Judge]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """One file of a backup.

    Attributes:
        sha256: of its bytes.
        size_bytes: how many there are.
    """

    sha256: Digest
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup holds.

    Attributes:
        format: of the backup.
        created: UTC.
        with_keys: whether the private keys are in it.
        ledger: what the copied database holds.
        files: path, with ``/`` and below the backup -> what lies there.
    """

    format: str = _FORMAT
    created: datetime
    with_keys: bool
    ledger: StoredLedger
    files: dict[str, FileRecord]

    def __post_init__(self) -> None:
        if self.format != _FORMAT:
            raise MalformedMessage(f"a backup of the form {self.format!r}")
        for path in self.files:
            plain = PurePosixPath(path)
            is_below = not plain.is_absolute() and ".." not in plain.parts
            is_ours = path in {"", ".", *_OF_BACKUPS}
            if is_ours or str(plain) != path or not is_below:
                raise MalformedMessage(f"a backup names the file {path!r}")


def back_up(
    folder: Path,
    out: Path,
    *,
    place: Path | str,
    with_keys: bool,
    now: datetime,
    judge: JudgeMaker = ledger_check.by_the_rules,
) -> Manifest:
    """Write a backup of an orchestrator that may be running, and verify it.

    Args:
        folder: of the orchestrator.
        out: where the backup will be: nothing, or an empty folder.
        place: of the database, ``database.place_of``.
        with_keys: copy the private keys too.
        now: UTC.
        judge: makes the judge of the copied blocks.

    Raises:
        InvalidSettings: no orchestrator's folder, or something lies at ``out``.
        IntegrityFault: what is stored does not fit; nothing was written.
        StorageFault: the disk or the database said no; nothing was written.
        VerificationFailed: a stored block breaks the rules; nothing was written.
    """
    if not (folder / _SERVER).is_file():
        raise InvalidSettings(f"{folder} holds no orchestrator")
    _require_free(out)
    if out.resolve().is_relative_to(folder.resolve()):
        raise InvalidSettings("a backup does not lie in the folder that it is of")
    with _whole_folder(out) as part:
        _copy_database(place, part / DATABASE)
        for path in _files(folder, place=place):
            if with_keys or path.parts[0] != KEYS:
                _copy(folder / path, part / path)
        ledger = _check(part / DATABASE, part)
        manifest = Manifest(
            created=now,
            with_keys=with_keys,
            ledger=ledger,
            files={
                path.as_posix(): _record(part / path) for path in _files(part, place="")
            },
        )
        data = canonical.encode(manifest)
        replace_file(part / MANIFEST, data)
        replace_file(part / CHECKSUM, _checksum(data))
        verify(part, judge=judge)
    return manifest


def verify(backup: Path, *, judge: JudgeMaker = ledger_check.by_the_rules) -> Manifest:
    """Return what a backup holds, if every byte of it is as it was written.

    Raises:
        InvalidSettings: there is no backup.
        IntegrityFault: a file is damaged, missing or too many, or the ledger in it does
            not fit.
        VerificationFailed: a block in it breaks the rules.
    """
    manifest = _read_manifest(backup)
    _require_files(backup, manifest, beside=_OF_BACKUPS)
    found = _check(backup / DATABASE, backup, judge())
    if found != manifest.ledger:
        raise IntegrityFault(f"the ledger in {backup} is not the one it says it is")
    return manifest


def restore(
    backup: Path,
    folder: Path,
    *,
    place: Path | str,
    now: datetime,
    judge: JudgeMaker = ledger_check.by_the_rules,
) -> Manifest:
    """Make an orchestrator's folder from a backup; verified before and after.

    Args:
        backup: made by ``back_up``.
        folder: nothing, or an empty folder.
        place: of the database: in the folder, elsewhere but not there yet, or a server
            with nothing in it.
        now: UTC.
        judge: makes the judge of the blocks.

    Raises:
        InvalidSettings: there is no backup, or something lies at ``folder`` or
            ``place``.
        IntegrityFault: the backup, or what came of it, is damaged.
        VerificationFailed: a block in it breaks the rules.
    """
    _require_free(folder)
    if not is_url(place) and Path(place).exists():
        raise InvalidSettings(f"{place} is there; nothing is restored over it")
    manifest = verify(backup, judge=judge)
    with _whole_folder(folder) as part:
        for path in manifest.files:
            _copy(backup / path, part / path)
        _require_files(part, manifest)
        record = {
            "backup_created": manifest.created.isoformat(),
            "restored": now.isoformat(),
            "size": manifest.ledger.size,
            "newest_head": manifest.ledger.newest_head,
            "root": manifest.ledger.root,
        }
        replace_file(part / RESTORED, canonical.jcs(record))
        if is_url(place):
            with (
                _closing(Database(part / DATABASE, access="reading")) as source,
                _closing(Database(place)) as target,
            ):
                move_tables(source, target)
            (part / DATABASE).unlink()
    if not is_url(place) and Path(place) != folder / DATABASE:
        Path(place).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(Path(place), (folder / DATABASE).read_bytes(), mode=0o600)
        (folder / DATABASE).unlink()
    found = _check(place, folder, judge())
    if found != manifest.ledger:
        raise IntegrityFault(f"the ledger restored to {place} is not that of {backup}")
    return manifest


def _check(place: Path | str, folder: Path, judge: Judge | None = None) -> StoredLedger:
    """Return what a database holds; the models lie in a folder."""
    with _closing(Database(place, access="reading")) as database:
        return ledger_check.check(
            database,
            has_model=lambda name: (folder / BLOBS / name).is_file(),
            judge=judge,
        )


def _copy_database(place: Path | str, path: Path) -> None:
    with _closing(Database(place, access="reading")) as source:
        if source.is_sqlite:
            source.copy_to(path)
        else:
            with _closing(Database(path)) as target:
                move_tables(source, target)
                target.leave_no_journal()
            path.with_suffix(".lock").unlink()
    path.chmod(0o600)
    _sync(path)


def _read_manifest(backup: Path) -> Manifest:
    try:
        data = (backup / MANIFEST).read_bytes()
        checksum = (backup / CHECKSUM).read_bytes()
    except OSError as error:
        raise InvalidSettings(f"{backup} is no backup: no {MANIFEST}") from error
    if checksum != _checksum(data):
        raise IntegrityFault(f"the manifest of {backup} is damaged")
    try:
        return canonical.decode(data, Manifest)
    except MalformedMessage as error:
        raise IntegrityFault(f"the manifest of {backup} is damaged: {error}") from error


def _checksum(data: bytes) -> bytes:
    return f"{sha256(data)}  {MANIFEST}\n".encode()


def _require_files(
    folder: Path, manifest: Manifest, *, beside: tuple[str, ...] = ()
) -> None:
    there = {path.as_posix() for path in _every_path(folder)} - set(beside)
    odd = there ^ set(manifest.files)
    if odd:
        raise IntegrityFault(f"in {folder} missing or too many: {min(odd)}")
    for path, record in manifest.files.items():
        if _record(folder / path) != record:
            raise IntegrityFault(f"the file {path} of {folder} is damaged")


def _files(folder: Path, *, place: Path | str) -> Iterator[Path]:
    """Yield the paths below a folder that belong into a backup, in order.

    Args:
        folder: whose files.
        place: of a database, whose own files are left out; empty: none.
    """
    database = Path(place).resolve() if place and not is_url(place) else None
    for path in _every_path(folder):
        is_passing = any(_LEFT_OUT.fullmatch(part) for part in path.parts)
        if is_passing or (folder / path).resolve() == database:
            continue
        if str(path) not in _OF_BACKUPS:
            yield path


def _every_path(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.rglob("*") if not p.is_dir() or p.is_symlink())
    for path in found:
        if path.is_symlink() or not path.is_file():
            raise IntegrityFault(f"{path} is no plain file; a backup holds only those")
    return [path.relative_to(folder) for path in found]


def _record(path: Path) -> FileRecord:
    data = path.read_bytes()
    return FileRecord(sha256=sha256(data), size_bytes=len(data))


def _copy(source: Path, target: Path) -> None:
    try:
        data, mode = source.read_bytes(), source.stat().st_mode & 0o777
        if source.parent.name == BLOBS and sha256(data) != source.name:
            raise IntegrityFault(f"the file {source} does not hash to its name")
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        target.write_bytes(data)
        target.chmod(mode)
    except OSError as error:
        raise StorageFault(f"cannot copy {source}: {error}") from error
    _sync(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _require_free(path: Path) -> None:
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise InvalidSettings(f"{path} is no folder")
    if path.is_dir() and any(path.iterdir()):
        raise InvalidSettings(f"{path} is not empty; nothing is written over it")


@contextmanager
def _whole_folder(path: Path) -> Iterator[Path]:
    """Hand out a new folder that becomes ``path`` when all went well, else nothing."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True, mode=0o700)
        yield part
        for folder in sorted((p for p in part.rglob("*") if p.is_dir()), reverse=True):
            _sync(folder)
        _sync(part)
        part.rename(path)
        _sync(path.parent)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError):
            raise StorageFault(f"cannot write {path}: {error}") from error
        raise


@contextmanager
def _closing(database: Database) -> Iterator[Database]:
    try:
        yield database
    finally:
        database.close()
