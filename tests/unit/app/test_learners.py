# SPDX-License-Identifier: Apache-2.0
"""An organisation's own logs as what its agent learns from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.app.detection import events, snapshot_of

from fedxdr.app import learners
from fedxdr.app.scoring import arrived
from fedxdr.app.settings import PlanSettings
from fedxdr.core.errors import InvalidTelemetry
from fedxdr.federation.plan import Plan
from fedxdr.intake import Intake, files
from fedxdr.intake.spool import Spool
from fedxdr.learning.federate import plan_fields
from fedxdr.privacy.pseudonym import Pseudonymiser
from fedxdr.storage.secrets import read_seed

PLAN = Plan(
    federation="test",
    run_id="run-1",
    participants=3,
    threshold=3,
    **plan_fields(learners.ARCHITECTURE, **PlanSettings().plan_fields()),
)
LINE = (
    "Dec 31 23:59:59 h sshd[1]: Accepted password for root from 192.0.2.7 port 5 ssh2"
)


def test_users_are_tokens_of_the_organisations_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Intake] = []
    read = files.read

    def watched(*args: Any, **more: Any) -> Intake:
        taken.append(read(*args, **more))
        return taken[-1]

    monkeypatch.setattr(files, "read", watched)
    (tmp_path / "keys").mkdir()
    log = tmp_path / "auth.log"
    log.write_text(f"{LINE}\n{LINE}\n")
    learner = learners.load(tmp_path, [str(log)], name="north")
    key = read_seed(tmp_path / "keys" / "pseudonym.key")
    assert taken[0].events.user.tolist() == [Pseudonymiser(key).user("root")] * 2
    assert learner.events == learner.samples() == 2


def test_what_is_stored_when_a_round_asks_is_learned_from(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    learner = learners.SpoolLearner(folder, name="west", until=None)
    with pytest.raises(InvalidTelemetry):
        learner.samples()
    spool = Spool(folder)
    spool.append(events().select(slice(0, 600)), [])
    rows = int(events().is_input[:600].sum())
    assert learner.samples() == rows
    first = learner.learn(task="statistics", parent=snapshot_of(), plan=PLAN, number=1)
    spool.append(events().select(slice(600, 900)), [])
    again = learner.learn(task="statistics", parent=snapshot_of(), plan=PLAN, number=1)
    assert np.array_equal(first.update.values, again.update.values)
    more = learner.learn(task="statistics", parent=snapshot_of(), plan=PLAN, number=2)
    assert more.update.samples == int(events().is_input[:900].sum()) > rows
    assert not np.array_equal(first.update.values, more.update.values)


def test_live_and_learned_are_read_in_one_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(events().select(slice(0, 600)), [])
    learner = learners.SpoolLearner(tmp_path, name="west", until=None)
    by_arrival = learner.learn(
        task="statistics", parent=snapshot_of(), plan=PLAN, number=1
    )
    by_time = learners.LogLearner(
        events().select(slice(0, 600)), name="west", until=None
    ).learn(task="statistics", parent=snapshot_of(), plan=PLAN, number=1)
    wanted = learners.LogLearner(
        arrived(events().select(slice(0, 600))), name="west", until=None
    ).learn(task="statistics", parent=snapshot_of(), plan=PLAN, number=1)
    assert np.array_equal(by_arrival.update.values, wanted.update.values)
    assert not np.array_equal(by_arrival.update.values, by_time.update.values)


def test_only_the_newest_events_are_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    for begin in range(0, 900, 300):
        spool.append(events().select(slice(begin, begin + 300)), [])
    monkeypatch.setattr(learners, "MOST_EVENTS", 300)
    learner = learners.SpoolLearner(tmp_path, name="west", until=None)
    assert learner.samples() == int(events().is_input[600:900].sum())
