# SPDX-License-Identifier: Apache-2.0
"""Threat categories: a table, exact words first, and never a guess."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.tactics import TACTICS, short_name
from fedxdr.privacy import categories
from fedxdr.privacy.categories import UNMAPPED, normalise, normalise_alert


@pytest.mark.parametrize(
    ("word", "tactic", "technique"),
    [
        ("Attempted Information Leak", "TA0043", "T1595"),
        ("trojan-activity", "TA0011", "T1071"),
        ("A Network Trojan was detected", "TA0011", "T1071"),
        ("authentication_failed", "TA0006", "T1110"),
        ("authentication-failed", "TA0006", "T1110"),
        ("Dovecot brute force attack (multiple auth failures).", "TA0006", "T1110"),
        ("ET SCAN Potential SSH Scan", "TA0007", "T1046"),
        ("Successful sudo to ROOT executed.", "TA0004", "T1548.003"),
        ("Large Scale Information Leak", "TA0043", "T1595"),
    ],
)
def test_words_of_sensors(word: str, tactic: str, technique: str) -> None:
    found = normalise(word)
    assert (found.tactic, found.technique) == (tactic, technique)
    assert found.name == short_name(tactic)


@pytest.mark.parametrize(
    "word",
    [
        *(
            "Misc activity",
            "Misc Attack",
            "Not Suspicious Traffic",
            "",
            "web",
            "syslog",
        ),
        *("ClamAV database update", "Potentially Bad Traffic", "scanner", "Generic"),
    ],
)
def test_what_says_nothing_is_unmapped(word: str) -> None:
    found = normalise(word)
    assert found == UNMAPPED
    assert not found.is_mapped
    assert found.name == "unmapped"


@given(st.text(alphabet="qxzjv", min_size=1, max_size=40))
def test_unknown_words_are_never_guessed(word: str) -> None:
    assert normalise(word) == UNMAPPED


def test_every_entry_of_the_tables_is_an_attack_identifier() -> None:
    entries = [
        *categories._CLASSTYPES.values(),
        *categories._GROUPS.values(),
        *(category for _, category in categories._NAMES),
    ]
    for entry in entries:
        assert entry.tactic in TACTICS
        assert re.fullmatch(r"(T\d{4}(\.\d{3})?)?", entry.technique)
    for word in (*categories._CLASSTYPES, *categories._GROUPS):
        assert word == word.lower()
        assert normalise(word).is_mapped


def test_an_alert_is_its_first_mapped_word_and_its_own_technique() -> None:
    words = ("Misc Attack", "authentication_failed")
    assert normalise_alert(*words).technique == "T1110"
    exact = normalise_alert(*words, technique="T1110.003")
    assert (exact.tactic, exact.technique) == ("TA0006", "T1110.003")
    other = normalise_alert(*words, technique="T1041")
    assert (other.tactic, other.technique) == ("", "T1041")
    assert normalise_alert("nothing", technique="made up") == UNMAPPED
