# SPDX-License-Identifier: Apache-2.0
"""secagg/encrypted/paillier.py: typed vectors, python-paillier both ways, refusals."""

from __future__ import annotations

import math

import phe
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core import canonical
from fedxdr.core.errors import InvalidInput, InvalidSettings, MalformedMessage
from fedxdr.core.randomness import SeededEntropy
from fedxdr.secagg.encrypted.paillier import (
    EXPONENT_BITS,
    PrivateKey,
    PublicKey,
    Ring,
    decrypt,
    encrypt,
    fresh_exponent,
    randomiser,
    ring,
    tables,
)


def small_ring(n: int, s: int) -> Ring:
    return Ring(n=n, s=s, powers=tuple(n**j for j in range(s + 2)), h=4)


def public(private: PrivateKey, degree: int = 1) -> PublicKey:
    n = private.p * private.q
    base = pow(0xFEDC0DE, 2, n).to_bytes(len(private.modulus))
    return PublicKey(modulus=private.modulus, base=base, degree=degree)


def test_typed_encodings() -> None:
    # n = 77: 1 + 42 * 77, and 78^42 mod 77^3 by hand: 1 + 42 n + 861 n^2
    assert small_ring(77, 1).encode(42) == 3235
    assert small_ring(77, 2).encode(42) == (1 + 42 * 77 + 861 * 77**2) % 77**3
    assert small_ring(77, 1).encode(-1) == 1 + 76 * 77


@given(s=st.integers(1, 6), m=st.integers(-(10**9), 10**9))
def test_encoding_is_the_power_and_decoding_undoes_it(s: int, m: int) -> None:
    # n = 143 has no factor that divides a factorial up to s
    numbers = small_ring(143, s)
    value = numbers.encode(m)
    assert value == pow(144, m % 143**s, 143 ** (s + 1))
    assert numbers.decode(value) == m % 143**s


@given(s=st.integers(1, 5), r=st.integers(1, 76))
def test_a_lift_is_the_long_power_and_forgets_multiples_of_n(s: int, r: int) -> None:
    numbers = small_ring(77, s)
    assert numbers.lift(r) == pow(r, 77**s, 77 ** (s + 1))
    assert numbers.lift(r + 77 * 5) == numbers.lift(r)


def test_what_encodes_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="encodes no plaintext"):
        small_ring(77, 1).decode(2)


@settings(max_examples=12, deadline=None)
@given(
    degree=st.integers(1, 3),
    first=st.integers(-(2**500), 2**500),
    second=st.integers(-(2**500), 2**500),
    exponent=st.integers(0, 2**512 - 1),
)
def test_ciphertexts_add_up(keys, degree, first, second, exponent) -> None:
    private = keys["a"]
    key = public(private, degree)
    modulus = ring(key).ciphertext_modulus
    one, two = encrypt(key, first, exponent), encrypt(key, second, 12345)
    space = ring(key).plaintext_modulus
    assert decrypt(key, private, one) == first % space
    assert decrypt(key, private, one * two % modulus) == (first + second) % space


def test_a_ciphertext_is_what_the_definition_says(keys) -> None:
    key = public(keys["a"], 2)
    n, x, m = int.from_bytes(key.modulus), 2**511 + 12345, 10**100
    h = int.from_bytes(key.base)
    want = pow(1 + n, m, n**3) * pow(pow(h, x, n), n**2, n**3) % n**3
    assert encrypt(key, m, x) == want
    assert randomiser(key) == pow(h, n**2, n**3)
    assert tables(key).power(x) == pow(h, x * n**2, n**3)


def test_encryption_by_the_peer_is_decrypted_by_us_and_the_other_way_round(
    keys,
) -> None:
    private = keys["large"]
    key = public(private)
    n = private.p * private.q
    theirs = phe.PaillierPublicKey(n)
    their_private = phe.PaillierPrivateKey(theirs, private.p, private.q)
    assert theirs.g == n + 1
    for m in (0, 1, 2**1000 + 7, n - 1):
        assert decrypt(key, private, theirs.raw_encrypt(m)) == m
        assert their_private.raw_decrypt(int(encrypt(key, m, 2**512 - 1))) == m
    # their encoding of negative integers is ours, and their sums are our products
    for m in (-1, -12345, 2**40):
        ours = phe.EncryptedNumber(theirs, int(encrypt(key, m, 99)), exponent=0)
        assert their_private.decrypt(ours) == m
        total = ours + theirs.encrypt(5)
        assert their_private.decrypt(total) == m + 5
        assert decrypt(key, private, total.ciphertext()) == (m + 5) % n


