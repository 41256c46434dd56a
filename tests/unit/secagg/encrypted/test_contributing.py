# SPDX-License-Identifier: Apache-2.0
"""secagg/encrypted/contributing.py: a contributor's upload and the product of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import phe
import pytest

from fedxdr.core.errors import (
    InvalidInput,
    InvalidUpdate,
    MalformedMessage,
    TooFewParticipants,
    UnknownSender,
)
from fedxdr.core.ids import org_id
from fedxdr.secagg.encrypted import contributing
from fedxdr.secagg.encrypted.contributing import (
    encrypt_update,
    product,
    verify_upload,
)
from fedxdr.secagg.encrypted.integers import to_bytes
from fedxdr.secagg.encrypted.paillier import decrypt, ring
from fedxdr.secagg.encrypted.slots import pack, unpack
from fedxdr.secagg.encrypted.stages import Upload, commit

SEED = b"\x05" * 32


def parts(five, upload):
    width = five.terms.key.encryption.ciphertext_bytes
    data = upload.ciphertexts
    return [
        int.from_bytes(data[begin : begin + width])
        for begin in range(0, len(data), width)
    ]


def upload_of(five, sender, values, proof):
    width = five.terms.key.encryption.ciphertext_bytes
    return Upload(sender=sender, ciphertexts=to_bytes(values, width), proof=proof)


def make(five, uploads=None, *, survivors=None, commitments=None, **more):
    survivors = five.product.survivors if survivors is None else survivors
    if uploads is None:
        uploads = [five.uploads[name] for name in survivors]
    return product(
        five.terms,
        uploads,
        survivors=survivors,
        commitments=five.commitments if commitments is None else commitments,
        **more,
    )


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 20, 21, 333])
def test_an_upload_carries_the_packed_update(
    play_round, keys, degree: int, size: int
) -> None:
    played = play_round(degree=degree, size=size)
    key, name = played.terms.key.encryption, played.names[0]
    found = [
        decrypt(key, keys["a"], value) for value in parts(played, played.uploads[name])
    ]
    space = ring(key).plaintext_modulus
    assert found == [m % space for m in pack(played.terms.slots, played.words[name])]
    vector = unpack(played.terms.slots, found, modulus=space)
    assert np.array_equal(vector, played.words[name].view(np.int32))
    assert verify_upload(played.terms, played.uploads[name]) == parts(
        played, played.uploads[name]
    )


def test_the_peer_decrypts_an_upload_and_the_product(five, keys) -> None:
    private = keys["a"]
    theirs = phe.PaillierPrivateKey(
        phe.PaillierPublicKey(private.p * private.q), private.p, private.q
    )
    name, n = five.names[0], private.p * private.q
    found = [theirs.raw_decrypt(value) for value in parts(five, five.uploads[name])]
    assert found == [m % n for m in pack(five.terms.slots, five.words[name])]
    sums = [theirs.raw_decrypt(value) for value in parts(five, five.product)]
    total = unpack(five.terms.slots, sums, modulus=n)
    assert np.array_equal(total, five.plain_sum)


def test_encrypting_again_gives_the_same_bytes(five) -> None:
    name, words = five.names[0], five.words[five.names[0]]
    first = encrypt_update(five.terms, name, words, seed=SEED)
    assert first == encrypt_update(five.terms, name, words.copy(), seed=SEED)
    assert first != encrypt_update(five.terms, name, words, seed=bytes(32))


def test_one_seed_never_gives_two_vectors_the_same_randomness(
    five, transcript, keys
) -> None:
    """Else c / c' = (1 + n)^(m - m') would show the difference of two updates."""
    name, words = five.names[0], five.words[five.names[0]]
    key, n = five.terms.key.encryption, int(ring(five.terms.key.encryption).n)
    changed = words.copy()
    changed[0] += 1
    renamed = dataclasses.replace(five.terms, transcript=transcript("next"))
    base = parts(five, encrypt_update(five.terms, name, words, seed=SEED))
    for other in (
        encrypt_update(five.terms, name, changed, seed=SEED),
        encrypt_update(renamed, name, words, seed=SEED),
        encrypt_update(five.terms, five.names[1], words, seed=SEED),
    ):
        # c mod n is r^n alone: equal randomness would show there
        pairs = zip(base, parts(five, other), strict=True)
        assert all(a % n != b % n for a, b in pairs)
    residues = [value % n for value in base]
    assert len(set(residues)) == len(residues)
    assert decrypt(key, keys["a"], base[0]) >= 0


def test_any_map_gives_the_same_upload(five) -> None:
    name, jobs_seen = five.names[0], []

    def run(function, jobs):
        jobs = list(jobs)
        jobs_seen.append(len(jobs))
        return [function(job) for job in reversed(jobs)][::-1]

    big_round = dataclasses.replace(five.terms, size=2000)
    words = np.arange(2000, dtype=np.uint32)
    pooled = encrypt_update(big_round, name, words, seed=SEED, run=run)
    assert pooled == encrypt_update(big_round, name, words, seed=SEED)
    assert jobs_seen == [4]  # 100 ciphertexts, 32 at a time
    verify_upload(big_round, pooled)


def test_strangers_do_not_upload(five) -> None:
    stranger = org_id("stranger")
    with pytest.raises(UnknownSender, match="stranger"):
        encrypt_update(five.terms, stranger, five.words[five.names[0]], seed=SEED)
    upload = dataclasses.replace(five.uploads[five.names[0]], sender=stranger)
    with pytest.raises(UnknownSender, match="stranger"):
        verify_upload(five.terms, upload)


@pytest.mark.parametrize(
    "words", [np.zeros(49, np.uint32), np.zeros(50, np.int32), np.full(50, 1 << 23)]
)
def test_an_update_of_another_form_is_refused(five, words) -> None:
    with pytest.raises(InvalidUpdate):
        encrypt_update(five.terms, five.names[0], words, seed=SEED)
    with pytest.raises(InvalidUpdate, match="leaves its 24 bits"):
        encrypt_update(
            five.terms, five.names[0], np.full(50, 1 << 23, np.uint32), seed=SEED
        )


def test_a_colluder_cannot_use_a_victims_upload(five) -> None:
    victim, thief = five.names[:2]
    upload, own = five.uploads[victim], five.uploads[thief]
    values = parts(five, upload)
    key = five.terms.key.encryption
    modulus = int(ring(key).ciphertext_modulus)
    shift = int(ring(key).encode(1))
    noise = values[0] * pow(parts(five, own)[0], -1, modulus) % modulus
    for stolen, proof in (
        (values, upload.proof),  # copied as it is
        (values, own.proof),
        ([values[0] * shift % modulus, *values[1:]], upload.proof),  # shifted
        ([pow(v, 2, modulus) for v in values], upload.proof),  # doubled
        ([pow(v, -1, modulus) for v in values], upload.proof),  # negated
        ([noise, *values[1:]], upload.proof),
        ([parts(five, own)[0], *values[1:]], own.proof),  # all but one stolen
    ):
        with pytest.raises(InvalidUpdate, match=f"upload of {thief}: the proof"):
            verify_upload(five.terms, upload_of(five, thief, stolen, proof))


def test_an_upload_of_another_round_or_key_is_refused(
    five, play_round, transcript
) -> None:
    name = five.names[0]
    for other in (
        play_round(transcript=transcript("next")),
        play_round(min_survivors=3),
        play_round(key="b"),
    ):
        with pytest.raises(
            (InvalidUpdate, MalformedMessage), match=f"upload of {name}"
        ):
            verify_upload(five.terms, other.uploads[name])
    with pytest.raises(MalformedMessage, match=f"upload of {name}: ciphertexts: got"):
        verify_upload(five.terms, play_round(key="large").uploads[name])


def test_a_wrong_slot_count_is_refused(five) -> None:
    upload, name = five.uploads[five.names[0]], five.names[0]
    values = parts(five, upload)
    assert len(values) == 3
    for wrong in (values[:2], [*values, values[0]], []):
        with pytest.raises(
            MalformedMessage, match=f"{name}: ciphertexts: got .* want 3"
        ):
            verify_upload(five.terms, upload_of(five, name, wrong, upload.proof))


def test_ciphertexts_out_of_range_are_refused(five, keys) -> None:
    upload, name = five.uploads[five.names[0]], five.names[0]
    values, modulus = parts(five, upload), keys["a"].p * keys["a"].q
    for wrong, message in (
        (0, "number 1 is out of range"),
        (modulus**2, "number 1 is out of range"),
        (modulus * 5, "not coprime"),
        (keys["a"].p, "not coprime"),
    ):
        changed = upload_of(five, name, [values[0], wrong, values[2]], upload.proof)
        with pytest.raises(MalformedMessage, match=f"upload of {name}: .*{message}"):
            verify_upload(five.terms, changed)


@pytest.mark.parametrize("place", [0, 100, -1, -101, -200])
def test_a_flipped_byte_of_the_proof_is_refused(five, place: int) -> None:
    upload, name = five.uploads[five.names[0]], five.names[0]
    proof = bytearray(upload.proof)
    proof[place] ^= 1
    with pytest.raises((InvalidUpdate, MalformedMessage), match=f"upload of {name}"):
        verify_upload(five.terms, dataclasses.replace(upload, proof=bytes(proof)))


def test_the_product_is_the_sum_of_the_survivors_in_any_order(five) -> None:
    assert make(five) == five.product
    uploads = [five.uploads[name] for name in five.product.survivors]
    assert make(five, reversed(uploads)) == five.product
    modulus = int(ring(five.terms.key.encryption).ciphertext_modulus)
    want = [1] * 3
    for upload in uploads:
        pairs = zip(want, parts(five, upload), strict=True)
        want = [a * b % modulus for a, b in pairs]
    assert parts(five, five.product) == want


def test_a_product_of_too_few_is_refused(five, play_round) -> None:
    with pytest.raises(TooFewParticipants, match="1 survivors, 2 are needed"):
        make(five, survivors=five.names[:1])
    strict = play_round(min_survivors=4)
    with pytest.raises(TooFewParticipants, match="3 survivors, 4 are needed"):
        make(strict, survivors=strict.names[:3])


def test_exactly_the_signed_survivors_are_in_it(five) -> None:
    names = five.product.survivors
    uploads = [five.uploads[name] for name in names]
    with pytest.raises(InvalidInput, match="no upload of org-3"):
        make(five, uploads[:3])
    with pytest.raises(InvalidInput, match="org-1 came twice"):
        make(five, [*uploads, uploads[1]])
    with pytest.raises(UnknownSender, match="org-4, who is no survivor"):
        make(five, [*uploads, five.uploads[five.names[4]]])
    for wrong in (names[::-1], (names[0], *names)):
        with pytest.raises(MalformedMessage, match="order"):
            make(five, uploads, survivors=wrong)


def test_who_uploads_something_else_than_it_committed_to_is_named(five) -> None:
    name = five.names[2]
    again = encrypt_update(five.terms, name, five.words[name], seed=b"\x09" * 32)
    verify_upload(five.terms, again)
    uploads = {**five.uploads, name: again}
    chosen = [uploads[survivor] for survivor in five.product.survivors]
    with pytest.raises(InvalidInput, match="org-2 is not what it committed to"):
        make(five, chosen)
    missing = {k: v for k, v in five.commitments.items() if k != name}
    with pytest.raises(InvalidInput, match="org-2 is not what it committed to"):
        make(five, commitments=missing)


def test_the_product_verifies_each_upload_itself(five, monkeypatch) -> None:
    name = five.names[1]
    copied = dataclasses.replace(five.uploads[five.names[0]], sender=name)
    uploads = {**five.uploads, name: copied}
    chosen = [uploads[survivor] for survivor in five.product.survivors]
    commitments = {**five.commitments, name: commit(five.terms, copied)}
    with pytest.raises(InvalidUpdate, match="org-1: the proof"):
        make(five, chosen, commitments=commitments)
    # only what the caller says it verified is taken without
    seen = []

    def counted(terms, upload):
        seen.append(upload.sender)
        return verify_upload(terms, upload)

    monkeypatch.setattr(contributing, "verify_upload", counted)
    make(five, verified={five.commitments[five.names[0]]})
    assert seen == list(five.names[1:4])


def test_uploads_are_read_one_at_a_time(five) -> None:
    alive = []

    def stream():
        for name in five.product.survivors:
            alive.append(name)
            yield five.uploads[name]

    assert make(five, stream()) == five.product
    assert alive == list(five.product.survivors)
