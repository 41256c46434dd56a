# SPDX-License-Identifier: Apache-2.0
"""secagg/masking.py: streams added and taken away, and what seeds are bound to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidUpdate, MalformedMessage
from fedxdr.core.ids import org_id
from fedxdr.crypto.expand import KeyStream
from fedxdr.secagg import masking
from fedxdr.secagg.masking import BLOCK_BYTES, apply, pair_mask_seed, self_mask_seed

A, B = org_id("a"), org_id("b")
SEEDS = [bytes([number]) * 32 for number in range(1, 6)]


def words(seed: bytes, size: int) -> np.ndarray:
    stream = KeyStream(seed, label="fedxdr/secagg/mask-stream/v1")
    return np.frombuffer(stream.read(4 * size), dtype="<u4")


@settings(max_examples=20, deadline=None)
@given(
    size=st.sampled_from(
        [0, 1, 5, BLOCK_BYTES // 4 - 1, BLOCK_BYTES // 4, BLOCK_BYTES // 4 + 3]
    ),
    plus=st.integers(0, 3),
    minus=st.integers(0, 2),
)
def test_apply_is_the_sum_of_whole_streams(size: int, plus: int, minus: int) -> None:
    start = np.arange(size, dtype=np.uint32) * np.uint32(4_000_000_007 % 2**32)
    got = start.copy()
    add, subtract = SEEDS[:plus], SEEDS[3 : 3 + minus]
    apply(got, add=add, subtract=subtract)
    want = start.astype(object)
    for seed in add:
        want = want + words(seed, size)
    for seed in subtract:
        want = want - words(seed, size)
    assert [int(value) % 2**32 for value in want] == got.tolist()


def test_adding_and_subtracting_one_stream_leaves_nothing() -> None:
    vector = np.arange(100_000, dtype=np.uint32)
    apply(vector, add=SEEDS)
    assert not np.array_equal(vector, np.arange(100_000))
    apply(vector, subtract=SEEDS)
    assert np.array_equal(vector, np.arange(100_000))


def test_a_masked_zero_vector_is_uniform() -> None:
    # 2^18 words, 256 bins of the top and of the bottom byte: chi-square with 255
    # degrees of freedom has mean 255 and standard deviation 22.6.
    vector = np.zeros(1 << 18, dtype=np.uint32)
    apply(vector, add=SEEDS[:1])
    for byte in (vector >> 24, vector & 255):
        counts = np.bincount(byte.astype(np.int64), minlength=256)
        expected = vector.size / 256
        assert ((counts - expected) ** 2 / expected).sum() < 255 + 6 * 22.6


@pytest.mark.parametrize(
    "vector",
    [
        np.zeros(4, dtype=np.int32),
        np.zeros(4, dtype=np.uint64),
        np.zeros((2, 2), dtype=np.uint32),
        np.zeros(8, dtype=np.uint32)[::2],
    ],
)
def test_other_arrays_are_refused(vector: np.ndarray) -> None:
    with pytest.raises(InvalidUpdate):
        apply(vector, add=SEEDS[:1])


def test_seeds_are_bound_to_transcript_salt_and_names() -> None:
    agreed, salt, transcript = bytes(32), b"s" * 32, b"t" * 32
    base = pair_mask_seed(agreed, salt, low=A, high=B, transcript=transcript)
    assert base == pair_mask_seed(agreed, salt, low=A, high=B, transcript=transcript)
    others = [
        pair_mask_seed(b"x" * 32, salt, low=A, high=B, transcript=transcript),
        pair_mask_seed(agreed, b"x" * 32, low=A, high=B, transcript=transcript),
        pair_mask_seed(agreed, salt, low=A, high=org_id("c"), transcript=transcript),
        pair_mask_seed(agreed, salt, low=A, high=B, transcript=b"x" * 32),
        self_mask_seed(agreed, transcript=transcript),
    ]
    assert len({base, *others}) == 6
    assert self_mask_seed(agreed, transcript=b"x" * 32) != others[-1]


def test_a_pair_is_named_in_order_and_lengths_are_exact() -> None:
    with pytest.raises(MalformedMessage):
        pair_mask_seed(bytes(32), bytes(32), low=B, high=A, transcript=bytes(32))
    with pytest.raises(MalformedMessage):
        pair_mask_seed(bytes(32), bytes(32), low=A, high=A, transcript=bytes(32))
    with pytest.raises(MalformedMessage):
        pair_mask_seed(bytes(32), bytes(31), low=A, high=B, transcript=bytes(32))
    with pytest.raises(MalformedMessage):
        pair_mask_seed(bytes(32), bytes(32), low=A, high=B, transcript=bytes(31))
    with pytest.raises(MalformedMessage):
        self_mask_seed(bytes(32), transcript=bytes(33))


def test_blocks_are_as_large_as_the_cache_wants(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Whatever the block size, the words are the same.
    whole = np.zeros(1000, dtype=np.uint32)
    apply(whole, add=SEEDS[:2])
    monkeypatch.setattr(masking, "BLOCK_BYTES", 64)
    pieces = np.zeros(1000, dtype=np.uint32)
    apply(pieces, add=SEEDS[:2])
    assert np.array_equal(whole, pieces)
