# SPDX-License-Identifier: Apache-2.0
"""A token becomes its name, or stays a token."""

from __future__ import annotations

import pytest

from fedxdr.telemetry.shown import Entity, entity_of, no_names, token_text


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("10.0.0.1", "ipv4"),
        ("2001:db8::1", "ipv6"),
        ("db-1.example", "host"),
        ("999.1.1.1", "host"),
    ],
)
def test_names(name: str, form: str) -> None:
    assert entity_of(7, {7: name}.get) == Entity(name, form)


def test_nobody_and_the_forgotten() -> None:
    assert entity_of(0, {0: "10.0.0.1"}.get) is None
    assert entity_of(255, no_names) == Entity("entity-00000000000000ff", "token")
    assert entity_of(255, {255: ""}.get) == Entity("entity-00000000000000ff", "token")


def test_tokens_are_64_bits_without_a_sign() -> None:
    assert token_text(-1) == "entity-ffffffffffffffff"
    assert token_text(2**63 - 1) == "entity-7fffffffffffffff"
