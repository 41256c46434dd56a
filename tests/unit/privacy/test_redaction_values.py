# SPDX-License-Identifier: Apache-2.0
"""Single values: cards, addresses, names, secrets."""

from __future__ import annotations

import pytest

from fedxdr.privacy.redaction_values import is_card, is_ipv6, is_secret, kind_of_name


@pytest.mark.parametrize(
    ("number", "is_one"),
    [
        ("4242-4242-4242-4242", True),
        ("5555555555554444", True),
        ("6011111111111117", True),
        ("3530111333300000", True),
        ("4242424242424241", False),
        ("1234567812345670", False),  # right digit, no issuer
        ("55555555555544", False),  # right issuer, wrong length
        ("", False),
    ],
)
def test_cards(number: str, is_one: bool) -> None:
    assert is_card(number) is is_one


def test_names_by_field() -> None:
    assert kind_of_name("user", "unknown") == ""
    assert kind_of_name("user", "a@b.c") == "email"
    assert kind_of_name("host", "10.0.0.1") == "address"
    assert kind_of_name("host", "12345") == ""
    assert kind_of_name("host", "zeek", "peer") == ""
    assert kind_of_name("user", "1000", "uid") == ""
    assert kind_of_name("account", "CORP") == "account"


def test_ipv6() -> None:
    for text in (
        "::1",
        "2001:db8::1",
        "fe80::1%eth0",
        "1:2:3:4:5:6:7:8",
        "::ffff:1.2.3.4",
    ):
        assert is_ipv6(text)
    for text in ("::", "12:34:56", "1:2:3", "1:2:3:4:5:6:7:8:9", "::12345"):
        assert not is_ipv6(text)


def test_secrets() -> None:
    for key, value in (
        ("password", "1234"),
        ("token", "abcdef12"),
        ("pin", "a1234567"),
    ):
        assert is_secret(key, value)
    for key, value in (
        ("password", "****"),
        ("password", "required"),
        ("token", "expired"),
        ("session", "30546173_4286503818"),
        ("pwd", "/root"),
        ("pwd", "~"),
    ):
        assert not is_secret(key, value)
