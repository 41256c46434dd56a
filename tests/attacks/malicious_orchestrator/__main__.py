# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.attacks.malicious_orchestrator``: every attack, with and without.

One line per attack: its name, by which rule and with which sentence it is refused, and
what the attacker has once the rule is taken away. ``--json`` prints one object per
line; names as arguments play only those.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from tests.attacks.malicious_orchestrator import table
from tests.attacks.malicious_orchestrator.attack import Attack, play
from tests.attacks.malicious_orchestrator.catalogue import ATTACKS
from tests.attacks.malicious_orchestrator.puppeteer import Loopback, on_loopback


def report(attack: Attack, server: Loopback) -> dict[str, object]:
    """Play one attack both ways and return what came of it."""
    began = time.process_time()
    kept = play(attack, server)
    without = play(attack, server, without=attack.rules)
    found = kept.by(attack.rules)
    rule, sentence = found or (None, attack.silent)
    return {
        "name": attack.name,
        "aim": attack.aim,
        "refused": not kept.loot.won,
        "code": rule.code if rule else "",
        "sentence": sentence,
        "rule": rule.name if rule else "",
        "without": [known.name for known in attack.rules],
        "succeeds_without": without.loot.won,
        "gain": without.loot.gain
        if without.loot.won
        else f"nothing: “{attack.backstop}”",
        "cpu_s": round(time.process_time() - began, 2),
    }


def line(found: dict[str, object]) -> str:
    """Return a report for people."""
    if not found["refused"]:
        return f"{found['name']}: NOT REFUSED; the attacker has {found['gain']}"
    code = f"{found['code']}: " if found["code"] else ""
    return (
        f"{found['name']}: refused by {code}{found['sentence']}\n"
        f"    without {' and '.join(map(repr, found['without']))}: {found['gain']}"
    )


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(prog="tests.attacks.malicious_orchestrator")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--table", action="store_true", help="for the document")
    parser.add_argument("--refresh", type=Path, help="a document with the table")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    if options.refresh:
        text = table.refreshed(options.refresh.read_text(), ATTACKS)
        options.refresh.write_text(text)
        return
    is_good = True
    with on_loopback() as server:
        for attack in ATTACKS:
            if options.names and attack.name not in options.names:
                continue
            found = report(attack, server)
            if options.table:
                text = table.line(attack, str(found["gain"]))
            else:
                text = json.dumps(found) if options.json else line(found)
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
            is_good &= bool(found["refused"])
    sys.exit(not is_good)


if __name__ == "__main__":
    main()
