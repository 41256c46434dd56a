# SPDX-License-Identifier: Apache-2.0
"""Same entity, same token; other key, other token."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidSettings
from fedxdr.privacy.pseudonym import Pseudonymiser, canonical_address
from fedxdr.telemetry.parser import Tokeniser

OURS = Pseudonymiser(bytes(range(32)))
THEIRS = Pseudonymiser(bytes(range(1, 33)))


def test_token_is_the_documented_hmac() -> None:
    mac = hmac.new(
        bytes(range(32)),
        b"fedxdr/pseudonym/v1\x00address\x0010.0.0.1",
        hashlib.sha256,
    ).digest()
    want = int.from_bytes(mac[:8], "big", signed=True)
    assert OURS.address("10.0.0.1") == OURS.token("address", "10.0.0.1") == want


def test_one_organisation_links_its_records_and_nobody_else_does() -> None:
    addresses = [f"10.0.{a}.{b}" for a in range(20) for b in range(50)]
    ours = [OURS.address(address) for address in addresses]
    theirs = [THEIRS.address(address) for address in addresses]
    assert [OURS.address(address) for address in addresses] == ours
    assert len(set(ours)) == len(addresses)
    assert not set(ours) & set(theirs)
    # No bit of a token tells the bit of the other key's token: 64 bits x 1000 pairs
    # agree in half of all places, within 4 standard deviations (127 of 64 000).
    mask = (1 << 64) - 1
    differing = sum(
        ((a ^ b) & mask).bit_count() for a, b in zip(ours, theirs, strict=True)
    )
    assert abs(differing - 32_000) < 4 * 127


@given(st.text(), st.text())
def test_tokens_are_64_bit_and_never_zero(text: str, other: str) -> None:
    token = OURS.token("user", text)
    assert -(2**63) <= token < 2**63
    assert token != 0
    if text.lower() != other.lower():
        assert token != OURS.token("user", other)


def test_kinds_do_not_mix() -> None:
    assert OURS.token("user", "db") != OURS.token("service", "db")


@given(st.ip_addresses(v=6))
def test_every_spelling_of_an_address_is_one_entity(address: object) -> None:
    short, long = str(address), address.exploded  # type: ignore[attr-defined] # hypothesis types ip_addresses loosely
    assert OURS.address(short) == OURS.address(long) == OURS.address(long.upper())


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("fe80:0000:0000:0000:1cf4:44d2:904a:14f7", "fe80::1cf4:44d2:904a:14f7"),
        ("FE80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        (" Host.Example ", "host.example"),
        ("not:an:address", "not:an:address"),
    ],
)
def test_canonical_address(text: str, want: str) -> None:
    assert canonical_address(text) == want


def test_the_cache_is_bounded_and_changes_nothing() -> None:
    small = Pseudonymiser(bytes(range(32)), cache_size=4)
    addresses = [f"192.0.2.{n}" for n in range(50)] * 2
    assert [small.address(a) for a in addresses] == [OURS.address(a) for a in addresses]
    assert small._remembered.cache_info().currsize == 4


def test_the_key_is_not_shown_and_has_one_length() -> None:
    assert bytes(range(32)).hex()[:8] not in repr(OURS)
    assert repr(OURS) == "Pseudonymiser(<key hidden>)"
    with pytest.raises(InvalidSettings, match="32 bytes"):
        Pseudonymiser(b"short")


def test_a_pseudonymiser_is_what_parsers_take() -> None:
    assert isinstance(OURS, Tokeniser)
    assert OURS.user("Alice") == OURS.user("alice") == OURS.token("user", "alice")
    assert OURS.user("alice") != OURS.address("alice")
    assert OURS.user("alice") != OURS.user("corp\\alice")
    assert OURS.user("alice") != THEIRS.user("alice")
