# SPDX-License-Identifier: Apache-2.0
"""A live agent: findings in seconds, none lost and none twice over SIGKILL."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.process.drill_live import run
from tests.process.test_how_to import commands_of

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]


def as_in_the_guide(folder: Path, logs: Sequence[Path], sink: str) -> list[str]:
    """Return the guide's command on these logs; the sink stands for its Splunk."""
    line = commands_of("detect.md")[-1]
    kept = folder / "findings of the guide.ndjson"
    filled = {
        "--dir north": f"--dir {shlex.quote(str(folder))}",
        "/var/log/suricata/eve*.json": str(logs[0].parent / "eve*.json"),
        "/var/log/zeek": str(logs[0].parent / "conn.log"),
        "file:/var/log/fedxdr/findings.ndjson": f"'file:{quote(str(kept))}'",
    }
    for written, real in filled.items():
        assert written in line
        line = line.replace(written, real)
    words = [sink if word.startswith("hec+") else word for word in shlex.split(line)]
    assert words[0] == "fedxdr"
    return words[1:]


def test_findings_arrive_once_although_the_agent_is_killed(tmp_path: Path) -> None:
    outcome = run(tmp_path, seconds=5, kills=1, rounds=2, command=as_in_the_guide)
    assert (outcome.lost, outcome.unknown, outcome.twice) == (0, 0, 0)
    assert outcome.findings == outcome.named > 50
    assert outcome.lines > 2000
    # how fast is measured by the drill; a machine under load may be slower than that
    assert 0 < outcome.p95_s < 10
    assert outcome.kills == 1
    (kept,) = tmp_path.glob("*/findings of the guide.ndjson")
    assert len(kept.read_bytes().splitlines()) == outcome.findings


@pytest.mark.soak
def test_many_kills(tmp_path: Path) -> None:
    outcome = run(tmp_path, seconds=60, kills=6)
    assert (outcome.lost, outcome.unknown) == (0, 0)
    assert 0 < outcome.p95_s < 2
