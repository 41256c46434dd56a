# SPDX-License-Identifier: Apache-2.0
"""The last events of every node, kept so that a block of new ones can be read at once.

``Rings`` is the streaming form of graph.py: the same earlier events and the same
windows, but of the past only the last ``depth`` events of each node are held, and a
push costs what the block costs, not what the stream was. There is no Python loop over
events or nodes.

What depends on a window is told by bits: bit 31 of a ``uint32`` is the event just
before, bit 0 the 32nd. Shares and counts of windows are populations of such words. In a
window, an event is the first of its value if its like before lies outside; so how many
events ago that like was is kept with each event, and tells how many values differ.

It does NOT know what an event means (learning/streaming.py names keys and columns), and
it does not choose when a node is forgotten. Events of a node lie in a row and not in a
circle (regions.py), so that windows are copied whole.

Rules that always hold:
    1. However a stream is cut into pushes, answers and ``state`` have the same bits.
    2. They are what graph.py finds in the whole stream, as long as nothing was
       forgotten; a forgotten node is new when it comes again.

Source: ours; nested windows as in graph.py.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import MalformedMessage
from fedxdr.models.graph import LARGEST, Floats, Integers, fixed, mean
from fedxdr.models.regions import Column, Regions, put
from fedxdr.models.slots import Slots

Words = npt.NDArray[np.uint32]
Truths = npt.NDArray[np.bool_]
State = dict[str, npt.NDArray[Any]]

WINDOW: Final = 32
"""Widest window, in events."""

_EVENT, _TOTAL = "event", "total"
_TIME, _VALUES = "time_ns", "values"
_NEVER: Final = WINDOW + 1
_ALL: Final = np.uint64(0xFFFFFFFF)
_BITS: Final = np.dtype("<u4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What is kept of each event in one node's list.

    Attributes:
        width: columns of a key, >= 1.
        depth: how many earlier events are read back, >= 1.
        watched: types of the columns that are compared.
        marks: per mixture that is asked for, indices into ``watched``: events are
            alike when all of these columns are.
        asked: indices into ``watched`` of those that are asked for at ranks above
            ``WINDOW``.
        values: how many float32 are kept to be read.
        is_summed: whether means of these are asked for; then their sums since the list
            began are kept too, those with the event's own values.
    """

    width: int
    depth: int
    watched: tuple[np.dtype[Any], ...]
    marks: tuple[tuple[int, ...], ...]
    asked: tuple[int, ...] = ()
    values: int = 0
    is_summed: bool = False

    @property
    def columns(self) -> dict[str, Column]:
        """Return what is kept, by name; what is read together lies together."""
        event = [(_TIME, np.int64), (_VALUES, np.float32, (self.values,))]
        types: dict[str, np.dtype[Any]] = {_EVENT: np.dtype(event, align=True)}
        if self.is_summed:
            types[_TOTAL] = np.dtype([(_VALUES, np.int64, (self.values,))])
        types |= {_watched(n): dtype for n, dtype in enumerate(self.watched)}
        types |= {_mark(n): np.dtype(np.uint8) for n in range(len(self.marks))}
        deep = {_EVENT, *(_watched(number) for number in self.asked)}
        # of the others only windows are read, and of sums the one before a window
        near = min(self.depth, WINDOW + 1)
        return {
            name: Column(dtype=dtype, depth=self.depth if name in deep else near)
            for name, dtype in types.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """New members of nodes' lists, in the order of the stream; m of them.

    An event that belongs to two nodes is two members, one after the other.

    Attributes:
        keys: (width, m) int64.
        serial: (m,) int64, ascending over the whole stream.
        time_ns: (m,) int64, never descending.
        watched: (m,) each.
        values: (m, values) float32 in [-``graph.LARGEST``, ``graph.LARGEST``].
    """

    keys: Integers
    serial: Integers
    time_ns: Integers
    watched: tuple[npt.NDArray[Any], ...]
    values: Floats


class Rings:
    """The last events of the nodes of one key.

    Args:
        shape: what is kept.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._slots = Slots(shape.width)
        self._regions = Regions(shape.columns, pad=max(shape.depth, WINDOW))
        self._serial = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def size_bytes(self) -> int:
        """Bytes of all arrays."""
        regions = self._regions.size_bytes
        return regions + self._slots.size_bytes + self._serial.nbytes

    def push(self, block: Block) -> Look:
        """Append members to their nodes' lists; return a look back from each."""
        m = len(block.time_ns)
        slot = self._slots.find(block.keys)
        self._lengthen()
        # one number per member sorts faster than two, and stably
        by_slot = np.sort((slot << 32) | np.arange(m))
        order, ordered = by_slot & 0xFFFFFFFF, by_slot >> 32
        first = np.flatnonzero(np.diff(ordered, prepend=-1))
        count = np.diff(first, append=m)
        node = ordered[first]
        home, end = self._regions.claim(node, count)
        spot = np.arange(m) + np.repeat(end - first, count)
        place = np.empty(m, np.int64)
        place[order] = spot
        self._serial[node] = block.serial[order[first + count - 1]]
        columns = self._regions.columns
        event = np.empty(m, columns[_EVENT].dtype)
        event[_TIME], event[_VALUES] = block.time_ns, block.values
        put(columns[_EVENT], spot, event.take(order))
        for number, new in enumerate(block.watched):
            columns[_watched(number)][spot] = new.take(order)
        length = np.empty(m, np.int64)
        length[order] = spot - np.repeat(home, count)
        if self.shape.is_summed:
            total = np.empty(m, columns[_TOTAL].dtype)
            until = np.cumsum(fixed(block.values)[order], axis=0)
            # a list that is new begins with the zeros before the first region
            before = columns[_TOTAL].take(np.where(home == end, 0, end - 1))[_VALUES]
            before[first > 0] -= until[first[first > 0] - 1]
            total[_VALUES] = until + np.repeat(before, count, axis=0)
            put(columns[_TOTAL], spot, total)
        return self._look(block, place, length)

    def forget_all_but(self, most: int) -> None:
        """Forget the nodes that were not seen for longest; so many are left."""
        excess = len(self) - most
        if excess <= 0:
            return
        kept = np.sort(np.argsort(self._serial[: len(self)])[excess:])
        self._slots.keep(kept)
        self._regions.keep(kept)
        self._serial = self._serial[kept]

    def state(self) -> State:
        """Return all that has to be known to go on, as arrays.

        The same stream gives the same bytes, however it was cut.
        """
        found = {
            "keys": self._slots.keys[:, : len(self)].copy(),
            "held": self._regions.held(),
            "serial": self._serial[: len(self)].copy(),
        }
        for name, items in self._regions.items().items():
            fields = items.dtype.names or ()
            found |= {f"{name}.{field}": items[field] for field in fields}
            if not fields:
                found[name] = items
        return {name: np.ascontiguousarray(array) for name, array in found.items()}

    @classmethod
    def from_state(cls, shape: Shape, state: Mapping[str, npt.NDArray[Any]]) -> Rings:
        """Return rings that go on where others stood.

        Args:
            shape: of those.
            state: what ``state`` returned.

        Raises:
            MalformedMessage: arrays that ``state`` cannot have returned.
        """
        rings = cls(shape)
        held = _check(rings, state)
        columns: State = {}
        for name, column in shape.columns.items():
            fields = column.dtype.names or ()
            count = int(np.minimum(held, column.depth).sum())
            columns[name] = np.zeros(count, column.dtype) if fields else state[name]
            for field in fields:
                columns[name][field] = state[f"{name}.{field}"]
        rings._slots.extend(state["keys"])
        rings._serial = state["serial"].copy()
        rings._regions.fill(held, columns)
        return rings

    def _lengthen(self) -> None:
        self._regions.lengthen(len(self))
        if len(self) > len(self._serial):
            more = np.zeros(2 * len(self) - len(self._serial), np.int64)
            self._serial = np.concatenate([self._serial, more])

    def _look(self, block: Block, place: Integers, length: Integers) -> Look:
        columns = self._regions.columns
        seen = _top(np.minimum(length, WINDOW))
        alike = tuple(
            _packed(_window(columns[_watched(number)], place) == own[:, None]) & seen
            for number, own in enumerate(block.watched)
        )
        nothing = min(_NEVER, self.shape.depth + 1)
        for number, chosen in enumerate(self.shape.marks):
            bits = _all_of(seen, alike, chosen)
            # the highest bit is the event just before; beyond the depth is never
            ago = _NEVER - np.frexp(bits.astype(np.float64))[1]
            columns[_mark(number)][place] = np.minimum(ago, nothing)
        return Look(
            shape=self.shape,
            columns=columns,
            place=place,
            length=length,
            time_ns=block.time_ns,
            own=block.watched,
            seen=seen,
            alike=alike,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """A look back from some members that were just pushed; good until the next push.

    Attributes:
        shape: of the rings.
        columns: where all events are.
        place: (q,) int64, where in them the members are.
        length: (q,) int64, how many earlier events lie before; exact up to the depth.
        time_ns: (q,) int64, the members' own.
        own: per watched column (q,), the members' own.
        seen: (q,) words, bits of the earlier events there are.
        alike: per watched column (q,) words, bits of those that have the own value.
    """

    shape: Shape
    columns: State
    place: Integers
    length: Integers
    time_ns: Integers
    own: tuple[npt.NDArray[Any], ...]
    seen: Words
    alike: tuple[Words, ...]

    def select(self, rows: Integers) -> Look:
        """Return the look from some of the members."""
        return self._each(lambda column: column[rows])

    def spread(self, rows: Integers, n: int) -> Look:
        """Return a look from n events; these are some of them, others see nothing.

        Args:
            rows: (q,) int64, where the members stand among the n.
            n: how many.
        """

        def put(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
            wide = np.zeros(n, column.dtype)
            wide[rows] = column
            return wide

        return self._each(put)

    def _each(self, change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Look:
        return dataclasses.replace(
            self,
            # before the first place there is a window of nothing
            place=change(self.place - WINDOW) + WINDOW,
            length=change(self.length),
            time_ns=change(self.time_ns),
            own=tuple(change(column) for column in self.own),
            seen=change(self.seen),
            alike=tuple(change(bits) for bits in self.alike),
        )

    def back(self, ranks: Sequence[int]) -> tuple[Truths, Floats, Floats]:
        """Return what happened at some ranks back in time.

        Args:
            ranks: each in [1, depth].

        Returns:
            (q, ranks), whether there is such an event; (q, ranks) float32, how long
            ago, as ``graph.ages`` tells it; (q, ranks, values) float32, its values, 0
            where there is none.
        """
        asked = np.array(ranks, np.int64)
        is_there = self.length[:, None] >= asked
        place = np.where(is_there, self.place[:, None] - asked, 0)
        event = self.columns[_EVENT].take(place)
        seconds = (self.time_ns[:, None] - event[_TIME]) / 1e9
        seconds[~is_there] = np.inf
        return is_there, seconds.astype(np.float32), event[_VALUES]

    def same(self, ranks: Sequence[int], columns: Sequence[int]) -> Truths:
        """Return (q, ranks), whether an event is there and alike in these columns."""
        bits = _all_of(self.seen, self.alike, columns)
        near = [rank for rank in ranks if rank <= WINDOW]
        found = np.zeros((len(self.place), len(ranks)), np.bool_)
        shift = np.array([WINDOW - rank for rank in near], np.uint32)
        found[:, : len(near)] = (bits[:, None] >> shift) & np.uint32(1)
        for column, rank in enumerate(ranks[len(near) :], len(near)):
            is_there = self.length >= rank
            place = np.where(is_there, self.place - rank, 0)
            for number in columns:
                other = self.columns[_watched(number)][place]
                is_there &= other == self.own[number]
            found[:, column] = is_there
        return found

    def shares(self, mark: int, windows: Sequence[int]) -> list[Floats]:
        """Return which part of the last s events is alike, as ``graph.alike`` does.

        Returns:
            per window (q,) float32.
        """
        bits = _all_of(self.seen, self.alike, self.shape.marks[mark])
        return [(_count(bits, w) / w).astype(np.float32) for w in windows]

    def diversity(self, mark: int, windows: Sequence[int]) -> list[Integers]:
        """Return how many different values the last s events show, as in graph.py.

        Returns:
            per window (q,) int64.
        """
        ago = _window(self.columns[_mark(mark)], self.place)
        found: list[Integers] = []
        for window in windows:
            inside = np.zeros(WINDOW, np.uint8)
            inside[WINDOW - window :] = np.arange(window)
            found.append(_count(_packed(ago > inside) & self.seen, window))
        return found

    def means(self, windows: Sequence[int]) -> list[Floats]:
        """Return means over the last s events, as ``graph.means`` gives them.

        Args:
            windows: each s in [1, depth).

        Returns:
            per value and window (q,) float32, value by value.
        """
        total = self.columns[_TOTAL]
        until = total.take(np.where(self.length > 0, self.place - 1, 0))[_VALUES]
        found: list[Floats] = []
        for window in windows:
            count = np.minimum(self.length, window)
            # nothing of a list is gone while it is shorter than its depth
            base = np.where(self.length > count, self.place - 1 - count, 0)
            gained = until - total.take(base)[_VALUES]
            found.append(mean(gained, count[:, None]).astype(np.float32))
        return [
            found[w][:, v]
            for v in range(self.shape.values)
            for w in range(len(windows))
        ]


def _watched(number: int) -> str:
    return f"watched.{number}"


def _mark(number: int) -> str:
    return f"mark.{number}"


def _window(column: npt.NDArray[Any], place: Integers) -> npt.NDArray[Any]:
    """Return (q, WINDOW), what stands just before each place, oldest first."""
    width = column.itemsize
    # one item per window: it is copied whole
    items: npt.NDArray[Any] = np.ndarray(
        (len(column) - WINDOW + 1,), f"V{WINDOW * width}", column, 0, (width,)
    )
    return items[place - WINDOW].view(column.dtype).reshape(-1, WINDOW)


def _all_of(seen: Words, alike: Sequence[Words], columns: Sequence[int]) -> Words:
    """Return the bits of events that are there and alike in all these columns."""
    return functools.reduce(np.bitwise_and, (alike[number] for number in columns), seen)


def _packed(truths: Truths) -> Words:
    """Return (q,) words of (q, WINDOW) truths, the last one highest."""
    words = np.packbits(truths.reshape(-1), bitorder="little").view(_BITS)
    return words.astype(np.uint32, copy=False)


def _top(count: Integers) -> Words:
    """Return words in which the highest ``count`` bits are set."""
    shifted = _ALL << (WINDOW - count).astype(np.uint64)
    return (shifted & _ALL).astype(np.uint32)


def _count(bits: Words, window: int) -> Integers:
    """Return how many of the last ``window`` bits are set."""
    count: npt.NDArray[np.uint8] = np.bitwise_count(bits >> np.uint32(WINDOW - window))
    return count.astype(np.int64)


def _check(rings: Rings, state: Mapping[str, npt.NDArray[Any]]) -> Integers:
    """Return how many members each node has; refuse what ``state`` cannot return."""
    empty = rings.state()
    if state.keys() != empty.keys():
        raise MalformedMessage(f"rings: got arrays {', '.join(sorted(state))}")
    held, nodes = state["held"], state["keys"].shape[-1] if state["keys"].ndim else 0
    if held.dtype != np.int64 or held.shape != (nodes,):
        raise MalformedMessage(f"rings: got {held.shape} lengths of {nodes} nodes")
    lengths = {"held": nodes, "serial": nodes, "keys": rings.shape.width}
    for name, column in rings.shape.columns.items():
        count = int(np.minimum(held, column.depth).sum())
        names = [f"{name}.{field}" for field in column.dtype.names or ()] or [name]
        lengths |= dict.fromkeys(names, count)
    for name, like in empty.items():
        inner = (nodes,) if name == "keys" else like.shape[1:]
        shape, got = (lengths[name], *inner), state[name]
        if (got.dtype, got.shape) != (like.dtype, shape):
            raise MalformedMessage(
                f"rings, {name}: got {got.dtype} {got.shape}, want {like.dtype} {shape}"
            )
    if nodes and not 1 <= held.min() <= held.max() <= rings.shape.depth:
        raise MalformedMessage("rings: a node's events are not 1 to the depth")
    if np.unique(state["keys"], axis=1).shape[1] != nodes:
        raise MalformedMessage("rings: a node stands twice")
    if not (np.abs(state[f"{_EVENT}.{_VALUES}"]) <= LARGEST).all():
        raise MalformedMessage("rings: a value out of bounds")
    return held
