# SPDX-License-Identifier: Apache-2.0
"""The Paillier - Damgard-Jurik cryptosystem: keys, encoding, decoding, decryption.

c = (1 + n)^m r^(n^s) mod n^(s+1) carries m in [0, n^s); s = 1 is Paillier's own system,
with g = n + 1 as python-paillier (``phe``) has it: same key, same ciphertexts. The
product of ciphertexts carries the sum of what they carry.

Encryption takes r = h^x mod n from one fixed square h and a short x, by tables.
**Why that is as secure.** Damgard, Jurik, Nielsen 2010 take r from the group that
h = -y^2 generates; a random square generates the group of squares, and squaring a
ciphertext only doubles m, which is one to one, so an attack on squares alone is an
attack on all r. x has ``EXPONENT_BITS`` = 512 bits: to tell h^x from a random square
takes a discrete logarithm in an interval, 2^256 steps by Pollard's kangaroos; RFC 7919
(section 5.2, appendix A.2) asks for 275 bits in the safe-prime group of 3,072 bits, and
we stand well above, because here the group's order is not known.

It does NOT share the key (dealing.py), prove anything (knowledge.py) or pack
(slots.py). ``PrivateKey`` exists for the dealer's ceremony and for tests of
interoperation: in a federation nobody keeps one.

Rules that always hold: n is odd and of exact length; h is coprime to n; values are
reduced; a private key shows nothing.

Sources: Paillier 1999; Damgard, Jurik 2001 (section 3, theorem 1 and the algorithm
under it); Damgard, Jurik, Nielsen 2010 (the variant with a fixed base h).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

from fedxdr.core import canonical
from fedxdr.core.errors import InvalidInput, InvalidSettings, MalformedMessage
from fedxdr.core.ids import Digest
from fedxdr.core.randomness import Entropy
from fedxdr.secagg.encrypted.integers import (
    FixedBase,
    big,
    inverse,
    is_coprime,
    is_prime,
    parse_elements,
    power,
    secret_power,
)

MIN_MODULUS_BITS = 512
"""Shortest modulus that can be built: for tests. A ceremony takes 2,048 and more."""
MAX_MODULUS_BITS = 8192
MAX_DEGREE = 8

EXPONENT_BITS = 512
"""Length of the secret exponents x of encryption."""

_KEY_LABEL = "fedxdr/paillier/public-key/v1"
_WINDOW = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """What is needed to encrypt; plain bytes, so that core/canonical.py can encode it.

    Attributes:
        modulus: n, big-endian, its first bit set; 64 to 1,024 bytes.
        base: h, a random square, as long as n.
        degree: s in [1, 8]: a plaintext has s times the bits of n, a ciphertext s + 1
            times. Interoperation with python-paillier is at s = 1.
    """

    modulus: bytes
    base: bytes
    degree: int = 1

    def __post_init__(self) -> None:
        bits = 8 * len(self.modulus)
        if not MIN_MODULUS_BITS <= bits <= MAX_MODULUS_BITS:
            raise MalformedMessage(
                f"a modulus: got {bits} bits, want {MIN_MODULUS_BITS} to "
                f"{MAX_MODULUS_BITS}"
            )
        if self.modulus[0] < 0x80 or not self.modulus[-1] & 1:
            raise MalformedMessage("a modulus is odd and its first bit is set")
        if not 1 <= self.degree <= MAX_DEGREE:
            raise MalformedMessage(f"degree {self.degree}: want 1 to {MAX_DEGREE}")
        parse_elements(
            self.base,
            what="the base h",
            count=1,
            width_bytes=len(self.modulus),
            modulus=int.from_bytes(self.modulus),
        )

    @property
    def fingerprint(self) -> Digest:
        """SHA-256 over label and canonical form: the key's name everywhere."""
        return canonical.fingerprint(_KEY_LABEL, self)

    @property
    def element_bytes(self) -> int:
        """Length of a number mod n."""
        return len(self.modulus)

    @property
    def ciphertext_bytes(self) -> int:
        """Length of a ciphertext: (s + 1) times that of n."""
        return len(self.modulus) * (self.degree + 1)

    @property
    def plaintext_bits(self) -> int:
        """Bits that any plaintext may have: 2^that is below n^s."""
        return int(ring(self).plaintext_modulus.bit_length()) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """The numbers of one public key; made by ``ring``, kept per process.

    Attributes:
        n: the modulus.
        s: the degree.
        powers: 1, n, n^2, … n^(s+1).
        h: the base of encryption's randomness, mod n.
    """

    n: int
    s: int
    powers: tuple[int, ...]
    h: int

    @property
    def plaintext_modulus(self) -> int:
        """n^s."""
        return self.powers[self.s]

    @property
    def ciphertext_modulus(self) -> int:
        """n^(s+1)."""
        return self.powers[self.s + 1]

    def encode(self, plaintext: int) -> int:
        """Return (1 + n)^m mod n^(s+1), by the binomial theorem.

        Args:
            plaintext: m, any integer; negative ones count from n^s down.
        """
        m = plaintext % self.plaintext_modulus
        result, term = 1 + m * self.n, m
        for k in range(2, self.s + 1):
            kept = self.powers[self.s + 1 - k]
            term = term * (m - k + 1) % self.ciphertext_modulus
            factor = inverse(_factorial(k), self.ciphertext_modulus)
            result += term * factor % kept * self.powers[k]
        return result % self.ciphertext_modulus

    def decode(self, value: int) -> int:
        """Return m in [0, n^s) from (1 + n)^m mod n^(s+1).

        Damgard, Jurik 2001, the algorithm in section 3.

        Raises:
            InvalidInput: value is not 1 mod n, so that it encodes nothing.
        """
        if value % self.n != 1:
            raise InvalidInput("a number that encodes no plaintext")
        m = big(0)
        for j in range(1, self.s + 1):
            t1 = (value % self.powers[j + 1] - 1) // self.n
            t2 = m
            for k in range(2, j + 1):
                m = m - 1
                t2 = t2 * m % self.powers[j]
                factor = inverse(_factorial(k), self.powers[j])
                t1 = (t1 - t2 * self.powers[k - 1] * factor) % self.powers[j]
            m = t1
        return m

    def lift(self, value: int) -> int:
        """Return value^(n^s) mod n^(s+1), which depends on value mod n alone.

        Done in s steps of n each, mod n^2, n^3, …: if a = b mod n^j then a^n = b^n mod
        n^(j+1).
        """
        for j in range(1, self.s + 1):
            value = power(value, self.n, self.powers[j + 1])
        return value


