# SPDX-License-Identifier: Apache-2.0
"""Made-up entities are of their kind, look-alikes are not."""

from __future__ import annotations

import ipaddress

import pytest

from fedxdr.core.randomness import generator
from fedxdr.simulation.planted_values import KINDS, Maker, luhn_digit


@pytest.mark.parametrize(
    "number", ["4111111111111111", "378282246310005", "5555555555554444"]
)
def test_published_test_cards_have_the_check_digit(number: str) -> None:
    assert luhn_digit(number[:-1]) == number[-1]
    assert luhn_digit("1" + number[1:-1]) != number[-1]


@pytest.mark.parametrize("formats", ["tune", "held_out"])
def test_entities_are_what_they_are_called(formats: str) -> None:
    maker = Maker(generator(7), formats)
    for _ in range(200):
        ipaddress.ip_address(maker.entity("address").partition("%")[0])
        card = "".join(filter(str.isdigit, maker.entity("card")))
        assert luhn_digit(card[:-1]) == card[-1]
        number = "".join(filter(str.isdigit, maker.trap("number")))
        assert len(number) != 16 or luhn_digit(number[:-1]) != number[-1]
        assert maker.entity("email").count("@") == 1
        assert maker.entity("sid").startswith("S-1-5-21-")
        assert "\\" in maker.entity("account")
        assert all(maker.entity(kind) for kind in KINDS)
        assert maker.trap()
