# SPDX-License-Identifier: Apache-2.0
"""The table of docs/explanation/malicious-orchestrator.md, made from the catalogue.

``python -m tests.attacks.malicious_orchestrator --table`` plays everything and prints
it; ``--refresh FILE`` puts names, rules and places right in a document and leaves what
attacks bring as it stands. Tests hold the document against both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tests.attacks.malicious_orchestrator.attack import Attack


def plain(gain: str) -> str:
    """Return what an attack brings, without the figures of one run."""
    return re.sub(r" \([^)]*\)", "", gain)


def fixed(attack: Attack) -> tuple[str, str, str]:
    """Return the cells of an attack that no run changes."""
    rules = "; ".join(f"{rule.name} (`{rule.code}`)" if rule.code else rule.name
                      for rule in attack.rules)  # fmt: skip
    where = "; ".join(
        f"`{path}`"
        for path in dict.fromkeys(
            rule.where.removeprefix("fedxdr.") for rule in attack.rules
        )
    )
    return f"`{attack.name}`: {attack.aim}", rules, where


def line(attack: Attack, gain: str) -> str:
    """Return an attack's line of the table."""
    return f"| {' | '.join((*fixed(attack), plain(gain)))} |"


def refreshed(document: str, attacks: Iterable[Attack]) -> str:
    """Return a document whose rows say where rules stand now."""
    known = {attack.name: attack for attack in attacks}
    lines = []
    for row in document.splitlines():
        attack = known.get(row.split("`")[1]) if row.startswith("| `") else None
        gain = row.strip("| ").rsplit(" | ", 1)[-1]
        lines.append(line(attack, gain) if attack else row)
    return "\n".join(lines) + "\n"
