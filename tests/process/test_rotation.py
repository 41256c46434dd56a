# SPDX-License-Identifier: Apache-2.0
"""SIGKILL while a log rotates: no line lost, none twice, each found again."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.process import drill_rotation
from tests.process.drill_rotation import run

from fedxdr.intake.spool import Spool

pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def test_every_line_is_stored_once(tmp_path: Path) -> None:
    outcome = run(tmp_path, rotations=5, rate=20_000, seed=8)
    assert (outcome.lost, outcome.twice, outcome.misplaced) == (0, 0, 0)
    assert outcome.lines == 120_000
    assert outcome.kills > 2
    assert outcome.packed > 0


@pytest.mark.soak
def test_every_line_of_a_hundred_rotations_is_stored_once(tmp_path: Path) -> None:
    outcome = run(tmp_path, rotations=100, rate=20_000, seed=7)
    assert (outcome.lost, outcome.twice, outcome.misplaced) == (0, 0, 0)


# The drill finds what it is there to find.


def test_positions_that_are_not_of_their_events_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Spool.append

    def late(self, events, positions, *, lines=None):
        """Store the positions of the time before: what a second file would do."""
        before = self.positions() or positions
        return append(self, events, before, lines=lines)

    monkeypatch.setattr(Spool, "append", late)
    monkeypatch.setattr(drill_rotation, "PATIENT_S", 3.0)
    outcome = run(tmp_path, rotations=1, rate=5000, seed=7)
    assert outcome.twice > 0
