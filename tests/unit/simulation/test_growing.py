# SPDX-License-Identifier: Apache-2.0
"""Logs that grow: each line once, when its sensor writes it, and all in the end."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from fedxdr.core.errors import InvalidSettings
from fedxdr.intake import read
from fedxdr.privacy import Pseudonymiser
from fedxdr.simulation import Sensors, generate, read_truth, write
from fedxdr.simulation.growing import GrowingLogs
from fedxdr.simulation.world import World

MIXES = [Sensors.WITH_HOSTS, Sensors.ZEEK_JSON]
HOUR = dt.timedelta(hours=1)


@pytest.fixture(scope="module")
def world() -> World:
    return generate(organisations=["alpha", "bravo"], seed=5, hours=24, sensors=MIXES)


def test_in_the_end_all_is_there(world: World, tmp_path: Path) -> None:
    growing = GrowingLogs(world, tmp_path / "growing")
    whole = write(world, tmp_path / "whole")
    since, appended = growing.begin, 0
    while since < growing.end:
        appended += growing.append(since, since + 5 * HOUR)
        since += 5 * HOUR
    written = 0
    for name, files in growing.files.items():
        for one, other in zip(files.logs, whole[name].logs, strict=True):
            grown = one.read_bytes().splitlines()
            closed = [
                line
                for line in other.read_bytes().splitlines()
                if not line.startswith(b"#close")
            ]
            assert sorted(grown) == sorted(closed)
            written += sum(not line.startswith(b"#") for line in grown)
        assert files.truth.read_bytes() == whole[name].truth.read_bytes()
    assert appended == written > 20_000
    assert growing.append(growing.end, growing.end + HOUR) == 0


def test_a_part_holds_what_was_written_then(world: World, tmp_path: Path) -> None:
    growing = GrowingLogs(world, tmp_path)
    files = growing.files["alpha"]
    assert files.eve.read_bytes() == b""
    assert files.conn.read_text().splitlines()[-1].startswith("#types")
    since, until = world.start + 9 * HOUR, world.start + 10 * HOUR
    count = growing.append(since, until)
    assert count > 500
    times = [
        dt.datetime.fromisoformat(json.loads(line)["timestamp"])
        for line in files.eve.read_bytes().splitlines()
    ]
    assert times == sorted(times)
    assert since <= times[0] < times[-1] < until
    # A connection is written when it is over: none began after that.
    intake = read(files.logs, tokenise=Pseudonymiser(bytes(32)))
    assert intake.rejected == 0
    begun = intake.events.time_ns
    assert begun.max() < until.timestamp() * 1e9
    assert (begun < since.timestamp() * 1e9).any()
    truth = read_truth(files.truth)
    assert not (truth.applied_to(intake.events).label == -1).any()


def test_time_does_not_go_back(world: World, tmp_path: Path) -> None:
    growing = GrowingLogs(world, tmp_path)
    with pytest.raises(InvalidSettings, match="before it begins"):
        growing.append(world.start + HOUR, world.start)
    assert growing.append(world.start, world.start) == 0
