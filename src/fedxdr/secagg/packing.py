# SPDX-License-Identifier: Apache-2.0
"""Ring elements in as few bits as the sum needs: what is uploaded.

The sum of a round is proven to stay inside ``bits`` signed bits (quantise.py), so it is
enough to know it modulo 2^bits, and masks may be reduced modulo that too: reduction is
a homomorphism from the ring modulo 2^32 to the ring modulo 2^width, hence packing after
masking is masking in the smaller ring. ``upload_width`` adds one guard bit, so that a
sum that left its bits is still seen (``quantise.dequantise`` refuses it); without it
every sum, garbage too, would look like one of ``bits`` bits.

The form is a little-endian bit stream: bit b of word i is bit ``(i * width + b) % 8``
of byte ``(i * width + b) // 8``; unused bits of the last byte are zero. One vector has
one form, and ``ceil(size * width / 8)`` bytes.

It does NOT compress (masked words are uniform) and does NOT mask.

Rules that always hold: ``unpack`` refuses another length and trailing bits that are
set; memory beside input and output is O(block).

Source: ours; modular packing after masking is as in Bonawitz et al. 2017, section 5,
"modular reduction", where R is a power of two.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidPlan, InvalidUpdate, MalformedMessage
from fedxdr.secagg.masking import Words

MIN_WIDTH = 8
MAX_WIDTH = 32
GUARD_BITS = 1
"""How many bits more than the sum needs travel, so that an overflow is noticed."""

_GROUP = 8  # words; eight of them are ``width`` whole bytes
_BLOCK = 16 * 1024  # words; all scratch of a block fits a 1 MiB cache
_LANES = 4  # 64-bit words that hold a group of the largest width
_LANE_BITS = 64

Lanes = npt.NDArray[np.uint64]


def upload_width(bits: int, participants: int, *, guard_bits: int = GUARD_BITS) -> int:
    """Return how many bits per parameter an upload has.

    ``bits`` is the width of the *sum* and already holds the ceil(log2 n) bits by which
    it is wider than one contribution; so the result is at most that plus the guard, and
    at most ``bits + ceil(log2 n)`` for two participants and more.

    Args:
        bits: signed bits of the opened sum, in [8, 31].
        participants: n, how many are listed, >= 1; one alone needs no guard.
        guard_bits: bits beyond, in [0, 24]; with 0 an overflow is not noticed.

    Returns:
        width in [8, 32].

    Raises:
        InvalidPlan: an argument out of its range.
    """
    if not MIN_WIDTH <= bits < MAX_WIDTH:
        raise InvalidPlan(f"got {bits} bits for the sum, want 8 to 31")
    if participants < 1 or not 0 <= guard_bits <= MAX_WIDTH - MIN_WIDTH:
        raise InvalidPlan("an upload has participants, and 0 to 24 guard bits")
    return min(bits + (guard_bits if participants > 1 else 0), MAX_WIDTH)


def packed_bytes(size: int, *, width: int) -> int:
    """Return the exact length of ``size`` packed words: ``ceil(size * width / 8)``."""
    _want_width(width)
    return (size * width + 7) // 8


def pack(words: Words, *, width: int) -> bytes:
    """Return words modulo 2^width as a little-endian bit stream.

    Args:
        words: (d,) uint32; bits from ``width`` on are dropped, which is the reduction.
        width: bits per word, in [8, 32].

    Returns:
        ``ceil(d * width / 8)`` bytes.

    Raises:
        InvalidUpdate: another type or shape.
        InvalidPlan: a width out of its range.
    """
    _want_width(width)
    if words.dtype != np.uint32 or words.ndim != 1:
        raise InvalidUpdate(
            f"words to pack: got {words.dtype} of shape {words.shape}, want uint32 (d,)"
        )
    if width == MAX_WIDTH:
        return words.astype("<u4", copy=False).tobytes()
    result = bytearray(-(-words.size // _GROUP) * width)
    packed = np.frombuffer(result, dtype=f"V{width}")
    groups = -(-min(words.size, _BLOCK) // _GROUP)
    padded = np.zeros(groups * _GROUP, dtype="<u4")
    lanes = np.empty((_LANES, groups), dtype="<u8")
    rows = np.empty((groups, _LANES), dtype="<u8")
    for begin in range(0, words.size, _BLOCK):
        block = words[begin : begin + _BLOCK]
        count = -(-block.size // _GROUP)
        padded[: block.size] = block
        padded[block.size :] = 0
        _join(padded[: count * _GROUP].view("<u8"), lanes[:, :count], width)
        rows[:count] = lanes[:, :count].T
        heads = rows[:count].view(f"V{8 * _LANES}").reshape(count)
        first = begin // _GROUP
        packed[first : first + count] = _heads(heads, width)
    return bytes(memoryview(result)[: packed_bytes(words.size, width=width)])


def unpack(data: bytes, *, size: int, width: int) -> Words:
    """Return the words of a little-endian bit stream.

    Args:
        data: what ``pack`` returned, from outside.
        size: d, how many words.
        width: bits per word, in [8, 32].

    Returns:
        (d,) uint32, each below 2^width.

    Raises:
        MalformedMessage: another length, or trailing bits that are set.
        InvalidPlan: a width out of its range.
    """
    words = np.zeros(max(0, size), dtype=np.uint32)
    _want_form(data, size=size, width=width)
    for begin, block in _blocks(data, size=size, width=width):
        words[begin : begin + block.size] = block
    return words


def add(total: Words, data: bytes, *, width: int) -> None:
    """Add the words of a bit stream to a vector, in place, modulo 2^32.

    As ``unpack`` and a sum, without a vector in between: extra memory is O(block).

    Args:
        total: (d,) uint32, writable.
        data: what ``pack`` returned, from outside.
        width: bits per word, in [8, 32].

    Raises:
        MalformedMessage: another length, or trailing bits that are set; ``total`` is
            not changed.
        InvalidPlan: a width out of its range.
    """
    _want_form(data, size=total.size, width=width)
    for begin, block in _blocks(data, size=total.size, width=width):
        target = total[begin : begin + block.size]
        np.add(target, block, out=target)


def signed(total: Words, *, width: int) -> npt.NDArray[np.int32]:
    """Return sums modulo 2^width as the signed integers they stand for, in place.

    Args:
        total: (d,) uint32, writable; bits from ``width`` on are ignored.
        width: bits per word, in [8, 32].

    Returns:
        (d,) int32 in [-2^(width-1), 2^(width-1)), in the memory of ``total``.
    """
    _want_width(width)
    result = total.view(np.int32)
    if width < MAX_WIDTH:
        shift = np.int32(MAX_WIDTH - width)
        np.left_shift(result, shift, out=result)
        np.right_shift(result, shift, out=result)  # arithmetic: keeps the sign
    return result


def _want_form(data: bytes, *, size: int, width: int) -> None:
    want = packed_bytes(size, width=width)
    if size < 0 or len(data) != want:
        raise MalformedMessage(
            f"{size} words of {width} bits: got {len(data)} bytes, want {want}"
        )
    if size * width % 8 and data[-1] >> (size * width % 8):
        raise MalformedMessage("bits after the last packed word are set")


def _blocks(data: bytes, *, size: int, width: int) -> Iterator[tuple[int, Words]]:
    """Yield the words in order, with where each block begins."""
    if width == MAX_WIDTH:
        words = np.frombuffer(data, dtype="<u4")
        for begin in range(0, size, _BLOCK):
            yield begin, words[begin : begin + _BLOCK]
        return
    whole = size // _GROUP
    packed = np.frombuffer(data, dtype=f"V{width}", count=whole)
    groups = max(1, min(whole, _BLOCK // _GROUP))
    rows = np.zeros((groups, _LANES), dtype="<u8")
    lanes = np.empty((_LANES + 1, groups), dtype="<u8")
    lanes[_LANES] = 0
    for begin in range(0, whole, groups):
        block = packed[begin : begin + groups]
        count = block.size
        _heads(rows[:count].view(f"V{8 * _LANES}").reshape(count), width)[...] = block
        lanes[:_LANES, :count] = rows[:count].T
        yield begin * _GROUP, _split(lanes[:, :count], width).view("<u4")
    rest = int.from_bytes(data[whole * width :], "little")
    tail = [rest >> (width * i) & ((1 << width) - 1) for i in range(size % _GROUP)]
    yield whole * _GROUP, np.array(tail, dtype=np.uint32)


def _join(pairs: Lanes, lanes: Lanes, width: int) -> None:
    """Fill lanes, (4, g), with groups of eight words, given as (4 g,) pairs.

    Pair p of a group stands at bit ``2 * width * p`` of the group's 256 bits.
    """
    low = np.uint64((1 << width) - 1)
    joined = (pairs & low) | (((pairs >> np.uint64(32)) & low) << np.uint64(width))
    for place in range(_GROUP // 2):
        pair = joined[place :: _GROUP // 2]
        lane, shift = divmod(2 * width * place, _LANE_BITS)
        if shift:
            lanes[lane] |= pair << np.uint64(shift)
        else:
            lanes[lane] = pair
        if shift + 2 * width > _LANE_BITS:
            lanes[lane + 1] = pair >> np.uint64(_LANE_BITS - shift)


def _split(lanes: Lanes, width: int) -> Lanes:
    """Return (4 g,) pairs of words from lanes, (5, g), the last of them zero."""
    low = np.uint64((1 << width) - 1)
    joined = np.empty(_GROUP // 2 * lanes.shape[1], dtype="<u8")
    for place in range(_GROUP // 2):
        lane, shift = divmod(2 * width * place, _LANE_BITS)
        pair = lanes[lane] >> np.uint64(shift)
        if shift + 2 * width > _LANE_BITS:
            pair |= lanes[lane + 1] << np.uint64(_LANE_BITS - shift)
        joined[place :: _GROUP // 2] = pair
    high = (joined >> np.uint64(width)) & low
    joined &= low
    joined |= high << np.uint64(32)
    return joined


def _heads(rows: npt.NDArray[np.void], width: int) -> npt.NDArray[np.void]:
    """Return a view of the first ``width`` bytes of each row."""
    return np.ndarray(
        rows.shape, dtype=f"V{width}", buffer=rows.data, strides=rows.strides
    )


def _want_width(width: int) -> None:
    if not MIN_WIDTH <= width <= MAX_WIDTH:
        raise InvalidPlan(f"got {width} bits per word, want 8 to 32")
