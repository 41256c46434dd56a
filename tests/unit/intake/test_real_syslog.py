# SPDX-License-Identifier: Apache-2.0
"""Real host logs, where they are at hand: every file is read, every line accounted."""

from __future__ import annotations

import zlib
from collections import Counter
from pathlib import Path

import pytest

from fedxdr.intake import Intake, read
from fedxdr.intake.sniffing import LogFormat
from fedxdr.telemetry import Kind, State

DATA = Path(__file__).parents[4] / "shared" / "data" / "auth"


def tokenise(text: str) -> int:
    return zlib.crc32(text.encode()) or 1


def take(name: str) -> Intake:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"real telemetry is not here: shared/data/auth/{name}")
    return read([path], tokenise=tokenise)


@pytest.mark.parametrize(
    ("name", "format_", "events", "skipped"),
    [
        ("lanl_redteam.txt", LogFormat.REDTEAM, 749, 1),
        ("loghub_OpenSSH_2k.log.gz", LogFormat.SYSLOG, 1146, 854),
        ("loghub_Linux_2k.log.gz", LogFormat.SYSLOG, 1511, 489),
        ("loghub_Windows_2k.log.gz", LogFormat.CBS, 0, 2000),
    ],
)
def test_every_line_is_kept_or_skipped(
    name: str, format_: LogFormat, events: int, skipped: int
) -> None:
    (report,) = take(name).files
    assert report.format is format_
    assert (report.events, report.skipped, report.rejected) == (events, skipped, 0)
    assert report.events + report.skipped == report.lines
    assert report.problem is None


def test_brute_force_of_a_real_server() -> None:
    taken = take("loghub_OpenSSH_2k.log.gz").events
    counted = Counter(zip(taken.kind.tolist(), taken.state.tolist(), strict=True))
    assert counted == {
        (Kind.AUTH, State.REJECTED): 633,
        (Kind.AUTH, State.COMPLETED): 1,
        (Kind.SSH, State.COMPLETED): 468,
        (Kind.SSH, State.ABANDONED): 44,
    }
    assert set(taken.destination.tolist()) == {tokenise("LabSZ")}
    hours = (taken.time_ns.max() - taken.time_ns.min()) / 3.6e12
    assert 4 < hours < 5
