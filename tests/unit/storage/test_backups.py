# SPDX-License-Identifier: Apache-2.0
"""Backups: of one instant, whole or not at all, verified; nothing is written over."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
from datetime import UTC, datetime

import pytest
from tests.unit.storage.chains import chain, failed, head
from tests.unit.storage.test_ledger_check import root_of

from fedxdr.core.errors import (
    IntegrityFault,
    InvalidSettings,
    StorageFault,
    VerificationFailed,
)
from fedxdr.core.ids import OrgId, RoundId, sha256
from fedxdr.parties.ports import StoredFact
from fedxdr.storage import backups
from fedxdr.storage.blobs import FileBlobs
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.checkpoints import SqlCheckpointStore
from fedxdr.storage.database import Database, place_of
from fedxdr.storage.registry import SqlNotes, SqlRegistry
from fedxdr.storage.rounds import SqlFactLog

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
A = OrgId("org-a")


def anything():
    """Return a judge of ledgers that nobody founded: these tests are about files."""
    return lambda _: None


class Server:
    """An orchestrator's folder as far as storage goes."""

    def __init__(self, folder, place):
        self.folder, self.place = folder, place
        self.database = Database(place)
        self.blocks = SqlBlockStore(self.database)
        self.heads = SqlCheckpointStore(self.database)
        self.facts = SqlFactLog(self.database)
        self.blobs = FileBlobs(folder / "blobs")
        self.ledger = []

    def fill(self, n=4):
        self.blobs.put(b"model")
        (self.folder / "server.json").write_text("{}")
        (self.folder / "keys").mkdir()
        (self.folder / "keys" / "operator.key").write_text("secret")
        (self.folder / "keys" / "operator.key").chmod(0o600)
        (self.folder / "published").mkdir()
        (self.folder / "published" / "card.md").write_text("a model")
        self.facts.begin(RoundId("round-1"), b"opening")
        self.facts.append(
            RoundId("round-1"),
            StoredFact(name="Received", body=b"{}", slot="keys/a", message=b"\xff"),
        )
        SqlNotes(self.database).put("note", b"1")
        SqlRegistry(self.database).use_nonce("key", "nonce", expires=NOW)
        for signed in chain(n):
            self.append(signed)
        return self

    def append(self, signed):
        self.blocks.append(signed)
        self.ledger.append(signed)
        root = root_of(self.ledger)
        self.heads.put(len(self.ledger), root, head(len(self.ledger), root))

    def back_up(self, out, **options):
        options = {"with_keys": False, "now": NOW, "judge": anything} | options
        return backups.back_up(self.folder, out, place=self.place, **options)


@pytest.fixture(params=["sqlite", "postgres"])
def server(request, tmp_path):
    folder = tmp_path / "server"
    with contextlib.ExitStack() as stack:
        place = folder / "server.db"
        if request.param == "postgres":
            folder.mkdir()
            lent = request.getfixturevalue("postgres").lend()
            place = stack.enter_context(lent)
        made = Server(folder, place).fill()
        stack.callback(made.database.close)
        yield made


@pytest.fixture
def out(tmp_path):
    return tmp_path / "backup"


def restore(backup, folder, *, place=""):
    return backups.restore(
        backup, folder, place=place_of(place, folder), now=NOW, judge=anything
    )


