# SPDX-License-Identifier: Apache-2.0
"""secagg/encrypted/knowledge.py: who knows proves, who copied or shifted fails."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidUpdate, MalformedMessage
from fedxdr.crypto.expand import KeyStream
from fedxdr.secagg.encrypted import knowledge
from fedxdr.secagg.encrypted.integers import to_bytes
from fedxdr.secagg.encrypted.paillier import (
    PublicKey,
    encrypt,
    randomiser,
    ring,
)

CONTEXT = b"round 1, org-0"
PLAINTEXTS = [0, -1, 2**500, 77, 5]
EXPONENTS = [2**512 - 1, 1, 2**300 + 7, 12345, 0]


@pytest.fixture(scope="module", params=[1, 2])
def key(request, keys):
    n = keys["a"].p * keys["a"].q
    return PublicKey(
        modulus=keys["a"].modulus,
        base=pow(0xFEDC0DE, 2, n).to_bytes(64),
        degree=request.param,
    )


def encrypted(key, plaintexts=PLAINTEXTS, exponents=EXPONENTS):
    return [encrypt(key, m, x) for m, x in zip(plaintexts, exponents, strict=True)]


def proof_of(key, *, plaintexts=PLAINTEXTS, exponents=EXPONENTS, values=None, **more):
    return knowledge.prove(
        key,
        to_bytes(values or encrypted(key), key.ciphertext_bytes),
        plaintexts=plaintexts,
        exponents=exponents,
        context=more.get("context", CONTEXT),
        stream=KeyStream(more.get("seed", bytes(32)), label="test"),
    )


def verify(key, values, proof, *, context=CONTEXT, count=None):
    return knowledge.verify(
        key,
        to_bytes(values, key.ciphertext_bytes),
        proof,
        count=count or len(values),
        context=context,
    )


def refused(key, values, proof, **more):
    with pytest.raises(InvalidUpdate, match="does not hold"):
        verify(key, values, proof, **more)


def test_who_knows_proves(key) -> None:
    proof = proof_of(key)
    assert verify(key, encrypted(key), proof) == encrypted(key)
    assert len(proof) == knowledge.proof_bytes(key)
    other = proof_of(key, seed=b"\x01" * 32)
    verify(key, encrypted(key), other)
    assert other != proof


def test_the_equation_is_the_one_that_is_stated(key) -> None:
    proof, width = proof_of(key), key.ciphertext_bytes
    a = int.from_bytes(proof[:width])
    z = int.from_bytes(proof[width:-100])
    u = int.from_bytes(proof[-100:])
    data = to_bytes(encrypted(key), width)
    challenges = knowledge._challenges(key, data, CONTEXT, proof[:width], 5)
    assert len(set(challenges)) == 5
    assert all(e.bit_length() > 100 for e in challenges)
    n, s = int(ring(key).n), key.degree
    h = int.from_bytes(key.base)
    left = pow(1 + n, z, n ** (s + 1)) * pow(h, n**s * u, n ** (s + 1))
    right = a
    for c, e in zip(encrypted(key), challenges, strict=True):
        right *= pow(int(c), int(e), n ** (s + 1))
    assert (left - right) % n ** (s + 1) == 0
    # it hides: z is y + something with y uniform; u is far longer than sum e x
    assert u.bit_length() > 512 + 128 + 128


@pytest.mark.parametrize("k", range(5))
def test_a_prover_that_knows_all_but_one_fails(key, k: int) -> None:
    for plaintexts, exponents in (
        ([m + (j == k) for j, m in enumerate(PLAINTEXTS)], EXPONENTS),
        (PLAINTEXTS, [x ^ (j == k) for j, x in enumerate(EXPONENTS)]),
    ):
        proof = proof_of(
            key, plaintexts=plaintexts, exponents=exponents, values=encrypted(key)
        )
        refused(key, encrypted(key), proof)


def test_errors_that_cancel_out_fail(key) -> None:
    # without coefficients, m_0 + 1 and m_1 - 1 would do
    plaintexts = [PLAINTEXTS[0] + 1, PLAINTEXTS[1] - 1, *PLAINTEXTS[2:]]
    refused(key, encrypted(key), proof_of(key, plaintexts=plaintexts))


def test_a_proof_is_for_one_context(key) -> None:
    proof = proof_of(key)
    for context in (b"", b"round 1, org-1", b"round 2, org-0", CONTEXT + b"\x00"):
        refused(key, encrypted(key), proof, context=context)


def test_a_copied_shifted_or_rerandomised_ciphertext_has_no_proof(key) -> None:
    proof, values = proof_of(key), encrypted(key)
    modulus = ring(key).ciphertext_modulus
    for changed in (
        values[0] * ring(key).encode(1) % modulus,  # shifted by 1
        values[0] * encrypt(key, 0, 99) % modulus,  # re-randomised
        values[0] * values[1] % modulus,
        pow(int(values[0]), 2, modulus),
    ):
        refused(key, [changed, *values[1:]], proof)
    refused(key, [values[1], values[0], *values[2:]], proof)


def test_a_thief_that_answers_with_the_victims_proof_adjusted_fails(key) -> None:
    """c' = c (1+n): z' = z + e would satisfy the old challenge; the hash has moved."""
    proof, values = proof_of(key), encrypted(key)
    width, numbers = key.ciphertext_bytes, ring(key)
    data = to_bytes(values, width)
    e = knowledge._challenges(key, data, CONTEXT, proof[:width], 5)[0]
    z = (int.from_bytes(proof[width:-100]) + e) % numbers.plaintext_modulus
    forged = proof[:width] + int(z).to_bytes(len(proof) - width - 100) + proof[-100:]
    shifted = values[0] * numbers.encode(1) % numbers.ciphertext_modulus
    refused(key, [shifted, *values[1:]], forged)


def test_a_commitment_made_to_measure_fails(key) -> None:
    """a = (1+n)^z H^u / prod c^e for any z, u: passes unless e depends on a."""
    values, numbers = encrypted(key), ring(key)
    width, modulus = key.ciphertext_bytes, int(numbers.ciphertext_modulus)
    data, a = to_bytes(values, width), b"\x01" * width
    z, u = 12345, 2**700 + 1
    for _ in range(3):
        joined = 1
        for c, e in zip(
            values, knowledge._challenges(key, data, CONTEXT, a, 5), strict=True
        ):
            joined = joined * pow(int(c), int(e), modulus) % modulus
        left = int(numbers.encode(z)) * pow(int(randomiser(key)), u, modulus)
        a = (left * pow(joined, -1, modulus) % modulus).to_bytes(width)
        size = key.degree * key.element_bytes
        refused(key, values, a + z.to_bytes(size) + u.to_bytes(100))


def test_challenges_depend_on_everything_public(keys, key) -> None:
    n = keys["a"].p * keys["a"].q
    other = PublicKey(
        modulus=key.modulus, base=pow(3, 2, n).to_bytes(64), degree=key.degree
    )
    drawn = [
        tuple(knowledge._challenges(key, b"cc", b"context", b"aa", 2)),
        tuple(knowledge._challenges(other, b"cc", b"context", b"aa", 2)),
        tuple(knowledge._challenges(key, b"cd", b"context", b"aa", 2)),
        tuple(knowledge._challenges(key, b"cc", b"contexT", b"aa", 2)),
        tuple(knowledge._challenges(key, b"cc", b"context", b"ab", 2)),
        tuple(knowledge._challenges(key, b"cc", b"contexta", b"a", 2)),
        tuple(knowledge._challenges(key, b"cc", b"context", b"aa", 3)[:2]),
    ]
    assert len(set(drawn)) == 7


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_fails(key, data: st.DataObject) -> None:
    proof, values = bytearray(proof_of(key)), encrypted(key)
    place = data.draw(st.integers(0, len(proof) - 1))
    proof[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((InvalidUpdate, MalformedMessage)):
        verify(key, values, bytes(proof))


def test_numbers_out_of_range_are_refused(key) -> None:
    proof, values = proof_of(key), encrypted(key)
    n, width = int(ring(key).n), key.ciphertext_bytes
    for wrong, message in (
        (0, "number 2 is out of range"),
        (n ** (key.degree + 1), "number 2 is out of range"),
        (n, "not coprime"),
    ):
        with pytest.raises(MalformedMessage, match=message):
            verify(key, [*values[:2], wrong, *values[3:]], proof)
    for begin, end, replaced in (
        (0, width, bytes(width)),
        (0, width, n.to_bytes(width)),
        (0, width, b"\xff" * width),
    ):
        with pytest.raises(MalformedMessage, match="commitment"):
            verify(key, values, proof[:begin] + replaced + proof[end:])
    # z and z + n^s would both do: only the least is taken
    size = key.degree * key.element_bytes
    z = int.from_bytes(proof[width : width + size]) + n**key.degree
    if z < 1 << (8 * size):
        with pytest.raises(MalformedMessage, match="answer is out of range"):
            verify(key, values, proof[:width] + z.to_bytes(size) + proof[-100:])
    with pytest.raises(MalformedMessage, match="answer is out of range"):
        verify(key, values, proof[:width] + b"\xff" * size + proof[-100:])


def test_other_lengths_are_refused(key) -> None:
    proof, values = proof_of(key), encrypted(key)
    for wrong in (b"", proof[:-1], proof + b"\x00"):
        with pytest.raises(MalformedMessage, match="proof of knowledge: got"):
            verify(key, values, wrong)
    for wrong_values in (values[:4], [*values, values[0]]):
        with pytest.raises(MalformedMessage, match="ciphertexts: got"):
            verify(key, wrong_values, proof, count=5)
    with pytest.raises(InvalidUpdate, match="exponent and ciphertext each"):
        proof_of(key, exponents=EXPONENTS[:4])
    with pytest.raises(InvalidUpdate, match="exponent and ciphertext each"):
        proof_of(key, values=encrypted(key)[:4])


def test_a_proof_is_for_one_key(keys, key) -> None:
    # the same modulus with another base: another fingerprint, other challenges
    n = keys["a"].p * keys["a"].q
    other = PublicKey(
        modulus=key.modulus, base=pow(3, 2, n).to_bytes(64), degree=key.degree
    )
    refused(other, encrypted(key), proof_of(key))


def test_two_accepted_answers_give_the_plaintext_away(key, monkeypatch) -> None:
    """The extractor of the docstring, run: one a, two challenges for one ciphertext."""
    numbers = ring(key)
    m, x = 2**400 + 3, 2**500 + 9
    (value,) = encrypted(key, [m], [x])
    answers = []
    for e in (5, 2**127 + 4):
        monkeypatch.setattr(knowledge, "_challenges", lambda *_, e=e: [e])
        proof = proof_of(key, plaintexts=[m], exponents=[x], values=[value])
        verify(key, [value], proof)
        width = key.ciphertext_bytes
        answers.append((e, int.from_bytes(proof[width:-100]), proof[:width]))
    (e1, z1, a1), (e2, z2, a2) = answers
    assert a1 == a2
    space = int(numbers.plaintext_modulus)
    assert (z2 - z1) * pow(e2 - e1, -1, space) % space == m
