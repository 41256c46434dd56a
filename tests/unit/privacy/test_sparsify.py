# SPDX-License-Identifier: Apache-2.0
import itertools
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from fedxdr.core.errors import InvalidPlan, InvalidUpdate, MalformedMessage
from fedxdr.core.randomness import generator
from fedxdr.crypto.expand import KeyStream
from fedxdr.privacy import sparsify
from fedxdr.privacy.sparsify import Residual

SEED = bytes(range(32))
FINITE = {"allow_nan": False, "allow_infinity": False, "width": 32}


def vectors(min_size=1, max_size=15):
    return hnp.arrays(
        np.float32,
        st.integers(min_size, max_size),
        elements=st.floats(-(2.0**100), 2.0**100, **FINITE),
    )


def rising(size):
    return st.sets(st.integers(0, size - 1)).map(lambda s: np.array(sorted(s), int))


# --- the common mask


def test_the_mask_is_everybodys_and_of_its_round():
    mask = sparsify.common_mask(SEED, 1000, 100)
    assert mask.dtype == np.int64
    assert (np.diff(mask) > 0).all()
    assert mask.size == 100
    assert 0 <= mask[0] <= mask[-1] < 1000
    assert (sparsify.common_mask(SEED, 1000, 100) == mask).all()
    other = sparsify.common_mask(SEED[::-1], 1000, 100)
    assert len(set(mask) & set(other)) < 30


def test_the_mask_is_the_smallest_draws_of_a_labelled_stream():
    stream = KeyStream(SEED, label="fedxdr/privacy/common-mask/v1")
    draws = [int.from_bytes(stream.read(8), "little") for _ in range(50)]
    smallest = sorted(range(50), key=lambda i: (draws[i], i))[:7]
    assert sparsify.common_mask(SEED, 50, 7).tolist() == sorted(smallest)


def test_a_mask_is_fixed_for_good():
    # another release of the product must not disagree about a round's coordinates
    assert sparsify.common_mask(SEED, 12, 4).tolist() == MASK_12_4


MASK_12_4 = [2, 3, 8, 9]


def test_every_set_is_as_likely_as_any_other():
    counts = dict.fromkeys(itertools.combinations(range(5), 2), 0)
    for number in range(4000):
        seed = number.to_bytes(32, "big")
        counts[tuple(sparsify.common_mask(seed, 5, 2).tolist())] += 1
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_all_can_be_kept():
    assert sparsify.common_mask(SEED, 9, 9).tolist() == list(range(9))


def test_equal_draws_go_to_the_lower_index():
    keys = np.array([3, 1, 3, 3, 0], np.uint64)
    assert sparsify._first(keys, 3).tolist() == [0, 1, 4]
    assert sparsify._first(keys, 4).tolist() == [0, 1, 2, 4]


@pytest.mark.parametrize(
    ("size", "kept"), [(0, 0), (5, 0), (5, 6), (-1, 1), (2**31, 1)]
)
def test_masks_out_of_range_are_refused(size, kept):
    with pytest.raises(InvalidPlan):
        sparsify.common_mask(SEED, size, kept)


def test_a_short_seed_is_refused():
    with pytest.raises(MalformedMessage):
        sparsify.common_mask(SEED[:31], 5, 2)


# --- top-k and error feedback


@given(values=vectors(), data=st.data())
def test_top_k_are_the_largest_and_of_equals_the_first(values, data):
    kept = data.draw(st.integers(1, values.size))
    order = sorted(range(values.size), key=lambda i: (-abs(float(values[i])), i))
    assert sparsify.top_k(values, kept).tolist() == sorted(order[:kept])


def test_what_top_k_refuses():
    good = np.ones(4, np.float32)
    for values in (good.astype(np.float64), good.reshape(2, 2)):
        with pytest.raises(InvalidUpdate):
            sparsify.top_k(values, 1)
    for bad in (np.nan, np.inf):
        with pytest.raises(InvalidUpdate):
            sparsify.top_k(np.array([1, bad], np.float32), 1)
    for kept in (0, 5):
        with pytest.raises(InvalidPlan):
            sparsify.top_k(good, kept)


