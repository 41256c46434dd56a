# SPDX-License-Identifier: Apache-2.0
"""secagg/encrypted/equality.py: true statements pass, no other does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidShare
from fedxdr.crypto.expand import KeyStream
from fedxdr.secagg.encrypted import equality

EXPONENT = 2**500 + 987654321
CONTEXT = b"round 1, org-0"
MULTIPLE = 240


@pytest.fixture(scope="module")
def statement(keys):
    n = keys["a"].p * keys["a"].q
    base = pow(1234567, 2, n)
    bases = [pow(3, 1000 + k, n) for k in range(7)]
    return {
        "bases": bases,
        "answers": [pow(b, MULTIPLE * EXPONENT, n) for b in bases],
        "multiple": MULTIPLE,
        "base": base,
        "committed": pow(base, EXPONENT, n),
        "modulus": n,
        "context": CONTEXT,
    }


def proof_of(statement, *, exponent=EXPONENT, seed=bytes(32)):
    return equality.prove(
        **statement, exponent=exponent, stream=KeyStream(seed, label="test")
    )


def refused(statement, proof):
    with pytest.raises(InvalidShare, match="does not hold"):
        equality.verify(**statement, proof=proof)


def test_a_true_statement_is_proven_and_hidden(statement) -> None:
    proof = proof_of(statement)
    equality.verify(**statement, proof=proof)
    assert len(proof) == equality.proof_bytes(64)
    other = proof_of(statement, seed=b"\x01" * 32)
    equality.verify(**statement, proof=other)
    assert proof != other


def test_the_answer_is_longer_than_what_it_hides(statement) -> None:
    # z = R + e x with R of |n| + 256 bits over an x of |n| and an e of 128
    z = int.from_bytes(proof_of(statement)[16:])
    assert z.bit_length() > 512 + 256 - 32


def test_no_other_exponent_passes(statement) -> None:
    refused(statement, proof_of(statement, exponent=EXPONENT + 1))
    n = statement["modulus"]
    wrong = {**statement, "committed": statement["base"] ** 2 % n}
    refused(wrong, proof_of(wrong))


@pytest.mark.parametrize("k", range(7))
def test_one_wrong_answer_among_many_is_noticed(statement, k: int) -> None:
    answers = list(statement["answers"])
    n = statement["modulus"]
    for factor in (4, pow(5, 2, n), pow(statement["base"], 2, n)):
        answers[k] = statement["answers"][k] * factor % n
        wrong = {**statement, "answers": answers}
        refused(wrong, proof_of(wrong))  # its own prover cannot
        refused(wrong, proof_of(statement))


def test_wrong_answers_that_cancel_out_are_noticed(statement) -> None:
    # without coefficients, y_0 * f and y_1 / f would pass
    n, answers = statement["modulus"], list(statement["answers"])
    answers[0] = answers[0] * 9 % n
    answers[1] = answers[1] * pow(9, -1, n) % n
    wrong = {**statement, "answers": answers}
    refused(wrong, proof_of(wrong))
    answers = list(statement["answers"])
    answers[0], answers[1] = answers[1], answers[0]
    refused({**statement, "answers": answers}, proof_of(statement))


@pytest.mark.parametrize("what", ["base", "committed", "multiple", "context"])
def test_a_proof_is_bound_to_every_part(statement, what: str) -> None:
    proof = proof_of(statement)
    value = statement[what]
    refused({**statement, what: value + (b"x" if what == "context" else 2)}, proof)


def test_a_proof_is_bound_to_the_bases(statement) -> None:
    proof = proof_of(statement)
    bases = list(statement["bases"])
    bases[3] = bases[3] * 4 % statement["modulus"]
    refused({**statement, "bases": bases}, proof)
    refused(
        {**statement, "bases": bases[:6], "answers": statement["answers"][:6]}, proof
    )


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, equality.proof_bytes(64) - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_fails(statement, place: int, bit: int) -> None:
    proof = bytearray(proof_of(statement))
    proof[place] ^= 1 << bit
    refused(statement, bytes(proof))


def test_other_lengths_are_refused(statement) -> None:
    proof = proof_of(statement)
    for wrong in (b"", proof[:-1], proof + b"\x00", b"\x00" + proof):
        with pytest.raises(InvalidShare, match="length"):
            equality.verify(**statement, proof=wrong)
    with pytest.raises(InvalidShare, match="length"):
        equality.verify(
            **{**statement, "answers": statement["answers"][:6]}, proof=proof
        )


def test_coefficients_depend_on_everything_public() -> None:
    def seed(**changed):
        given = {
            "bases": [4, 9], "answers": [16, 25], "multiple": 2, "modulus": 77,
            "context": b"c",
        } | changed  # fmt: skip
        return equality._joined(*given.values())[2]

    seeds = [
        seed(),
        seed(bases=[4, 16]),
        seed(answers=[16, 9]),
        seed(multiple=3),
        seed(modulus=91),
        seed(context=b"d"),
    ]
    assert len(set(seeds)) == 6


def test_a_simulated_proof_for_a_chosen_challenge_fails(statement) -> None:
    """With e known beforehand anything can be proven; the hash must come after."""
    n = statement["modulus"]
    wrong = {**statement, "committed": pow(statement["base"], 7, n)}
    for e in (0, 1, 2**128 - 1):
        forged = e.to_bytes(16) + (12345).to_bytes(64 + 33)
        refused(wrong, forged)
        refused(statement, forged)
