# SPDX-License-Identifier: Apache-2.0
"""A number for every node that was seen, found by hashing, for many nodes at once.

``Slots`` is a hash table with open addressing whose rounds of probing are array
operations over all keys that are still looked for: a round for each key that shares a
cell, not one for each key.

It does NOT know what a key means and takes no key out one by one: ``keep`` makes the
table anew.

Rules that always hold:
    1. Numbers are dense and are given in the order in which keys were first asked for,
       however the stream was cut.
    2. Keys are compared whole: two keys never share a number.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.models.graph import NONE, Integers

_FREE: Final = NONE
_FEWEST: Final = 64
_FACTORS: Final = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9)
"""Of the golden ratio, and of splitmix64 (Steele et al. 2014); odd."""


class Slots:
    """Numbers of keys.

    Args:
        width: how many int64 columns make a key, >= 1.

    Attributes:
        keys: (width, capacity) int64, the keys by number; those below ``len`` count.
    """

    def __init__(self, width: int) -> None:
        self.keys: Integers = np.zeros((width, _FEWEST), np.int64)
        self._count = 0
        self._cells = np.full(2 * _FEWEST, _FREE, np.int32)

    def __len__(self) -> int:
        return self._count

    @property
    def size_bytes(self) -> int:
        """Bytes of all arrays."""
        return self.keys.nbytes + self._cells.nbytes

    def find(self, keys: Integers) -> Integers:
        """Return the number of each key; one that is new gets the next.

        Args:
            keys: (width, n) int64.

        Returns:
            (n,) int64 in [0, ``len``).

        Raises:
            InvalidTelemetry: keys of another width.
        """
        found = self.look_up(keys)
        missing = np.flatnonzero(found == _FREE)
        if missing.size:
            new, number = _distinct(keys[:, missing])
            found[missing] = self._count + number
            self.extend(new)
        return found

    def look_up(self, keys: Integers) -> Integers:
        """Return the number of each key, ``graph.NONE`` where it has none.

        Args:
            keys: (width, n) int64.

        Returns:
            (n,) int64 in [-1, ``len``).

        Raises:
            InvalidTelemetry: keys of another width.
        """
        if keys.shape[0] != len(self.keys):
            raise InvalidTelemetry(
                f"got keys of {keys.shape[0]} columns, want {len(self.keys)}"
            )
        found = np.full(keys.shape[1], _FREE, np.int64)
        left = np.arange(keys.shape[1])
        cell = self._home(keys)
        while left.size:
            number = self._cells[cell]
            is_same = number != _FREE
            goes_on = is_same.copy()
            for of_table, asked in zip(self.keys, keys, strict=True):
                is_same &= of_table[number] == asked[left]
            found[left[is_same]] = number[is_same]
            goes_on &= ~is_same
            left = left[goes_on]
            cell = self._next(cell[goes_on])
        return found

    def keep(self, numbers: Integers) -> None:
        """Forget all keys but some, which are numbered anew in the order given.

        Args:
            numbers: (m,) int64, each once.
        """
        kept = self.keys[:, numbers]
        self._count = 0
        self._cells = np.full(2 * _FEWEST, _FREE, np.int32)
        self.keys = np.zeros((len(kept), _FEWEST), np.int64)
        self.extend(kept)

    def extend(self, keys: Integers) -> None:
        """Number keys of which none is in the table and each stands once.

        Args:
            keys: (width, m) int64.
        """
        begin, end = self._count, self._count + keys.shape[1]
        if end > self.keys.shape[1]:
            capacity = 1 << (end - 1).bit_length()
            wider = np.zeros((len(self.keys), capacity), np.int64)
            wider[:, :begin] = self.keys[:, :begin]
            self.keys = wider
            self._cells = np.full(2 * capacity, _FREE, np.int32)
            begin = 0
        self.keys[:, end - keys.shape[1] : end] = keys
        self._count = end
        self._enter(np.arange(begin, end))

    def _enter(self, numbers: Integers) -> None:
        """Put numbers into free cells."""
        left = numbers
        cell = self._home(self.keys[:, numbers])
        while left.size:
            is_free = self._cells[cell] == _FREE
            self._cells[cell[is_free]] = left[is_free]
            # of several that wanted one cell the last has it
            is_out = self._cells[cell] != left
            left = left[is_out]
            cell = self._next(cell[is_out])

    def _home(self, keys: Integers) -> Integers:
        mixed = np.zeros(keys.shape[1], np.uint64)
        for column in keys:
            mixed += column.view(np.uint64)
            for factor in _FACTORS:
                mixed *= np.uint64(factor)
                mixed ^= mixed >> np.uint64(31)
        return (mixed & np.uint64(len(self._cells) - 1)).astype(np.int64)

    def _next(self, cell: Integers) -> Integers:
        return (cell + 1) & (len(self._cells) - 1)


def _distinct(keys: Integers) -> tuple[Integers, npt.NDArray[np.int64]]:
    """Return each key once, by first appearance, and which one stands where."""
    order = np.lexsort(keys)
    ordered = keys[:, order]
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)
    # lexsort is stable: the first of a group is the one that came first
    came = order[is_first]
    by_coming = np.argsort(came)
    place = np.empty(len(came), np.int64)
    place[by_coming] = np.arange(len(came))
    number = np.empty(len(order), np.int64)
    number[order] = place[np.cumsum(is_first) - 1]
    return keys[:, came[by_coming]], number
