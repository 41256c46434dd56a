# SPDX-License-Identifier: Apache-2.0
"""An organisation's agent as a process of its own, which can be killed with SIGKILL.

``python -m tests.attacks.malicious_orchestrator.agent_process FOLDER PLACE RULES…``
opens a folder and does one step for each line on standard input; the line is the time.
Each step is answered by one line of JSON: what was refused. RULES are names of rules
that this process runs without.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.attacks.malicious_orchestrator import known_rules
from tests.attacks.malicious_orchestrator.rules import AnyRule, Rule, Swap, removed
from tests.attacks.malicious_orchestrator.stage import DataOf

from fedxdr.app.participating import OpenParticipant
from fedxdr.core.errors import FedxdrError

ROOT = Path(__file__).parents[3]
RULES: dict[str, AnyRule] = {
    rule.name: rule
    for rule in vars(known_rules).values()
    if isinstance(rule, Rule | Swap)
}


class ToldClock:
    """The time that stands on the last line."""

    def __init__(self) -> None:
        self.at = datetime.fromtimestamp(0, UTC)

    def now(self) -> datetime:
        return self.at


class _Noting(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        why = getattr(record, "why", "") or getattr(record, "reason", "")
        if why:
            self.said.append(str(why))


class AgentProcess:
    """The other end: starts the process, lets it step, kills it."""

    def __init__(self, folder: Path, place: int, rules: tuple[AnyRule, ...]) -> None:
        program = "tests.attacks.malicious_orchestrator.agent_process"
        names = [rule.name for rule in rules]
        self._child = subprocess.Popen(
            [sys.executable, "-m", program, str(folder), str(place), *names],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def step(self, at: datetime) -> list[str]:
        """Let the agent do what is due; return what it refused."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(f"{at.isoformat()}\n")
        self._child.stdin.flush()
        found: list[str] = json.loads(self._child.stdout.readline())
        return found

    def kill(self) -> int:
        """End the process with SIGKILL and return how it ended."""
        self._child.kill()
        status = self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
        return status


def main(folder: str, place: str, *names: str) -> None:
    """Step until standard input ends."""
    clock, noting = ToldClock(), _Noting()
    logging.getLogger("fedxdr").addHandler(noting)
    with removed(tuple(RULES[name] for name in names)):
        agent: Any = None
        for line in sys.stdin:
            clock.at = datetime.fromisoformat(line.strip())
            if agent is None:
                agent = OpenParticipant(
                    Path(folder), learner=DataOf(int(place)), clock=clock
                )
            noting.said.clear()
            try:
                agent.participant.step(wait_s=0)
            except FedxdrError as error:
                noting.said.append(str(error))
            sys.stdout.write(json.dumps(noting.said) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
