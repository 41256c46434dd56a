# SPDX-License-Identifier: Apache-2.0
"""Send less: one common mask per round, or each one's largest values with feedback.

``common_mask`` gives everybody the same coordinates of a round, so that masked vectors
still add up. ``top_k`` takes the largest ones of one organisation, where updates are
seen anyway (mode ``clear``). Either way ``Residual`` keeps what was left out and puts
it into the next update, and ``encode`` writes a sparse vector in its one form.

It does NOT hide which coordinates were kept, and it protects nothing by itself. A
residual is made of private data and never leaves. Under differential privacy it is
added before clipping, so that what is noised is bounded.

Rules that always hold:
    1. A common mask depends on public bytes (plan and parent model), on the size and on
       nothing else; whoever names a run could try names for a mask that suits it, and
       gains nothing but which coordinates wait for a later round.
    2. Kept values and residual together are exactly what went in: nothing is lost.
    3. A sparse vector has one form in bytes; every other is refused.

Sources: Konecny et al. 2016, section 2 (random mask); Stich, Cordonnier and Jaggi 2018
and Karimireddy et al. 2019, Algorithm 2 (error feedback).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidPlan, InvalidUpdate, MalformedMessage
from fedxdr.core.layout import Vector
from fedxdr.crypto.expand import KeyStream

PER_ORGANISATION_SETS_REFUSED: Final = (
    "under masking every organisation keeps the same coordinates: one that only a "
    "single organisation keeps is open in the sum (arXiv 2508.04285); use the common "
    "mask of the round, or mode clear"
)
"""Why a plan with per-organisation index sets and masks is refused."""

MAX_SIZE: Final = 2**31 - 1

Indices = npt.NDArray[np.int64]

_LABEL = "fedxdr/privacy/common-mask/v1"
_MAGIC = b"fxs1"
_HEADER = struct.Struct("<4sBII")
_BITMAP, _GAPS = 0, 1
_GAP_BYTES = 5


def common_mask(seed: bytes, size: int, kept: int) -> Indices:
    """Return the coordinates that everybody keeps in a round.

    Each coordinate draws 64 bits; the ``kept`` smallest win, the lower index of equal
    ones: uniform without replacement, off it by less than size^2 2^-65.

    Args:
        seed: 32 public bytes or more, unforeseeable before the round.
        size: d, in [1, 2^31 - 1].
        kept: how many, in [1, size].

    Returns:
        (kept,) int64, rising.

    Raises:
        InvalidPlan: size or kept out of range.
        MalformedMessage: a seed that is too short.
    """
    _check_kept(size, kept)
    draws = np.empty(size, "<u8")
    KeyStream(seed, label=_LABEL).read_into(draws.data)
    return _first(draws, kept)


def top_k(values: Vector, kept: int) -> Indices:
    """Return the coordinates of the largest absolute values.

    Args:
        values: (d,) float32, finite.
        kept: how many, in [1, d]; of equal values the lower index wins.

    Returns:
        (kept,) int64, rising.

    Raises:
        InvalidUpdate: another type or shape, NaN or infinity.
        InvalidPlan: kept out of range.
    """
    _check_values(values)
    _check_kept(values.size, kept)
    # without its sign a float's bits order as it does; turned round, largest first
    bits = np.ascontiguousarray(values).view(np.uint32) & np.uint32(0x7FFFFFFF)
    return _first(np.uint32(0x7FFFFFFF) - bits, kept)


def scatter(indices: Indices, values: Vector, size: int) -> Vector:
    """Return the dense vector: values at their indices, 0 elsewhere.

    Args:
        indices: (k,) int64, rising, in [0, size).
        values: (k,) float32.
        size: d.

    Raises:
        InvalidUpdate: indices that are not such, or other lengths.
    """
    _check_sparse(indices, values, size)
    result = np.zeros(size, np.float32)
    result[indices] = values
    return result


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Residual:
    """What an organisation has left out so far; private, never sent.

    Attributes:
        values: (d,) float32.
    """

    values: Vector

    @classmethod
    def zero(cls, size: int) -> Residual:
        """Return the residual before the first round."""
        return cls(values=np.zeros(size, np.float32))

    def corrected(self, update: Vector) -> Vector:
        """Return the update plus what was left out: what ``top_k`` looks at.

        Args:
            update: (d,) float32, finite.

        Raises:
            InvalidUpdate: another type or shape, NaN or infinity, or a sum that
                float32 cannot hold.
        """
        _check_values(update)
        if update.shape != self.values.shape:
            raise InvalidUpdate(
                f"got {update.size} values for a residual of {self.values.size}"
            )
        with np.errstate(over="ignore"):
            total = update + self.values
        _check_values(total)
        return total

    def keep(self, update: Vector, indices: Indices) -> tuple[Vector, Residual]:
        """Return the values to send, and what is left out from now on.

        Args:
            update: (d,) float32, finite.
            indices: (k,) int64, rising, in [0, d).

        Returns:
            (k,) float32, and the next residual: 0 where something is sent.

        Raises:
            InvalidUpdate: as ``corrected``, or indices that are not such.
        """
        total = self.corrected(update)
        _check_indices(indices, total.size)
        kept = total[indices]
        total[indices] = 0.0
        return kept, Residual(values=total)


def encode(indices: Indices, values: Vector, size: int) -> bytes:
    """Return a sparse vector in its one form.

    ``"fxs1" || form || size || k || indices || values``: numbers little-endian, size
    and k in 4 bytes, values float32. Form 0: indices as a bitmap, the lowest index in
    the lowest bit, padded with 0. Form 1: LEB128 of each gap, the first index and then
    index - previous - 1. The shorter form is the form, form 0 of equal ones.

    Args:
        indices: (k,) int64, rising, in [0, size).
        values: (k,) float32, finite; -0 is written as 0.
        size: d, in [1, 2^31 - 1].

    Raises:
        InvalidUpdate: indices or values that are not such.
    """
    _check_sparse(indices, values, size)
    bitmap_bytes = (size + 7) // 8
    form, where = _GAPS, _write_gaps(indices)
    if bitmap_bytes <= len(where):
        form = _BITMAP
        bits = np.zeros(size, np.uint8)
        bits[indices] = 1
        where = np.packbits(bits, bitorder="little").tobytes()
    header = _HEADER.pack(_MAGIC, form, size, indices.size)
    return header + where + (values + np.float32(0)).astype("<f4").tobytes()


def decode(data: bytes, *, size: int) -> tuple[Indices, Vector]:
    """Return the sparse vector that ``encode`` wrote.

    Memory is bounded by the data and by ``size``, whatever the data claim.

    Args:
        data: the bytes.
        size: d, as the receiver knows it.

    Returns:
        indices, (k,) int64, and values, (k,) float32.

    Raises:
        MalformedMessage: any other bytes than the one form of a vector of that size.
    """
    if len(data) < _HEADER.size:
        raise MalformedMessage(f"a sparse vector: got {len(data)} bytes")
    magic, form, claimed, kept = _HEADER.unpack_from(data)
    if magic != _MAGIC or form not in (_BITMAP, _GAPS):
        raise MalformedMessage("not a sparse vector of a form that is known")
    if claimed != size:
        raise MalformedMessage(f"a sparse vector of {claimed} values, want {size}")
    end = len(data) - 4 * kept
    if kept > size or end < _HEADER.size:
        raise MalformedMessage(f"{kept} values are more than there are bytes for")
    where = np.frombuffer(data[_HEADER.size : end], np.uint8)
    if form == _BITMAP:
        if where.size != (size + 7) // 8:
            raise MalformedMessage("a bitmap of another length")
        bits = np.unpackbits(where, bitorder="little")
        indices = np.flatnonzero(bits).astype(np.int64)
    else:
        indices = _read_gaps(where)
    values = np.frombuffer(data[end:], "<f4").astype(np.float32)
    try:
        again = encode(indices, values, size)
    except InvalidUpdate as error:
        raise MalformedMessage(f"no sparse vector: {error}") from error
    if again != data:
        raise MalformedMessage("a sparse vector, but not in its one form")
    return indices, values


def _first(keys: npt.NDArray[np.unsignedinteger], kept: int) -> Indices:
    """Return where the ``kept`` smallest keys are, rising; ties to the lower index."""
    border = np.partition(keys, kept - 1)[kept - 1]
    below = np.flatnonzero(keys < border)
    ties = np.flatnonzero(keys == border)[: kept - below.size]
    return np.sort(np.concatenate([below, ties])).astype(np.int64)


def _write_gaps(indices: Indices) -> bytes:
    if not indices.size:
        return b""
    gaps = np.diff(indices, prepend=-1) - 1
    # (k, 5): seven bits each, the lowest first; all but the last say that more follow
    groups = gaps[:, None] >> (7 * np.arange(_GAP_BYTES))
    more = groups >> 7 > 0
    used = np.concatenate([np.ones((gaps.size, 1), np.bool_), more[:, :-1]], axis=1)
    written: bytes = ((groups & 0x7F) | (more * 0x80)).astype(np.uint8)[used].tobytes()
    return written


def _read_gaps(where: npt.NDArray[np.uint8]) -> Indices:
    (ends,) = np.nonzero(where < 0x80)
    if where.size and (not ends.size or ends[-1] != where.size - 1):
        raise MalformedMessage("the last gap of a sparse vector has no end")
    begins = np.concatenate([[0], ends[:-1] + 1]) if ends.size else ends
    lengths = ends - begins + 1
    if ends.size and lengths.max() > _GAP_BYTES:
        raise MalformedMessage("a gap of a sparse vector is too long")
    place = np.arange(where.size) - np.repeat(begins, lengths)
    parts = (where.astype(np.int64) & 0x7F) << (7 * place)
    gaps = np.add.reduceat(parts, begins) if ends.size else parts
    # at most 2^35 each; more of them than bytes there are not
    return (np.cumsum(gaps + 1) - 1).astype(np.int64)


def _check_kept(size: int, kept: int) -> None:
    if not 1 <= size <= MAX_SIZE or not 1 <= kept <= size:
        raise InvalidPlan(f"keep {kept} of {size} values: want 1 to all of them")


def _check_values(values: Vector) -> None:
    if values.dtype != np.float32 or values.ndim != 1:
        raise InvalidUpdate(
            f"got {values.dtype} of shape {values.shape}, want float32 (d,)"
        )
    if not np.isfinite(values).all():
        raise InvalidUpdate("a value is NaN or infinite")


def _check_indices(indices: Indices, size: int) -> None:
    if indices.dtype != np.int64 or indices.ndim != 1:
        raise InvalidUpdate(
            f"got indices of {indices.dtype}, shape {indices.shape}, want int64 (k,)"
        )
    if indices.size and (
        indices[0] < 0 or indices[-1] >= size or not (np.diff(indices) > 0).all()
    ):
        raise InvalidUpdate(f"indices rise, from 0 on, and are below {size}")


def _check_sparse(indices: Indices, values: Vector, size: int) -> None:
    if not 1 <= size <= MAX_SIZE:
        raise InvalidUpdate(f"got a size of {size}, want 1 to 2^31 - 1")
    _check_values(values)
    _check_indices(indices, size)
    if indices.shape != values.shape:
        raise InvalidUpdate(f"{values.size} values for {indices.size} indices")
