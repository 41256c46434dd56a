# SPDX-License-Identifier: Apache-2.0
"""Rules are found where they stand, taken out one by one and put back."""

from __future__ import annotations

import pytest
from tests.attacks.malicious_orchestrator.catalogue import ATTACKS
from tests.attacks.malicious_orchestrator.known_rules import (
    NEVER_BOTH,
    SIGNED_BY_MEMBERS,
)
from tests.attacks.malicious_orchestrator.rules import Rule, Swap, removed

from fedxdr.core.errors import InvalidInput, MalformedMessage
from fedxdr.secagg.stages import Partition

RULES = {rule.name: rule for attack in ATTACKS for rule in attack.rules}
ORDER = Rule(name="order", says="a partition lists each name once, in order")


def both() -> Partition:
    return Partition(survivors=("a", "b"), dropouts=("b",))


@pytest.mark.parametrize("name", RULES)
def test_every_rule_stands_in_one_place(name: str) -> None:
    rule = RULES[name]
    if isinstance(rule, Rule):
        assert rule.place.line > 0
        assert rule.code
    assert rule.where.startswith("fedxdr.")


def test_a_rule_is_taken_out_and_put_back() -> None:
    with pytest.raises(InvalidInput):
        both()
    with removed((NEVER_BOTH,)):
        assert both().dropouts == ("b",)
        # what stands beside it stays
        with pytest.raises(MalformedMessage):
            Partition(survivors=("b", "a"))
    with pytest.raises(InvalidInput):
        both()


def test_two_rules_of_one_function_go_and_come_back() -> None:
    with removed((NEVER_BOTH, ORDER)):
        Partition(survivors=("b", "a"), dropouts=("b",))
    with pytest.raises(MalformedMessage):
        Partition(survivors=("b", "a"))
    with pytest.raises(InvalidInput):
        both()


def test_what_raises_inside_puts_the_rule_back() -> None:
    with pytest.raises(ZeroDivisionError), removed((NEVER_BOTH,)):
        raise ZeroDivisionError
    with pytest.raises(InvalidInput):
        both()


@pytest.mark.parametrize("says", ["no such sentence at all", "signature"])
def test_a_sentence_that_fits_none_or_two_is_an_error(says: str) -> None:
    with pytest.raises(LookupError):
        Rule(name="x", says=says).place  # noqa: B018 - the property raises


@pytest.mark.parametrize(
    ("says", "sentence", "fits"),
    [
        ("a {} of {}", "this is a cup of tea", True),
        ("a {} of {}", "of a cup", False),
        ("cup", "a cup", True),
    ],
)
def test_filled_in_places_match_anything(says: str, sentence: str, fits: bool) -> None:
    assert Rule(name="x", says=says).matches(sentence) is fits


def test_a_swap_without_a_sentence_matches_nothing() -> None:
    silent = Swap(name="x", where="x", without=lambda f: f, says="", code="")
    assert not silent.matches("anything")
    assert SIGNED_BY_MEMBERS.matches("keys: the ed25519 signature does not verify")
