# SPDX-License-Identifier: Apache-2.0
"""Opening the sum: any t holders together, and nobody alone.

**Decryption needs only a root.** c = (1 + n)^m r^(n^s) mod n^(s+1) is r^(n^s) mod n, so
whoever takes the n^s-th root of c mod n has r, and then m. Taking a root is RSA with
exponent e = n^s, and that is shared as Shoup shares RSA: holder i answers x_i =
c^(2 Delta s_i) mod n; t answers give w = prod x_i^(2 lambda_i) = r^(4 Delta^2) mod n;
then c^(4 Delta^2) / w^(n^s) = (1 + n)^(4 Delta^2 m) mod n^(s+1). A holder works mod n
with an exponent as long as n, where Damgard, Jurik 2001 (section 4.1) has it work mod
n^(s+1) with one s + 1 times as long: about a sixth of the time at s = 1, and less for
larger s. The one long power, w^(n^s), uses no secret and is done once, by ``combine``;
others check the result for all ciphertexts at once (``check_opening``).

**It shows no more than the sum.** The root r is known to whoever opens, beside m. Given
a product c, its m and r determine each other, and r is the product of all
contributors' randomness: with the ciphertexts of all honest contributors but one made
as they please, and the last as (1 + n)^m r^(n^s) over the others, a simulator that
draws r itself plays honest parties without their updates (randomness of corrupt ones it
extracts from their proofs of knowledge, knowledge.py). Given m and r, answers of honest
holders are simulated as in Shoup 2000, theorem 2.

**An opening proves itself.** Per ciphertext, c^(4 Delta^2) = (1 + n)^(4 Delta^2 m)
w^(n^s) holds for one m only; ``check_opening`` tests a random combination of all, and a
wrong m escapes with 2^-128. So those who replay need no holder's word.

It does NOT remember: the caller stores the digest of the product before it sends an
answer, and hands it to ``partial_decrypt`` again.

Rules that always hold: a holder answers for one product per round; for a product of
``min_survivors`` or more; nobody's answer is used unless its proof holds; exactly t are
combined; who answered wrongly is named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from fedxdr.core.errors import (
    AlreadyAnswered,
    InvalidInput,
    InvalidShare,
    InvalidUpdate,
    MalformedMessage,
    TooFewParticipants,
    UnknownSender,
)
from fedxdr.core.ids import Digest, OrgId
from fedxdr.crypto.expand import KeyStream, hkdf
from fedxdr.secagg.encrypted import equality
from fedxdr.secagg.encrypted.dealing import SecretShare, lagrange_at_zero
from fedxdr.secagg.encrypted.integers import (
    Run,
    big,
    in_turn,
    inverse,
    parse_elements,
    power,
    product_of_powers,
    secret_power,
    to_bytes,
)
from fedxdr.secagg.encrypted.paillier import PublicKey, ring
from fedxdr.secagg.encrypted.slots import pack, unpack
from fedxdr.secagg.encrypted.stages import (
    Opening,
    PartialDecryption,
    Product,
    Terms,
)

_MASK_LABEL = "fedxdr/paillier/equality-mask/v1"
_CHECK_LABEL = b"fedxdr/paillier/check-opening/v1\x00"
_COEFFICIENT_BYTES = 16
_CHUNK = 16  # ciphertexts per job of a pool


def partial_decrypt(
    terms: Terms,
    share: SecretShare,
    product: Product,
    *,
    seed: bytes,
    answered: Digest | None = None,
    run: Run = in_turn,
) -> PartialDecryption:
    """Return our answer for a product, with the proof that our share made it.

    Args:
        terms: what all agreed on.
        share: ours, from ``dealing.open_share``.
        product: made by ourselves, by ``contributing.product``.
        seed: 32 secret bytes for the proof, bound here to the statement.
        answered: digest of the product we answered for before in this round, None if
            none. The caller stores it before it sends the answer.
        run: a pool's map, to use all cores.

    Raises:
        AlreadyAnswered: we answered for another product in this round.
        TooFewParticipants: fewer survivors than ``min_survivors``.
        UnknownSender: our share is of no holder of this key, or a survivor is no
            contributor.
        MalformedMessage: ciphertexts of a wrong count or out of range.
    """
    digest = product.digest(terms)
    if answered is not None and answered != digest:
        raise AlreadyAnswered("another product was decrypted in this round already")
    _want_opening(terms, product)
    key = terms.key
    committed = key.verification_key(share.holder)
    numbers = ring(key.encryption)
    bases = _bases(terms, product)
    exponent = 2 * key.factorial * share.exponent
    jobs = [
        (bases[begin : begin + _CHUNK], exponent, numbers.n)
        for begin in range(0, len(bases), _CHUNK)
    ]
    answers = [value for chunk in run(_secret_powers, jobs) for value in chunk]
    context = _context(terms, share.holder, digest)
    mask = hkdf(seed, label=_MASK_LABEL, context=context)
    proof = equality.prove(
        bases,
        answers,
        multiple=2 * key.factorial,
        exponent=share.exponent,
        base=big(int.from_bytes(key.verification_base)),
        committed=committed,
        modulus=numbers.n,
        context=context,
        stream=KeyStream(mask, label=_MASK_LABEL),
    )
    return PartialDecryption(
        holder=share.holder,
        values=to_bytes(answers, key.encryption.element_bytes),
        proof=proof,
    )


def verify_partial(
    terms: Terms, product: Product, partial: PartialDecryption
) -> list[int]:
    """Return a holder's answers as numbers, if its share made them.

    Args:
        terms: what all agreed on.
        product: that was asked about.
        partial: as it arrived.

    Raises:
        UnknownSender: no holder of this key.
        InvalidShare: answers of a wrong count or out of range, or a proof that does not
            hold for this product; names the holder.
    """
    key = terms.key
    committed = key.verification_key(partial.holder)
    numbers = ring(key.encryption)
    try:
        answers = parse_elements(
            partial.values,
            what="partial decryptions",
            count=terms.slots.count,
            width_bytes=key.encryption.element_bytes,
            modulus=numbers.n,
        )
        equality.verify(
            _bases(terms, product),
            answers,
            partial.proof,
            multiple=2 * key.factorial,
            base=big(int.from_bytes(key.verification_base)),
            committed=committed,
            modulus=numbers.n,
            context=_context(terms, partial.holder, product.digest(terms)),
        )
    except (InvalidShare, MalformedMessage) as error:
        raise InvalidShare(f"the answer of {partial.holder}: {error}") from error
    return answers


def combine(
    terms: Terms,
    product: Product,
    partials: Iterable[PartialDecryption],
    *,
    run: Run = in_turn,
) -> Opening:
    """Return the sum that t right answers open, and who answered wrongly.

    Args:
        terms: what all agreed on.
        product: that was asked about.
        partials: at most one per holder, in any order.
        run: a pool's map, to use all cores.

    Raises:
        UnknownSender: an answer from somebody who holds no share.
        InvalidInput: two answers of one holder.
        TooFewParticipants: fewer answers than the threshold, or too few survivors.
        InvalidShare: too few of the answers are right; names the wrong ones.
        InvalidUpdate: a sum that honest updates cannot have.
    """
    _want_opening(terms, product)
    key = terms.key
    by_holder: dict[OrgId, PartialDecryption] = {}
    for partial in partials:
        key.point(partial.holder)
        if partial.holder in by_holder:
            raise InvalidInput(f"{partial.holder} answered twice")
        by_holder[partial.holder] = partial
    if len(by_holder) < key.threshold:
        raise TooFewParticipants(
            f"{len(by_holder)} partial decryptions, {key.threshold} are needed"
        )
    right: dict[OrgId, list[int]] = {}
    wrong = []
    for holder in sorted(by_holder):
        try:
            right[holder] = verify_partial(terms, product, by_holder[holder])
        except InvalidShare:
            wrong.append(holder)
    if len(right) < key.threshold:
        raise InvalidShare(
            f"{len(right)} right partial decryptions, {key.threshold} are needed; "
            f"wrong: {', '.join(wrong)}"
        )
    used = dict(sorted(right.items())[: key.threshold])
    roots = _roots(terms, used)
    jobs = [
        (key.encryption, roots[begin : begin + _CHUNK])
        for begin in range(0, len(roots), _CHUNK)
    ]
    lifted = [value for chunk in run(_lifts, jobs) for value in chunk]
    return Opening(
        total=unpack(
            terms.slots,
            _plaintexts(terms, product, lifted),
            modulus=ring(key.encryption).plaintext_modulus,
        ),
        roots=to_bytes(roots, key.encryption.element_bytes),
        wrong=tuple(wrong),
    )


def check_opening(terms: Terms, product: Product, opening: Opening) -> None:
    """Return if a product carries this sum; needs no share and no holder's word.

    Args:
        terms: what all agreed on.
        product: made by ourselves, by ``contributing.product``.
        opening: as it arrived.

    Raises:
        TooFewParticipants: fewer survivors than ``min_survivors``.
        InvalidUpdate: a total of another type or shape, or outside its bits.
        InvalidShare: roots that are none, or an opening of something else.
    """
    _want_opening(terms, product)
    key = terms.key.encryption
    numbers = ring(key)
    total = opening.total
    if total.dtype.kind != "i" or total.dtype.itemsize != 4:
        raise InvalidUpdate(f"got a sum of {total.dtype}, want int32")
    sums = pack(terms.slots, total.astype("<i4").view("<u4"))
    try:
        roots = parse_elements(
            opening.roots,
            what="roots",
            count=len(sums),
            width_bytes=key.element_bytes,
            modulus=numbers.n,
        )
    except MalformedMessage as error:
        raise InvalidShare(str(error)) from error
    state = hashlib.shake_256(_CHECK_LABEL)
    state.update(bytes.fromhex(product.digest(terms)) + opening.roots)
    state.update(total.astype("<i4").tobytes())
    data = state.digest(_COEFFICIENT_BYTES * len(sums))
    coefficients = [
        big(int.from_bytes(data[begin : begin + _COEFFICIENT_BYTES]))
        for begin in range(0, len(data), _COEFFICIENT_BYTES)
    ]
    modulus = numbers.ciphertext_modulus
    multiple = 4 * terms.key.factorial**2
    joined = product_of_powers(_ciphertexts(terms, product), coefficients, modulus)
    combined = sum(c * m for c, m in zip(coefficients, sums, strict=True))
    root = product_of_powers(roots, coefficients, numbers.n)
    expected = numbers.encode(multiple * combined) * numbers.lift(root) % modulus
    if power(joined, multiple, modulus) != expected:
        raise InvalidShare("the opening is not what the product carries")


def _roots(terms: Terms, used: dict[OrgId, list[int]]) -> list[int]:
    """Return w = prod x_i^(2 lambda_i) mod n for each ciphertext."""
    key = terms.key
    n = ring(key.encryption).n
    points = tuple(key.point(holder) for holder in used)
    row = lagrange_at_zero(points, key.factorial)
    roots = []
    for answers in zip(*used.values(), strict=True):
        above, below = big(1), big(1)
        for answer, coefficient in zip(answers, row, strict=True):
            factor = power(answer, 2 * abs(coefficient), n)
            if coefficient > 0:
                above = above * factor % n
            else:
                below = below * factor % n
        roots.append(above * inverse(below, n) % n)
    return roots


def _plaintexts(terms: Terms, product: Product, lifted: list[int]) -> list[int]:
    """Return m in [0, n^s) of each ciphertext, from w^(n^s)."""
    numbers = ring(terms.key.encryption)
    modulus = numbers.ciphertext_modulus
    multiple = 4 * terms.key.factorial**2
    divisor = inverse(multiple, numbers.plaintext_modulus)
    plaintexts = []
    for ciphertext, root in zip(_ciphertexts(terms, product), lifted, strict=True):
        encoded = power(ciphertext, multiple, modulus) * inverse(root, modulus)
        try:
            decoded = numbers.decode(encoded % modulus)
        except InvalidInput as error:
            raise InvalidShare(
                "right shares that open nothing: the key was dealt wrongly"
            ) from error
        plaintexts.append(decoded * divisor % numbers.plaintext_modulus)
    return plaintexts


def _want_opening(terms: Terms, product: Product) -> None:
    if list(product.survivors) != sorted(set(product.survivors)):
        raise MalformedMessage("survivors are listed once, in order")
    if len(product.survivors) < terms.min_survivors:
        raise TooFewParticipants(
            f"{len(product.survivors)} survivors, {terms.min_survivors} are needed to "
            "open their sum"
        )
    strangers = set(product.survivors) - set(terms.contributors)
    if strangers:
        raise UnknownSender(f"{', '.join(sorted(strangers))}: no contributors")


def _ciphertexts(terms: Terms, product: Product) -> list[int]:
    key = terms.key.encryption
    return parse_elements(
        product.ciphertexts,
        what="the product",
        count=terms.slots.count,
        width_bytes=key.ciphertext_bytes,
        modulus=ring(key).ciphertext_modulus,
    )


def _bases(terms: Terms, product: Product) -> list[int]:
    """Return c mod n of each ciphertext."""
    n = ring(terms.key.encryption).n
    return [value % n for value in _ciphertexts(terms, product)]


def _secret_powers(job: tuple[list[int], int, int]) -> list[int]:
    bases, exponent, modulus = job
    return [secret_power(base, exponent, modulus) for base in bases]


def _lifts(job: tuple[PublicKey, list[int]]) -> list[int]:
    key, roots = job
    numbers = ring(key)
    return [numbers.lift(root) for root in roots]


def _context(terms: Terms, holder: OrgId, product: Digest) -> bytes:
    return terms.digest + bytes.fromhex(product) + holder.encode()
