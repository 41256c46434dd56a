# SPDX-License-Identifier: Apache-2.0
"""secagg/encrypted/stages.py: what is agreed on is bound, or refused."""

from __future__ import annotations

import dataclasses

import pytest

from fedxdr.core.errors import InvalidPlan, MalformedMessage, TooFewParticipants
from fedxdr.core.ids import org_id, sha256
from fedxdr.secagg.encrypted.stages import Product, commit


def test_the_digest_binds_every_field(five, dealt, transcript) -> None:
    terms = five.terms
    others = [
        dataclasses.replace(terms, key=dealt("b").key),
        dataclasses.replace(terms, transcript=transcript("another")),
        dataclasses.replace(terms, contributors=terms.contributors[1:]),
        dataclasses.replace(
            terms, contributors=(*terms.contributors[:4], org_id("zulu"))
        ),
        dataclasses.replace(terms, min_survivors=3),
        dataclasses.replace(terms, size=51),
        dataclasses.replace(terms, bits=25),
    ]
    digests = {terms.digest, *(other.digest for other in others)}
    assert len(digests) == 8
    assert dataclasses.replace(terms, size=50).digest == terms.digest


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"transcript": bytes(31)}, MalformedMessage, "got 31 bytes"),
        ({"min_survivors": 1}, TooFewParticipants, "one's update"),
        ({"min_survivors": 0}, TooFewParticipants, "at least 0"),
        ({"min_survivors": 6}, TooFewParticipants, "cannot be had from 5"),
        ({"size": 0}, InvalidPlan, "0 numbers"),
        ({"bits": 7}, InvalidPlan, "7 bits"),
    ],
)
def test_terms_that_cannot_be(five, fields, error, message) -> None:
    with pytest.raises(error, match=message):
        dataclasses.replace(five.terms, **fields)


def test_contributors_are_listed_once_in_order_and_fit_their_bits(five) -> None:
    names = five.names
    for wrong in (names[::-1], (*names, names[-1])):
        with pytest.raises(MalformedMessage, match="order"):
            dataclasses.replace(five.terms, contributors=wrong)
    many = tuple(org_id(f"c-{index:03}") for index in range(65))
    with pytest.raises(InvalidPlan, match="more than 8 bits"):
        dataclasses.replace(five.terms, contributors=many, bits=8)


def test_a_commitment_binds_sender_proof_and_every_byte(five, transcript) -> None:
    upload = five.uploads[five.names[0]]
    terms = five.terms
    others = [
        dataclasses.replace(upload, sender=five.names[1]),
        dataclasses.replace(upload, ciphertexts=upload.ciphertexts[:-1] + b"\x00"),
        dataclasses.replace(upload, proof=upload.proof[:-1] + b"\xff"),
        # one byte moved from one field to the other
        dataclasses.replace(
            upload,
            proof=upload.proof + upload.ciphertexts[:1],
            ciphertexts=upload.ciphertexts[1:],
        ),
    ]
    digests = {commit(terms, upload), *(commit(terms, other) for other in others)}
    digests.add(
        commit(dataclasses.replace(terms, transcript=transcript("next")), upload)
    )
    assert len(digests) == 6
    assert commit(terms, upload) == sha256(
        b"fedxdr/paillier/upload/v1\x00",
        terms.digest,
        b"org-0\x00",
        len(upload.proof).to_bytes(8),
        upload.proof,
        upload.ciphertexts,
    )


def test_a_products_digest_binds_survivors_and_numbers(five) -> None:
    product, terms = five.product, five.terms
    others = [
        Product(survivors=product.survivors[1:], ciphertexts=product.ciphertexts),
        Product(survivors=five.names[1:], ciphertexts=product.ciphertexts),
        Product(
            survivors=product.survivors, ciphertexts=product.ciphertexts[:-1] + b"\0"
        ),
    ]
    digests = {product.digest(terms), *(other.digest(terms) for other in others)}
    digests.add(product.digest(dataclasses.replace(terms, min_survivors=3)))
    assert len(digests) == 5


def test_nothing_long_is_shown(five) -> None:
    name = five.names[0]
    for value in (five.uploads[name], five.product, five.partials[name]):
        assert len(repr(value)) < 200
    assert five.terms.upload_bytes == len(five.uploads[name].ciphertexts)
