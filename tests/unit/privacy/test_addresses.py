# SPDX-License-Identifier: Apache-2.0
"""Pseudonymous addresses: the draft's vectors, the definition, kept prefixes."""

from __future__ import annotations

import importlib.util
import ipaddress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidSettings, MalformedMessage
from fedxdr.privacy.addresses import deterministic, parse, prefix, show

_PATH = Path(__file__).parents[2] / "reference/ipcrypt_definition.py"
_SPEC = importlib.util.spec_from_file_location("ipcrypt_definition", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
definition = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(definition)

KEY_A = "0123456789abcdeffedcba98765432101032547698badcfeefcdab8967452301"
KEY_B = "2b7e151628aed2a6abf7158809cf4f3ca9f5ba40db214c3798f2e1c23456789a"
ANY = "0.0.0.0"  # noqa: S104 - a vector, nothing is bound to it
# ipcrypt-std/draft-denis-ipcrypt, implementations/python/test_vectors.json
PREFIX_VECTORS = [
    (KEY_A, ANY, "151.82.155.134"),
    (KEY_A, "255.255.255.255", "94.185.169.89"),
    (KEY_A, "192.0.2.1", "100.115.72.131"),
    (KEY_A, "2001:db8::1", "c180:5dd4:2587:3524:30ab:fa65:6ab6:f88"),
    (KEY_B, "10.0.0.47", "19.214.210.244"),
    (KEY_B, "10.0.0.129", "19.214.210.80"),
    (KEY_B, "10.0.0.234", "19.214.210.30"),
    (KEY_B, "172.16.5.193", "210.78.229.136"),
    (KEY_B, "172.16.97.42", "210.78.179.241"),
    (
        *(KEY_B, "2001:db8::a5c9:4e2f:bb91:5a7d"),
        "7cec:702c:1243:f70:1956:125:b9bd:1aba",
    ),
    (
        *(KEY_B, "2001:db8:3a5c:0:e7d1:4b9f:2c8a:f673"),
        "7cec:702c:3503:bef:e616:96bd:be33:a9b9",
    ),
]
DETERMINISTIC_VECTORS = [
    (KEY_A[:32], ANY, "bde9:6789:d353:824c:d7c6:f58a:6bd2:26eb"),
    (
        *("1032547698badcfeefcdab8967452301", "255.255.255.255"),
        "aed2:92f6:ea23:58c3:48fd:8b8:74e8:45d8",
    ),
    (KEY_B[:32], "192.0.2.1", "1dbd:c1b9:fff1:7586:7d0b:67b4:e76e:4777"),
    (
        *(KEY_A[:32], "2001:db8:85a3::8a2e:370:7334"),
        "1eef:2352:64c8:18e6:6456:1373:f615:5032",
    ),
]
any_address = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).filter(
    lambda a: a.version == 4 or a.ipv4_mapped is None
)
keys = st.binary(min_size=32, max_size=32).filter(lambda key: key[:16] != key[16:])


@pytest.mark.parametrize(("key", "plain", "hidden"), PREFIX_VECTORS)
def test_prefix_vectors_of_the_draft(key: str, plain: str, hidden: str) -> None:
    assert show(prefix(parse([plain]), bytes.fromhex(key))) == [hidden]
    assert show(prefix(parse([hidden]), bytes.fromhex(key), inverse=True)) == [plain]
    assert definition.prefix_by_definition(plain, bytes.fromhex(key)) == hidden


@pytest.mark.parametrize(("key", "plain", "hidden"), DETERMINISTIC_VECTORS)
def test_deterministic_vectors_of_the_draft(key: str, plain: str, hidden: str) -> None:
    rows = deterministic(parse([plain]), bytes.fromhex(key))
    assert show(rows) == [hidden]
    assert show(deterministic(rows, bytes.fromhex(key), inverse=True)) == [plain]


@settings(max_examples=30, deadline=None)
@given(st.lists(any_address, min_size=1, max_size=8), keys)
def test_many_at_once_are_as_one_by_one(
    addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address], key: bytes
) -> None:
    texts = [str(address) for address in addresses]
    got = show(prefix(parse(texts), key))
    assert got == [definition.prefix_by_definition(text, key) for text in texts]
    assert show(prefix(parse(got), key, inverse=True)) == texts


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 31), keys)
def test_exactly_the_shared_prefix_is_kept(value: int, bit: int, key: bytes) -> None:
    other = value ^ (1 << (31 - bit))
    texts = [str(ipaddress.IPv4Address(number)) for number in (value, other)]
    one, two = (int(ipaddress.IPv4Address(t)) for t in show(prefix(parse(texts), key)))
    assert one >> (32 - bit) == two >> (32 - bit)
    assert one >> (31 - bit) != two >> (31 - bit)


def test_zones_are_left_out_and_mapped_addresses_are_ipv4() -> None:
    rows = parse(["fe80::1%eth0", "::ffff:10.0.0.1"])
    assert show(rows) == ["fe80::1", "10.0.0.1"]


def test_a_batch_is_cut_and_put_together_again() -> None:
    rows = np.zeros((70_000, 16), np.uint8)
    rows[:, 10:12] = 255
    rows[:, 14] = np.arange(70_000) % 251
    rows[:, 15] = np.arange(70_000) % 256
    whole = prefix(rows, bytes.fromhex(KEY_A))
    for at in (0, 32_767, 32_768, 69_999):
        alone = prefix(rows[at : at + 1], bytes.fromhex(KEY_A))
        assert (whole[at] == alone[0]).all()


@pytest.mark.parametrize(
    ("key", "reason"), [(bytes(31), "32 bytes"), (bytes(32), "halves")]
)
def test_bad_prefix_keys_are_refused(key: bytes, reason: str) -> None:
    with pytest.raises(InvalidSettings, match=reason):
        prefix(parse(["10.0.0.1"]), key)


def test_bad_input_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="address"):
        parse(["10.0.0.256"])
    with pytest.raises(InvalidSettings, match="16 bytes"):
        deterministic(parse(["10.0.0.1"]), bytes(32))
    with pytest.raises(MalformedMessage, match="uint8"):
        deterministic(np.zeros((2, 4), np.uint8), bytes(16))
