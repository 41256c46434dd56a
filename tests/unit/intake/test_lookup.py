# SPDX-License-Identifier: Apache-2.0
"""From the place of an event to its line, wherever rotation has put it."""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path

import pytest
from tests.unit.intake.test_following import Intake, eve

from fedxdr.intake.lookup import line_at
from fedxdr.telemetry.findings import Position


@pytest.fixture(params=[2, 40])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> list[Position]:
    intake = Intake(tmp_path)
    intake.write("eve.json", *(eve(n) for n in range(request.param)))
    intake.letters.close()
    (stored,) = (one for one in intake.run() if len(one.events))
    found = [stored.lines.of(row) for row in range(request.param)]
    return [place for place in found if place is not None]


def lines(places: list[Position]) -> list[bytes | None]:
    return [line_at(place) for place in places]


def test_lines_are_found_after_rotation_and_packing(places: list[Position]) -> None:
    want = [eve(n).strip() for n in range(len(places))]
    log = Path(places[0].source)
    assert lines(places) == want
    content = log.read_bytes()
    log.rename(f"{log}.1")
    log.write_bytes(b'{"another":"log"}\n' * 200)
    assert lines(places) == want
    Path(f"{log}.1").unlink()
    Path(f"{log}.2.gz").write_bytes(gzip.compress(content))
    assert lines(places) == want
    Path(f"{log}.2.gz").write_bytes(gzip.compress(content)[:-20])
    line_at(places[0])
    Path(f"{log}.2.gz").unlink()
    assert lines(places) == [None] * len(places)


def test_what_is_at_a_broker_or_nowhere_is_none(places: list[Position]) -> None:
    one = places[0]
    assert line_at(dataclasses.replace(one, source="kafka:t")) is None
    assert line_at(dataclasses.replace(one, source="/no/such/folder/log")) is None
