# SPDX-License-Identifier: Apache-2.0
"""Exports from any folder; a restored orchestrator catches up before it signs."""

import pytest

from fedxdr.app import ledger_copies
from fedxdr.core.errors import InvalidSettings


def test_nobodys_folder_exports_nothing(tmp_path):
    with pytest.raises(InvalidSettings):
        ledger_copies.export(tmp_path)


def test_only_a_restored_folder_catches_up(tmp_path):
    with pytest.raises(InvalidSettings, match="not restored"):
        ledger_copies.catch_up(tmp_path, [])
    with pytest.raises(InvalidSettings, match="not restored"):
        ledger_copies.nothing_newer(tmp_path)
