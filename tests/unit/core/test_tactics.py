# SPDX-License-Identifier: Apache-2.0
"""ATT&CK's tactics and the techniques that serve them."""

from fedxdr.core.tactics import TACTICS, short_name, tactics_of
from fedxdr.privacy import categories
from fedxdr.telemetry import attack


def test_a_sub_technique_serves_what_its_technique_serves():
    assert tactics_of("T1021.002") == tactics_of("T1021") == ("TA0008",)
    assert tactics_of("T9999.001") == ()


def test_every_technique_with_a_name_serves_a_tactic_of_the_matrix():
    for technique in attack.TECHNIQUES:
        assert tactics_of(technique)
        assert set(tactics_of(technique)) <= set(TACTICS)


def test_sensors_words_and_the_table_agree():
    named = {
        entry
        for name, value in vars(categories).items()
        if name.startswith("_")
        for entry in (value.values() if isinstance(value, dict) else [value])
        if isinstance(entry, categories.Category)
    }
    assert len(named) > 5
    for entry in named:
        if entry.technique and entry.tactic:
            assert entry.tactic in tactics_of(entry.technique), entry


def test_kill_chains_write_names_in_small_letters():
    assert short_name("TA0011") == "command-and-control"
    assert short_name("TA9999") == "ta9999"
