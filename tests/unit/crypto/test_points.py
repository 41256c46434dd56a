# SPDX-License-Identifier: Apache-2.0
"""Keys that may be enrolled, and every kind that may not."""

import importlib.util
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import MalformedMessage
from fedxdr.crypto.points import check_ed25519

_SOURCE = Path(__file__).parents[2] / "reference" / "edwards_definition.py"
_SPEC = importlib.util.spec_from_file_location("edwards_definition", _SOURCE)
definition = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(definition)

# RFC 8032 section 7.1: the public keys of tests 1, 2, 3, 1024 and SHA(abc).
GOOD = [
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e",
    "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
]

# C2SP/CCTV at 1e3d286, ed25519/ed25519vectors.json: its public keys, by their flags.
LOW_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]
SECOND_SPELLINGS = [
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]
LOW_ORDER_PART = [
    "10eb7c3acfb2bed3e0d6ab89bf5a3d6afddd1176ce4812e38d9fd485058fdb1f",
    "dd1483c5304d412c1f29547640a5c2950222ee8931b7ed1c72602b7afa7024e0",
    "6718d0a3d58deaeaefa655eae3f119071deaa2cfebfd0ca28b670f879d657086",
    "eca00a6a1b1f522ff2217691059915b097b73bc69bef396c36ddcd559b79e2b0",
    "015ff595e4e0add00dde896efa66ea4f6848c4396410c693c92232aa64861d4f",
    "86e72f5c2a7215151059aa151c0ee6f8e2155d301402f35d7498f078629a8f79",
    "fe894df18abf1c20088bfbe6c9ad45d42ec20663eaf7111eaea1d851da0d7f89",
]


@pytest.mark.parametrize("key", GOOD)
def test_published_keys_are_good(key):
    assert check_ed25519(bytes.fromhex(key)) is None


@given(st.binary(min_size=32, max_size=32))
@settings(max_examples=20, deadline=None)
def test_keys_that_the_library_makes_are_good(seed):
    private = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    check_ed25519(private.public_key().public_bytes_raw())


@pytest.mark.parametrize("key", LOW_ORDER)
def test_published_keys_of_low_order_are_refused(key):
    with pytest.raises(MalformedMessage, match="of low order"):
        check_ed25519(bytes.fromhex(key))


@pytest.mark.parametrize("key", SECOND_SPELLINGS)
def test_published_second_spellings_are_refused(key):
    with pytest.raises(MalformedMessage, match="second spelling"):
        check_ed25519(bytes.fromhex(key))


@pytest.mark.parametrize("key", LOW_ORDER_PART)
def test_published_keys_with_a_low_order_part_are_refused(key):
    with pytest.raises(MalformedMessage, match="outside the prime-order group"):
        check_ed25519(bytes.fromhex(key))


def test_why_a_key_of_low_order_is_refused():
    # Under the neutral point R = neutral, S = 0 is a "signature" of every message.
    neutral = bytes.fromhex(LOW_ORDER[0])
    key = ed25519.Ed25519PublicKey.from_public_bytes(neutral)
    for message in (b"", b"any", b"other"):
        key.verify(neutral + bytes(32), message)


@pytest.mark.parametrize("above", range(19))
def test_every_y_from_p_on_is_refused(above):
    for sign in (0, 1 << 255):
        key = (definition.P + above | sign).to_bytes(32, "little")
        with pytest.raises(MalformedMessage, match="y >= p"):
            check_ed25519(key)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_other_lengths_are_refused(size):
    with pytest.raises(MalformedMessage, match="want 32"):
        check_ed25519(bytes(size))


@pytest.mark.parametrize("y", range(2, 16))
def test_small_y_are_judged_as_the_definition_judges_them(y):
    points = definition.points_of(y)
    if not points:
        for sign in (0, 1 << 255):
            with pytest.raises(MalformedMessage, match="no point"):
                check_ed25519((y | sign).to_bytes(32, "little"))
    for point in points:
        assert definition.is_on_curve(point)
        if definition.times(definition.L, point) == definition.NEUTRAL:
            check_ed25519(definition.encode(point))
        else:
            with pytest.raises(MalformedMessage, match="outside"):
                check_ed25519(definition.encode(point))


def test_the_points_that_the_definition_makes():
    # a point of order 8, and each of its multiples added to a good key
    eighth = definition.points_of(int.from_bytes(bytes.fromhex(LOW_ORDER[3]), "little"))
    assert len(eighth) == 2
    good = definition.times(1234567, definition.BASE)
    check_ed25519(definition.encode(good))
    for times in range(1, 8):
        low = definition.times(times, eighth[0])
        with pytest.raises(MalformedMessage, match="of low order"):
            check_ed25519(definition.encode(low))
        with pytest.raises(MalformedMessage, match="outside"):
            check_ed25519(definition.encode(definition.add(good, low)))