@functools.lru_cache(maxsize=16)
def ring(key: PublicKey) -> Ring:
    """Return the numbers of a public key."""
    n = big(int.from_bytes(key.modulus))
    numbers = [big(1)]
    for _ in range(key.degree + 1):
        numbers.append(numbers[-1] * n)
    return Ring(
        n=n,
        s=key.degree,
        powers=tuple(numbers),
        h=big(int.from_bytes(key.base)),
    )


@functools.lru_cache(maxsize=16)
def randomiser(key: PublicKey) -> int:
    """Return H = h^(n^s) mod n^(s+1), whose powers hide plaintexts."""
    numbers = ring(key)
    return numbers.lift(numbers.h)


@functools.lru_cache(maxsize=2)
def tables(key: PublicKey, *, window: int = _WINDOW) -> FixedBase:
    """Return the tables of h^(n^s) mod n^(s+1) for exponents of ``EXPONENT_BITS``.

    12.6 MB at 3,072 bits, s = 1 and window 8; each process makes its own, once per key.
    """
    numbers = ring(key)
    return FixedBase(
        randomiser(key),
        numbers.ciphertext_modulus,
        exponent_bits=EXPONENT_BITS,
        window=window,
    )


def fresh_exponent(entropy: Entropy) -> int:
    """Return a secret exponent for one ``encrypt``, uniform in [0, 2^512)."""
    return int.from_bytes(entropy.draw(EXPONENT_BITS // 8))


def encrypt(key: PublicKey, plaintext: int, exponent: int) -> int:
    """Return the ciphertext of a plaintext: (1 + n)^m h^(n^s x) mod n^(s+1).

    Args:
        key: under which.
        plaintext: m, any integer; negative ones count from n^s down, as in
            python-paillier.
        exponent: x, secret and uniform in [0, 2^512), never used twice.
    """
    numbers = ring(key)
    randomness = tables(key).power(exponent)
    return numbers.encode(plaintext) * randomness % numbers.ciphertext_modulus


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateKey:
    """Two safe primes; whoever holds them decrypts everything.

    Attributes:
        p: a safe prime of half the modulus' bits; the representation shows neither.
        q: another one.
    """

    p: int = field(repr=False)
    q: int = field(repr=False)

    def __post_init__(self) -> None:
        p, q = self.p, self.q
        half = int(p).bit_length()
        if half % 8 or half != int(q).bit_length():
            raise InvalidSettings("two primes of one length, a multiple of 8 bits")
        if int(p * q).bit_length() != 2 * half:
            raise InvalidSettings("primes whose product is one bit short")
        # FIPS 186-5, A.1.3: primes this close together are found by Fermat's method
        if int(abs(p - q)).bit_length() <= half - 100:
            raise InvalidSettings("primes that lie too close together")
        if not all(
            x & 1 and is_prime(x, rounds=25) and is_prime(x // 2, rounds=25)
            for x in (p, q)
        ):
            raise InvalidSettings("a number that is not a safe prime")

    @property
    def modulus(self) -> bytes:
        """The modulus n = p q, big-endian."""
        return int(self.p * self.q).to_bytes(int(self.p).bit_length() // 4)

    @property
    def squares_order(self) -> int:
        """The order m' = (p - 1)(q - 1) / 4 of the group of squares mod n."""
        return (self.p // 2) * (self.q // 2)


def decrypt(key: PublicKey, private: PrivateKey, ciphertext: int) -> int:
    """Return what a ciphertext carries, in [0, n^s), by the whole private key.

    Args:
        key: under which it was encrypted.
        private: of that key.
        ciphertext: in (0, n^(s+1)).

    Raises:
        InvalidInput: another key's private half, or a ciphertext that is none.
    """
    if private.modulus != key.modulus:
        raise InvalidInput("this private key is another key's")
    numbers = ring(key)
    if not 0 < ciphertext < numbers.ciphertext_modulus or not is_coprime(
        [ciphertext], numbers.n
    ):
        raise InvalidInput("a ciphertext out of range")
    # c^(4 m') = (1 + n)^(4 m' m): 4 m' is the order of the units mod n
    order = 4 * private.squares_order
    found = numbers.decode(secret_power(ciphertext, order, numbers.ciphertext_modulus))
    return found * inverse(order, numbers.plaintext_modulus) % numbers.plaintext_modulus


def _factorial(k: int) -> int:
    return k if k <= 2 else k * _factorial(k - 1)
