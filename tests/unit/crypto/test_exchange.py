# SPDX-License-Identifier: Apache-2.0
"""crypto/exchange.py: published vectors, small-order points, lengths."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedxdr.core.canonical import decode, encode
from fedxdr.core.errors import MalformedMessage
from fedxdr.crypto.exchange import (
    HybridPrivateKey,
    HybridPublicKey,
    agree,
    check_public,
    decapsulate,
    encapsulate,
)
from fedxdr.crypto.expand import hkdf

# RFC 7748, section 6.1: private, public, and the secret of the two.
ALICE = (
    "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
    "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
)
BOB = (
    "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
    "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
)
SHARED = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"

# u-coordinates of order 1, 2, 4 and 8, canonical and not (cr.yp.to/ecdh.html).
P = 2**255 - 19
ORDER_8 = (
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
SMALL_ORDER = [u.to_bytes(32, "little") for u in (0, 1, P - 1, P, P + 1, *ORDER_8)]


def private_of(x25519_hex: str) -> HybridPrivateKey:
    x25519 = X25519PrivateKey.from_private_bytes(bytes.fromhex(x25519_hex))
    mlkem = MLKEM768PrivateKey.from_seed_bytes(bytes(64))
    public = HybridPublicKey(
        x25519=x25519.public_key().public_bytes_raw(),
        mlkem=mlkem.public_key().public_bytes_raw(),
    )
    return HybridPrivateKey(public=public, _x25519=x25519, _mlkem=mlkem)


@pytest.mark.parametrize(("mine", "theirs"), [(ALICE, BOB), (BOB, ALICE)])
def test_agree_gives_the_secret_of_rfc_7748(
    mine: tuple[str, str], theirs: tuple[str, str]
) -> None:
    private = private_of(mine[0])
    assert private.public.x25519.hex() == mine[1]
    assert agree(private, bytes.fromhex(theirs[1])).hex() == SHARED


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_agree_refuses_points_of_small_order(point: bytes) -> None:
    private = HybridPrivateKey.from_seed(bytes(32))
    with pytest.raises(MalformedMessage, match="small order"):
        agree(private, point)
    with pytest.raises(MalformedMessage, match="small order"):
        check_public(HybridPublicKey(x25519=point, mlkem=private.public.mlkem))


def test_check_public_takes_good_keys_and_refuses_a_kem_key_above_its_modulus() -> None:
    good = HybridPrivateKey.from_seed(bytes(32)).public
    check_public(good)
    # FIPS 203, section 7.2: every 12-bit coefficient must be below 3329.
    bad = HybridPublicKey(x25519=good.x25519, mlkem=b"\xff" * 1184)
    with pytest.raises(MalformedMessage, match="ML-KEM"):
        check_public(bad)
    with pytest.raises(MalformedMessage, match="ML-KEM"):
        encapsulate(bad.mlkem)


def test_a_seed_always_gives_the_same_pair_and_every_bit_counts() -> None:
    first = HybridPrivateKey.from_seed(bytes(32))
    assert first.public == HybridPrivateKey.from_seed(bytes(32)).public
    for position in (0, 15, 31):
        seed = bytearray(32)
        seed[position] = 1
        other = HybridPrivateKey.from_seed(bytes(seed)).public
        assert other.x25519 != first.public.x25519
        assert other.mlkem != first.public.mlkem


def test_the_two_halves_are_those_of_labelled_seeds() -> None:
    seed = b"s" * 32
    public = HybridPrivateKey.from_seed(seed).public
    x25519 = X25519PrivateKey.from_private_bytes(
        hkdf(seed, label="fedxdr/hybrid/x25519/v1")
    )
    mlkem = MLKEM768PrivateKey.from_seed_bytes(
        hkdf(seed, label="fedxdr/hybrid/ml-kem-768/v1", size_bytes=64)
    )
    assert public.x25519 == x25519.public_key().public_bytes_raw()
    assert public.mlkem == mlkem.public_key().public_bytes_raw()


def test_encapsulated_secrets_arrive_and_are_fresh() -> None:
    private = HybridPrivateKey.from_seed(bytes(32))
    first, ciphertext = encapsulate(private.public.mlkem)
    second, other = encapsulate(private.public.mlkem)
    assert len(first) == 32
    assert len(ciphertext) == 1088
    assert decapsulate(private, ciphertext) == first
    assert first != second
    assert ciphertext != other


def test_a_tampered_ciphertext_gives_another_secret() -> None:
    private = HybridPrivateKey.from_seed(bytes(32))
    secret, ciphertext = encapsulate(private.public.mlkem)
    tampered = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
    assert decapsulate(private, tampered) != secret


def test_wrong_lengths_are_refused() -> None:
    private = HybridPrivateKey.from_seed(bytes(32))
    public = private.public
    with pytest.raises(MalformedMessage):
        HybridPrivateKey.from_seed(bytes(31))
    with pytest.raises(MalformedMessage):
        HybridPublicKey(x25519=bytes(31), mlkem=public.mlkem)
    with pytest.raises(MalformedMessage):
        HybridPublicKey(x25519=public.x25519, mlkem=bytes(1183))
    with pytest.raises(MalformedMessage):
        agree(private, bytes(33))
    with pytest.raises(MalformedMessage):
        encapsulate(bytes(1185))
    with pytest.raises(MalformedMessage):
        decapsulate(private, bytes(1087))


def test_public_keys_have_a_canonical_form() -> None:
    public = HybridPrivateKey.from_seed(bytes(32)).public
    assert decode(encode(public), HybridPublicKey) == public


def test_a_private_key_shows_no_secret() -> None:
    seed = b"\xab" * 32
    private = HybridPrivateKey.from_seed(seed)
    secret = hkdf(seed, label="fedxdr/hybrid/x25519/v1")
    assert repr(secret)[2:-1] not in repr(private)
    assert "_x25519" not in repr(private)
    assert "_mlkem" not in repr(private)
