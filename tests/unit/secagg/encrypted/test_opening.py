# SPDX-License-Identifier: Apache-2.0
"""secagg/encrypted/opening.py: any t of n open the sum, once, and liars are named."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import phe
import pytest

from fedxdr.core.errors import (
    AlreadyAnswered,
    InvalidInput,
    InvalidShare,
    InvalidUpdate,
    MalformedMessage,
    TooFewParticipants,
    UnknownSender,
)
from fedxdr.core.ids import org_id
from fedxdr.core.randomness import generator
from fedxdr.secagg.encrypted import opening
from fedxdr.secagg.encrypted.contributing import encrypt_update, product
from fedxdr.secagg.encrypted.dealing import SecretShare
from fedxdr.secagg.encrypted.integers import to_bytes
from fedxdr.secagg.encrypted.opening import (
    check_opening,
    combine,
    partial_decrypt,
    verify_partial,
)
from fedxdr.secagg.encrypted.paillier import ring
from fedxdr.secagg.encrypted.slots import pack
from fedxdr.secagg.encrypted.stages import Product

SEED = bytes(32)


def chosen(played, *places):
    return [played.partials[played.names[place]] for place in places]


def changed(partial, *, place=0, by=1):
    values = bytearray(partial.values)
    values[place] ^= by
    return dataclasses.replace(partial, values=bytes(values))


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize(
    ("n", "threshold", "size"), [(2, 2, 1), (3, 3, 44), (5, 4, 333), (7, 5, 20)]
)
def test_the_opened_sum_is_the_sum(
    play_round, degree: int, n: int, threshold: int, size: int
) -> None:
    played = play_round(
        n=n, threshold=threshold, degree=degree, size=size, silent=n - max(2, n - 1)
    )
    opened = combine(
        played.terms, played.product, list(played.partials.values())[-threshold:]
    )
    assert opened.total.dtype == np.int32
    assert np.array_equal(opened.total, played.plain_sum)
    assert opened.wrong == ()
    check_opening(played.terms, played.product, opened)


def test_any_four_of_five_open_and_no_three(five) -> None:
    for places in itertools.combinations(range(5), 4):
        opened = combine(five.terms, five.product, chosen(five, *places))
        assert np.array_equal(opened.total, five.plain_sum)
        assert (
            opened.roots
            == combine(five.terms, five.product, chosen(five, 0, 1, 2, 3)).roots
        )
    for places in itertools.combinations(range(5), 3):
        with pytest.raises(TooFewParticipants, match=r"3 partial .*, 4 are needed"):
            combine(five.terms, five.product, chosen(five, *places))


def test_three_shares_do_not_open_whatever_the_code_says(five) -> None:
    """The mathematics refuses too: Lagrange over t - 1 points gives no root."""
    answers = {
        name: verify_partial(five.terms, five.product, five.partials[name])
        for name in five.names[:3]
    }
    roots = opening._roots(five.terms, answers)
    key = five.terms.key.encryption
    lifted = opening._lifts((key, roots))
    with pytest.raises(InvalidShare, match="open nothing"):
        opening._plaintexts(five.terms, five.product, lifted)
    four = {
        name: verify_partial(five.terms, five.product, five.partials[name])
        for name in five.names[:4]
    }
    lifted = opening._lifts((key, opening._roots(five.terms, four)))
    assert len(opening._plaintexts(five.terms, five.product, lifted)) == 3


def test_with_all_five_the_first_four_are_used(five) -> None:
    opened = combine(five.terms, five.product, five.partials.values())
    assert np.array_equal(opened.total, five.plain_sum)


def test_ciphertexts_of_the_peer_are_opened_by_the_holders(five, keys) -> None:
    private = keys["a"]
    theirs = phe.PaillierPublicKey(private.p * private.q)
    random = generator(5)
    vectors = [random.integers(-1000, 1000, 50, dtype=np.int32) for _ in range(2)]
    slots, modulus = five.terms.slots, theirs.nsquare
    columns = zip(*(pack(slots, v.view(np.uint32)) for v in vectors), strict=True)
    numbers = []
    for first, second in columns:
        numbers.append(
            theirs.raw_encrypt(int(first % theirs.n))
            * theirs.raw_encrypt(int(second % theirs.n))
            % modulus
        )
    made = Product(
        survivors=five.names[:2],
        ciphertexts=to_bytes(numbers, five.terms.key.encryption.ciphertext_bytes),
    )
    answers = [
        partial_decrypt(five.terms, five.dealt.shares[name], made, seed=SEED)
        for name in five.names[1:]
    ]
    opened = combine(five.terms, made, answers)
    assert np.array_equal(opened.total, vectors[0] + vectors[1])
    check_opening(five.terms, made, opened)


def test_an_answer_is_the_power_that_is_stated(five) -> None:
    name = five.names[0]
    key = five.terms.key
    n = int(ring(key.encryption).n)
    share = int.from_bytes(five.dealt.shares[name].value)
    width = key.encryption.ciphertext_bytes
    first = int.from_bytes(five.product.ciphertexts[:width])
    assert int.from_bytes(five.partials[name].values[:64]) == pow(
        first, 2 * 120 * share, n
    )
    assert len(five.partials[name].values) == 3 * 64


def test_an_answer_is_given_once(five) -> None:
    name = five.names[0]
    share = five.dealt.shares[name]
    digest = five.product.digest(five.terms)
    # again for the same product, the same bytes
    for answered in (None, digest):
        assert five.partials[name] == partial_decrypt(
            five.terms, share, five.product, seed=SEED, answered=answered
        )
    fewer = product(
        five.terms,
        [five.uploads[survivor] for survivor in five.names[:3]],
        survivors=five.names[:3],
        commitments=five.commitments,
    )
    with pytest.raises(AlreadyAnswered, match="another product"):
        partial_decrypt(five.terms, share, fewer, seed=SEED, answered=digest)
    # the same uploads under terms that were changed are another product too
    retried = dataclasses.replace(five.terms, min_survivors=3)
    with pytest.raises(AlreadyAnswered):
        partial_decrypt(retried, share, five.product, seed=SEED, answered=digest)


def test_a_sum_of_too_few_is_not_decrypted(five) -> None:
    name = five.names[0]
    share = five.dealt.shares[name]
    alone = dataclasses.replace(five.product, survivors=five.names[:1])
    with pytest.raises(TooFewParticipants, match="1 survivors, 2 are needed"):
        partial_decrypt(five.terms, share, alone, seed=SEED)
    strict = dataclasses.replace(five.terms, min_survivors=5)
    with pytest.raises(TooFewParticipants, match="4 survivors, 5 are needed"):
        partial_decrypt(strict, share, five.product, seed=SEED)
    with pytest.raises(TooFewParticipants, match="4 survivors, 5 are needed"):
        combine(strict, five.product, five.partials.values())
    # one name written twice is not two survivors
    twice = dataclasses.replace(five.product, survivors=(name, name))
    with pytest.raises(MalformedMessage, match="listed once"):
        partial_decrypt(five.terms, share, twice, seed=SEED)
    strangers = (name, org_id("stranger"))
    with pytest.raises(UnknownSender, match="stranger"):
        partial_decrypt(
            five.terms,
            share,
            dataclasses.replace(five.product, survivors=strangers),
            seed=SEED,
        )


def test_a_product_of_another_form_is_not_decrypted(five, keys) -> None:
    share = five.dealt.shares[five.names[0]]
    data = five.product.ciphertexts
    p = (keys["a"].p).to_bytes(128)
    for wrong, message in (
        (data[:-1], "the product: got"),
        (data + data[:128], "the product: got"),
        (bytes(128) + data[128:], "out of range"),
        (b"\xff" * 128 + data[128:], "out of range"),
        (p + data[128:], "not coprime"),
    ):
        made = dataclasses.replace(five.product, ciphertexts=wrong)
        with pytest.raises(MalformedMessage, match=message):
            partial_decrypt(five.terms, share, made, seed=SEED)


def test_a_wrong_answer_is_named_and_the_rest_open(five) -> None:
    bad = changed(five.partials[five.names[1]], place=63)
    answers = [bad if p.holder == bad.holder else p for p in five.partials.values()]
    opened = combine(five.terms, five.product, answers)
    assert opened.wrong == ("org-1",)
    assert np.array_equal(opened.total, five.plain_sum)
    with pytest.raises(InvalidShare, match=r"3 right .*, 4 are needed; wrong: org-1"):
        combine(five.terms, five.product, [*chosen(five, 0, 2, 3), bad])


def test_all_who_answer_wrongly_are_named(five) -> None:
    answers = [
        changed(five.partials[five.names[0]], place=63),
        *chosen(five, 1, 2, 3),
        dataclasses.replace(five.partials[five.names[4]], proof=b""),
    ]
    with pytest.raises(InvalidShare, match="wrong: org-0, org-4"):
        combine(five.terms, five.product, answers)


def test_a_wrong_answer_with_its_own_best_proof_is_noticed(five) -> None:
    """An insider that uses another share proves what it did, not what it should."""
    name = five.names[0]
    for share in (
        dataclasses.replace(five.dealt.shares[five.names[1]], holder=name),
        SecretShare(holder=name, value=(5).to_bytes(64)),
    ):
        lie = partial_decrypt(five.terms, share, five.product, seed=SEED)
        with pytest.raises(InvalidShare, match=f"answer of {name}: .*does not hold"):
            verify_partial(five.terms, five.product, lie)


@pytest.mark.parametrize("place", [0, 63, 64, 127, 191])
def test_a_flipped_byte_of_an_answer_is_noticed(five, place: int) -> None:
    name = five.names[2]
    with pytest.raises(InvalidShare, match=f"answer of {name}"):
        verify_partial(
            five.terms, five.product, changed(five.partials[name], place=place)
        )


@pytest.mark.parametrize("place", [0, 15, 16, 50, 112])
def test_a_flipped_byte_of_its_proof_is_noticed(five, place: int) -> None:
    name = five.names[2]
    proof = bytearray(five.partials[name].proof)
    assert len(proof) == 113
    proof[place] ^= 1
    with pytest.raises(InvalidShare, match=f"answer of {name}"):
        verify_partial(
            five.terms,
            five.product,
            dataclasses.replace(five.partials[name], proof=bytes(proof)),
        )


def test_an_answer_belongs_to_one_holder_product_and_round(
    five, play_round, transcript
) -> None:
    name, answer = five.names[0], five.partials[five.names[0]]
    renamed = dataclasses.replace(answer, holder=five.names[1])
    with pytest.raises(InvalidShare, match="answer of org-1"):
        verify_partial(five.terms, five.product, renamed)
    next_round = play_round(transcript=transcript("next"))
    with pytest.raises(InvalidShare, match="answer of org-0"):
        verify_partial(five.terms, five.product, next_round.partials[name])
    # the same numbers, another round: the proof alone tells
    with pytest.raises(InvalidShare, match="answer of org-0"):
        verify_partial(next_round.terms, five.product, answer)
    with pytest.raises(UnknownSender, match="stranger"):
        verify_partial(
            five.terms,
            five.product,
            dataclasses.replace(answer, holder=org_id("stranger")),
        )


def test_the_context_of_an_answer_names_round_product_and_holder(five) -> None:
    one, two = five.names[:2]
    digest = five.product.digest(five.terms)
    other = dataclasses.replace(five.product, survivors=five.names[1:])
    contexts = {
        opening._context(five.terms, one, digest),
        opening._context(five.terms, two, digest),
        opening._context(five.terms, one, other.digest(five.terms)),
        opening._context(dataclasses.replace(five.terms, size=49), one, digest),
    }
    assert len(contexts) == 4


def test_answers_of_another_form_are_refused(five, keys) -> None:
    name, values = five.names[0], five.partials[five.names[0]].values
    p = keys["a"].p.to_bytes(64)
    for wrong, message in (
        (values[:-1], "got 191 bytes, want 3 of 64"),
        (values + values[:64], "got 256 bytes"),
        (bytes(64) + values[64:], "out of range"),
        (b"\xff" * 64 + values[64:], "out of range"),
        (p + values[64:], "not coprime"),
    ):
        partial = dataclasses.replace(five.partials[name], values=wrong)
        with pytest.raises(InvalidShare, match=f"answer of {name}: .*{message}"):
            verify_partial(five.terms, five.product, partial)


def test_who_combines_takes_one_answer_of_each_holder(five) -> None:
    with pytest.raises(InvalidInput, match="org-0 answered twice"):
        combine(five.terms, five.product, chosen(five, 0, 0, 1, 2, 3))
    with pytest.raises(UnknownSender, match="stranger"):
        combine(
            five.terms,
            five.product,
            [
                *chosen(five, 0, 1, 2),
                dataclasses.replace(
                    five.partials[five.names[3]], holder=org_id("stranger")
                ),
            ],
        )


def test_two_statements_never_share_the_proofs_mask(five) -> None:
    """z - z' = (e - e') s_i under one R would give the share away."""
    name = five.names[0]
    share = five.dealt.shares[name]
    fewer = product(
        five.terms,
        [five.uploads[survivor] for survivor in five.names[:3]],
        survivors=five.names[:3],
        commitments=five.commitments,
    )
    masks = set()
    for made in (five.product, fewer):
        proof = partial_decrypt(five.terms, share, made, seed=SEED).proof
        e, z = int.from_bytes(proof[:16]), int.from_bytes(proof[16:])
        masks.add(z - e * int.from_bytes(share.value))
    assert len(masks) == 2


def test_any_map_gives_the_same_answer_and_opening(play_round) -> None:
    played = play_round(size=333)
    seen = []

    def run(function, jobs):
        jobs = list(jobs)
        seen.append(len(jobs))
        return [function(job) for job in reversed(jobs)][::-1]

    name = played.names[0]
    share = played.dealt.shares[name]
    answer = partial_decrypt(played.terms, share, played.product, seed=SEED, run=run)
    assert answer == played.partials[name]
    answers = chosen(played, 0, 1, 2, 3)
    opened = combine(played.terms, played.product, answers, run=run)
    assert np.array_equal(opened.total, played.plain_sum)
    assert seen == [2, 2]  # 17 ciphertexts, 16 at a time


def test_a_pool_of_processes_does_it_all(five) -> None:
    """Every job can be sent to another process."""
    name = five.names[0]
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        seed = hashlib.sha256(name.encode()).digest()
        upload = encrypt_update(
            five.terms, name, five.words[name], seed=seed, run=pool.map
        )
        assert upload == five.uploads[name]
        answer = partial_decrypt(
            five.terms, five.dealt.shares[name], five.product, seed=SEED, run=pool.map
        )
        assert answer == five.partials[name]
        opened = combine(five.terms, five.product, five.partials.values(), run=pool.map)
    assert np.array_equal(opened.total, five.plain_sum)


def test_an_opening_proves_itself(five) -> None:
    opened = combine(five.terms, five.product, chosen(five, 0, 1, 2, 3))
    check_opening(five.terms, five.product, opened)
    for place, by in ((0, 1), (49, -1), (20, 1000)):
        total = opened.total.copy()
        total[place] += by
        with pytest.raises(InvalidShare, match="not what the product carries"):
            check_opening(
                five.terms, five.product, dataclasses.replace(opened, total=total)
            )
    # sums that cancel out over two ciphertexts
    total = opened.total.copy()
    total[19] += 1
    total[39] -= 1
    with pytest.raises(InvalidShare, match="not what the product carries"):
        check_opening(
            five.terms, five.product, dataclasses.replace(opened, total=total)
        )
    other = dataclasses.replace(five.product, survivors=five.names[:3])
    check_opening(five.terms, other, opened)  # names are bound by the answers, not here
    halved = product(
        five.terms,
        [five.uploads[survivor] for survivor in five.names[:3]],
        survivors=five.names[:3],
        commitments=five.commitments,
    )
    with pytest.raises(InvalidShare, match="not what the product carries"):
        check_opening(five.terms, halved, opened)


def test_an_opening_of_too_few_is_refused_by_whoever_replays(five) -> None:
    opened = combine(five.terms, five.product, chosen(five, 0, 1, 2, 3))
    strict = dataclasses.replace(five.terms, min_survivors=5)
    with pytest.raises(TooFewParticipants, match="5 are needed"):
        check_opening(strict, five.product, opened)


def test_openings_of_another_form_are_refused(five) -> None:
    opened = combine(five.terms, five.product, chosen(five, 0, 1, 2, 3))
    roots = opened.roots
    for wrong in (roots[:-1], bytes(64) + roots[64:], b"\xff" * len(roots), b""):
        with pytest.raises(InvalidShare, match="roots"):
            check_opening(
                five.terms, five.product, dataclasses.replace(opened, roots=wrong)
            )
    swapped = roots[64:128] + roots[:64] + roots[128:]
    with pytest.raises(InvalidShare, match="not what"):
        check_opening(
            five.terms, five.product, dataclasses.replace(opened, roots=swapped)
        )
    for total in (
        opened.total[:-1],
        opened.total.astype(np.int64),
        np.full(50, 1 << 23, np.int32),
    ):
        with pytest.raises(InvalidUpdate):
            check_opening(
                five.terms, five.product, dataclasses.replace(opened, total=total)
            )


def test_with_many_holders_the_factorial_is_cleared(play_round) -> None:
    played = play_round(n=16, threshold=11, size=25, silent=3)
    answers = list(played.partials.values())
    for places in (range(11), range(5, 16), range(16)):
        opened = combine(played.terms, played.product, [answers[i] for i in places])
        assert np.array_equal(opened.total, played.plain_sum)
        check_opening(played.terms, played.product, opened)
