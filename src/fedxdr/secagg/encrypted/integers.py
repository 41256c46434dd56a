# SPDX-License-Identifier: Apache-2.0
"""The one door to gmpy2: large integers, powers, and products of powers.

Values are annotated ``int``: gmpy2's ``mpz`` is used as one everywhere, and what goes
into a message is turned into bytes first. ``FixedBase`` raises one base to many
exponents by table; ``product_of_powers`` multiplies many bases with short exponents.

It does NOT hide exponents from whoever shares the processor's cache, except in
``secret_power``.

Rules that always hold: an element from outside is in (0, modulus) and coprime to it
before it is used (``parse_elements``); fixed-width big-endian bytes are the only form.

Sources: Brickell, Gordon, McCurley, Wilson 1992 (fixed-base windows without squarings);
Pippenger 1976 as in Bernstein, Doumen, Lange, Oosterwijk 2012, section 4 (buckets).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import gmpy2

from fedxdr.core.errors import MalformedMessage
from fedxdr.crypto.expand import KeyStream

J = TypeVar("J")
R = TypeVar("R")


class Run(Protocol):
    """Something that applies a function to jobs: ``map``, or the map of a pool."""

    def __call__(self, function: Callable[[J], R], jobs: Iterable[J], /) -> Iterable[R]:
        """Return the results in the order of the jobs."""


def in_turn(function: Callable[[J], R], jobs: Iterable[J], /) -> Iterable[R]:
    """Apply a function to jobs in this process: ``map`` as a ``Run``."""
    return map(function, jobs)


def big(value: int) -> int:
    """Return an integer in gmpy2's representation, for fast arithmetic."""
    return _int(gmpy2.mpz(value))


def power(base: int, exponent: int, modulus: int) -> int:
    """Return base^exponent mod modulus; a negative exponent needs an inverse.

    Raises:
        ZeroDivisionError: a negative exponent and a base that has no inverse.
    """
    return _int(gmpy2.powmod(base, exponent, modulus))


def secret_power(base: int, exponent: int, modulus: int) -> int:
    """Return base^exponent mod modulus in time that does not depend on the exponent.

    Args:
        base: in [0, modulus).
        exponent: > 0; its length alone is not hidden.
        modulus: odd.
    """
    return _int(gmpy2.powmod_sec(base, exponent, modulus))


def powers(bases: Sequence[int], exponent: int, modulus: int) -> list[int]:
    """Return base^exponent mod modulus for each base."""
    found: list[int] = gmpy2.powmod_base_list(list(bases), exponent, modulus)
    return found


def inverse(value: int, modulus: int) -> int:
    """Return value^-1 mod modulus.

    Raises:
        ZeroDivisionError: there is none.
    """
    return _int(gmpy2.invert(value, modulus))


def is_prime(value: int, *, rounds: int = 40) -> bool:
    """Return whether value is prime, by Baillie-PSW and Miller-Rabin.

    Args:
        value: drawn at random, not chosen by an adversary.
        rounds: as GMP counts them; those above 24 are Miller-Rabin rounds.
    """
    return bool(gmpy2.is_prime(value, rounds))


def is_coprime(values: Iterable[int], modulus: int) -> bool:
    """Return whether no value shares a factor with the modulus."""
    product = big(1)
    for value in values:
        product = product * value % modulus
    return bool(gmpy2.gcd(product, modulus) == 1)


def to_bytes(values: Iterable[int], width_bytes: int) -> bytes:
    """Return values one after the other, big-endian, each ``width_bytes`` long."""
    return b"".join(int(value).to_bytes(width_bytes) for value in values)


