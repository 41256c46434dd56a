# SPDX-License-Identifier: Apache-2.0
"""The same scripts against agents that are processes and are killed with SIGKILL."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.attacks.malicious_orchestrator.agent_process import AgentProcess
from tests.attacks.malicious_orchestrator.known_rules import (
    ANSWERED_ONCE,
    ONE_SET_PER_PARENT,
    STORED_BEFORE_SENT,
)
from tests.attacks.malicious_orchestrator.puppeteer import Loopback, on_loopback
from tests.attacks.malicious_orchestrator.rules import AnyRule
from tests.attacks.malicious_orchestrator.scripts_sets import (
    reveal_again_after_restart,
)
from tests.attacks.malicious_orchestrator.stage import Stage

pytestmark = [pytest.mark.attack, pytest.mark.process, pytest.mark.soak]
RULES = (STORED_BEFORE_SENT, ONE_SET_PER_PARENT, ANSWERED_ONCE)


@dataclass(kw_only=True)
class KilledStage(Stage):
    """A stage whose organisations are processes; a restart is kill -9."""

    without: tuple[AnyRule, ...] = ()
    children: dict[str, AgentProcess] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)

    def open(self, org: str) -> None:
        place = self.data[org].place
        self.children[org] = AgentProcess(self.folder / org, place, self.without)

    def step(self, org: str) -> None:
        found = self.children[org].step(self.fed.clock.now())
        self.refusals += [(org, sentence) for sentence in found]

    def restart(self, *orgs: str) -> None:
        for org in orgs:
            self.statuses.append(self.children[org].kill())
            self.open(org)

    def close(self) -> None:
        super().close()
        for child in self.children.values():
            child.kill()


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with on_loopback() as found:
        yield found


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("without", "refusing"),
    [
        ((), None),
        ((STORED_BEFORE_SENT,), ONE_SET_PER_PARENT),
        ((STORED_BEFORE_SENT, ONE_SET_PER_PARENT), ANSWERED_ONCE),
        (RULES, None),
    ],
    ids=["as-is", "forgetful", "forgetful-twice", "without"],
)
def test_killed_after_its_answer_an_agent_gives_no_other(
    server: Loopback,
    tmp_path: Path,
    without: tuple[AnyRule, ...],
    refusing: AnyRule | None,
) -> None:
    stage = KilledStage(server=server, folder=tmp_path, without=without)
    try:
        loot = reveal_again_after_restart(stage)
    finally:
        stage.close()
    assert stage.statuses == [-signal.SIGKILL] * 3
    assert loot.won is (without == RULES), loot.gain
    said = [sentence for _, sentence in stage.refused()]
    if refusing is not None:
        assert any(refusing.matches(sentence) for sentence in said)
    else:
        assert said == []
