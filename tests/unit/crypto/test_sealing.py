# SPDX-License-Identifier: Apache-2.0
"""crypto/sealing.py: what opens, and everything that must not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidShare, MalformedMessage
from fedxdr.crypto.exchange import HybridPrivateKey, HybridPublicKey, agree
from fedxdr.crypto.sealing import (
    BETWEEN_OVERHEAD_BYTES,
    SEAL_OVERHEAD_BYTES,
    open_between,
    open_sealed,
    seal,
    seal_between,
)

ANNA = HybridPrivateKey.from_seed(b"a" * 32)
BELA = HybridPrivateKey.from_seed(b"b" * 32)
EVE = HybridPrivateKey.from_seed(b"e" * 32)
AGREED = agree(ANNA, BELA.public.x25519)


@settings(max_examples=25)
@given(plaintext=st.binary(max_size=200), context=st.binary(max_size=60))
def test_both_forms_open_again(plaintext: bytes, context: bytes) -> None:
    sealed = seal(BELA.public, plaintext, context=context)
    assert len(sealed) == len(plaintext) + SEAL_OVERHEAD_BYTES
    assert open_sealed(BELA, sealed, context=context) == plaintext
    between = seal_between(AGREED, BELA.public, plaintext, context=context)
    assert len(between) == len(plaintext) + BETWEEN_OVERHEAD_BYTES
    theirs = agree(BELA, ANNA.public.x25519)
    assert open_between(theirs, BELA, between, context=context) == plaintext


def test_two_seals_are_never_the_same() -> None:
    assert seal(BELA.public, b"x", context=b"") != seal(BELA.public, b"x", context=b"")
    assert seal_between(AGREED, BELA.public, b"x", context=b"") != seal_between(
        AGREED, BELA.public, b"x", context=b""
    )


# Ephemeral key, KEM ciphertext (start, end), AEAD ciphertext, tag.
@pytest.mark.parametrize("position", [0, 31, 32, 600, 1119, 1120, -17, -1])
def test_a_flipped_bit_anywhere_is_noticed(position: int) -> None:
    sealed = bytearray(
        seal(BELA.public, b"forty bytes that are nothing but letters", context=b"c")
    )
    sealed[position] ^= 1
    with pytest.raises(InvalidShare):
        open_sealed(BELA, bytes(sealed), context=b"c")
    between = bytearray(
        seal_between(
            AGREED,
            BELA.public,
            b"forty bytes that are nothing but letters",
            context=b"c",
        )
    )
    between[position] ^= 1
    with pytest.raises(InvalidShare):
        open_between(AGREED, BELA, bytes(between), context=b"c")


def test_another_context_or_recipient_does_not_open() -> None:
    sealed = seal(BELA.public, b"x", context=b"round-1")
    with pytest.raises(InvalidShare):
        open_sealed(BELA, sealed, context=b"round-2")
    with pytest.raises(InvalidShare):
        open_sealed(EVE, sealed, context=b"round-1")
    between = seal_between(AGREED, BELA.public, b"x", context=b"round-1")
    with pytest.raises(InvalidShare):
        open_between(AGREED, BELA, between, context=b"round-2")
    with pytest.raises(InvalidShare):
        open_between(AGREED, EVE, between, context=b"round-1")


def test_a_box_between_two_is_not_made_by_a_third() -> None:
    # Eve knows both public keys and the context, but not the secret of the two.
    forged = seal_between(
        agree(EVE, BELA.public.x25519), BELA.public, b"x", context=b"c"
    )
    with pytest.raises(InvalidShare):
        open_between(AGREED, BELA, forged, context=b"c")


@pytest.mark.parametrize(
    "mixed",
    [
        HybridPublicKey(x25519=EVE.public.x25519, mlkem=BELA.public.mlkem),
        HybridPublicKey(x25519=BELA.public.x25519, mlkem=EVE.public.mlkem),
    ],
)
def test_both_halves_of_the_recipient_count(mixed: HybridPublicKey) -> None:
    # Whoever breaks one half only (a curve, or a lattice) opens nothing.
    sealed = seal(mixed, b"x", context=b"c")
    for private in (BELA, EVE):
        with pytest.raises(InvalidShare):
            open_sealed(private, sealed, context=b"c")


def test_a_stolen_agreement_alone_opens_nothing() -> None:
    # X25519 broken later: the ML-KEM half still holds.
    between = seal_between(AGREED, BELA.public, b"x", context=b"c")
    with pytest.raises(InvalidShare):
        open_between(AGREED, EVE, between, context=b"c")


def test_the_two_forms_do_not_open_each_other() -> None:
    sealed = seal(BELA.public, b"x" * 40, context=b"c")
    with pytest.raises(InvalidShare):
        open_between(AGREED, BELA, sealed, context=b"c")
    between = seal_between(AGREED, BELA.public, b"x" * 40, context=b"c")
    with pytest.raises((InvalidShare, MalformedMessage)):
        open_sealed(BELA, between, context=b"c")


def test_malformed_boxes_and_keys_are_refused() -> None:
    with pytest.raises(MalformedMessage):
        open_sealed(BELA, bytes(SEAL_OVERHEAD_BYTES - 1), context=b"")
    with pytest.raises(MalformedMessage):
        open_between(AGREED, BELA, bytes(BETWEEN_OVERHEAD_BYTES - 1), context=b"")
    with pytest.raises(MalformedMessage):
        open_sealed(BELA, bytes(SEAL_OVERHEAD_BYTES), context=b"")  # small order
    with pytest.raises(MalformedMessage):
        seal_between(AGREED[:31], BELA.public, b"x", context=b"")
    with pytest.raises(MalformedMessage):
        open_between(AGREED[:31], BELA, bytes(1200), context=b"")
    no_point = HybridPublicKey(x25519=bytes(32), mlkem=BELA.public.mlkem)
    with pytest.raises(MalformedMessage):
        seal(no_point, b"x", context=b"")
    no_lattice = HybridPublicKey(x25519=BELA.public.x25519, mlkem=b"\xff" * 1184)
    with pytest.raises(MalformedMessage):
        seal(no_lattice, b"x", context=b"")
    with pytest.raises(MalformedMessage):
        seal_between(AGREED, no_lattice, b"x", context=b"")
