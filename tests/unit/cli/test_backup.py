# SPDX-License-Identifier: Apache-2.0
"""The operator's commands about what is stored; what they do is storage's to test."""

from __future__ import annotations

import json

import pytest
import typer
from tests.unit.storage.chains import genesis
from typer.testing import CliRunner

from fedxdr.app import ledger_copies
from fedxdr.app.ledger_copies import Unasked
from fedxdr.cli import backup
from fedxdr.core.errors import InvalidSettings, Unavailable, VerificationFailed
from fedxdr.core.ids import sha256
from fedxdr.storage.blobs import FileBlobs
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.database import Database

APP = typer.Typer()
for command in (backup.backup, backup.restore, backup.catch_up, backup.compact):
    APP.command()(command)


def call(*arguments):
    return (
        CliRunner()
        .invoke(
            APP,
            [str(a) for a in arguments],
            catch_exceptions=False,
            standalone_mode=False,
        )
        .stdout
    )


@pytest.fixture
def folder(tmp_path):
    """An orchestrator whose federation is not founded yet."""
    made = tmp_path / "server"
    Database(made / "server.db").close()
    FileBlobs(made / "blobs").put(b"orphan")
    (made / "server.json").write_text("{}")
    (made / "keys").mkdir()
    (made / "keys" / "operator.key").write_text("secret")
    return made


def test_a_running_server_is_backed_up_and_restored(folder, tmp_path):
    running = Database(folder / "server.db")
    out, again = tmp_path / "backup", tmp_path / "again"
    answer = json.loads(call("backup", out, "--dir", folder, "--json"))
    assert answer["verified"] is True
    assert answer["with_keys"] is False
    assert answer["ledger"]["size"] == 0
    running.close()
    assert json.loads(call("restore", out, "--dir", again, "--json"))["verified"]
    assert not (again / "keys").exists()
    assert FileBlobs(again / "blobs").has(sha256(b"orphan"))


def test_it_says_what_becomes_of_the_keys(folder, tmp_path):
    assert "holds no keys" in call("backup", tmp_path / "a", "--dir", folder)
    said = call("backup", tmp_path / "b", "--dir", folder, "--with-keys")
    assert "holds the private keys" in said
    assert "put them into" in call("restore", tmp_path / "a", "--dir", tmp_path / "c")
    call("restore", tmp_path / "b", "--dir", tmp_path / "d")
    assert (tmp_path / "d" / "keys" / "operator.key").read_text() == "secret"


def test_a_ledger_that_nobody_founded_is_not_backed_up(folder, tmp_path):
    database = Database(folder / "server.db")
    SqlBlockStore(database).append(genesis())
    database.close()
    FileBlobs(folder / "blobs").put(b"model")
    with pytest.raises(VerificationFailed):
        call("backup", tmp_path / "backup", "--dir", folder)
    assert not (tmp_path / "backup").exists()


def test_catching_up_takes_bundles_or_the_operators_word(folder, tmp_path):
    bundle = tmp_path / "bundle"
    for given in ((), (bundle, "--nothing-newer")):
        with pytest.raises(InvalidSettings, match="name members' bundles, or say"):
            call("catch-up", "--dir", folder, *given)
    with pytest.raises(InvalidSettings, match="cannot read"):
        call("catch-up", "--dir", folder, bundle)
    bundle.write_bytes(b"")
    for given in (bundle, "--nothing-newer"):
        with pytest.raises(InvalidSettings, match="was not restored"):
            call("catch-up", "--dir", folder, given)


def test_catching_up_promises_nothing(folder, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(
        ledger_copies, "catch_up", lambda _, data: given.extend(data) or 3
    )
    paths = [tmp_path / "one", tmp_path / "two"]
    for path in paths:
        path.write_text(path.name)
    assert json.loads(call("catch-up", "--dir", folder, *paths, "--json")) == {
        "blocks": 3
    }
    assert given == [b"one", b"two"]
    said = " ".join(call("catch-up", "--dir", folder, *paths).split())
    assert "signs nothing until every member's agent has told it" in said

    word = Unasked(told=("org-a",), missing=("org-b", "org-c"))
    monkeypatch.setattr(ledger_copies, "nothing_newer", lambda _: word)
    said = " ".join(call("catch-up", "--dir", folder, "--nothing-newer").split())
    assert "1 of 3 members had told" in said
    assert "Not org-b, org-c" in said
    assert "convict" in said
    said = json.loads(call("catch-up", "--dir", folder, "--nothing-newer", "--json"))
    assert said == {"blocks": 0, "told": ["org-a"], "missing": ["org-b", "org-c"]}


def test_without_yes_nothing_goes(folder):
    blobs = FileBlobs(folder / "blobs")
    said = json.loads(call("compact", "--dir", folder, "--json"))
    assert (said["done"], said["unneeded"], said["bytes"]) == (False, 1, 6)
    assert "--yes does it" in call("compact", "--dir", folder)
    assert blobs.has(sha256(b"orphan"))
    said = json.loads(call("compact", "--dir", folder, "--yes", "--json"))
    assert (said["done"], said["removed"]) == (True, 1)
    assert not blobs.has(sha256(b"orphan"))
    assert "Compacted" in call("compact", "--dir", folder, "--yes")


def test_a_running_server_is_not_compacted(folder):
    running = Database(folder / "server.db")
    with pytest.raises(Unavailable, match="stop that one first"):
        call("compact", "--dir", folder, "--yes")
    running.close()


def test_a_database_elsewhere_is_named(folder, tmp_path):
    there = tmp_path / "elsewhere.db"
    (folder / "server.db").rename(there)
    out, again = tmp_path / "backup", tmp_path / "again"
    call("backup", out, "--dir", folder, "--db", there)
    call("restore", out, "--dir", again, "--db", tmp_path / "new" / "ledger.db")
    assert (tmp_path / "new" / "ledger.db").exists()
    assert not (again / "server.db").exists()
    with pytest.raises(InvalidSettings):
        call("backup", out, "--dir", folder, "--db", there)