def reseal(out, manifest):
    """Write another manifest, as one would who knows the form."""
    (out / "manifest.json").write_bytes(manifest)
    (out / "manifest.sha256").write_text(f"{sha256(manifest)}  manifest.json\n")


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_was_backed_up_comes_back(server, out, tmp_path):
    manifest = server.back_up(out)
    assert manifest.ledger.size == manifest.ledger.heads == 4
    assert manifest.ledger.root == root_of(server.ledger)
    assert backups.verify(out, judge=anything) == manifest
    assert not list(tmp_path.glob(".*.part"))
    assert out.stat().st_mode & 0o777 == 0o700
    again = tmp_path / "again"
    assert restore(out, again) == manifest
    restored = Server(again, again / "server.db")
    assert restored.blocks.read(begin=0, end=9) == server.ledger
    assert restored.heads.get(3) == server.heads.get(3)
    assert restored.facts.facts(RoundId("round-1")) == server.facts.facts(
        RoundId("round-1")
    )
    assert restored.facts.message(RoundId("round-1"), "keys/a") == b"\xff"
    assert restored.blobs.get(sha256(b"model")) == b"model"
    assert (again / "published" / "card.md").read_text() == "a model"
    record = json.loads((again / backups.RESTORED).read_text())
    assert record["size"] == 4
    assert record["root"] == manifest.ledger.root
    # what is restored goes on, and numbers of rows go on where they were
    restored.ledger = list(server.ledger)
    restored.append(failed(server.ledger[-1].block))
    restored.facts.begin(RoundId("round-2"), b"opening")
    assert restored.facts.rounds() == ["round-1", "round-2"]
    restored.database.close()


def test_a_backup_goes_to_a_server_and_back(server, out, postgres, tmp_path):
    server.back_up(out)
    place = postgres.new_place()
    again = tmp_path / "again"
    restore(out, again, place=place)
    assert not (again / "server.db").exists()
    restored = Server(again, place)
    assert restored.blocks.read(begin=0, end=9) == server.ledger
    restored.facts.begin(RoundId("round-2"), b"opening")
    assert restored.facts.rounds() == ["round-1", "round-2"]
    restored.database.close()
    with pytest.raises(InvalidSettings, match="has rows"):
        restore(out, tmp_path / "third", place=place)
    assert not (tmp_path / "third").exists()


def test_a_database_elsewhere_is_restored_elsewhere(server, out, tmp_path):
    server.back_up(out)
    there = tmp_path / "disk" / "fl_blockchain.db"
    again = tmp_path / "again"
    restore(out, again, place=str(there))
    assert not (again / "server.db").exists()
    restored = Server(again, there)
    assert restored.blocks.size() == 4
    restored.database.close()
    with pytest.raises(InvalidSettings, match="nothing is restored over it"):
        restore(out, tmp_path / "third", place=str(there))


def test_keys_are_copied_only_when_asked_for(server, out, tmp_path):
    assert "keys/operator.key" not in server.back_up(out).files
    assert not any(b"secret" in data for data in contents(out).values())
    manifest = server.back_up(tmp_path / "with", with_keys=True)
    assert manifest.with_keys
    restore(tmp_path / "with", tmp_path / "again")
    key = tmp_path / "again" / "keys" / "operator.key"
    assert key.read_text() == "secret"
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_backup_is_of_one_instant_while_blocks_are_appended(server, tmp_path):
    stop = threading.Event()

    def work():
        while not stop.is_set():
            server.append(failed(server.ledger[-1].block))

    worker = threading.Thread(target=work)
    worker.start()
    try:
        sizes = []
        for number in range(4):
            before = len(server.ledger)
            manifest = server.back_up(tmp_path / f"backup-{number}")
            sizes.append(manifest.ledger.size)
            assert manifest.ledger.size >= before - 1
            assert manifest.ledger.size - manifest.ledger.heads in {0, 1}
    finally:
        stop.set()
        worker.join()
    assert sizes == sorted(sizes)
    assert len(server.ledger) > sizes[0]


