# SPDX-License-Identifier: Apache-2.0
"""Every attack is refused by name, and succeeds once its rules are taken away."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.attacks.malicious_orchestrator import table
from tests.attacks.malicious_orchestrator.attack import Attack, play
from tests.attacks.malicious_orchestrator.catalogue import ATTACKS
from tests.attacks.malicious_orchestrator.puppeteer import Loopback, on_loopback
from tests.attacks.malicious_orchestrator.rules import AnyRule

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs/explanation/malicious-orchestrator.md").read_text()
TABLE = {
    row.split("`")[1]: row for row in DOCUMENT.splitlines() if row.startswith("| `")
}
pytestmark = pytest.mark.attack


def _case(attack: Attack) -> object:
    marks = [pytest.mark.soak] if attack.is_long else []
    return pytest.param(attack, id=attack.name, marks=marks)


CASES = [_case(attack) for attack in ATTACKS]
ONE_LEFT = [
    pytest.param(attack, rule, id=f"{attack.name}-{rule.name}")
    for attack in ATTACKS
    if len(attack.rules) > 1
    for rule in attack.rules
]


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with on_loopback() as found:
        yield found


@pytest.mark.parametrize("attack", CASES)
def test_it_is_refused_by_name(server: Loopback, attack: Attack) -> None:
    outcome = play(attack, server)
    assert not outcome.loot.won, outcome.loot.gain
    if attack.silent:
        assert outcome.refused == ()
    else:
        assert outcome.by(attack.rules), outcome.refused


@pytest.mark.parametrize("attack", CASES)
def test_without_its_rules_it_succeeds(server: Loopback, attack: Attack) -> None:
    outcome = play(attack, server, without=attack.rules)
    if attack.backstop:
        assert not outcome.loot.won
        assert outcome.by_text(attack.backstop), outcome.refused
    else:
        assert outcome.loot.won, outcome.refused
        assert f"| {table.plain(outcome.loot.gain)} |" in TABLE[attack.name]


@pytest.mark.soak
@pytest.mark.parametrize(("attack", "rule"), ONE_LEFT)
def test_each_rule_alone_stops_it(
    server: Loopback, attack: Attack, rule: AnyRule
) -> None:
    others = tuple(other for other in attack.rules if other is not rule)
    outcome = play(attack, server, without=others)
    assert not outcome.loot.won, outcome.loot.gain
    if rule.says:
        assert outcome.by((rule,)), outcome.refused


def test_names_are_unique_and_nothing_is_left_open() -> None:
    names = [attack.name for attack in ATTACKS]
    assert len(set(names)) == len(names)
    assert all(attack.rules for attack in ATTACKS)


def test_the_document_has_every_attack_with_its_rules_and_where_they_stand() -> None:
    assert list(TABLE) == [attack.name for attack in ATTACKS]
    for attack in ATTACKS:
        cells = [cell.strip() for cell in TABLE[attack.name].strip("|").split("|")]
        assert tuple(cells[:3]) == table.fixed(attack)
        assert cells[3]


def test_the_program_prints_one_line_per_attack() -> None:
    found = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.attacks.malicious_orchestrator",
            "--json",
            "operator-impersonated",
        ],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    (line,) = found.stdout.splitlines()
    said = json.loads(line)
    assert said["refused"]
    assert said["code"] == "bad-signature"
    assert "signature does not verify" in said["sentence"]
    assert said["succeeds_without"]
    assert said["gain"] == "a round that a stranger has opened"