@given(values=vectors(2), data=st.data())
def test_what_is_kept_and_what_is_left_are_what_went_in(values, data):
    residual = Residual(values=np.roll(values, 1))
    indices = data.draw(rising(values.size))
    before = values.copy()
    kept, left = residual.keep(values, indices)
    dense = sparsify.scatter(indices, kept, values.size)
    assert (dense + left.values == residual.corrected(values)).all()
    assert not (dense != 0)[left.values != 0].any()
    assert (values == before).all()


def test_error_feedback_sends_everything_in_the_end():
    # a constant update of which a tenth is sent per round: what was sent, on average,
    # is the update; without feedback most coordinates would never be sent
    update = generator(1).normal(size=200).astype(np.float32)
    residual, sent = Residual.zero(200), np.zeros(200)
    rounds = 400
    for _ in range(rounds):
        indices = sparsify.top_k(residual.corrected(update), 20)
        kept, residual = residual.keep(update, indices)
        sent[indices] += kept
    assert np.abs(sent / rounds - update).max() < 0.1
    assert np.linalg.norm(residual.values) < 200 / 20 * np.linalg.norm(update)


def test_a_residual_of_another_size_is_refused():
    with pytest.raises(InvalidUpdate):
        Residual.zero(3).keep(np.ones(4, np.float32), np.array([0]))
    with pytest.raises(InvalidUpdate):
        Residual.zero(2).keep(np.ones(2, np.float32), np.array([1, 0]))
    huge = np.full(2, 3e38, np.float32)
    with pytest.raises(InvalidUpdate):
        Residual(values=huge).corrected(huge)


# --- bytes


@settings(max_examples=120)
@given(size=st.integers(1, 3000), data=st.data())
def test_a_sparse_vector_is_read_as_it_was_written(size, data):
    indices = data.draw(rising(size))
    values = data.draw(
        hnp.arrays(np.float32, indices.size, elements=st.floats(**FINITE))
    )
    written = sparsify.encode(indices, values, size)
    found, again = sparsify.decode(written, size=size)
    assert found.dtype == np.int64
    assert again.dtype == np.float32
    assert (found == indices).all()
    assert (again == values).all()
    assert len(written) <= 13 + (size + 7) // 8 + 4 * indices.size


def test_the_form_is_what_the_docstring_says():
    values = np.array([1.0, -2.0], np.float32)
    body = struct.pack("<2f", 1.0, -2.0)
    # gaps 200 and 1000 - 200 - 1 = 799, as LEB128
    assert sparsify.encode(np.array([200, 1000]), values, 2000) == (
        b"fxs1\x01" + struct.pack("<II", 2000, 2) + b"\xc8\x01\x9f\x06" + body
    )
    # 9 bits fit two bytes, no longer than two gaps
    assert sparsify.encode(np.array([1, 8]), values, 9) == (
        b"fxs1\x00" + struct.pack("<II", 9, 2) + b"\x02\x01" + body
    )


def test_indices_far_apart_survive():
    indices = np.array([0, 127, 128, 16_511, 2**28 + 5, 2**31 - 2])
    values = np.arange(6, dtype=np.float32)
    written = sparsify.encode(indices, values, 2**31 - 1)
    assert len(written) < 13 + 6 * 5 + 24
    found, _ = sparsify.decode(written, size=2**31 - 1)
    assert (found == indices).all()


def test_a_sparse_vector_is_as_short_as_it_should_be():
    # one in ten of 100,000 in under 5 bytes each, one in two in a bit each
    tenth = sparsify.common_mask(SEED, 100_000, 10_000)
    half = sparsify.common_mask(SEED, 100_000, 50_000)
    ones = np.ones(50_000, np.float32)
    assert len(sparsify.encode(tenth, ones[:10_000], 100_000)) < 5.2 * 10_000
    assert len(sparsify.encode(half, ones, 100_000)) == 13 + 12_500 + 200_000


def test_nothing_kept_is_a_vector_too():
    nothing = np.array([], np.int64)
    written = sparsify.encode(nothing, np.array([], np.float32), 100)
    assert written == b"fxs1\x01" + struct.pack("<II", 100, 0)
    indices, values = sparsify.decode(written, size=100)
    assert indices.size == values.size == 0


