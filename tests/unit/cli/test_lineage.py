# SPDX-License-Identifier: Apache-2.0
"""``lineage``: one walk in three forms, and commands that work exactly as printed."""

import base64
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.ledger.conftest import Federation

from fedxdr.app.participating import AgentFile
from fedxdr.app.server_file import ServerFile
from fedxdr.cli import lineage
from fedxdr.core.errors import InvalidSettings
from fedxdr.core.ids import sha256
from fedxdr.crypto.publisher import PublisherKey
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.database import Database
from fedxdr.storage.model_directory import FILES
from fedxdr.storage.publishing import publish, unpublished

KEY = PublisherKey(seed=bytes(range(32)))
FILE = {sha256(b"model %d" % n): b"model %d" % n for n in range(4)}
HASHES = list(FILE)
BLOCKED = (
    *("torch", "fastapi", "starlette", "sqlalchemy", "httpx", "uvicorn", "stamina"),
    *("model_signing", "sigstore"),
)
_WITHOUT = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocked())
from fedxdr.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def told():
    """Three rounds, of whose models the second is withdrawn before the third."""
    federation = Federation().begin(publisher=KEY.public_der).adopt()
    return federation.commit().commit().retire(b"model 2", b"model 1").commit()


@pytest.fixture(scope="module")
def exported(told, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "ledger.fedxdr"
    path.write_bytes(told.export())
    return path


@pytest.fixture(scope="module")
def folder(told, tmp_path_factory):
    """An agent's folder with its mirror and all models, under an awkward name."""
    path = tmp_path_factory.mktemp("agents of") / "it's\\an agent; $HOME"
    path.mkdir()
    database = Database(path / "agent.db")
    for signed in told.blocks:
        SqlBlockStore(database).append(signed)
    database.close()
    AgentFile(
        org="alpha", server="http://127.0.0.1:1", orchestrator="0" * 64, token=""
    ).write(path)
    for signed, _ in unpublished(path / "models", told.blocks):
        model = FILE[signed.block.model_hash]
        publish(path / "models", signed=signed, model=model, publisher=KEY)
    return path


def shell(script, *, cwd="/"):
    """Run text as a stranger's shell would, who has three tools and not us."""
    return subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=cwd,
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def commands(text):
    return [line for line in text.splitlines() if not line.startswith("#")]


# The commands


def test_what_is_printed_verifies_as_a_script_and_line_by_line(run, folder):
    done = run("lineage", HASHES[3], "--dir", folder, "--how-to-verify")
    assert done.status == 0
    assert shell(done.out).returncode == 0
    results = [shell(line) for line in commands(done.out)]
    assert [found.returncode for found in results] == [0, 0, 0], results
    assert results[1].stdout == "Verified OK\n"
    assert results[2].stdout.count(": OK\n") == 7


@pytest.mark.parametrize("name", sorted(FILES))
def test_it_fails_after_one_changed_byte_of_any_file(run, exported, folder, name):
    place = folder / "models" / HASHES[3]
    done = run("lineage", place, "--bundle", exported, "--how-to-verify")
    good = (place / name).read_bytes()
    at = len(good) // 2
    (place / name).write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
    try:
        # the slow one last, and here never: it ran above
        assert any(shell(line).returncode for line in reversed(commands(done.out)))
    finally:
        (place / name).write_bytes(good)


def test_the_digests_are_the_ledgers_not_the_directorys(run, folder, tmp_path, told):
    """Somebody published the same model under a key of his own."""
    forged = PublisherKey(seed=bytes(32))
    place = publish(
        tmp_path, signed=told.blocks[5], model=FILE[HASHES[3]], publisher=forged
    )
    done = run("lineage", place, "--dir", folder, "--how-to-verify")
    assert done.status == 0
    assert KEY.public.fingerprint in done.out
    assert forged.public.fingerprint not in done.out
    assert [shell(line).returncode for line in commands(done.out)] == [0, 0, 1]


def test_a_directory_may_lie_anywhere(run, folder, tmp_path, monkeypatch):
    shutil.copytree(folder / "models" / HASHES[1], tmp_path / "--here")
    monkeypatch.chdir(tmp_path)
    done = run("lineage", "./--here", "--dir", folder, "--how-to-verify")
    assert [shell(line).returncode for line in commands(done.out)[1:]] == [0, 0]


def test_it_says_what_it_cannot_vouch_for(run, exported, folder, told):
    place = folder / "models" / HASHES[2]
    unpinned = run("lineage", place, "--bundle", exported, "--how-to-verify")
    assert "not pinned" in unpinned.out
    assert "WITHDRAWN" in unpinned.out
    genesis = told.blocks[0].block.entry
    pin = base64.b64encode(genesis.orchestrator.ed25519).decode()
    found = ("lineage", folder / "models" / HASHES[1], "--bundle", exported)
    pinned = run(*found, "--how-to-verify", "--pin", pin)
    assert pinned.status == 0
    assert "not pinned" not in pinned.out
    assert "WITHDRAWN" not in pinned.out


# The lineage


def test_newest_first_as_json(run, exported):
    found = json.loads(run("lineage", HASHES[3], "--bundle", exported, "--json").out)
    assert found["model_hash"] == HASHES[3]
    walk = found["lineage"]
    # the model that was withdrawn is no ancestor of the one made after it
    assert [step["model_hash"] for step in walk] == [HASHES[n] for n in (3, 1, 0)]
    assert [step["block_height"] for step in walk] == [5, 2, 0]
    assert walk[0]["training_orgs"] == ["alpha", "bravo", "charlie"]
    assert walk[0]["parent_model"] == walk[1]["model_hash"]
    assert not any(step["retired"] for step in walk)
    assert "how_to_verify" not in found


def test_json_holds_the_commands_when_asked(run, folder):
    asked = ("lineage", HASHES[2], "--dir", folder, "--json", "--how-to-verify")
    found = json.loads(run(*asked).out)
    assert found["publisher"] == KEY.public.fingerprint
    assert len(found["how_to_verify"]) == 3
    assert [step["retired"] for step in found["lineage"]] == [True, False, False]


def test_the_table_names_each_model_once(run, exported):
    done = run("lineage", HASHES[2], "--bundle", exported)
    assert done.status == 0
    assert "3 models, newest first" in done.out
    places = [done.out.index(HASHES[n][:6]) for n in (2, 1, 0)]
    assert places == sorted(places)
    assert "retired" in done.out


def test_the_graph_has_a_box_for_each_model_and_an_arrow_to_each_child(run, exported):
    text = run("lineage", HASHES[2], "--bundle", exported, "--graph").out
    assert text.startswith("digraph lineage {\n")
    assert text.endswith("}\n")
    boxes = re.findall(r'^  "([0-9a-f]{64})" \[label="(v\d)\\n', text, re.MULTILINE)
    assert boxes == [(HASHES[0], "v0"), (HASHES[1], "v1"), (HASHES[2], "v2")]
    arrows = re.findall(r'"([0-9a-f]{64})" -> "([0-9a-f]{64})"', text)
    assert arrows == [(HASHES[0], HASHES[1]), (HASHES[1], HASHES[2])]
    assert text.count("style=dashed") == 1
    assert r'[label="round-2\nalpha, bravo, charlie"]' in text


def test_the_graph_quotes_what_a_block_could_choose(told):
    block = told.blocks[2].block
    made = dataclasses.replace(block.provenance, model_version='a" [x=\\')
    walk = lineage.ancestors_of(
        [told.blocks[0].block, dataclasses.replace(block, provenance=made)], HASHES[1]
    )
    text = "\n".join(lineage._graph(walk, set()))
    assert r'[label="a\" [x=\\\n' in text


# Naming a model, naming a ledger


def test_a_model_is_named_by_digits_file_or_directory(run, exported, folder, tmp_path):
    file = tmp_path / "downloaded"
    file.write_bytes(FILE[HASHES[1]])
    answers = {
        run("lineage", name, "--bundle", exported, "--json").out
        for name in (
            HASHES[1],
            HASHES[1][:8],
            HASHES[1][:12].upper(),
            file,
            folder / "models" / HASHES[1],
        )
    }
    assert len(answers) == 1
    assert json.loads(answers.pop())["model_hash"] == HASHES[1]


def test_digits_that_fit_two_models_name_none(told):
    blocks = [told.blocks[0].block, told.blocks[2].block]
    twin = dataclasses.replace(blocks[1], model_hash=HASHES[0][:60] + "0000")
    with pytest.raises(InvalidSettings, match="2 models begin"):
        lineage._find(HASHES[0][:8], [blocks[0], twin])
    assert lineage._find(HASHES[0], [blocks[0], twin]) == HASHES[0]


def test_a_folder_is_read_while_a_process_runs_on_it(run, folder):
    running = Database(folder / "agent.db")
    try:
        assert run("lineage", HASHES[3], "--dir", folder, "--json").status == 0
    finally:
        running.close()


def test_a_servers_folder_is_read_as_well(run, folder, tmp_path):
    shutil.copy(folder / "agent.db", tmp_path / "server.db")
    ServerFile(federation="f", origin="f.example", model="0" * 64).write(tmp_path)
    assert run("lineage", HASHES[3], "--dir", tmp_path, "--json").status == 0


def test_wrong_use_is_one_line_that_says_why(fails, exported, folder, tmp_path):
    both = ("--dir", folder, "--bundle", exported)
    told = ("--bundle", exported)
    for arguments, word in (
        ((HASHES[1],), "--dir or --bundle"),
        ((HASHES[1], *both), "--dir or --bundle"),
        ((HASHES[1][:7], *told), "8 to 64"),
        (("no such file", *told), "no file"),
        ((HASHES[1], "--bundle", tmp_path / "none"), "cannot read"),
        ((HASHES[1], "--dir", tmp_path), "holds no ledger"),
        ((tmp_path, *told), "cannot read"),
        ((HASHES[1], *told, "--graph", "--json"), "--graph"),
        ((HASHES[1], *told, "--graph", "--how-to-verify"), "--graph"),
        ((HASHES[1], *told, "--how-to-verify"), "directory"),
        ((HASHES[1], *told, "--pin", "?"), "base64"),
        ((HASHES[1], "--dir", folder, "--pin", "AAAA"), "--bundle"),
    ):
        fails(("lineage", *arguments), 2, "invalid-settings", word)


def test_what_is_not_there_is_not_found(fails, exported, folder, tmp_path):
    unknown = sha256(b"unknown")
    fails(("lineage", unknown, "--bundle", exported), 3, "not-found", "no model")
    for name in ("agent.db", "agent.json"):
        shutil.copy(folder / name, tmp_path / name)
    asked = ("lineage", HASHES[1], "--dir", tmp_path, "--how-to-verify")
    fails(asked, 3, "not-found", "not published")


def test_a_bundle_is_verified_before_anything_is_told(run, exported, tmp_path):
    data = bytearray(exported.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "broken").write_bytes(data)
    done = run("lineage", HASHES[1], "--bundle", tmp_path / "broken")
    assert (done.status, done.out) == (1, "")
    pin = base64.b64encode(bytes(32)).decode()
    done = run("lineage", HASHES[1], "--bundle", exported, "--pin", pin)
    assert (done.status, done.out) == (1, "")


def test_it_needs_neither_torch_nor_database_nor_the_tools_it_names(exported, folder):
    place = folder / "models" / HASHES[1]
    asked = ("lineage", place, "--bundle", exported, "--how-to-verify")
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT, *map(str, asked)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "sha256sum" in done.stdout