def test_below_n_squared_a_longer_ciphertext_is_one_of_paillier(keys) -> None:
    private = keys["large"]
    key = public(private, 2)
    n = private.p * private.q
    m = 2**1500 + 99
    theirs = phe.PaillierPrivateKey(phe.PaillierPublicKey(n), private.p, private.q)
    assert theirs.raw_decrypt(int(encrypt(key, m, 7)) % n**2) == m % n


def test_two_exponents_give_two_ciphertexts(keys) -> None:
    key = public(keys["a"])
    assert encrypt(key, 5, 1) != encrypt(key, 5, 2)
    for wrong in (-1, 2**EXPONENT_BITS):
        with pytest.raises(ValueError, match="longer"):
            encrypt(key, 5, wrong)


def test_fresh_exponents_are_512_secret_bits() -> None:
    drawn = fresh_exponent(SeededEntropy(1))
    assert drawn == int.from_bytes(SeededEntropy(1).draw(64))
    assert 2**480 < drawn < 2**EXPONENT_BITS


def test_the_order_of_squares(keys) -> None:
    private = keys["a"]
    n, order = private.p * private.q, private.squares_order
    assert 4 * order == (private.p - 1) * (private.q - 1)
    assert pow(1234567**2, order, n) == 1
    assert math.gcd(n, order) == 1


def test_a_key_has_one_form_and_a_name(keys) -> None:
    key = public(keys["a"])
    assert canonical.decode(canonical.encode(key), PublicKey) == key
    assert key.fingerprint == public(keys["a"]).fingerprint
    others = {
        public(keys["b"]).fingerprint,
        public(keys["a"], 2).fingerprint,
        PublicKey(modulus=key.modulus, base=bytes(63) + b"\x04").fingerprint,
    }
    assert len(others | {key.fingerprint}) == 4
    assert (key.element_bytes, key.ciphertext_bytes) == (64, 128)
    assert public(keys["a"], 3).ciphertext_bytes == 256
    assert 2**key.plaintext_bits < ring(key).plaintext_modulus


def test_a_private_key_shows_nothing(keys) -> None:
    private = keys["a"]
    assert str(private.p) not in repr(private)
    assert f"{private.q:x}" not in repr(private)
    assert repr(private) == "PrivateKey()"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"modulus": b"\xff" * 63}, "got 504 bits"),
        ({"modulus": b"\xff" * 1025}, "got 8200 bits"),
        ({"modulus": b"\x7f" + b"\xff" * 63}, "first bit"),
        ({"modulus": b"\xff" * 63 + b"\xfe"}, "odd"),
        ({"degree": 0}, "degree 0"),
        ({"degree": 9}, "degree 9"),
        ({"base": bytes(64)}, "base h: number 0 is out of range"),
        ({"base": b"\xff" * 64}, "out of range"),
        ({"base": b"\x01" * 63}, "got 63 bytes"),
    ],
)
def test_public_keys_that_cannot_be(keys, fields, message) -> None:
    good = {"modulus": keys["a"].modulus, "base": bytes(63) + b"\x04", "degree": 1}
    with pytest.raises(MalformedMessage, match=message):
        PublicKey(**{**good, **fields})


def test_a_base_that_shares_a_factor_is_refused(keys) -> None:
    with pytest.raises(MalformedMessage, match="coprime"):
        PublicKey(
            modulus=keys["a"].modulus, base=(keys["a"].p * 2).to_bytes(64), degree=1
        )


def test_private_keys_that_cannot_be(keys) -> None:
    p, q = keys["a"].p, keys["a"].q
    with pytest.raises(InvalidSettings, match="one length"):
        PrivateKey(p=p, q=keys["large"].q)
    with pytest.raises(InvalidSettings, match="one length"):
        PrivateKey(p=p >> 3, q=q >> 3)
    with pytest.raises(InvalidSettings, match="too close"):
        PrivateKey(p=p, q=p)
    with pytest.raises(InvalidSettings, match="one bit short"):
        PrivateKey(p=2**255 + 95, q=2**255 + 2**250 + 1)
    with pytest.raises(InvalidSettings, match="not a safe prime"):
        PrivateKey(p=p, q=q - 2)
    # a prime, but (p - 1) / 2 is none
    plain = 2**256 - 189
    with pytest.raises(InvalidSettings, match="not a safe prime"):
        PrivateKey(p=p, q=plain)


def test_decryption_refuses_other_keys_and_what_is_no_ciphertext(keys) -> None:
    key = public(keys["a"])
    n = int.from_bytes(key.modulus)
    with pytest.raises(InvalidInput, match="another key"):
        decrypt(key, keys["b"], 5)
    for wrong in (0, -1, n * n, n, keys["a"].p):
        with pytest.raises(InvalidInput, match="out of range"):
            decrypt(key, keys["a"], wrong)
