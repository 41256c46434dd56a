# SPDX-License-Identifier: Apache-2.0
"""What people mistype: each time one line that says what to do, and nothing else."""

import base64

import pytest

TOKEN = base64.urlsafe_b64encode(bytes(range(48))).decode()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("round start --dir {new}", "server init"),
        ("round status --dir {new}", "server init"),
        ("round watch --dir {new}", "server init"),
        ("round start --dir {new} --set clip_norm", "FIELD=JSON"),
        ("invite aurora --dir {new}", "server init"),
        ("server run --dir {new}", "server init"),
        ("ledger export {new}/out --dir {new}", "holds no ledger"),
        ("agent run --dir {new}", "name this organisation's logs"),
        ("agent run --dir {new} --zeek /var/log/zeek", "fedxdr join"),
        ("agent assess --dir {new} --truth t --until 2026-01-01", "name this"),
        ("join nonsense --dir {new}", "no invitation"),
        ("join https://soc.example --dir {new}", "no invitation"),
        ("join fedxdr+http://127.0.0.1:1/org#short --dir {new}", "no invitation"),
        ("join fedxdr+http://127.0.0.1:1/UP#{token} --dir {new}", "no invitation"),
        ("join fedxdr+http://h:99999/org#{token} --dir {new}", "no address"),
        ("demo --workdir {full}", "not empty"),
        ("verify {new}", "No such file"),
        ("verify {full}", "directory"),
        ("verify {file} --pin xx", "base64"),
    ],
)
def test_a_mistake_is_told_in_one_line(fails, tmp_path, command, words):
    full = tmp_path / "full"
    full.mkdir()
    (full / "file").write_text("text")
    places = {
        "new": tmp_path / "new",
        "full": full,
        "file": full / "file",
        "token": TOKEN,
    }
    fails(command.format(**places).split(), 2, "invalid-settings", words)


@pytest.mark.parametrize(
    "command",
    ["server init --dir {file}", "server init --dir {file}/below",
     "join fedxdr+http://127.0.0.1:1/org#{token} --dir {file}/below"],
)  # fmt: skip
def test_a_folder_that_cannot_be_is_told_in_one_line(fails, tmp_path, command):
    (tmp_path / "file").write_text("text")
    command = command.format(file=tmp_path / "file", token=TOKEN)
    fails(command.split(), 5, "storage-fault", str(tmp_path / "file"))


def test_a_server_that_was_never_run_is_named(fails, tmp_path):
    (tmp_path / "server.json").write_text(
        '{"federation": "f", "origin": "o", "model": "m", "address": ""}'
    )
    fails(
        ("invite", "a", "--dir", tmp_path), 4, "unavailable", "start the server first"
    )


@pytest.mark.parametrize("text", ["", "{", "[]", '{"colour": "red"}', "null"])
def test_a_file_that_is_broken_is_named(fails, tmp_path, text):
    for name, command in (
        ("server.json", ("invite", "a")),
        ("agent.json", ("agent", "run", "--zeek", "x")),
    ):
        (tmp_path / name).write_text(text)
        fails((*command, "--dir", tmp_path), 2, "invalid-settings", name)


def test_wrong_settings_are_named(fails, tmp_path, monkeypatch):
    monkeypatch.setenv("FL_MIN_SURVIVORS", "two")
    fails(
        ("server", "run", "--dir", tmp_path), 2, "invalid-settings", "FL_MIN_SURVIVORS"
    )
