# SPDX-License-Identifier: Apache-2.0
"""Proofs as files that a person sees and removes."""

import pytest

from fedxdr.core.errors import StorageFault
from fedxdr.storage.proof_files import ProofFiles

NAME = f"equivocation-{'ab' * 32}.json"


def test_what_is_put_is_a_file_until_a_person_removes_it(tmp_path):
    files = ProofFiles(tmp_path)
    assert (files.get(NAME), list(files.names("equivocation-"))) == (None, [])
    files.put(NAME, b"{}")
    assert (tmp_path / NAME).read_bytes() == b"{}"
    assert (files.get(NAME), list(files.names("equivocation-"))) == (b"{}", [NAME])
    (tmp_path / NAME).unlink()
    assert ProofFiles(tmp_path).names("equivocation-") == []
    files.put(NAME, b"{}")
    files.put(NAME, b"")
    assert not (tmp_path / NAME).exists()


def test_other_files_of_the_folder_are_not_proofs(tmp_path):
    for name in ("agent.json", "equivocation-X.json", "equivocation-a.json.1.part"):
        (tmp_path / name).write_text("{}")
    assert ProofFiles(tmp_path).names("equivocation-") == []


@pytest.mark.parametrize(
    "name", ["../x.json", "a/b.json", "x", "", "x.json\n", "É.json"]
)
def test_no_name_leads_out_of_the_folder(tmp_path, name):
    files = ProofFiles(tmp_path)
    for act in (files.get, lambda n: files.put(n, b"1")):
        with pytest.raises(StorageFault, match="no name"):
            act(name)


def test_what_the_disk_refuses_is_said(tmp_path):
    (tmp_path / NAME).mkdir()
    with pytest.raises(StorageFault, match="cannot read"):
        ProofFiles(tmp_path).get(NAME)
