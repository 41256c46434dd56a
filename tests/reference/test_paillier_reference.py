# SPDX-License-Identifier: Apache-2.0
"""A slow threshold Paillier, written from the definitions, against the fast one.

Python integers and ``pow`` throughout. Decryption here is that of Damgard and Jurik
2001 (section 4.1): d = 0 mod m', d = 1 mod n^s is shared, and holders raise the whole
ciphertext mod n^(s+1). Ours takes roots mod n instead (opening.py): another road that
must lead to the same sum. Discrete logarithms of 1 + n are found digit by digit in base
n, not by the paper's algorithm.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.ids import org_id
from fedxdr.core.randomness import SeededEntropy, generator
from fedxdr.secagg.encrypted.contributing import encrypt_update, product
from fedxdr.secagg.encrypted.dealing import deal
from fedxdr.secagg.encrypted.opening import combine, partial_decrypt
from fedxdr.secagg.encrypted.paillier import PrivateKey, Ring
from fedxdr.secagg.encrypted.stages import Terms, commit

# Safe primes of 256 bits, made once; (x - 1) / 2 of each is prime too.
P = 0xF1C1C2BEC396AC438487FFC7061935D320028633809AF1F062D5B8563ADFAE03
Q = 0xF1594F61C97D95B6FD61E3D1D5B02F752D6EF4C7B2D70A75C6ADAB609639CC67
N = P * Q
ORDER = (P - 1) // 2 * ((Q - 1) // 2)


def encrypt(m: int, r: int, n: int, s: int) -> int:
    """(1 + n)^m r^(n^s) mod n^(s+1)."""
    return pow(1 + n, m, n ** (s + 1)) * pow(r, n**s, n ** (s + 1)) % n ** (s + 1)


def logarithm(value: int, n: int, s: int) -> int:
    """m in [0, n^s) with (1 + n)^m = value mod n^(s+1), one digit in base n at a time.

    (1 + n)^(n^j) = 1 + n^(j+1) mod n^(j+2): dividing by the powers found so far leaves
    the next digit alone.
    """
    m = 0
    for j in range(s):
        modulus = n ** (j + 2)
        left = value * pow(1 + n, -m, modulus) % modulus
        assert (left - 1) % n ** (j + 1) == 0
        m += (left - 1) // n ** (j + 1) * n**j
    return m


def deal_slowly(n: int, order: int, s: int, t: int, holders: int) -> dict[int, int]:
    """Shares of d: 0 mod order, 1 mod n^s; a polynomial mod n^s order."""
    modulus = n**s * order
    d = order * pow(order, -1, n**s)
    assert d % order == 0
    assert d % n**s == 1
    coefficients = [d, *(pow(7, 100 + k, modulus) for k in range(t - 1))]
    return {
        x: sum(c * x**k for k, c in enumerate(coefficients)) % modulus
        for x in range(1, holders + 1)
    }


def open_slowly(c: int, shares: dict[int, int], n: int, s: int, holders: int) -> int:
    """Damgard, Jurik 2001, section 4.1: c_i = c^(2 Delta s_i), then c^(4 Delta^2 d)."""
    delta, modulus = math.factorial(holders), n ** (s + 1)
    answers = {x: pow(c, 2 * delta * share, modulus) for x, share in shares.items()}
    joined = 1
    for x, answer in answers.items():
        numerator, denominator = delta, 1
        for other in answers:
            if other != x:
                numerator *= -other
                denominator *= x - other
        assert numerator % denominator == 0
        joined = joined * pow(answer, 2 * (numerator // denominator), modulus) % modulus
    return logarithm(joined, n, s) * pow(4 * delta**2, -1, n**s) % n**s


def test_typed_vectors_small_enough_for_paper() -> None:
    # n = 7 * 11 = 77, n^2 = 5929: 2^77 = 3791, (1 + 42 * 77) * 3791 = 2713
    assert pow(2, 77, 5929) == 3791
    assert encrypt(42, 2, 77, 1) == 2713
    # lambda(77) = 30: c^30 = (1 + n)^(42 * 30), and 42 * 30 mod 77 = 28
    assert pow(encrypt(42, 2, 77, 1), 30, 5929) == 1 + 28 * 77
    assert 28 * pow(30, -1, 77) % 77 == 42
    assert logarithm(1 + 28 * 77, 77, 1) == 28


@settings(max_examples=40)
@given(
    s=st.integers(1, 4), m=st.integers(0, 10**12), r=st.sampled_from([2, 3, 5, 76, 10])
)
def test_encoding_and_logarithm_agree_with_the_reference(
    s: int, m: int, r: int
) -> None:
    n = 143
    fast = Ring(n=n, s=s, powers=tuple(n**j for j in range(s + 2)), h=4)
    assert fast.encode(m) * fast.lift(r) % n ** (s + 1) == encrypt(m % n**s, r, n, s)
    value = pow(1 + n, m, n ** (s + 1))
    assert fast.decode(value) == logarithm(value, n, s) == m % n**s


@pytest.mark.parametrize("s", [1, 2])
@pytest.mark.parametrize("t", [2, 3])
def test_the_reference_opens_with_any_t_shares(s: int, t: int) -> None:
    n, order = 2879 * 3023, 1439 * 1511  # safe primes
    shares = deal_slowly(n, order, s, t, 4)
    c = encrypt(123456, 987, n, s) * encrypt(54321, 555, n, s) % n ** (s + 1)
    for chosen in itertools.combinations(shares, t):
        held = {x: shares[x] for x in chosen}
        assert open_slowly(c, held, n, s, 4) == 177777


@pytest.mark.parametrize("s", [1, 2])
def test_both_roads_lead_to_the_same_sum(s: int) -> None:
    names = tuple(org_id(f"org-{index}") for index in range(4))
    dealt = deal(
        PrivateKey(p=P, q=Q),
        holders=names,
        threshold=3,
        entropy=SeededEntropy(3),
        degree=s,
    )
    terms = Terms(
        key=dealt.key,
        transcript=bytes(32),
        contributors=names,
        min_survivors=3,
        size=45,
        bits=16,
    )
    random = generator(9)
    vectors = [random.integers(-5000, 5000, 45, dtype=np.int32) for _ in names]
    uploads = [
        encrypt_update(terms, name, vector.view(np.uint32), seed=bytes(32))
        for name, vector in zip(names, vectors, strict=True)
    ]
    made = product(
        terms,
        uploads,
        survivors=names,
        commitments={upload.sender: commit(terms, upload) for upload in uploads},
    )
    opened = combine(
        terms,
        made,
        [
            partial_decrypt(terms, dealt.shares[name], made, seed=bytes(32))
            for name in names[1:]
        ],
    )
    shares = deal_slowly(N, ORDER, s, 3, 4)
    del shares[2]
    width = 64 * (s + 1)
    slots, found = terms.slots, []
    for begin in range(0, len(made.ciphertexts), width):
        c = int.from_bytes(made.ciphertexts[begin : begin + width])
        signed = open_slowly(c, shares, N, s, 4)
        if signed > N**s // 2:
            signed -= N**s
        # slots from the last to the first, each with a sign that borrows from the next
        row = []
        for _ in range(slots.per_plaintext):
            low = (signed + 2 ** (slots.width - 1)) % 2**slots.width
            low -= 2 ** (slots.width - 1)
            row.append(low)
            signed = (signed - low) >> slots.width
        assert signed == 0
        found += row[::-1]
    assert found[45:] == [0] * (len(found) - 45)
    assert found[:45] == opened.total.tolist() == sum(vectors).tolist()
