# SPDX-License-Identifier: Apache-2.0
"""secagg/encrypted/integers.py: arithmetic against Python's own, and refusals."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import MalformedMessage
from fedxdr.crypto.expand import KeyStream
from fedxdr.secagg.encrypted import integers
from fedxdr.secagg.encrypted.integers import (
    FixedBase,
    big,
    in_turn,
    inverse,
    is_coprime,
    is_prime,
    parse_elements,
    power,
    powers,
    product_of_powers,
    secret_power,
    to_bytes,
    uniform,
)

moduli = st.integers(2, 2**200).map(lambda n: 2 * n + 1)


@given(n=moduli, base=st.integers(0, 2**210), exponent=st.integers(1, 2**200))
def test_powers_are_pythons(n: int, base: int, exponent: int) -> None:
    want = pow(base, exponent, n)
    assert power(base, exponent, n) == want
    assert secret_power(base % n, exponent, n) == want
    assert powers([base, base + 1], exponent, n) == [want, pow(base + 1, exponent, n)]


def test_inverses_and_negative_powers() -> None:
    assert inverse(3, 10) == 7
    assert power(3, -2, 10) == 9
    with pytest.raises(ZeroDivisionError):
        inverse(5, 10)
    with pytest.raises(ValueError, match="invertible"):
        power(5, -1, 10)


@settings(max_examples=60)
@given(
    n=moduli,
    pairs=st.lists(
        st.tuples(st.integers(0, 2**200), st.integers(0, 2**128 - 1)), max_size=40
    ),
)
def test_a_product_of_powers_is_what_it_says(
    n: int, pairs: list[tuple[int, int]]
) -> None:
    bases = [base % n for base, _ in pairs]
    exponents = [exponent for _, exponent in pairs]
    want = math.prod(pow(b, e, n) for b, e in zip(bases, exponents, strict=True)) % n
    assert product_of_powers(bases, exponents, n) % n == want


@pytest.mark.parametrize("window", [1, 2, 5, 9])
def test_every_window_gives_the_same_product(
    window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    n, bases, exponents = 10007, [3, 5, 0, 10006], [2**127 - 1, 0, 5, 2**64]
    want = math.prod(pow(b, e, n) for b, e in zip(bases, exponents, strict=True)) % n
    monkeypatch.setattr(integers, "_bucket_window", lambda *_: window)
    assert product_of_powers(bases, exponents, n) == want


def test_a_product_needs_as_many_exponents_as_bases() -> None:
    with pytest.raises(ValueError, match="zip"):
        product_of_powers([2, 3], [1], 7)


@given(
    n=moduli,
    base=st.integers(0, 2**200),
    bits=st.integers(1, 70),
    window=st.integers(1, 9),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_a_fixed_base_gives_the_same_powers(
    n: int, base: int, bits: int, window: int, data: st.DataObject
) -> None:
    exponent = data.draw(st.integers(0, 2**bits - 1))
    table = FixedBase(base, n, exponent_bits=bits, window=window)
    assert table.power(exponent) % n == pow(base, exponent, n)
    for wrong in (-1, 2**bits):
        with pytest.raises(ValueError, match="longer"):
            table.power(wrong)


@given(st.lists(st.integers(1, 76), min_size=1, max_size=5))
def test_elements_read_back_are_those_written(values: list[int]) -> None:
    units = [value for value in values if math.gcd(value, 77) == 1]
    data = to_bytes(values, 3)
    assert len(data) == 3 * len(values)
    if units == values:
        found = parse_elements(
            data, what="x", count=len(values), width_bytes=3, modulus=77
        )
        assert found == values
    else:
        with pytest.raises(MalformedMessage, match="x: a number is not coprime"):
            parse_elements(data, what="x", count=len(values), width_bytes=3, modulus=77)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x01\x02", "got 2 bytes, want 3 of 1"),
        (b"\x01\x02\x03\x04", "got 4 bytes"),
        (b"\x01\x00\x03", "number 1 is out of range"),
        (b"\x01\x02\x4d", "number 2 is out of range"),
        (b"\x01\x02\xff", "number 2 is out of range"),
        (b"\x01\x07\x02", "not coprime"),
        (b"\x01\x0b\x02", "not coprime"),
    ],
)
def test_elements_from_outside_are_checked(data: bytes, message: str) -> None:
    with pytest.raises(MalformedMessage, match=message):
        parse_elements(data, what="x", count=3, width_bytes=1, modulus=77)


def test_coprime_is_about_every_value() -> None:
    assert is_coprime([], 77)
    assert is_coprime([2, 3], 77)
    assert not is_coprime([2, 7], 77)
    assert not is_coprime([0], 77)


def test_uniform_integers_stay_below_and_reach_everywhere() -> None:
    stream = KeyStream(bytes(32), label="test")
    counts = Counter(int(uniform(stream, 5)) for _ in range(1000))
    assert sorted(counts) == [0, 1, 2, 3, 4]
    assert min(counts.values()) > 140  # 200 wanted, deviation 12.6
    assert uniform(stream, 1) == 0
    # 16 bytes more than needed are read
    taken = KeyStream(bytes(32), label="test")
    value = int.from_bytes(taken.read(16 + 2))
    assert uniform(KeyStream(bytes(32), label="test"), 300) == value % 300


def test_primes_in_the_small() -> None:
    found = [n for n in range(60) if is_prime(n)]
    assert found == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59]


def test_jobs_run_in_turn() -> None:
    assert list(in_turn(abs, [-1, 2])) == [1, 2]
    assert big(5) == 5
