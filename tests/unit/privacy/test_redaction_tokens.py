# SPDX-License-Identifier: Apache-2.0
"""Tokens: by definition, one per entity, none without the key."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidSettings
from fedxdr.privacy.addresses import parse, prefix, show
from fedxdr.privacy.redaction_tokens import Tokens, epoch_key, is_address

KEY = bytes(range(32))
TOKENS = Tokens(KEY)


@given(st.binary(min_size=32, max_size=32), st.text(max_size=60))
def test_a_token_is_hmac_sha256(key: bytes, name: str) -> None:
    message = b"fedxdr/redaction/v1\x00user\x00" + name.encode("utf-8", "replace")
    digest = hmac.digest(key, message, "sha256")[:10].hex()
    assert Tokens(key).token("user", name) == f"user-{digest}"


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("address", "2001:DB8:0:0::1", "2001:db8::1"),
        ("address", "::ffff:10.0.0.1", "10.0.0.1"),
        ("address", "fe80::1%eth0", "[fe80::1]"),
        ("mac", "00:1A:2B:3C:4D:5E", "001a.2b3c.4d5e"),
        ("host", "WWW.Example.com.", "www.example.com"),
        ("user", "Bob", "bob"),
        ("account", "CORP\\\\bob", "corp\\bob"),
        ("phone", "+44 20 7946 0958", "+44-20-7946-0958"),
    ],
)
def test_one_entity_has_one_token(kind: str, one: str, other: str) -> None:
    assert TOKENS.replace(kind, one) == TOKENS.replace(kind, other)
    assert one.lower() not in TOKENS.replace(kind, one)


def test_kinds_and_keys_give_other_tokens() -> None:
    assert TOKENS.replace("user", "x") != TOKENS.replace("host", "x").replace(
        "host", "user"
    )
    assert TOKENS.replace("user", "x") != Tokens(bytes(32)).replace("user", "x")


@pytest.mark.parametrize("kind", ["card", "secret", "content"])
def test_what_must_not_be_joined_leaves_no_token(kind: str) -> None:
    assert TOKENS.replace(kind, "4111111111111111") == f"[{kind}]"


def test_a_url_keeps_its_scheme_and_loses_its_query() -> None:
    host = TOKENS.replace("host", "a.example")
    got = TOKENS.replace("url", "HTTPS://bob:pw@A.example:8443/x/y?user=bob#z")
    scheme, _, rest = got.partition("://")
    assert scheme == "https"
    assert rest.startswith(f"{host}:8443/path-")
    assert "bob" not in got
    assert got == TOKENS.replace("url", "https://a.example:8443/x/y?user=eve")
    assert TOKENS.replace("url", "/?q=bob") == "/"
    assert TOKENS.replace("url", "/x?q=bob") == TOKENS.replace("url", "/x")
    assert TOKENS.replace("url", "http://10.0.0.1/") == "http://" + TOKENS.replace(
        "address", "10.0.0.1"
    )


def test_a_file_keeps_its_ending() -> None:
    assert TOKENS.replace("file", r"\\fs\bob\pay.xlsx").endswith(".xlsx")
    assert "." not in TOKENS.replace("file", "/home/bob/notes")


def test_addresses_that_keep_prefixes_are_ipcrypt() -> None:
    tokens = Tokens(KEY, addresses="prefix")
    one, two = (tokens.replace("address", text) for text in ("10.1.2.3", "10.1.2.77"))
    assert one.rpartition(".")[0] == two.rpartition(".")[0]
    assert one != two != "10.1.2.77"
    assert [one] == show(prefix(parse(["10.1.2.3"]), tokens._prefix_key))


def test_keys_of_epochs_and_organisations_differ() -> None:
    master = bytes(32)
    keys = {
        epoch_key(master, organisation=organisation, epoch=epoch)
        for organisation in ("a", "b")
        for epoch in ("2026-11", "2026-12")
    }
    assert len(keys) == 4
    assert all(len(key) == 32 for key in keys)


def test_the_key_is_checked_and_never_shown() -> None:
    with pytest.raises(InvalidSettings, match="32 bytes"):
        Tokens(bytes(31))
    assert KEY.hex() not in repr(TOKENS)
    assert "hidden" in repr(TOKENS)


def test_what_is_an_address() -> None:
    for text in ("10.0.0.1", "::1", "[::1]", "fe80::1%eth0", "::ffff:1.2.3.4"):
        assert is_address(text)
    for text in ("", "10.0.0", "10.0.0.256", "a.b.c.d", "1.2.3.4.5", ":"):
        assert not is_address(text)
