# SPDX-License-Identifier: Apache-2.0
"""Identifiers of ATT&CK have words."""

from __future__ import annotations

from fedxdr.telemetry import attack


def test_words() -> None:
    assert attack.tactic("TA0011") == (
        "TA0011",
        "Command and Control",
        "https://attack.mitre.org/tactics/TA0011/",
    )
    assert attack.technique("T1071.004") == (
        "T1071.004",
        "DNS",
        "https://attack.mitre.org/techniques/T1071/004/",
    )


def test_what_stands_in_no_table_keeps_its_identifier() -> None:
    assert attack.technique("T9999").name == "T9999"
    assert attack.tactic("TA9999").name == "TA9999"
