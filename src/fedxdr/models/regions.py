# SPDX-License-Identifier: Apache-2.0
"""Many short lists that grow at their ends, in a few long arrays.

One list's items lie side by side in a region, oldest first, with room at its end. A
region that is full is moved back to its own beginning, only the last ``depth`` items of
it, or into a larger one; when the arrays are full, all regions are laid out anew. There
is no Python loop over lists or items.

It does NOT know what an item is: columns are numpy arrays, written and read by place.

Rules that always hold:
    1. The last ``depth`` items of a list lie side by side, just before its end; so a
       window over them is a run that can be copied whole.
    2. Before every place that is given out lie ``depth`` others, those before the
       first region of zeros: a window that begins before its list is still inside.
    3. A region is made with room for half as many items as it holds, at most half the
       depth and at least ``_LEAST_ROOM``.
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

_LEAST_ROOM: Final = 3
_SPARE: Final = 4
"""When the arrays grow, they become longer than needed by this part."""

_WASTE: Final = 4
"""All is laid out anew when this part of what is in use lies behind, in no region."""


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
        self._waste = 0
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
            name: column[runs_of(self._depths[name])]
            for name, column in self.columns.items()
        }

    def fill(self, held: Integers, items: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take what ``held`` and ``items`` told of others."""
        self._count = len(held)
        end = self._pad + np.cumsum(held)
        self._lists = np.stack([end - held, end, end], axis=1)
        self._used = self._pad + int(held.sum())
        runs_of = _once_per_depth(end, held)
        for name, column in self.columns.items():
            self.columns[name] = np.zeros(self._used, column.dtype)
            self.columns[name][runs_of(self._depths[name])] = items[name]

    def keep(self, lists: Integers) -> None:
        """Drop all lists but some, which are numbered anew in the order given."""
        home, _, limit = self._lists[: self._count].T
        room = int((limit - home).sum())
        self._count = len(lists)
        self._lists = self._lists[lists]
        home, _, limit = self._lists.T
        self._waste += room - int((limit - home).sum())

    def _make_room(self, lists: Integers, count: Integers) -> None:
        """Have room for ``count`` items behind the last ones of some lists."""
        home, end, limit = self._lists[lists].T
        is_full = end + count > limit
        if not is_full.any():
            return
        full, home, end, limit = (
            lists[is_full],
            home[is_full],
            end[is_full],
            limit[is_full],
        )
        held = np.minimum(end - home, self._depth)
        wanted = held + count[is_full]
        is_tight = wanted > limit - home
        room = self._room(wanted[is_tight])
        whole = int(room.sum())
        if self._used + whole > self._size:
            if self._waste > self._used // _WASTE:
                # all regions shrink, those that were not full too: begin again
                self._repack(whole)
                self._make_room(lists, count)
                return
            self._enlarge(self._used + whole)
        self._waste += int((limit - home)[is_tight].sum())
        new = home.copy()
        new[is_tight] = self._used + np.cumsum(room) - room
        limit = limit.copy()
        limit[is_tight] = new[is_tight] + room
        self._used += whole
        self._lists[full] = np.stack([new, new + held, limit], axis=1)
        self._move(self.columns, end, new + held, held)

    def _room(self, wanted: Integers) -> Integers:
        spare = np.minimum(wanted, self._depth) // 2
        room: Integers = wanted + np.maximum(spare, _LEAST_ROOM)
        return room

    def _repack(self, more: int) -> None:
        """Lay all regions side by side, with room for ``more`` items behind them."""
        held, end = self.held(), self._lists[: self._count, _END].copy()
        room = self._room(held)
        home = self._pad + np.cumsum(room) - room
        self._lists[: self._count] = np.stack([home, home + held, home + room], axis=1)
        self._used = self._pad + int(room.sum())
        self._waste = 0
        size = self._used + more + self._used // _SPARE
        for name, column in self.columns.items():
            new = {name: np.zeros(size, column.dtype)}
            self._move(new, end, home + held, held)
            self.columns |= new

    def _move(
        self,
        target: dict[str, npt.NDArray[Any]],
        end: Integers,
        new_end: Integers,
        held: Integers,
    ) -> None:
        """Copy the last items of some lists, all at once, to before other ends."""
        from_runs, to_runs = _once_per_depth(end, held), _once_per_depth(new_end, held)
        for name, column in target.items():
            depth = self._depths[name]
            column[to_runs(depth)] = self.columns[name][from_runs(depth)]

    def _enlarge(self, least: int) -> None:
        """Make the arrays longer; nothing moves."""
        size = least + least // _SPARE
        for name, column in self.columns.items():
            longer = np.zeros(size, column.dtype)
            longer[: self._used] = column[: self._used]
            self.columns[name] = longer

    @property
    def _size(self) -> int:
        return min(len(column) for column in self.columns.values())


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
