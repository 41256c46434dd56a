# SPDX-License-Identifier: Apache-2.0
"""Many short lists that grow at their ends, in a few long arrays.

One list's items lie side by side in a region of 2^k places, oldest first, with room at
its end. When it is full, the last items that count move to its beginning, or into a
region of another size; the old one is given to the next list that wants its size. There
is no Python loop over lists or items, only over sizes.

It does NOT know what an item is: columns are numpy arrays, written and read by place.

Rules that always hold:
    1. The last ``depth`` items of a list lie side by side, just before its end; so a
       window over them is a run that can be copied whole.
    2. Before every place that is given out lie ``pad`` others, those before the first
       region of zeros: a window that begins before its list is still inside.
    3. A region that was full is at most four times as long as what it then holds.

Source: regions by powers of two as in buddy allocators (Knowlton 1965), not merged.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedxdr.models.graph import Integers

_PARTS: Final = 3
_END: Final = 1
"""Of a list are kept where its region begins, where it ends, where the region does."""

_LEAST: Final = 2
"""Logarithm of the smallest region's size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of the items.

    Attributes:
        dtype: of one item, structured for several numbers.
        depth: how many items of each list count in it, >= 1; what is older may be
            anything.
    """

    dtype: np.dtype[Any]
    depth: int


class Regions:
    """Lists by number, and the columns of their items.

    Args:
        columns: by name, one or more.
        pad: how many zeros lie before the first region, at least the largest depth.

    Attributes:
        columns: per name (size,), the items.
    """

    def __init__(self, columns: Mapping[str, Column], *, pad: int) -> None:
        self._depths = {name: column.depth for name, column in columns.items()}
        self._depth = max(self._depths.values())
        self._pad = self._used = pad
        self._free: dict[int, Integers] = {}
        self._count = 0
        # (lists, 3), those below ``_count`` in use: one line of memory for each
        self._lists = np.zeros((0, _PARTS), np.int64)
        self.columns: dict[str, npt.NDArray[Any]] = {
            name: np.zeros(pad, column.dtype) for name, column in columns.items()
        }

    @property
    def size_bytes(self) -> int:
        """Bytes of all arrays."""
        return self._lists.nbytes + sum(c.nbytes for c in self.columns.values())

    def lengthen(self, lists: int) -> None:
        """Have that many lists; new ones are empty."""
        if lists > len(self._lists):
            more = np.zeros((2 * lists - len(self._lists), _PARTS), np.int64)
            self._lists = np.concatenate([self._lists, more])
        self._count = max(self._count, lists)

    def claim(self, lists: Integers, count: Integers) -> tuple[Integers, Integers]:
        """Lengthen some lists.

        Args:
            lists: (g,) int64, each once.
            count: (g,) int64, how many items each gets, >= 1.

        Returns:
            two of (g,) int64: where each list begins, and where its first new item
            belongs.
        """
        self._make_room(lists, count)
        home, end, _ = self._lists[lists].T
        self._lists[lists, _END] = end + count
        return home, end

    def held(self) -> Integers:
        """Return (lists,) int64, how many items of each list count."""
        home, end, _ = self._lists[: self._count].T
        held: Integers = np.minimum(end - home, self._depth)
        return held

    def items(self) -> dict[str, npt.NDArray[Any]]:
        """Return per column the items that count, list by list."""
        end = self._lists[: self._count, _END]
        runs_of = _once_per_depth(end, self.held())
        return {
            name: column.take(runs_of(self._depths[name]))
            for name, column in self.columns.items()
        }

    def fill(self, held: Integers, items: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take what ``held`` and ``items`` told of others; ours are empty."""
        lists = np.arange(len(held))
        self.lengthen(len(held))
        _, begin = self.claim(lists, held)
        runs_of = _once_per_depth(begin + held, held)
        for name, column in self.columns.items():
            put(column, runs_of(self._depths[name]), items[name])

    def keep(self, lists: Integers) -> None:
        """Drop all lists but some, which are numbered anew in the order given."""
        is_gone = np.ones(self._count, np.bool_)
        is_gone[lists] = False
        home, _, limit = self._lists[: self._count][is_gone].T
        self._give_back(home, limit - home)
        self._count = len(lists)
        self._lists = self._lists[lists]

    def _make_room(self, lists: Integers, count: Integers) -> None:
        """Have room for ``count`` items behind the last ones of some lists."""
        home, end, limit = self._lists[lists].T
        is_full = end + count > limit
        full, home, end = lists[is_full], home[is_full], end[is_full]
        held = np.minimum(end - home, self._depth)
        size = limit[is_full] - home
        wanted = _power(held + count[is_full])
        # a list that was busy once does not keep its long region for ever
        is_other = (size < wanted) | (size > 4 * wanted)
        size = np.where(is_other, wanted, size)
        new = home.copy()
        new[is_other] = self._take(wanted[is_other])
        self._move(end, new + held, held)
        self._give_back(home[is_other], limit[is_full][is_other] - home[is_other])
        self._lists[full] = np.stack([new, new + held, new + size], axis=1)

    def _take(self, sizes: Integers) -> Integers:
        """Return where regions of some sizes begin that nobody uses."""
        found = np.empty(len(sizes), np.int64)
        for size in np.unique(sizes).tolist():
            wanted = np.flatnonzero(sizes == size)
            free = self._free.get(size, np.zeros(0, np.int64))
            self._free[size], again = np.split(free, [max(0, len(free) - len(wanted))])
            found[wanted[: len(again)]] = again
            more = len(wanted) - len(again)
            found[wanted[len(again) :]] = self._used + size * np.arange(more)
            self._used += size * more
        self._enlarge()
        return found

    def _give_back(self, begin: Integers, sizes: Integers) -> None:
        for size in np.unique(sizes[sizes > 0]).tolist():
            free = self._free.get(size, np.zeros(0, np.int64))
            self._free[size] = np.concatenate([free, begin[sizes == size]])

    def _enlarge(self) -> None:
        """Make the arrays as long as what is used; nothing moves."""
        for name, column in self.columns.items():
            if len(column) < self._used:
                # what is not written to yet takes no memory
                longer = np.zeros(2 * self._used, column.dtype)
                longer[: len(column)] = column
                self.columns[name] = longer

    def _move(self, end: Integers, new_end: Integers, held: Integers) -> None:
        """Copy the last items of some lists, all at once, to before other ends."""
        from_runs, to_runs = _once_per_depth(end, held), _once_per_depth(new_end, held)
        for name, column in self.columns.items():
            depth = self._depths[name]
            put(column, to_runs(depth), column.take(from_runs(depth)))


def put(column: npt.NDArray[Any], place: Integers, items: npt.NDArray[Any]) -> None:
    """Write items to places of a column; structured ones as bytes, six times faster."""
    if column.dtype.names:
        raw = f"V{column.itemsize}"
        column, items = column.view(raw), items.view(raw)
    column[place] = items


def _power(count: Integers) -> Integers:
    """Return the least power of two above each count, not below the smallest region."""
    exponent = np.frexp(count.astype(np.float64))[1].astype(np.int64)
    size: Integers = np.int64(1) << np.maximum(exponent, _LEAST)
    return size


def runs(begin: Integers, count: Integers) -> Integers:
    """Return begin, begin + 1, ... of each run of some length, one after the other."""
    behind = np.cumsum(count)
    whole = int(behind[-1]) if len(behind) else 0
    return np.arange(whole) + np.repeat(begin - behind + count, count)


def _once_per_depth(end: Integers, held: Integers) -> Callable[[int], Integers]:
    """Return what gives the places of lists' last items, at most ``depth`` of each."""

    @functools.cache
    def found(depth: int) -> Integers:
        count = np.minimum(held, depth)
        return runs(end - count, count)

    return found
