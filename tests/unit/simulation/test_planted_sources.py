# SPDX-License-Identifier: Apache-2.0
"""Real lines are read where they are, and only there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedxdr.core.errors import InvalidSettings
from fedxdr.simulation.planted_sources import read_real_lines

DATA = Path(__file__).parents[4] / "shared/data"


def test_without_the_folder_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="suricata_eve"):
        read_real_lines(tmp_path)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the shared real log lines")
def test_every_format_is_read() -> None:
    lines = read_real_lines(DATA, most=20)
    assert {line.log for line in lines} == {
        *("eve", "zeek-json", "zeek-tsv", "wazuh", "syslog", "text"),
    }
    for line in lines:
        if line.text.startswith("{"):
            assert isinstance(json.loads(line.text), dict)
        if line.log == "zeek-tsv":
            assert len(line.text.split("\t")) == len(line.columns)
