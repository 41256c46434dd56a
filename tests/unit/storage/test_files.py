# SPDX-License-Identifier: Apache-2.0
"""A file is replaced whole or not at all."""

import os
from pathlib import Path

import pytest

from fedxdr.core.errors import StorageFault
from fedxdr.storage.files import replace_file


def test_new_bytes_stand_in_place_of_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "server.json"
    for data in (b"old", b"", b"new and longer"):
        replace_file(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_has_the_mode_asked_for(tmp_path: Path) -> None:
    replace_file(tmp_path / "agent.json", b"token", mode=0o600)
    assert (tmp_path / "agent.json").stat().st_mode & 0o777 == 0o600


def test_killed_before_the_rename_the_old_bytes_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    path = tmp_path / "server.json"
    replace_file(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", die)
        with pytest.raises(Killed):
            replace_file(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_folder_that_is_not_there_is_a_fault_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(StorageFault, match="cannot write"):
        replace_file(tmp_path / "nowhere" / "file", b"x")