def test_one_byte_that_differs_is_found_before_anything_is_written(
    server, out, tmp_path
):
    server.back_up(out, with_keys=True)
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        data = path.read_bytes()
        is_seal = path.name.startswith("manifest.")
        step = 7 if is_seal else max(1, len(data) // 3)
        for place in range(0, len(data), step):
            damaged = bytearray(data)
            damaged[place] ^= 1
            path.write_bytes(damaged)
            with pytest.raises(IntegrityFault):
                restore(out, tmp_path / "again")
        path.write_bytes(data)
    assert not (tmp_path / "again").exists()
    backups.verify(out, judge=anything)


def test_a_stranger_checks_the_manifest_with_his_own_tool(server, out):
    server.back_up(out)
    command = ["sha256sum", "--check", "--strict", "manifest.sha256"]
    done = subprocess.run(command, cwd=out, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_file_too_many_or_too_few_is_found(server, out):
    server.back_up(out)
    (out / "extra").write_text("x")
    with pytest.raises(IntegrityFault, match="extra"):
        backups.verify(out, judge=anything)
    (out / "extra").unlink()
    (out / "server.json").rename(out.parent / "moved")
    with pytest.raises(IntegrityFault, match=r"server\.json"):
        backups.verify(out, judge=anything)
    (out / "server.json").symlink_to(out.parent / "moved")
    with pytest.raises(IntegrityFault, match="no plain file"):
        backups.verify(out, judge=anything)


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/x", "a/../../x", "a//b", "./a", "", ".", "a/", "manifest.json"],
)
def test_a_manifest_leads_nowhere_else(server, out, tmp_path, path):
    server.back_up(out)
    manifest = json.loads((out / "manifest.json").read_bytes())
    manifest["files"][path] = manifest["files"]["server.json"]
    reseal(out, json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode())
    with pytest.raises(IntegrityFault, match="manifest"):
        restore(out, tmp_path / "again")


def test_a_manifest_that_fits_files_but_not_the_ledger_is_refused(server, out):
    server.back_up(out)
    with pytest.raises(VerificationFailed):
        backups.verify(out)  # by the rules: nobody signed the genesis of this chain
    manifest = (out / "manifest.json").read_bytes()
    reseal(out, manifest.replace(b'"size":4', b'"size":5'))
    with pytest.raises(IntegrityFault, match="not the one it says"):
        backups.verify(out, judge=anything)


def test_nothing_is_written_over_anything(server, out, tmp_path):
    out.mkdir()
    server.back_up(out)
    before = contents(out)
    with pytest.raises(InvalidSettings, match="not empty"):
        server.back_up(out)
    assert contents(out) == before
    for there in ("file", "full"):
        path = tmp_path / there
        if there == "file":
            path.write_text("x")
        else:
            path.mkdir()
            (path / "x").write_text("x")
        with pytest.raises(InvalidSettings):
            restore(out, path)
        with pytest.raises(InvalidSettings):
            server.back_up(path)
    empty = tmp_path / "empty"
    empty.mkdir()
    restore(out, empty)


def test_what_is_no_backup_or_no_server_is_said(server, out, tmp_path):
    with pytest.raises(InvalidSettings, match="no backup"):
        restore(tmp_path / "nothing", tmp_path / "again")
    with pytest.raises(InvalidSettings, match="holds no orchestrator"):
        backups.back_up(
            tmp_path, out, place=server.place, with_keys=False, now=NOW, judge=anything
        )
    with pytest.raises(InvalidSettings, match="does not lie in"):
        server.back_up(server.folder / "backup")


@pytest.mark.parametrize("what", ["blob", "no model", "link", "rules"])
def test_damage_is_never_backed_up(server, out, what):
    model = server.folder / "blobs" / sha256(b"model")
    fault, options = IntegrityFault, {}
    match what:
        case "blob":
            model.write_bytes(b"madel")
        case "no model":
            model.unlink()
        case "link":
            shutil.move(model, out.parent / "elsewhere")
            model.symlink_to(out.parent / "elsewhere")
        case _:
            fault = VerificationFailed
            options = {"judge": backups.ledger_check.by_the_rules}
    with pytest.raises(fault):
        server.back_up(out, **options)
    assert not out.exists()
    assert not list(out.parent.glob(".*.part"))


def test_a_disk_that_says_no_leaves_nothing(server, out, monkeypatch):
    def no(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no)
        with pytest.raises(StorageFault):
            server.back_up(out)
    assert not out.exists()
    assert not list(out.parent.glob(".*.part"))


def test_what_passes_is_not_copied(server, out):
    (server.folder / "blobs" / "x.part").write_text("half")
    (server.folder / ".new.part").mkdir()
    (server.folder / ".new.part" / "file").write_text("half")
    files = server.back_up(out).files
    assert not [p for p in files if "part" in p or "lock" in p or "-wal" in p]
