# SPDX-License-Identifier: Apache-2.0
"""One organisation's encrypted update, its verification, and the sum's ciphertexts.

Pure functions. ``encrypt_update`` and ``commit`` are the contributor's;
``verify_upload`` is everybody's; ``product`` is each decryptor's own, from the uploads
of the survivors whose set was signed, never from numbers the orchestrator sends.

It does NOT sign, remember or send; it does NOT see whether an update was clipped.

Rules that always hold:
1. Randomness is derived from seed, terms, sender and the vector itself: another vector
   never meets the randomness of this one, not even after a restored backup.
2. Nothing is multiplied that has no proof of knowledge under its sender's name, or was
   not committed to before the first upload was seen.
3. Each survivor is in the product once, nobody else is, and there are ``min_survivors``
   of them or there is no product.

Source: Damgard, Jurik 2001 (homomorphic sum); the commitments before uploads answer a
contributor who waits for the others' ciphertexts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping

from fedxdr.core.errors import (
    InvalidInput,
    InvalidUpdate,
    MalformedMessage,
    TooFewParticipants,
    UnknownSender,
)
from fedxdr.core.ids import Digest, OrgId
from fedxdr.crypto.expand import KeyStream, hkdf
from fedxdr.secagg.encrypted import knowledge
from fedxdr.secagg.encrypted.integers import Run, big, in_turn, is_coprime, to_bytes
from fedxdr.secagg.encrypted.paillier import (
    EXPONENT_BITS,
    PublicKey,
    encrypt,
    ring,
)
from fedxdr.secagg.encrypted.slots import pack
from fedxdr.secagg.encrypted.stages import Product, Terms, Upload, commit
from fedxdr.secagg.masking import Words

_ENCRYPTION_LABEL = "fedxdr/paillier/encryption/v1"
_EXPONENTS_LABEL = "fedxdr/paillier/exponents/v1"
_PROOF_LABEL = "fedxdr/paillier/knowledge-mask/v1"
_CHUNK = 32  # ciphertexts per job of a pool
_EXPONENT_BYTES = EXPONENT_BITS // 8


def encrypt_update(
    terms: Terms, me: OrgId, words: Words, *, seed: bytes, run: Run = in_turn
) -> Upload:
    """Return our update, packed, encrypted and proven; commit to it before sending it.

    Args:
        terms: what all agreed on.
        me: our name.
        words: (d,) uint32 from quantise.py.
        seed: 32 secret bytes, fresh for this round. The same seed and vector give the
            same bytes again.
        run: a pool's map, to use all cores; each process makes its own tables once.

    Raises:
        UnknownSender: we are no contributor of this round.
        InvalidUpdate: another type or shape, or a value that leaves its bits.
    """
    if me not in terms.contributors:
        raise UnknownSender(f"{me} is no contributor of this round")
    key = terms.key.encryption
    plaintexts = pack(terms.slots, words)
    vector = hashlib.sha256(words.tobytes()).digest()
    secret = hkdf(
        seed,
        label=_ENCRYPTION_LABEL,
        context=terms.digest + vector + me.encode(),
    )
    exponents = _exponents(secret, len(plaintexts))
    jobs = [
        (key, plaintexts[begin : begin + _CHUNK], exponents[begin : begin + _CHUNK])
        for begin in range(0, len(plaintexts), _CHUNK)
    ]
    ciphertexts = b"".join(run(_encrypt_chunk, jobs))
    proof = knowledge.prove(
        key,
        ciphertexts,
        plaintexts=plaintexts,
        exponents=exponents,
        context=_context(terms, me),
        stream=KeyStream(secret, label=_PROOF_LABEL),
    )
    return Upload(sender=me, ciphertexts=ciphertexts, proof=proof)


def verify_upload(terms: Terms, upload: Upload) -> list[int]:
    """Return an upload's ciphertexts as numbers, if its sender knows what is in them.

    Args:
        terms: what all agreed on.
        upload: as it arrived.

    Raises:
        UnknownSender: not from a contributor.
        MalformedMessage: another number of ciphertexts than the update has slots for,
            or one out of range or not coprime to n; names the sender.
        InvalidUpdate: the proof does not hold; names the sender.
    """
    if upload.sender not in terms.contributors:
        raise UnknownSender(f"{upload.sender} is no contributor of this round")
    try:
        return knowledge.verify(
            terms.key.encryption,
            upload.ciphertexts,
            upload.proof,
            count=terms.slots.count,
            context=_context(terms, upload.sender),
        )
    except MalformedMessage as error:
        raise MalformedMessage(f"the upload of {upload.sender}: {error}") from error
    except InvalidUpdate as error:
        raise InvalidUpdate(f"the upload of {upload.sender}: {error}") from error


def product(
    terms: Terms,
    uploads: Iterable[Upload],
    *,
    survivors: tuple[OrgId, ...],
    commitments: Mapping[OrgId, Digest],
    verified: Collection[Digest] = (),
) -> Product:
    """Return the ciphertexts of the survivors' sum.

    Args:
        terms: what all agreed on.
        uploads: one per survivor, in any order, read one at a time.
        survivors: the set that was signed, in order.
        commitments: what each contributor committed to, closed before any upload.
        verified: commitments whose uploads this party has verified before; for a
            server that verified on arrival. A decryptor leaves it empty.

    Raises:
        TooFewParticipants: fewer survivors than ``min_survivors``.
        UnknownSender: an upload from somebody who is no survivor.
        InvalidInput: an upload twice, missing, or not the one committed to.
        MalformedMessage: see ``verify_upload``.
        InvalidUpdate: the same.
    """
    if list(survivors) != sorted(set(survivors)):
        raise MalformedMessage("survivors are listed once, in order")
    if len(survivors) < terms.min_survivors:
        raise TooFewParticipants(
            f"{len(survivors)} survivors, {terms.min_survivors} are needed to open "
            "their sum"
        )
    numbers = ring(terms.key.encryption)
    modulus = numbers.ciphertext_modulus
    total = [big(1)] * terms.slots.count
    awaited = set(survivors)
    for upload in uploads:
        sender = upload.sender
        if sender not in survivors:
            raise UnknownSender(f"an upload from {sender}, who is no survivor")
        if sender not in awaited:
            raise InvalidInput(f"the upload of {sender} came twice")
        awaited.remove(sender)
        digest = commit(terms, upload)
        if commitments.get(sender) != digest:
            raise InvalidInput(f"the upload of {sender} is not what it committed to")
        if digest in verified:
            values = _numbers(terms.key.encryption, upload.ciphertexts)
        else:
            values = verify_upload(terms, upload)
        total = [a * b % modulus for a, b in zip(total, values, strict=True)]
    if awaited:
        raise InvalidInput(f"no upload of {', '.join(sorted(awaited))}")
    if not is_coprime(total, numbers.n):  # only where somebody knows a factor
        raise MalformedMessage("the product is not coprime to the modulus")
    return Product(
        survivors=survivors,
        ciphertexts=to_bytes(total, terms.key.encryption.ciphertext_bytes),
    )


def _exponents(secret: bytes, count: int) -> list[int]:
    """Return the secret exponents of encryption, uniform in [0, 2^512)."""
    data = KeyStream(secret, label=_EXPONENTS_LABEL).read(_EXPONENT_BYTES * count)
    return [
        int.from_bytes(data[begin : begin + _EXPONENT_BYTES])
        for begin in range(0, len(data), _EXPONENT_BYTES)
    ]


def _encrypt_chunk(job: tuple[PublicKey, list[int], list[int]]) -> bytes:
    key, plaintexts, exponents = job
    return to_bytes(
        (encrypt(key, m, x) for m, x in zip(plaintexts, exponents, strict=True)),
        key.ciphertext_bytes,
    )


def _numbers(key: PublicKey, ciphertexts: bytes) -> list[int]:
    width = key.ciphertext_bytes
    return [
        big(int.from_bytes(ciphertexts[begin : begin + width]))
        for begin in range(0, len(ciphertexts), width)
    ]


def _context(terms: Terms, sender: OrgId) -> bytes:
    return terms.digest + sender.encode()
