# SPDX-License-Identifier: Apache-2.0
"""Digests as words, so that two people can compare them over the telephone.

A word stands for 11 bits of the digest, first bits first: word i is number
``digest >> (256 - 11·(i + 1)) & 2047`` of the English list of BIP-39 (2,048 words, told
apart by their first four letters).

Not here: BIP-39 mnemonics. There is no checksum and nothing is derived from these
words: they are read aloud, and a wrong one only means that the digests differ.

Twelve words say 132 of 256 bits: to find a second key with the same twelve words takes
2^132 tries.

Source: BIP-39, English word list.
"""

from __future__ import annotations

from functools import cache

from mnemonic import Mnemonic

from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import digest

DEFAULT_COUNT = 12
MAX_COUNT = 23

_BITS = 11


def words_of(digest_hex: str, *, count: int = DEFAULT_COUNT) -> tuple[str, ...]:
    """Return the first bits of a digest as words.

    Args:
        digest_hex: 64 lower-case hexadecimal digits.
        count: of words, in [1, 23]; each says 11 bits.

    Raises:
        MalformedMessage: not a digest, or a count outside its range.
    """
    if not 1 <= count <= MAX_COUNT:
        raise MalformedMessage(f"a digest has 1 to {MAX_COUNT} words, not {count}")
    number, english = int(digest(digest_hex), 16), _english()
    return tuple(
        english[number >> (256 - _BITS * (place + 1)) & (2**_BITS - 1)]
        for place in range(count)
    )


@cache
def _english() -> tuple[str, ...]:
    """Return the 2,048 words, read once, when first asked for."""
    return tuple(Mnemonic("english").wordlist)
