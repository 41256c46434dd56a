# SPDX-License-Identifier: Apache-2.0
"""secagg/encrypted/slots.py: the definition, sums without carries, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidPlan, InvalidUpdate
from fedxdr.secagg.encrypted.slots import Slots, pack, unpack

MODULUS = 2**511 + 2**300 + 1  # any number above 2^511


def words_of(values: list[int]) -> np.ndarray:
    return np.array(values, np.int32).view(np.uint32)


def by_definition(slots: Slots, values: list[int]) -> list[int]:
    """P = sum_j q_j 2^(w (k-1-j)), k at a time."""
    k = slots.per_plaintext
    return [
        sum(
            q * 2 ** (slots.width * (k - 1 - j))
            for j, q in enumerate(values[begin : begin + k])
        )
        for begin in range(0, len(values), k)
    ]


@settings(max_examples=80)
@given(
    bits=st.integers(8, 31),
    guard=st.integers(0, 3),
    n=st.integers(1, 5),
    data=st.data(),
)
def test_sums_of_plaintexts_are_sums_of_slots(
    bits: int, guard: int, n: int, data: st.DataObject
) -> None:
    guard = min(guard, 32 - bits)
    size = data.draw(st.integers(1, 150))
    slots = Slots(size=size, bits=bits, guard=guard, plaintext_bits=511)
    limit = (2 ** (bits - 1) - 1) // n  # so that their sum fits in bits
    vectors = [
        data.draw(
            st.lists(
                st.sampled_from([-limit, limit, 0, 1, -1]) | st.integers(-limit, limit),
                min_size=size,
                max_size=size,
            )
        )
        for _ in range(n)
    ]
    packed = [pack(slots, words_of(values)) for values in vectors]
    assert packed == [by_definition(slots, values) for values in vectors]
    assert all(len(plaintexts) == slots.count for plaintexts in packed)
    sums = [sum(column) % MODULUS for column in zip(*packed, strict=True)]
    total = unpack(slots, sums, modulus=MODULUS)
    assert total.dtype == np.int32
    assert total.tolist() == [sum(column) for column in zip(*vectors, strict=True)]


@pytest.mark.parametrize("guard", [0, 1])
@pytest.mark.parametrize("sign", [1, -1])
def test_no_slot_carries_at_the_bound(guard: int, sign: int) -> None:
    # every slot at the largest sum there may be, in all plaintexts at once
    slots = Slots(size=63, bits=24, guard=guard, plaintext_bits=511)
    n, bound = 3, 2**23 - 1
    parts = [sign * (bound // n)] * 2
    parts.append(sign * bound - sum(parts))
    sums = [
        sum(column) % MODULUS
        for column in zip(
            *(pack(slots, words_of([q] * 63)) for q in parts), strict=True
        )
    ]
    assert unpack(slots, sums, modulus=MODULUS).tolist() == [sign * bound] * 63


def test_the_guard_bit_shows_a_sum_that_left_its_bits() -> None:
    values = [0, 2**23 - 1, 0]
    for guard, want in ((1, [0, 2**24 - 2, 0]), (0, [1, -2, 0])):
        slots = Slots(size=3, bits=24, guard=guard, plaintext_bits=511)
        (one,) = pack(slots, words_of(values))
        assert unpack(slots, [2 * one], modulus=MODULUS).tolist() == want


def test_a_large_vector_in_several_blocks() -> None:
    slots = Slots(size=5000, bits=24, plaintext_bits=511)
    values = np.random.Generator(np.random.PCG64(1)).integers(-(2**22), 2**22, 5000)
    packed = pack(slots, words_of(values.tolist()))
    assert packed == by_definition(slots, values.tolist())
    assert slots.count == 250
    found = unpack(slots, [value % MODULUS for value in packed], modulus=MODULUS)
    assert np.array_equal(found, values)


def test_how_many_slots_a_plaintext_has() -> None:
    # 3,072-bit Paillier, as the benchmark has it
    slots = Slots(size=100_000, bits=24, plaintext_bits=3071)
    assert (slots.width, slots.per_plaintext, slots.count) == (25, 122, 820)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 0}, "0 numbers"),
        ({"bits": 7}, "got 7 bits"),
        ({"bits": 32}, "got 32 bits"),
        ({"guard": -1}, "a slot of 23 bits"),
        ({"guard": 9}, "a slot of 33 bits"),
        ({"plaintext_bits": 24}, "no room"),
    ],
)
def test_slots_that_cannot_be(fields: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidPlan, match=message):
        Slots(**{"size": 5, "bits": 24, "plaintext_bits": 511, **fields})


@pytest.mark.parametrize("value", [2**23, -(2**23), 2**31 - 1, -(2**31)])
def test_a_value_that_leaves_its_bits_is_refused(value: int) -> None:
    slots = Slots(size=2, bits=24, plaintext_bits=511)
    with pytest.raises(InvalidUpdate, match="leaves its 24 bits"):
        pack(slots, words_of([0, value]))


@pytest.mark.parametrize(
    "words",
    [np.zeros(3, np.uint32), np.zeros(2, np.int64), np.zeros((1, 2), np.uint32)],
)
def test_another_vector_is_refused(words: np.ndarray) -> None:
    with pytest.raises(InvalidUpdate, match="want uint32"):
        pack(Slots(size=2, bits=24, plaintext_bits=511), words)


def test_sums_that_honest_plaintexts_cannot_have_are_refused() -> None:
    slots = Slots(size=22, bits=24, plaintext_bits=511)
    assert slots.count == 2
    top = 2 ** (25 * 20)
    for wrong in (top, MODULUS - top, MODULUS // 2):
        with pytest.raises(InvalidUpdate, match="keep to the bound"):
            unpack(slots, [0, wrong], modulus=MODULUS)
    with pytest.raises(InvalidUpdate, match="behind the vector's end"):
        unpack(slots, [0, 1], modulus=MODULUS)  # the last slot is nobody's
    for wrong in ([0], [0, 0, 0]):
        with pytest.raises(InvalidUpdate, match="want 2"):
            unpack(slots, wrong, modulus=MODULUS)
