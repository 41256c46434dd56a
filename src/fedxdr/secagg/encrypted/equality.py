# SPDX-License-Identifier: Apache-2.0
"""Proof that many numbers were raised to the exponent one number commits to.

Statement: for numbers c_1 … c_K and answers y_1 … y_K mod n, a public multiple M and
the commitment w = v^x: y_k^2 = b_k^x with b_k = c_k^(2M), for all k, in one proof.
Coefficients rho_k of 128 bits from SHAKE-256 over everything public; B = (prod
c_k^rho_k)^(2M), Y = (prod y_k^rho_k)^2; then Shoup's proof that Y = B^x and w = v^x
with the same x: R uniform below 2^(|n| + 256), e = hash(…, v^R, B^R) of 128 bits, z =
R + e x.

**It is sound.** n is a product of two safe primes, so the squares mod n are a cyclic
group of order p' q', both primes above 2^128; v, w, B, Y and all y_k^2, b_k are
squares. If some y_k^2 / b_k^x is not 1, its order is at least min(p', q'), so with
all other coefficients fixed at most one rho_k makes Y = B^x: 2^-128. If Y is not B^x,
then for one v^R, B^R at most one e mod p' (or q') can be answered: 2^-128 again, per
question asked of the hash (Shoup 2000, section 3.2; small exponents: Bellare, Garay,
Rabin 1998, section 3, whose condition on the order holds here).

A sign is not covered, y_k and -y_k prove the same: opening.py uses even powers only.

It does NOT check that the bases are the right ones.

Rules that always hold: R is 2^128 times longer than what it hides; z has a bound; the
hash covers key, context, bases and answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from fedxdr.core.errors import InvalidShare
from fedxdr.crypto.expand import KeyStream
from fedxdr.secagg.encrypted.integers import (
    big,
    power,
    product_of_powers,
    secret_power,
    to_bytes,
)

CHALLENGE_BYTES = 16
_HIDING_BYTES = 32
_SLACK_BYTES = _HIDING_BYTES + 1
_COEFFICIENTS_LABEL = b"fedxdr/paillier/equality-coefficients/v1\x00"
_CHALLENGE_LABEL = b"fedxdr/paillier/equality-challenge/v1\x00"


def proof_bytes(width_bytes: int) -> int:
    """Return the length of a proof mod an n of this length: e and z."""
    return CHALLENGE_BYTES + width_bytes + _SLACK_BYTES


def prove(
    bases: Sequence[int],
    answers: Sequence[int],
    *,
    multiple: int,
    exponent: int,
    base: int,
    committed: int,
    modulus: int,
    context: bytes,
    stream: KeyStream,
) -> bytes:
    """Return a proof that each answer is its base to M times the committed exponent.

    Args:
        bases: c_k, units mod n.
        answers: y_k = c_k^(M x) mod n.
        multiple: M, public, > 0.
        exponent: x, secret, in (0, n).
        base: v, a square.
        committed: w = v^x.
        modulus: n.
        context: what the proof is bound to: key, round, holder and product.
        stream: secret bytes, for this statement alone: with two statements under one R
            the exponent would be known.
    """
    width = (int(modulus).bit_length() + 7) // 8
    joined_base, joined_answer, seed = _joined(
        bases, answers, multiple, modulus, context
    )
    r = big(int.from_bytes(stream.read(width + _HIDING_BYTES))) + 1
    e = _challenge(
        seed,
        (base, committed, joined_base, joined_answer),
        (secret_power(base, r, modulus), secret_power(joined_base, r, modulus)),
        width,
    )
    z = r + e * exponent
    return int(e).to_bytes(CHALLENGE_BYTES) + int(z).to_bytes(width + _SLACK_BYTES)


def verify(
    bases: Sequence[int],
    answers: Sequence[int],
    proof: bytes,
    *,
    multiple: int,
    base: int,
    committed: int,
    modulus: int,
    context: bytes,
) -> None:
    """Return if a proof holds.

    Args:
        bases: c_k, units mod n.
        answers: y_k, units mod n, as many.
        proof: ``proof_bytes`` bytes.
        multiple: M, public, > 0.
        base: v, a square.
        committed: w, a square.
        modulus: n, a product of two safe primes.
        context: as it was proven.

    Raises:
        InvalidShare: a wrong length or count, or a proof that does not hold.
    """
    width = (int(modulus).bit_length() + 7) // 8
    if len(proof) != proof_bytes(width) or len(bases) != len(answers):
        raise InvalidShare("a proof of another length than its statement's")
    e = big(int.from_bytes(proof[:CHALLENGE_BYTES]))
    z = big(int.from_bytes(proof[CHALLENGE_BYTES:]))
    joined_base, joined_answer, seed = _joined(
        bases, answers, multiple, modulus, context
    )
    commitments = (
        power(base, z, modulus) * power(committed, -e, modulus) % modulus,
        power(joined_base, z, modulus) * power(joined_answer, -e, modulus) % modulus,
    )
    public = (base, committed, joined_base, joined_answer)
    if _challenge(seed, public, commitments, width) != e:
        raise InvalidShare("the proof that a share was used does not hold")


def _joined(
    bases: Sequence[int],
    answers: Sequence[int],
    multiple: int,
    modulus: int,
    context: bytes,
) -> tuple[int, int, bytes]:
    """Return B, Y and a digest of all that they were made from."""
    width = (int(modulus).bit_length() + 7) // 8
    state = hashlib.shake_256(_COEFFICIENTS_LABEL)
    state.update(len(bases).to_bytes(8) + len(context).to_bytes(8) + context)
    state.update(str(int(multiple)).encode() + b"\x00")
    state.update(to_bytes((modulus, *bases, *answers), width))
    digest = state.digest(32 + CHALLENGE_BYTES * len(bases))
    seed, digest = digest[:32], digest[32:]
    coefficients = [
        big(int.from_bytes(digest[begin : begin + CHALLENGE_BYTES]))
        for begin in range(0, len(digest), CHALLENGE_BYTES)
    ]
    joined_base = product_of_powers(bases, coefficients, modulus)
    joined_answer = product_of_powers(answers, coefficients, modulus)
    return (
        power(joined_base, 2 * multiple, modulus),
        power(joined_answer, 2, modulus),
        seed,
    )


def _challenge(
    seed: bytes, public: Sequence[int], commitments: Sequence[int], width: int
) -> int:
    data = _CHALLENGE_LABEL + seed + to_bytes((*public, *commitments), width)
    return big(int.from_bytes(hashlib.shake_256(data).digest(CHALLENGE_BYTES)))
