# SPDX-License-Identifier: Apache-2.0
"""AES of single blocks against the standard's examples, and its refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import MalformedMessage
from fedxdr.crypto.blocks import permute_blocks

PLAIN = bytes.fromhex("00112233445566778899aabbccddeeff")


@pytest.mark.parametrize(
    ("key", "result"),
    [
        # FIPS 197, appendix C.1 and C.3
        (bytes(range(16)), "69c4e0d86a7b0430d8cdb78070b4c55a"),
        (bytes(range(32)), "8ea2b7ca516745bfeafc49904b496089"),
    ],
)
def test_the_standards_examples(key: bytes, result: str) -> None:
    assert permute_blocks(key, PLAIN).hex() == result
    assert permute_blocks(key, bytes.fromhex(result), inverse=True) == PLAIN


@given(
    st.binary(min_size=16, max_size=16), st.lists(st.binary(min_size=16, max_size=16))
)
def test_every_block_stands_alone(key: bytes, blocks: list[bytes]) -> None:
    whole = permute_blocks(key, b"".join(blocks))
    assert whole == b"".join(permute_blocks(key, block) for block in blocks)
    assert permute_blocks(key, whole, inverse=True) == b"".join(blocks)


@pytest.mark.parametrize(
    ("key", "data"), [(bytes(15), bytes(16)), (bytes(16), bytes(17))]
)
def test_other_lengths_are_refused(key: bytes, data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        permute_blocks(key, data)