def parse_elements(
    data: bytes, *, what: str, count: int, width_bytes: int, modulus: int
) -> list[int]:
    """Return fixed-width elements of the group of units of ``modulus``.

    Args:
        data: ``count * width_bytes`` bytes from outside.
        what: for messages.
        count: how many are wanted, >= 1.
        width_bytes: bytes of each.
        modulus: elements are in (0, modulus) and coprime to it.

    Raises:
        MalformedMessage: another length, an element out of range or not a unit.
    """
    if len(data) != count * width_bytes:
        raise MalformedMessage(
            f"{what}: got {len(data)} bytes, want {count} of {width_bytes}"
        )
    values = [
        big(int.from_bytes(data[begin : begin + width_bytes]))
        for begin in range(0, len(data), width_bytes)
    ]
    for index, value in enumerate(values):
        if not 0 < value < modulus:
            raise MalformedMessage(f"{what}: number {index} is out of range")
    if not is_coprime(values, modulus):
        raise MalformedMessage(f"{what}: a number is not coprime to the modulus")
    return values


def uniform(stream: KeyStream, below: int) -> int:
    """Return a secret integer in [0, below), off uniform by less than 2^-128.

    Args:
        stream: secret bytes; 16 more than ``below`` has are read.
        below: > 0.
    """
    size = (int(below).bit_length() + 7) // 8 + 16
    return big(int.from_bytes(stream.read(size))) % below


class FixedBase:
    """Tables of one base: each power costs one multiplication per window, no squaring.

    Args:
        base: g.
        modulus: N.
        exponent_bits: longest exponent.
        window: bits per table row; the table has
            ``ceil(exponent_bits / window) * 2^window`` elements.
    """

    __slots__ = ("_exponent_bits", "_modulus", "_rows", "_window")

    def __init__(
        self, base: int, modulus: int, *, exponent_bits: int, window: int
    ) -> None:
        self._modulus = modulus
        self._window = window
        self._exponent_bits = exponent_bits
        self._rows: list[list[int]] = []
        step = big(base) % modulus
        for _ in range(-(-exponent_bits // window)):
            row = [big(1)]
            for _ in range((1 << window) - 1):
                row.append(row[-1] * step % modulus)
            self._rows.append(row)
            step = row[-1] * step % modulus

    def power(self, exponent: int) -> int:
        """Return g^exponent mod N.

        Args:
            exponent: in [0, 2^exponent_bits).

        Raises:
            ValueError: out of that range; a caller's mistake, never a message's.
        """
        if not 0 <= exponent < 1 << self._exponent_bits:
            raise ValueError("an exponent longer than its tables")
        modulus, mask = self._modulus, (1 << self._window) - 1
        result = big(1)
        for row in self._rows:
            digit = exponent & mask
            exponent >>= self._window
            if digit:
                result = result * row[digit] % modulus
        return result


def product_of_powers(
    bases: Sequence[int], exponents: Sequence[int], modulus: int
) -> int:
    """Return the product of base^exponent over all pairs, mod modulus.

    Args:
        bases: in [0, modulus).
        exponents: one per base, >= 0, all of about one length.
        modulus: N.
    """
    bits = max((int(e).bit_length() for e in exponents), default=0)
    window = _bucket_window(len(bases), bits)
    mask = (1 << window) - 1
    result = big(1)
    for shift in range((bits - 1) // window * window if bits else -1, -1, -window):
        result = power(result, 1 << window, modulus)
        buckets: list[int | None] = [None] * (mask + 1)
        for base, exponent in zip(bases, exponents, strict=True):
            digit = (exponent >> shift) & mask
            if digit:
                held = buckets[digit]
                buckets[digit] = base if held is None else held * base % modulus
        # sum of digit * bucket: each bucket is in as many running products as its digit
        running: int | None = None
        total: int | None = None
        for held in reversed(buckets[1:]):
            if held is not None:
                running = held if running is None else running * held % modulus
            if running is not None:
                total = running if total is None else total * running % modulus
        if total is not None:
            result = result * total % modulus
    return result


def _bucket_window(count: int, bits: int) -> int:
    """Return the window that needs the fewest multiplications."""
    return min(
        range(1, 13), key=lambda c: -(-max(bits, 1) // c) * (count + (2 << c) + c)
    )


def _int(value: Any) -> int:  # noqa: ANN401 - gmpy2 has no type hints
    """Return what gmpy2 made under the type it stands in for."""
    result: int = value
    return result
