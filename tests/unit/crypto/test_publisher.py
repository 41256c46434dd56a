# SPDX-License-Identifier: Apache-2.0
"""The publisher's key: published vectors, its definition in slow steps, refusals."""

from __future__ import annotations

import hashlib
import hmac
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import BadSignature, MalformedMessage
from fedxdr.core.ids import sha256
from fedxdr.crypto import publisher
from fedxdr.crypto.publisher import Publisher, PublisherKey

# FIPS 186-4, appendix D.1.2.3
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
# RFC 5480: AlgorithmIdentifier id-ecPublicKey, secp256r1; BIT STRING; uncompressed
HEADER = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")

# RFC 6979, appendix A.2.5
X = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
U = (
    0x60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6,
    0x7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299,
)
SIGNED = [
    (
        b"sample",
        0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
        0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
    ),
    (
        b"test",
        0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
        0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083,
    ),
]

KEY = PublisherKey(seed=bytes(range(32)))


def added(one, other):
    """The sum of two points of P-256; None is the point at infinity."""
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    if one == other:
        slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, P) % P
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, P) % P
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def times(number, point):
    found = None
    for bit in f"{number:b}":
        found = added(found, found)
        if bit == "1":
            found = added(found, point)
    return found


def private_number(seed):
    """HKDF-SHA256 (RFC 5869), 48 bytes, then FIPS 186-5, A.2.1."""
    extracted = hmac.new(bytes(32), seed, hashlib.sha256).digest()
    info, wide, block = b"fedxdr/publisher/p-256/v1\x00", b"", b""
    for counter in (1, 2):
        block = hmac.new(
            extracted, block + info + bytes([counter]), hashlib.sha256
        ).digest()
        wide += block
    return int.from_bytes(wide[:48], "big") % (N - 1) + 1


def der_of(point):
    return HEADER + b"".join(number.to_bytes(32, "big") for number in point)


def integer(number):
    data = number.to_bytes(number.bit_length() // 8 + 1, "big")
    return b"\x02" + bytes([len(data)]) + data


@settings(max_examples=15, deadline=None)
@given(seed=st.binary(min_size=32, max_size=32))
def test_the_key_is_what_the_definition_says(seed):
    want = der_of(times(private_number(seed), G))
    assert PublisherKey(seed=seed).public_der == want


@pytest.mark.parametrize(("message", "r", "s"), SIGNED)
def test_published_signatures(monkeypatch, message, r, s):
    wide = (X - 1).to_bytes(48, "big")  # the number is one more than this
    monkeypatch.setattr(publisher, "hkdf", lambda *_, **__: wide)
    key = PublisherKey(seed=bytes(32))
    assert key.public_der == der_of(U)
    body = integer(r) + integer(s)
    assert key.sign(message) == b"\x30" + bytes([len(body)]) + body
    key.public.verify(message, key.sign(message))


def test_the_least_and_the_largest_number_are_keys(monkeypatch):
    for wide, number in ((0, 1), (N - 2, N - 1), (N - 1, 1), (2**384 - 1, None)):
        data = wide.to_bytes(48, "big")
        monkeypatch.setattr(publisher, "hkdf", lambda *_, d=data, **__: d)
        want = number or (2**384 - 1) % (N - 1) + 1
        assert PublisherKey(seed=bytes(32)).public_der == der_of(times(want, G))


def test_the_pem_is_the_libraries_and_its_digest_the_fingerprint():
    loaded = serialization.load_pem_public_key(KEY.public_pem)
    assert isinstance(loaded, ec.EllipticCurvePublicKey)
    again = loaded.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert again == KEY.public_pem == KEY.public.pem
    assert KEY.public.fingerprint == sha256(KEY.public_pem)
    assert len(KEY.public_der) == publisher.PUBLIC_DER_BYTES


def test_the_private_pem_is_the_same_key():
    loaded = serialization.load_pem_private_key(KEY.private_pem(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    assert loaded.private_numbers().private_value == private_number(KEY.seed)


def test_openssl_reads_key_and_signature(tmp_path):
    for name, data in (
        ("key", KEY.public_pem),
        ("sig", KEY.sign(b"message")),
        ("message", b"message"),
    ):
        (tmp_path / name).write_bytes(data)
    done = subprocess.run(
        [
            "openssl",
            "dgst",
            "-sha256",
            "-verify",
            "key",
            "-signature",
            "sig",
            "message",
        ],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"Verified OK\n")


def test_every_changed_byte_of_a_signature_is_refused():
    good = KEY.sign(b"message")
    KEY.public.verify(b"message", good)
    for at in range(len(good)):
        for flip in (1, 0x80, 0xFF):
            bad = bytearray(good)
            bad[at] ^= flip
            with pytest.raises(BadSignature):
                KEY.public.verify(b"message", bytes(bad))


@pytest.mark.parametrize(
    "change",
    [
        lambda m, s: (m + b"\x00", s),
        lambda m, s: (m[:-1], s),
        lambda m, s: (m, s + b"\x00"),
        lambda m, s: (m, s[:-1]),
        lambda m, _: (m, b""),
        lambda m, _: (m, PublisherKey(seed=bytes(32)).sign(m)),
        lambda m, _: (m, bytes.fromhex("3006020100020100")),  # r = s = 0
    ],
)
def test_other_messages_and_signatures_are_refused(change):
    message, signature = change(b"message", KEY.sign(b"message"))
    with pytest.raises(BadSignature):
        KEY.public.verify(message, signature)


def spki(key):
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def padded(data):
    """A key of the wanted length, so that more than the length is looked at."""
    return (data + bytes(91))[:91]


@pytest.mark.parametrize(
    "der",
    [
        b"",
        KEY.public_der[:-1],
        KEY.public_der + b"\x00",
        padded(spki(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)))),
        padded(spki(ec.derive_private_key(7, ec.SECP384R1()))),
        padded(spki(ec.derive_private_key(7, ec.SECP256K1()))),
        spki(ec.derive_private_key(7, ec.SECP384R1())),
        spki(ec.derive_private_key(7, ec.BrainpoolP256R1())),
        HEADER + bytes(64),
        der_of((U[0], U[1] ^ 1)),
        der_of((U[0] + P if U[0] + P < 2**256 else P, U[1])),
        HEADER[:-1] + b"\x06" + KEY.public_der[27:],  # hybrid form, wrong parity
        HEADER[:-1]
        + b"\x07"
        + KEY.public_der[27:],  # hybrid form, which libraries take
        HEADER[:-1] + b"\x00" + KEY.public_der[27:],
    ],
)
def test_what_is_no_key_on_the_curve_in_its_one_form_is_refused(der):
    with pytest.raises(MalformedMessage):
        Publisher(der=der)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_seed_has_32_bytes(size):
    with pytest.raises(MalformedMessage, match=f"got {size} bytes"):
        PublisherKey(seed=bytes(size))


def test_no_representation_shows_the_secret():
    shown = repr(KEY)
    assert KEY.seed.hex() not in shown
    assert repr(KEY.seed) not in shown
    assert str(private_number(KEY.seed)) not in shown
    assert "PRIVATE" not in shown
