# SPDX-License-Identifier: Apache-2.0
"""secagg/packing.py: the bit stream by its definition, and what is refused."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidPlan, InvalidUpdate, MalformedMessage
from fedxdr.core.randomness import generator
from fedxdr.secagg import masking, packing

WIDTHS = range(8, 33)
SIZES = (0, 1, 2, 3, 5, 7, 8, 9, 16, 31, 65)


def by_definition(words: list[int], width: int) -> bytes:
    """Bit b of word i is bit (i * width + b) % 8 of byte (i * width + b) // 8."""
    result = bytearray((len(words) * width + 7) // 8)
    for i, word in enumerate(words):
        for b in range(width):
            place = i * width + b
            result[place // 8] |= (word >> b & 1) << place % 8
    return bytes(result)


def words_of(size: int, seed: int) -> masking.Words:
    return generator(seed).integers(0, 2**32, size, dtype=np.uint32)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_stream_is_the_defined_one(width: int) -> None:
    for size in SIZES:
        words = words_of(size, 100 * width + size)
        before = words.copy()
        data = packing.pack(words, width=width)
        assert data == by_definition(words.tolist(), width)
        assert len(data) == packing.packed_bytes(size, width=width)
        assert np.array_equal(words, before)


@pytest.mark.parametrize("width", WIDTHS)
def test_unpacking_gives_the_words_back_reduced(width: int) -> None:
    for size in (*SIZES, 32_768, 32_769, 40_011):  # across blocks of the fast way
        words = words_of(size, width + size)
        got = packing.unpack(packing.pack(words, width=width), size=size, width=width)
        assert got.dtype == np.uint32
        assert np.array_equal(got, words & np.uint32((1 << width) - 1))


def test_a_typed_vector() -> None:
    words = np.array([0xABC, 0x123, 0xFFF], dtype=np.uint32)
    assert packing.pack(words, width=12).hex() == "bc3a12ff0f"
    assert packing.unpack(bytes.fromhex("bc3a12ff0f"), size=3, width=12).tolist() == [
        0xABC,
        0x123,
        0xFFF,
    ]


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(8, 32),
    data=st.binary(min_size=0, max_size=80),
    size=st.integers(0, 30),
)
def test_what_is_read_is_the_one_form(width: int, data: bytes, size: int) -> None:
    try:
        words = packing.unpack(data, size=size, width=width)
    except MalformedMessage:
        return
    assert packing.pack(words, width=width) == data


@pytest.mark.parametrize("width", [9, 12, 20, 23, 31])
def test_trailing_bits_that_are_set_are_refused(width: int) -> None:
    used = 3 * width % 8
    data = bytearray(packing.pack(words_of(3, 1), width=width))
    for bit in range(used, 8):
        bad = bytearray(data)
        bad[-1] |= 1 << bit
        with pytest.raises(MalformedMessage, match="after the last"):
            packing.unpack(bytes(bad), size=3, width=width)


@pytest.mark.parametrize("width", [8, 17, 24, 32])
@pytest.mark.parametrize("change", [-1, 1, 8])
def test_another_length_is_refused(width: int, change: int) -> None:
    data = packing.pack(words_of(16, 1), width=width)
    bad = data[:change] if change < 0 else data + bytes(change)
    with pytest.raises(MalformedMessage, match="want"):
        packing.unpack(bad, size=16, width=width)
    with pytest.raises(MalformedMessage):
        packing.unpack(b"", size=-1, width=width)


@pytest.mark.parametrize(
    "bad", [np.zeros(3, np.int32), np.zeros((2, 2), np.uint32), np.zeros(3, np.uint64)]
)
def test_other_vectors_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(InvalidUpdate):
        packing.pack(bad, width=16)


@pytest.mark.parametrize("width", [7, 33, 0, -8])
def test_other_widths_are_refused(width: int) -> None:
    with pytest.raises(InvalidPlan):
        packing.pack(words_of(3, 1), width=width)
    with pytest.raises(InvalidPlan):
        packing.unpack(bytes(12), size=3, width=width)
    with pytest.raises(InvalidPlan):
        packing.signed(words_of(3, 1), width=width)


def test_reducing_after_masking_is_masking_in_the_smaller_ring() -> None:
    # Sum of packed masked vectors, masks off, is the sum: for any width that holds it.
    random = generator(5)
    seeds = [bytes([i]) * 32 for i in range(4)]
    plain = [random.integers(-900, 900, 50, dtype=np.int32) for _ in range(4)]
    for width in (13, 16, 20, 24, 31, 32):
        total = np.zeros(50, dtype=np.uint32)
        for seed, vector in zip(seeds, plain, strict=True):
            masked = vector.view(np.uint32).copy()
            masking.apply(masked, add=[seed])
            data = packing.pack(masked, width=width)
            total += packing.unpack(data, size=50, width=width)
        masking.apply(total, subtract=seeds)
        got = packing.signed(total, width=width)
        assert np.array_equal(got, sum(plain))


def test_signed_words_are_in_place_and_cover_both_ends() -> None:
    words = np.array([0, 127, 128, 255, 0xFFFFFF00 + 5], dtype=np.uint32)
    got = packing.signed(words, width=8)
    assert got.tolist() == [0, 127, -128, -1, 5]
    assert np.shares_memory(got, words)


def test_the_width_holds_every_sum_and_a_guard() -> None:
    for bits in range(8, 32):
        assert packing.upload_width(bits, 1) == bits
        for n in (2, 3, 50, 1000):
            width = packing.upload_width(bits, n)
            assert width == min(bits + 1, 32)
            assert width <= bits + (n - 1).bit_length()
        assert packing.upload_width(bits, 5, guard_bits=0) == bits
    for bad in ((7, 3, 1), (32, 3, 1), (24, 0, 1), (24, 3, -1), (24, 3, 25)):
        with pytest.raises(InvalidPlan):
            packing.upload_width(bad[0], bad[1], guard_bits=bad[2])


def test_the_guard_bit_shows_a_sum_that_left_its_bits() -> None:
    # One above the largest of 16 bits: seen with the guard, read as negative without.
    over = np.array([1 << 15], dtype=np.uint32)
    assert packing.signed(over.copy(), width=17).tolist() == [1 << 15]
    assert packing.signed(over.copy(), width=16).tolist() == [-(1 << 15)]


@pytest.mark.parametrize("width", [8, 13, 20, 25, 32])
def test_adding_is_unpacking_and_a_sum(width: int) -> None:
    for size in (*SIZES, 32_769, 70_001):
        total, words = words_of(size, 1), words_of(size, 2)
        want = total + (words & np.uint32((1 << width) - 1))
        packing.add(total, packing.pack(words, width=width), width=width)
        assert np.array_equal(total, want)


def test_nothing_is_added_where_the_form_is_wrong() -> None:
    total = words_of(5, 1)
    before = total.copy()
    data = packing.pack(words_of(5, 2), width=13)
    for bad in (data[:-1], data + b"\x00", data[:-1] + b"\xff"):
        with pytest.raises(MalformedMessage):
            packing.add(total, bad, width=13)
    assert np.array_equal(total, before)


def test_adding_takes_no_vector_in_between() -> None:
    size = 400_000
    total, data = words_of(size, 1), packing.pack(words_of(size, 2), width=20)
    tracemalloc.start()
    packing.add(total, data, width=20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * size / 2
