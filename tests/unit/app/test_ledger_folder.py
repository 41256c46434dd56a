# SPDX-License-Identifier: Apache-2.0
"""Where the ledger of a folder is."""

import pytest

from fedxdr.app.ledger_folder import database_in
from fedxdr.app.participating import AgentFile
from fedxdr.app.server_file import ServerFile
from fedxdr.core.errors import InvalidSettings


def test_an_orchestrators_ledger_is_where_its_settings_say(tmp_path, monkeypatch):
    monkeypatch.delenv("FL_BLOCKCHAIN_DB_PATH", raising=False)
    file = {"federation": "f", "origin": "f.example", "model": "0" * 64}
    ServerFile(**file).write(tmp_path)
    assert database_in(tmp_path) == tmp_path / "server.db"
    url = "postgresql://fedxdr@127.0.0.1/fedxdr"
    ServerFile(**file, database=url).write(tmp_path)
    assert database_in(tmp_path) == url


def test_a_members_mirror_is_in_its_folder(tmp_path):
    file = AgentFile(org="a", server="http://127.0.0.1:1", orchestrator="", token="")
    file.write(tmp_path)
    assert database_in(tmp_path) == tmp_path / "agent.db"


def test_nobodys_folder_has_none(tmp_path):
    with pytest.raises(InvalidSettings, match="holds no ledger"):
        database_in(tmp_path)
