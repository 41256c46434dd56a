# SPDX-License-Identifier: Apache-2.0
"""Seeds in files: whole or not there, for their owner only, never written over."""

import os
from pathlib import Path

import pytest

from fedxdr.core.errors import InvalidSettings
from fedxdr.storage.secrets import read_seed, write_seed

SEED = bytes(range(32))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "identity.key"
    write_seed(path, SEED)
    assert read_seed(path) == SEED
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    write_seed(path, SEED)
    with pytest.raises(InvalidSettings, match="move it away"):
        write_seed(path, bytes(32))
    assert read_seed(path) == SEED
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("moment", ["fsync", "link"])
def test_killed_while_writing_no_half_a_key_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    path = tmp_path / "identity.key"
    with monkeypatch.context() as patch:
        patch.setattr(os, moment, die)
        with pytest.raises(Killed):
            write_seed(path, SEED)
    assert not path.exists()
    write_seed(path, SEED)
    assert read_seed(path) == SEED


@pytest.mark.parametrize("text", ["", "zz", "00" * 31, "00" * 33])
def test_what_is_no_seed_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "identity.key"
    path.write_text(text)
    with pytest.raises(InvalidSettings):
        read_seed(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="no key file"):
        read_seed(tmp_path / "identity.key")
