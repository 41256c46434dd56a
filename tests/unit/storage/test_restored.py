# SPDX-License-Identifier: Apache-2.0
"""The file that says that a folder was set back: what it holds, and what is no file."""

import json

import pytest

from fedxdr.core.errors import IntegrityFault, StorageFault
from fedxdr.core.ids import OrgId
from fedxdr.parties.catching_up import Restoration
from fedxdr.storage.backups import RESTORED
from fedxdr.storage.restored import RestoredFile

FOUND = Restoration(
    since=4, told={OrgId("org-a"): 4}, owed=6, contradiction="two histories"
)


def test_it_comes_back_as_it_was_written(tmp_path):
    file = RestoredFile(tmp_path)
    assert file.read() is None
    file.write(FOUND)
    assert RestoredFile(tmp_path).read() == FOUND
    file.clear()
    assert file.read() is None
    file.clear()


def test_what_the_restore_wrote_stays(tmp_path):
    made = {"backup_created": "2026-01-01T00:00:00+00:00", "size": 4, "root": "ab"}
    (tmp_path / RESTORED).write_text(json.dumps(made))
    file = RestoredFile(tmp_path)
    assert file.read() == Restoration(since=4)
    file.write(FOUND)
    assert file.read() == FOUND
    assert made.items() <= json.loads((tmp_path / RESTORED).read_text()).items()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"size":"x"}', '{"told":[1]}'])
def test_what_cannot_be_read_is_never_none(tmp_path, text):
    (tmp_path / RESTORED).write_text(text)
    with pytest.raises(IntegrityFault):
        RestoredFile(tmp_path).read()


def test_a_disk_that_says_no_is_told(tmp_path):
    with pytest.raises(StorageFault):
        RestoredFile(tmp_path / "nowhere").write(FOUND)
    with pytest.raises(StorageFault):
        RestoredFile(tmp_path / "nowhere").clear()
