# SPDX-License-Identifier: Apache-2.0
"""Many small integers in one plaintext, so that plaintexts add up slot by slot.

A plaintext is P = sum_j q_j 2^(w (k-1-j)) for k slots of width w = bits + guard and
signed q_j; negative P count from n^s down. Sums of plaintexts are sums of slots.

**No slot carries into another.** quantise.py proves |sum_i q_ij| < 2^(bits-1) for the
sum over any of the listed participants. So, with O = sum_j 2^(w-1) 2^(w j), every digit
of S = sum_i P_i + O is sum_i q_ij + 2^(w-1), within [0, 2^w) even without a guard bit,
and as 2^(w k) <= 2^plaintext_bits < n^s, S is read from its residue mod n^s digit by
digit. The guard bit lets a sum that left its bits by up to a factor of two be seen
(dequantise refuses it) where it would otherwise change its sign and its neighbour.

It does NOT make a contributor keep to the bound: who encrypts something else can set
every slot to anything, as in every additive scheme; clipping and robust rules answer
that, not packing.

Rules that always hold: each value alone is within its bits before it is packed; a sum
outside [0, 2^(w k)), or with something in a slot that nobody fills, is refused.

Source: ours; several numbers in one plaintext since Damgard, Jurik 2001 (section 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidPlan, InvalidUpdate
from fedxdr.secagg.encrypted.integers import big
from fedxdr.secagg.masking import Words
from fedxdr.secagg.quantise import MAX_BITS, MIN_BITS

_ROWS = 64  # plaintexts per block: scratch of a few megabytes
_WORD_BITS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """How a vector lies in plaintexts.

    Attributes:
        size: d, numbers in the vector, >= 1.
        bits: width of their sum, as in quantise.py, in [8, 31].
        guard: bits between slots, 0 or more; bits + guard <= 32.
        plaintext_bits: room of one plaintext.
    """

    size: int
    bits: int
    plaintext_bits: int
    guard: int = 1

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InvalidPlan(f"{self.size} numbers cannot be packed")
        if not MIN_BITS <= self.bits <= MAX_BITS:
            raise InvalidPlan(
                f"got {self.bits} bits for the sum, want {MIN_BITS} to {MAX_BITS}"
            )
        if self.guard < 0 or self.width > _WORD_BITS:
            raise InvalidPlan(f"a slot of {self.width} bits: want at most 32")
        if self.per_plaintext < 1:
            raise InvalidPlan(f"{self.plaintext_bits} bits have no room for a slot")

    @property
    def width(self) -> int:
        """w, bits of a slot."""
        return self.bits + self.guard

    @property
    def per_plaintext(self) -> int:
        """k, slots in one plaintext."""
        return self.plaintext_bits // self.width

    @property
    def count(self) -> int:
        """How many plaintexts hold the vector."""
        return -(-self.size // self.per_plaintext)

    @property
    def _offset(self) -> int:
        ones = ((1 << self.width * self.per_plaintext) - 1) // ((1 << self.width) - 1)
        return big(ones << (self.width - 1))


def pack(slots: Slots, words: Words) -> list[int]:
    """Return a vector as plaintexts.

    Args:
        slots: how it lies in them.
        words: (d,) uint32 from quantise.py, negative numbers as 2^32 - |q|.

    Returns:
        ``slots.count`` integers, each within +-2^(w k - 1).

    Raises:
        InvalidUpdate: another type or shape, or a value that leaves its bits.
    """
    if words.dtype != np.uint32 or words.shape != (slots.size,):
        raise InvalidUpdate(
            f"got {words.dtype} of shape {words.shape}, want uint32 ({slots.size},)"
        )
    signed = words.view(np.int32)
    limit = 1 << (slots.bits - 1)
    if signed.max() >= limit or signed.min() <= -limit:
        raise InvalidUpdate(f"a value leaves its {slots.bits} bits")
    k, offset = slots.per_plaintext, slots._offset  # noqa: SLF001 - same module
    plaintexts = []
    for begin in range(0, slots.size, _ROWS * k):
        block = words[begin : begin + _ROWS * k]
        rows = -(-block.size // k)
        digits = np.zeros((rows * k,), np.uint32)
        digits[: block.size] = block
        digits += np.uint32(1 << (slots.width - 1))  # modulo 2^32
        bits = np.unpackbits(digits.astype(">u4").view(np.uint8)).reshape(-1, 32)
        kept = bits[:, _WORD_BITS - slots.width :].reshape(rows, k * slots.width)
        pad = -kept.shape[1] % 8
        packed = np.packbits(np.pad(kept, ((0, 0), (pad, 0))), axis=1)
        plaintexts += [big(int.from_bytes(row.tobytes())) - offset for row in packed]
    return plaintexts


def unpack(slots: Slots, sums: Sequence[int], *, modulus: int) -> npt.NDArray[np.int32]:
    """Return the vector that sums of plaintexts carry.

    Args:
        slots: how it lies in them.
        sums: ``slots.count`` integers in [0, modulus).
        modulus: n^s.

    Returns:
        (d,) int32; a value outside +-2^(bits-1) shows that somebody did not keep to the
        bound, and dequantise refuses it.

    Raises:
        InvalidUpdate: another count, or a sum that honest plaintexts cannot have.
    """
    if len(sums) != slots.count:
        raise InvalidUpdate(f"{len(sums)} sums: want {slots.count}")
    k, width = slots.per_plaintext, slots.width
    offset, room = slots._offset, k * width  # noqa: SLF001 - same module
    total = np.empty(slots.count * k, np.int32)
    row_bytes = -(-room // 8)
    for begin in range(0, slots.count, _ROWS):
        block = [(value + offset) % modulus for value in sums[begin : begin + _ROWS]]
        if any(value >> room for value in block):
            raise InvalidUpdate(
                "a sum leaves its plaintext: a contribution did not keep to the bound"
            )
        data = b"".join(int(value).to_bytes(row_bytes) for value in block)
        rows = np.frombuffer(data, np.uint8).reshape(len(block), row_bytes)
        bits = np.unpackbits(rows, axis=1)[:, 8 * row_bytes - room :]
        bits = bits.reshape(len(block) * k, width)
        padded = np.pad(bits, ((0, 0), (_WORD_BITS - width, 0)))
        digits = np.packbits(padded, axis=1).reshape(-1).view(">u4").astype(np.uint32)
        digits -= np.uint32(1 << (width - 1))
        total[begin * k : begin * k + digits.size] = digits.view(np.int32)
    if total[slots.size :].any():
        raise InvalidUpdate("a slot behind the vector's end is not empty")
    return total[: slots.size]
