# SPDX-License-Identifier: Apache-2.0
"""An attack: a script of messages, the rules that stop it, and how it is judged.

Two runs of one script: as the product is, some rule refuses it by name and the attacker
has nothing; without the rules it has what it wanted, which its script computes.

Where several rules stand against one attack, each one alone must stop it: that is a
third kind of run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.attacks.malicious_orchestrator.loot import Loot
from tests.attacks.malicious_orchestrator.puppeteer import Loopback
from tests.attacks.malicious_orchestrator.rules import AnyRule, removed
from tests.attacks.malicious_orchestrator.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack.

    Attributes:
        name: of the attack, as in docs/explanation/malicious-orchestrator.md.
        aim: what the attacker does.
        rules: all that stand against it; without all of them it succeeds.
        script: plays it and says what was got.
        stage: how the federation is made up.
        backstop: sentence with which mathematics refuses when the rules are gone; the
            attack then brings nothing at all.
        silent: how it is stopped where nobody refuses anything.
        is_long: left to the long form of the suite.
    """

    name: str
    aim: str
    rules: tuple[AnyRule, ...]
    script: Callable[[Stage], Loot]
    stage: dict[str, Any] = field(default_factory=dict)
    backstop: str = ""
    silent: str = ""
    is_long: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one run brought.

    Attributes:
        loot: what the attacker has.
        refused: who refused what.
    """

    loot: Loot
    refused: tuple[tuple[str, str], ...]

    def by_text(self, text: str) -> str:
        """Return the first refusal that holds a text, empty if none does."""
        return next((said for _, said in self.refused if text in said), "")

    def by(self, rules: tuple[AnyRule, ...]) -> tuple[AnyRule, str] | None:
        """Return the first of these rules that refused, and its sentence."""
        for _, sentence in self.refused:
            for rule in rules:
                if rule.matches(sentence):
                    return rule, sentence
        return None


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def play(
    attack: Attack, server: Loopback, *, without: tuple[AnyRule, ...] = ()
) -> Outcome:
    """Run an attack, without some rules."""
    with _folder() as folder, removed(without):
        stage = Stage(server=server, folder=folder, **attack.stage)
        try:
            loot = attack.script(stage)
            return Outcome(loot=loot, refused=tuple(stage.refused()))
        finally:
            stage.close()
