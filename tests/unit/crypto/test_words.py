# SPDX-License-Identifier: Apache-2.0
"""Digests as words: published words, every bit counted, no others."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mnemonic import Mnemonic

from fedxdr.core.errors import MalformedMessage
from fedxdr.crypto.words import words_of

LIST = Mnemonic("english").wordlist

# trezor/python-mnemonic, vectors.json: 256 bits of entropy are 23 whole words and 3
# bits (the 24th word also holds the checksum, which a digest has not).
PUBLISHED = [
    ("00" * 32, "abandon " * 23),
    (
        "7f" * 32,
        "legal winner thank year wave sausage worth useful " * 2
        + "legal winner thank year wave sausage worth",
    ),
    (
        "80" * 32,
        "letter advice cage absurd amount doctor acoustic avoid " * 2
        + "letter advice cage absurd amount doctor acoustic",
    ),
    ("ff" * 32, "zoo " * 23),
]


@pytest.mark.parametrize(("digest", "words"), PUBLISHED)
def test_the_published_words(digest, words):
    assert words_of(digest, count=23) == tuple(words.split())


def test_the_list_is_the_published_one():
    # sha256 of bip-0039/english.txt, its lines joined by newlines, one at the end
    text = "\n".join(LIST) + "\n"
    assert (
        hashlib.sha256(text.encode()).hexdigest()
        == "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
    )
    assert len({word[:4] for word in LIST}) == 2048


def test_a_fingerprint_has_twelve_words():
    assert len(words_of("00" * 32)) == 12


@given(st.binary(min_size=32, max_size=32), st.integers(1, 23))
def test_words_say_the_first_bits(digest, count):
    bits = "".join(f"{LIST.index(w):011b}" for w in words_of(digest.hex(), count=count))
    assert bits == f"{int.from_bytes(digest):0256b}"[: 11 * count]


@pytest.mark.parametrize("bit", range(132))
def test_each_of_the_first_132_bits_changes_a_word(bit):
    digest = hashlib.sha256(b"somebody").digest()
    changed = (int.from_bytes(digest) ^ 1 << 255 - bit).to_bytes(32)
    before, after = words_of(digest.hex()), words_of(changed.hex())
    assert [i for i in range(12) if before[i] != after[i]] == [bit // 11]


@pytest.mark.parametrize("text", ["", "00" * 31, "00" * 33, "0G" * 32, "FF" * 32])
def test_what_is_no_digest_is_refused(text):
    with pytest.raises(MalformedMessage):
        words_of(text)


@pytest.mark.parametrize("count", [-1, 0, 24])
def test_other_counts_are_refused(count):
    with pytest.raises(MalformedMessage, match="1 to 23"):
        words_of("00" * 32, count=count)
