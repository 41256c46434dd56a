# SPDX-License-Identifier: Apache-2.0
"""Verification raises or returns None: good vectors, bad ones, every bit of one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa

from fedxdr.core.errors import BadSignature, MalformedMessage
from fedxdr.crypto.keys import IdentityKey, TokenKey
from fedxdr.crypto.signing import verify

VECTORS = Path(__file__).parents[4] / "shared/vectors/rfc9964/examples"
KEY = IdentityKey(seed=bytes(range(32)))
# the order of the base point: RFC 8032, section 5.1
ORDER = 2**252 + 27742317777372353535851937790883648493


def check(message=b"m", signature=None, *, key=None, algorithm="ed25519", context=b""):
    return verify(
        algorithm=algorithm,
        public_key=KEY.public.ed25519 if key is None else key,
        message=message,
        signature=KEY.sign(b"m") if signature is None else signature,
        context=context,
    )


def test_a_good_signature_returns_none():
    assert check() is None


def test_every_flipped_bit_is_refused():
    good = KEY.sign(b"m")
    for place in range(len(good) * 8):
        bad = bytearray(good)
        bad[place // 8] ^= 1 << (place % 8)
        with pytest.raises(BadSignature):
            check(signature=bytes(bad))


def test_another_message_or_key_is_refused():
    for message in (b"", b"M", b"m\0", b"mm"):
        with pytest.raises(BadSignature):
            check(message)
    with pytest.raises(BadSignature):
        check(key=IdentityKey(seed=bytes(32)).public.ed25519)


def test_a_signature_has_one_form_only():
    # S + L is the same scalar in another spelling: RFC 8032, section 5.1.7
    good = KEY.sign(b"m")
    scalar = int.from_bytes(good[32:], "little") + ORDER
    with pytest.raises(BadSignature):
        check(signature=good[:32] + scalar.to_bytes(32, "little"))


@pytest.mark.parametrize("size", [0, 63, 65])
def test_wrong_lengths_are_refused(size):
    with pytest.raises(BadSignature):
        check(signature=bytes(size))
    with pytest.raises(BadSignature):
        check(key=bytes(size))


def test_unknown_algorithms_and_contexts_are_malformed():
    for name in ("", "rsa", "Ed25519", "ml-dsa-87"):
        with pytest.raises(MalformedMessage, match="unknown signature algorithm"):
            check(algorithm=name)
    with pytest.raises(MalformedMessage, match="no context"):
        check(context=b"x")


ML_DSA = {
    "ml-dsa-44": (mldsa.MLDSA44PrivateKey, "ML_DSA_44"),
    "ml-dsa-65": (mldsa.MLDSA65PrivateKey, "ML_DSA_65"),
}


@pytest.mark.parametrize("algorithm", ML_DSA)
def test_ml_dsa_signs_message_and_context(algorithm):
    private = ML_DSA[algorithm][0].from_seed_bytes(bytes(32))
    public = private.public_key().public_bytes_raw()
    for context in (b"", b"c", b"c" * 255):
        signature = private.sign(b"m", context or None)
        how = {"key": public, "algorithm": algorithm, "signature": signature}
        check(b"m", context=context, **how)
        for wrong in (b"x", context + b"c" if len(context) < 255 else b""):
            with pytest.raises(BadSignature):
                check(b"m", context=wrong, **how)
        with pytest.raises(BadSignature):
            check(b"M", context=context, **how)
        flipped = bytes([signature[0] ^ 1]) + signature[1:]
        with pytest.raises(BadSignature):
            check(b"m", flipped, key=public, algorithm=algorithm, context=context)
    with pytest.raises(BadSignature):
        check(b"m", context=b"c" * 256, **how)


def test_the_sizes_of_ml_dsa_do_not_mix():
    key = TokenKey(seed=bytes(32))
    how = {"key": key.public, "signature": key.sign(b"m")}
    check(b"m", algorithm="ml-dsa-65", **how)
    for other in ("ml-dsa-44", "ed25519"):
        with pytest.raises(BadSignature):
            check(b"m", algorithm=other, **how)


SIZES = {"ml-dsa-44": (1312, 2420), "ml-dsa-65": (1952, 3309)}


@pytest.mark.parametrize("algorithm", ML_DSA)
def test_ml_dsa_keys_and_signatures_have_their_lengths(algorithm):
    """FIPS 204, table 2."""
    private = ML_DSA[algorithm][0].from_seed_bytes(bytes(32))
    public, signature = private.public_key().public_bytes_raw(), private.sign(b"m")
    assert (len(public), len(signature)) == SIZES[algorithm]
    for wrong in (b"", public[:-1], public + b"\0", public[:32]):
        with pytest.raises(BadSignature):
            check(key=wrong, algorithm=algorithm, signature=signature)
    for wrong in (
        b"",
        signature[:-1],
        signature + b"\0",
        signature[:64],
        signature * 2,
    ):
        with pytest.raises(BadSignature):
            check(key=public, algorithm=algorithm, signature=wrong)
    check(key=public, algorithm=algorithm, signature=signature)


@pytest.mark.parametrize("algorithm", ML_DSA)
def test_ml_dsa_signatures_are_found_changed_at_every_place(algorithm):
    private = ML_DSA[algorithm][0].from_seed_bytes(bytes(range(32)))
    public, good = private.public_key().public_bytes_raw(), private.sign(b"m")
    places = {*range(0, len(good), 29), *range(len(good) - 90, len(good))}
    for place in sorted(places):
        bad = bytearray(good)
        bad[place] ^= 1 << (place % 8)
        with pytest.raises(BadSignature):
            check(key=public, algorithm=algorithm, signature=bytes(bad))


@pytest.mark.parametrize("context", [b"", b"x"])
@pytest.mark.parametrize("name", ["", "rsa", "ml-dsa-87", "ML-DSA-44", "ml_dsa_44"])
def test_an_unknown_algorithm_is_malformed_whatever_comes_with_it(name, context):
    with pytest.raises(MalformedMessage, match="unknown signature algorithm"):
        check(algorithm=name, key=b"", signature=b"", context=context)


def test_a_context_is_no_part_of_the_message():
    """FIPS 204, algorithm 3, signs ``0 || length || context || message``."""
    private = ML_DSA["ml-dsa-44"][0].from_seed_bytes(bytes(32))
    how = {
        "key": private.public_key().public_bytes_raw(),
        "algorithm": "ml-dsa-44",
        "signature": private.sign(b"bc", b"a"),
    }
    check(b"bc", context=b"a", **how)
    for message, context in ((b"c", b"ab"), (b"abc", b""), (b"\0\1abc", b"")):
        with pytest.raises(BadSignature):
            check(message, context=context, **how)


@pytest.mark.parametrize("form", ["jose", "cose"])
@pytest.mark.parametrize("algorithm", ML_DSA)
def test_the_published_ml_dsa_signatures(algorithm, form):
    name = ML_DSA[algorithm][1]
    if not VECTORS.is_dir():
        pytest.skip("no RFC 9964 vectors; see ../shared/vectors")
    file = VECTORS / form / "examples" / f"{name}.{form}.json"
    vector = json.loads(file.read_text("utf-8"))
    raw = {k: bytes.fromhex(v) for k, v in vector.items() if k.startswith("raw_")}
    how = {"key": raw["raw_public_key"], "algorithm": algorithm}
    check(raw["raw_to_be_signed"], raw["raw_signature"], **how)
    with pytest.raises(BadSignature):
        check(raw["raw_to_be_signed"] + b"x", raw["raw_signature"], **how)
    private = ML_DSA[algorithm][0].from_seed_bytes(bytes.fromhex(vector["priv"]))
    assert private.public_key().public_bytes_raw() == raw["raw_public_key"]