def test_minus_zero_has_no_form_of_its_own():
    place = np.array([3])
    zero = sparsify.encode(place, np.array([0.0], np.float32), 50)
    assert sparsify.encode(place, np.array([-0.0], np.float32), 50) == zero
    minus = zero[:-4] + struct.pack("<f", -0.0)
    with pytest.raises(MalformedMessage, match="one form"):
        sparsify.decode(minus, size=50)


def gaps(*where, size=2000, kept=1, values=b"\0\0\x80?"):
    return b"fxs1\x01" + struct.pack("<II", size, kept) + bytes(where) + values * kept


BAD = {
    "empty": b"",
    "short": b"fxs1\x01",
    "other magic": b"fxs2" + gaps(5)[4:],
    "other form": b"fxs1\x02" + gaps(5)[5:],
    "another size": gaps(5, size=1999),
    "more values than bytes": gaps(5, kept=1)[:9] + struct.pack("<I", 2**32 - 1),
    "more values than size": gaps(5, kept=2001, values=b""),
    "a gap without end": gaps(0x85),
    "no gap": gaps(),
    "a gap too many": gaps(5, 5),
    "a gap with a zero behind": gaps(0x85, 0x00),
    "a gap of six bytes": gaps(0x85, 0x80, 0x80, 0x80, 0x80, 0x00),
    "a gap beyond the size": gaps(0xFF, 0xFF, 0xFF, 0xFF, 0x7F),
    "an index beyond the size": gaps(0xD0, 0x0F),
    "a byte too many": gaps(5) + b"\0",
    "NaN": gaps(5, values=b"\0\0\xc0\x7f"),
    "infinity": gaps(5, values=b"\0\0\x80\x7f"),
    "bitmap where gaps are shorter": (
        b"fxs1\x00" + struct.pack("<II", 2000, 1) + b"\1" + bytes(249) + b"\0\0\x80?"
    ),
    "bitmap of another length": (
        b"fxs1\x00" + struct.pack("<II", 2000, 0) + b"\0" * 249
    ),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_every_other_form_is_refused(bad):
    with pytest.raises(MalformedMessage):
        sparsify.decode(bad, size=2000)


def test_a_bitmap_ends_in_zeros_and_counts_right():
    good = b"fxs1\x00" + struct.pack("<II", 9, 2) + b"\x02\x01" + b"\0\0\x80?" * 2
    sparsify.decode(good, size=9)
    padded = good[:14] + b"\x03" + good[15:]  # bit 9 of 9
    with pytest.raises(MalformedMessage):
        sparsify.decode(padded, size=9)
    fewer = good[:13] + b"\x00" + good[14:]
    with pytest.raises(MalformedMessage):
        sparsify.decode(fewer, size=9)


@settings(max_examples=120)
@given(data=st.binary(max_size=80), begin=st.sampled_from([b"", b"fxs1\0", b"fxs1\1"]))
def test_any_bytes_give_a_vector_or_our_error(data, begin):
    claimed = begin + (struct.pack("<I", 20) + data if begin else data)
    try:
        indices, values = sparsify.decode(claimed, size=20)
    except MalformedMessage:
        return
    assert sparsify.encode(indices, values, 20) == claimed


def test_what_cannot_be_written():
    one = np.ones(1, np.float32)
    for indices, values, size in (
        (np.array([5]), one, 5),
        (np.array([-1]), one, 5),
        (np.array([1, 1]), np.ones(2, np.float32), 5),
        (np.array([1]), np.ones(2, np.float32), 5),
        (np.array([1], np.int32), one, 5),
        (np.array([1]), one.astype(np.float64), 5),
        (np.array([1]), np.array([np.nan], np.float32), 5),
        (np.array([0]), one, 2**31),
        (np.array([], int), one[:0], 0),
    ):
        with pytest.raises(InvalidUpdate):
            sparsify.encode(indices, values, size)
        with pytest.raises(InvalidUpdate):
            sparsify.scatter(indices, values, size)


def test_the_sentence_says_why_and_what_to_do():
    sentence = sparsify.PER_ORGANISATION_SETS_REFUSED
    assert "2508.04285" in sentence
    assert "common mask" in sentence
    assert "clear" in sentence
