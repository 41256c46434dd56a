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
    3. A region is made with room for as many items as it holds, ``_LEAST_ROOM`` to
       ``depth``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedxdr.models.graph import Integers

_PARTS: Final = 3
_END: Final = 1
"""Of a list are kept where its region begins, where it ends, where the region does."""

_LEAST_ROOM: Final = 3
_SPARE: Final = 2
"""The arrays are longer than what is in use by this part of it, when they grow."""


class Regions:
    """Lists by number, and the columns of their items.

    Args:
        columns: types of the columns by name, structured for several numbers per
            item.
        depth: how many items of each list count, >= 1.
        pad: how many zeros lie before the first region, >= depth.

    Attributes:
        columns: per name (size,), the items.
    """

    def __init__(
        self, columns: Mapping[str, np.dtype[Any]], *, depth: int, pad: int
    ) -> None:
        self._depth = depth
        self._pad = self._used = pad
        self._waste = 0
        self._count = 0
        # (lists, 3), those below ``_count`` in use: one line of memory for each
        self._lists = np.zeros((0, _PARTS), np.int64)
        self.columns: dict[str, npt.NDArray[Any]] = {
            name: np.zeros(pad, dtype) for name, dtype in columns.items()
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
        home, end, limit = self._lists[lists].T
        is_full = end + count > limit
        if is_full.any():
            full = lists[is_full]
            self._make_room(full, count[is_full], *self._lists[full].T)
            home, end, _ = self._lists[lists].T
        self._lists[lists, _END] = end + count
        return home, end

    def held(self) -> tuple[Integers, Integers]:
        """Return how many items of each list count, and where all of these lie."""
        home, end, _ = self._lists[: self._count].T
        held = np.minimum(end - home, self._depth)
        return held, runs(end - held, held)

    def fill(self, held: Integers, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take what ``held`` told of others, and those items.

        Args:
            held: (lists,) int64.
            columns: per name (items,), in the order of the lists.
        """
        self._count = len(held)
        end = self._pad + np.cumsum(held)
        self._lists = np.stack([end - held, end, end], axis=1)
        for name, column in self.columns.items():
            self.columns[name] = np.concatenate([column[: self._pad], columns[name]])
        self._repack(0)

    def keep(self, lists: Integers) -> None:
        """Drop all lists but some, which are numbered anew in the order given."""
        self._count = len(lists)
        self._lists = self._lists[lists]
        self._repack(0)

    def _make_room(
        self,
        full: Integers,
        count: Integers,
        home: Integers,
        end: Integers,
        limit: Integers,
    ) -> None:
        """Have room for ``count`` items behind the last ones of some lists."""
        held = np.minimum(end - home, self._depth)
        wanted = held + count
        is_tight = wanted > limit - home
        room = self._room(wanted[is_tight])
        whole = int(room.sum())
        if self._used + whole > self._size:
            if self._waste > self._used // 2:
                # regions shrink: all that are full now need another
                self._repack(int(self._room(wanted).sum()))
                room, is_tight = self._room(wanted), np.ones(len(full), np.bool_)
                home, end, limit = self._lists[full].T
                whole = int(room.sum())
            else:
                self._enlarge(self._used + whole)
        self._waste += int((limit - home)[is_tight].sum())
        new = home.copy()
        new[is_tight] = self._used + np.cumsum(room) - room
        limit = limit.copy()
        limit[is_tight] = new[is_tight] + room
        self._used += whole
        self._lists[full] = np.stack([new, new + held, limit], axis=1)
        old_spot, new_spot = runs(end - held, held), runs(new, held)
        for column in self.columns.values():
            column[new_spot] = column[old_spot]

    def _room(self, wanted: Integers) -> Integers:
        return wanted + np.clip(wanted, _LEAST_ROOM, self._depth)

    def _repack(self, more: int) -> None:
        """Lay all regions side by side, with room for ``more`` items behind them."""
        held, old_spot = self.held()
        room = self._room(held)
        home = self._pad + np.cumsum(room) - room
        self._lists[: self._count] = np.stack([home, home + held, home + room], axis=1)
        self._used = self._pad + int(room.sum())
        self._waste = 0
        size = self._used + more + self._used // _SPARE
        new_spot = runs(home, held)
        for name, column in self.columns.items():
            wider = np.zeros(size, column.dtype)
            wider[new_spot] = column[old_spot]
            self.columns[name] = wider

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
