# SPDX-License-Identifier: Apache-2.0
"""Identity and token keys: published pairs, names, and no secret in sight."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa

from fedxdr.core.errors import BadSignature, InvalidInput, MalformedMessage
from fedxdr.core.randomness import SeededEntropy, SystemEntropy
from fedxdr.crypto.keys import IdentityKey, TokenKey
from fedxdr.crypto.signing import verify

# RFC 8032; FIPS 204, table 2
SIZES = {
    "ed25519": 32,
    "ml_dsa_65": 1952,
    "tlog_ed25519": 32,
    "tlog_ml_dsa_44": 1312,
}
# RFC 8032, section 7.1: secret key, public key, message, signature
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        (
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
            "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"
        ),
    ),
]


@pytest.mark.parametrize(("secret", "public", "message", "signature"), RFC_8032)
def test_the_published_pairs(secret, public, message, signature):
    key = IdentityKey(seed=bytes.fromhex(secret))
    assert key.public.ed25519.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature


def test_a_key_is_named_by_label_and_bytes():
    key = IdentityKey(seed=bytes(32)).public
    want = hashlib.sha256(b"fedxdr/identity/v1\x00" + key.ed25519).hexdigest()
    assert key.keyid == want
    assert IdentityKey(seed=bytes(31) + b"\x01").public.keyid != want
    want = hashlib.sha256(b"fedxdr/identity/ml-dsa-65/v1\x00" + key.ml_dsa_65)
    assert key.ml_dsa_keyid == want.hexdigest() != key.keyid


def test_a_fingerprint_is_over_all_four_keys():
    key = IdentityKey(seed=bytes(32)).public
    keys = (key.ed25519, key.ml_dsa_65, key.tlog_ed25519, key.tlog_ml_dsa_44)
    want = hashlib.sha256(b"fedxdr/identity/all-keys/v1\x00" + b"".join(keys))
    assert key.fingerprint == want.hexdigest()
    other = IdentityKey(seed=b"\x01" * 32).public
    for name in SIZES:
        mixed = dataclasses.replace(key, **{name: getattr(other, name)})
        assert mixed.fingerprint != key.fingerprint


def derived(label):
    """RFC 5869 with SHA-256, salt ``fedxdr/identity/v1``, 32 bytes of output."""
    extracted = hmac.digest(b"fedxdr/identity/v1", bytes(range(32)), "sha256")
    return hmac.digest(extracted, label + b"\x01", "sha256")


def test_the_other_keys_are_grown_from_the_seed_as_documented():
    public = IdentityKey(seed=bytes(range(32))).public
    want = IdentityKey(seed=derived(b"tlog-ed25519")).public.ed25519
    assert public.tlog_ed25519 == want
    for found, kind, label in (
        (public.ml_dsa_65, mldsa.MLDSA65PrivateKey, b"ml-dsa-65"),
        (public.tlog_ml_dsa_44, mldsa.MLDSA44PrivateKey, b"tlog-ml-dsa-44"),
    ):
        key = kind.from_seed_bytes(derived(label))
        assert found == key.public_key().public_bytes_raw()


def test_each_key_signs_for_itself_alone():
    key = IdentityKey(seed=bytes(range(32)))
    made = {
        "ed25519": ("ed25519", key.sign(b"m")),
        "ml_dsa_65": ("ml-dsa-65", key.sign_ml_dsa_65(b"m")),
        "tlog_ed25519": ("ed25519", key.sign_tlog_ed25519(b"m")),
        "tlog_ml_dsa_44": ("ml-dsa-44", key.sign_tlog_ml_dsa_44(b"m")),
    }
    for name, (algorithm, signature) in made.items():
        for other in SIZES:
            public = getattr(key.public, other)
            how = {
                "algorithm": algorithm,
                "public_key": public,
                "message": b"m",
                "signature": signature,
            }
            if other == name:
                verify(**how)
                continue
            with pytest.raises(BadSignature):
                verify(**how)


def test_generated_keys_differ_and_come_from_the_entropy():
    assert IdentityKey.generate(SystemEntropy()) != IdentityKey.generate(
        SystemEntropy()
    )
    one, same = (IdentityKey.generate(SeededEntropy(5)) for _ in range(2))
    assert one == same
    assert TokenKey.generate(SeededEntropy(5)).seed == one.seed


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_seeds_have_their_length(size):
    with pytest.raises(MalformedMessage, match=f"got {size} bytes, want 32"):
        IdentityKey(seed=bytes(size))
    with pytest.raises(InvalidInput):
        _ = TokenKey(seed=bytes(size)).public


@pytest.mark.parametrize("more", [-1, 1])
@pytest.mark.parametrize("name", SIZES)
def test_public_keys_have_their_length(name, more):
    public = IdentityKey(seed=bytes(32)).public
    got, want = SIZES[name] + more, SIZES[name]
    with pytest.raises(
        MalformedMessage, match=f"{name}: got {got} bytes, want {want}$"
    ):
        dataclasses.replace(public, **{name: bytes(got)})
    with pytest.raises(MalformedMessage, match=f"{name}: got 0 bytes, want {want}$"):
        dataclasses.replace(public, **{name: b""})


def test_no_representation_shows_a_seed():
    for key in (IdentityKey(seed=b"s" * 32), TokenKey(seed=b"s" * 32)):
        assert "sss" not in repr(key)
        assert "73737373" not in repr(key)


def test_token_keys_have_the_sizes_of_fips_204():
    key = TokenKey(seed=bytes(32))
    assert len(key.public) == 1952
    assert len(key.sign(b"x")) == 3309
