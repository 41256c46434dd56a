# SPDX-License-Identifier: Apache-2.0
"""The table of docs/explanation/malicious-orchestrator.md, made from the catalogue.

``python -m tests.attacks.malicious_orchestrator --table`` prints it; tests hold the
document against it.
"""

from __future__ import annotations

import re

from tests.attacks.malicious_orchestrator.attack import Attack

HEADER = ("attack", "stopped by", "where", "without it the attacker gets")
NOBODY = "nothing yet (issue 4)"


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
    return f"`{attack.name}`: {attack.aim}", rules or NOBODY, where or "none"


def line(attack: Attack, gain: str) -> str:
    """Return an attack's line of the table."""
    return f"| {' | '.join((*fixed(attack), plain(gain)))} |"
