# SPDX-License-Identifier: Apache-2.0
"""Proof that whoever uploads ciphertexts knows what is in them, all in one.

Statement: c_1 … c_K. The prover draws y and t, sends a = (1 + n)^y H^t with H =
h^(n^s), gets challenges e_1 … e_K of 128 bits from SHAKE-256 over key, context,
ciphertexts and a, and answers z = y + sum e_k m_k mod n^s and u = t + sum e_k x_k (an
integer). The verifier checks (1 + n)^z H^u = a prod c_k^(e_k).

**It is sound.** Every unit mod n^(s+1) is (1 + n)^m r^(n^s) for one m mod n^s and one r
mod n, so the question is only whether the prover knows them. Suppose it answers, for
one a, a fraction above 2^-127 of all challenge vectors. Mod p, as mod q, a hyperplane
takes at most 2^-128 of the cube [0, 2^128)^K (fix all coordinates but one that counts:
at most one value is left, for 2^128 < p), so rewinding meets K + 1 accepted vectors
whose matrix, with a column of ones, has a determinant D coprime to n. Cramer's rule
gives from their answers, for each k, c_k^D = (1 + n)^M R^(n^s) with M and R known; with
integers alpha D + beta n^s = 1, c_k = (1 + n)^(alpha M) (R^alpha c_k^beta)^(n^s): m_k
and r_k are found. No order of a group is needed, and no root: that n^s is public and
prime to D is what makes extraction work in this group of unknown order. (An error of
2^-127 per question asked of the hash.)

**It shows nothing.** y is uniform mod n^s; t is 2^128 times longer than what it hides:
transcripts can be made without a witness, off by 2^-128. **It cannot be carried over**:
context names round and sender, and two answers z, u for one a and challenge would give
a multiple of the order of h, hence the factors of n; so Fiat-Shamir keeps it
simulation-sound (as in Faust, Kohlweiss, Marson, Venturi 2012, in the random oracle
model), and a copied, shifted, or re-randomised ciphertext leaves its thief without m_k.

It does NOT prove that m_k is small or was clipped.

Rules that always hold: every number of a proof is in range and of fixed length; the
hash covers all that is public, with lengths.

Sources: Cramer, Damgard, Nielsen 2001, section 8 (the proof for one ciphertext, with
extraction by alpha D + beta n = 1); the linear form over many is that of Gennaro,
Leigh, Sundaram, Yerazunis 2004, carried to this homomorphism by us.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from fedxdr.core.errors import InvalidUpdate, MalformedMessage
from fedxdr.crypto.expand import KeyStream
from fedxdr.secagg.encrypted.integers import (
    big,
    parse_elements,
    power,
    product_of_powers,
    uniform,
)
from fedxdr.secagg.encrypted.paillier import (
    EXPONENT_BITS,
    PublicKey,
    randomiser,
    ring,
)

CHALLENGE_BYTES = 16
_HIDING_BITS = 128
_COUNT_BITS = 32
_ANSWER_BYTES = (EXPONENT_BITS + 8 * CHALLENGE_BYTES + _HIDING_BITS + _COUNT_BITS) // 8
_LABEL = b"fedxdr/paillier/knowledge/v1\x00"


def proof_bytes(key: PublicKey) -> int:
    """Return the length of a proof: a, z and u, whatever the number of ciphertexts."""
    return key.ciphertext_bytes + key.degree * key.element_bytes + _ANSWER_BYTES


def prove(
    key: PublicKey,
    ciphertexts: bytes,
    *,
    plaintexts: Sequence[int],
    exponents: Sequence[int],
    context: bytes,
    stream: KeyStream,
) -> bytes:
    """Return a proof for ciphertexts made by ``paillier.encrypt``.

    Args:
        key: under which they were made.
        ciphertexts: of fixed width, one after the other.
        plaintexts: m_k of each.
        exponents: x_k of each, in [0, 2^512).
        context: what the proof is bound to: round and sender.
        stream: secret bytes, for this proof alone.

    Raises:
        InvalidUpdate: lengths that do not agree.
    """
    count = len(plaintexts)
    if len(exponents) != count or len(ciphertexts) != count * key.ciphertext_bytes:
        raise InvalidUpdate(f"{count} plaintexts: want an exponent and ciphertext each")
    numbers = ring(key)
    y = uniform(stream, numbers.plaintext_modulus)
    t = big(int.from_bytes(stream.read(_ANSWER_BYTES))) >> 1  # half is headroom
    a = numbers.encode(y) * power(randomiser(key), t, numbers.ciphertext_modulus)
    commitment = int(a % numbers.ciphertext_modulus).to_bytes(key.ciphertext_bytes)
    challenges = _challenges(key, ciphertexts, context, commitment, count)
    z = y + sum(e * m for e, m in zip(challenges, plaintexts, strict=True))
    u = t + sum(e * x for e, x in zip(challenges, exponents, strict=True))
    return (
        commitment
        + int(z % numbers.plaintext_modulus).to_bytes(key.degree * key.element_bytes)
        + int(u).to_bytes(_ANSWER_BYTES)
    )


def verify(
    key: PublicKey,
    ciphertexts: bytes,
    proof: bytes,
    *,
    count: int,
    context: bytes,
) -> list[int]:
    """Return the ciphertexts as numbers, if the proof shows that its maker knows them.

    Args:
        key: under which they were made.
        ciphertexts: ``count`` of fixed width.
        proof: ``proof_bytes(key)`` bytes.
        count: K, how many ciphertexts are wanted, in [1, 2^31).
        context: as it was proven.

    Raises:
        MalformedMessage: wrong lengths, numbers out of range or not coprime to n.
        InvalidUpdate: the proof does not hold for these ciphertexts and this context.
    """
    numbers = ring(key)
    values = parse_elements(
        ciphertexts,
        what="ciphertexts",
        count=count,
        width_bytes=key.ciphertext_bytes,
        modulus=numbers.ciphertext_modulus,
    )
    if len(proof) != proof_bytes(key):
        raise MalformedMessage(
            f"a proof of knowledge: got {len(proof)} bytes, want {proof_bytes(key)}"
        )
    commitment = proof[: key.ciphertext_bytes]
    (a,) = parse_elements(
        commitment,
        what="a proof's commitment",
        count=1,
        width_bytes=key.ciphertext_bytes,
        modulus=numbers.ciphertext_modulus,
    )
    z = big(int.from_bytes(proof[key.ciphertext_bytes : -_ANSWER_BYTES]))
    u = big(int.from_bytes(proof[-_ANSWER_BYTES:]))
    if z >= numbers.plaintext_modulus:
        raise MalformedMessage("a proof's answer is out of range")
    challenges = _challenges(key, ciphertexts, context, commitment, count)
    modulus = numbers.ciphertext_modulus
    left = numbers.encode(z) * power(randomiser(key), u, modulus) % modulus
    right = a * product_of_powers(values, challenges, modulus) % modulus
    if left != right:
        raise InvalidUpdate("the proof of knowledge does not hold")
    return values


def _challenges(
    key: PublicKey, ciphertexts: bytes, context: bytes, commitment: bytes, count: int
) -> list[int]:
    """Return e_1 … e_K, 128 bits each, from all that is public."""
    state = hashlib.shake_256(_LABEL)
    state.update(bytes.fromhex(key.fingerprint))
    state.update(count.to_bytes(8) + len(context).to_bytes(8) + context)
    state.update(commitment + ciphertexts)
    digest = state.digest(CHALLENGE_BYTES * count)
    return [
        big(int.from_bytes(digest[begin : begin + CHALLENGE_BYTES]))
        for begin in range(0, len(digest), CHALLENGE_BYTES)
    ]
