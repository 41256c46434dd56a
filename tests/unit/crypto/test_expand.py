# SPDX-License-Identifier: Apache-2.0
"""crypto/expand.py against HMAC and AES written out, and its refusals."""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import MalformedMessage
from fedxdr.crypto import expand
from fedxdr.crypto.expand import KeyStream, hkdf


def hkdf_by_definition(secret: bytes, info: bytes, size: int) -> bytes:
    """RFC 5869, section 2: extract with a salt of 32 zero bytes, then expand."""
    prk = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    okm, block, counter = b"", b"", 1
    while len(okm) < size:
        block = hmac.new(prk, block + info + bytes([counter]), hashlib.sha256).digest()
        okm += block
        counter += 1
    return okm[:size]


def stream_by_definition(seed: bytes, label: str, size: int) -> bytes:
    """AES-256 of the counter blocks 0^12 || 2, 0^12 || 3, …"""
    key = hkdf_by_definition(seed, label.encode() + b"\x00", 32)
    blocks = b"".join(
        bytes(12) + counter.to_bytes(4) for counter in range(2, 2 + size // 16 + 1)
    )
    one_block_at_a_time = modes.ECB()  # noqa: S305 - the definition of counter mode
    encryptor = Cipher(algorithms.AES256(key), one_block_at_a_time).encryptor()
    return encryptor.update(blocks)[:size]


def test_the_definition_used_here_gives_the_published_vector() -> None:
    # RFC 5869, appendix A.3 (SHA-256, no salt, no info).
    okm = hkdf_by_definition(b"\x0b" * 22, b"", 42)
    assert okm.hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
        "9d201395faa4b61a96c8"
    )


@given(
    secret=st.binary(min_size=32, max_size=80),
    context=st.binary(max_size=40),
    size=st.integers(1, 100),
)
def test_hkdf_is_rfc_5869(secret: bytes, context: bytes, size: int) -> None:
    got = hkdf(secret, label="a/v1", context=context, size_bytes=size)
    assert got == hkdf_by_definition(secret, b"a/v1\x00" + context, size)


def test_label_context_and_whole_secret_all_count() -> None:
    base = hkdf(bytes(32), label="a", context=b"c")
    assert base != hkdf(bytes(32), label="b", context=b"c")
    assert base != hkdf(bytes(32), label="a", context=b"d")
    assert hkdf(bytes(32), label="ab", context=b"") != hkdf(
        bytes(32), label="a", context=b"b"
    )
    for position in range(32):
        changed = bytearray(32)
        changed[position] = 1
        assert hkdf(bytes(changed), label="a", context=b"c") != base


@pytest.mark.parametrize(
    ("secret", "label", "size"),
    [
        (bytes(31), "a", 32),
        (bytes(32), "", 32),
        (bytes(32), "a\x00b", 32),
        (bytes(32), "é", 32),
        (bytes(32), "a", 0),
        (bytes(32), "a", 255 * 32 + 1),
    ],
)
def test_hkdf_refuses(secret: bytes, label: str, size: int) -> None:
    with pytest.raises(MalformedMessage):
        hkdf(secret, label=label, size_bytes=size)


@given(
    seed=st.binary(min_size=32, max_size=64),
    pieces=st.lists(st.integers(0, 70), max_size=8),
)
def test_stream_is_aes_ctr_however_it_is_read(seed: bytes, pieces: list[int]) -> None:
    stream = KeyStream(seed, label="mask/v1")
    got = b"".join(stream.read(size) for size in pieces)
    assert got == stream_by_definition(seed, "mask/v1", sum(pieces))


def test_stream_fills_arrays_longer_than_its_own_block() -> None:
    size = 3 * (1 << 18) + 5
    buffer = np.empty(size, dtype=np.uint8)
    KeyStream(bytes(32), label="x").read_into(buffer)
    assert buffer.tobytes() == stream_by_definition(bytes(32), "x", size)


def test_streams_of_two_labels_or_seeds_differ() -> None:
    assert KeyStream(bytes(32), label="a").read(32) != KeyStream(
        bytes(32), label="b"
    ).read(32)
    # A seed longer than a key counts whole: it is not cut or folded.
    assert KeyStream(bytes(63) + b"\x01", label="a").read(32) != KeyStream(
        bytes(64), label="a"
    ).read(32)


def test_stream_ends_before_its_counter_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert expand.STREAM_LIMIT_BYTES == (2**32 - 2) * 16
    monkeypatch.setattr(expand, "STREAM_LIMIT_BYTES", 40)
    stream = KeyStream(bytes(32), label="x")
    stream.read(39)
    with pytest.raises(MalformedMessage):
        stream.read(2)
    stream.read(1)


def test_stream_refuses_a_short_seed() -> None:
    with pytest.raises(MalformedMessage):
        KeyStream(bytes(16), label="x")


def test_stream_shows_nothing() -> None:
    assert "KeyStream object" in repr(KeyStream(bytes(32), label="x"))
