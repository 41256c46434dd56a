# SPDX-License-Identifier: Apache-2.0
"""Lifetimes of nodes in a stream: how many events, since when, how many partners.

The streaming form of what lifetimes.py reads of the whole past: of each node three
numbers are held, whatever the past was. ``SetLives`` holds those of all kinds of node
that a set knows. ``EdgeLives`` does for the set ``edges`` (sources, destinations, ends
in any role, pairs) and tells the set's own numbers; entity_lives.py does for another.

It does NOT hold neighbours (models/rings.py) and does not choose when a node is
forgotten.

Rules that always hold:
    1. However a stream is cut into pushes, answers and ``state`` have the same bits.
    2. They are what lifetimes.py finds in the whole stream, as long as nothing was
       forgotten; a forgotten pair is a new partner when it comes again.

Source: ours.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from fedxdr.core.errors import MalformedMessage
from fedxdr.learning import columns, lifetimes, pasts
from fedxdr.learning.pasts import Past, Truths
from fedxdr.models.graph import NONE, Floats, Integers
from fedxdr.models.slots import Slots

State = dict[str, npt.NDArray[Any]]

_FIGURES: Final = ("serial", "count", "first_ns", "partners")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lived:
    """What q nodes had behind them.

    Attributes:
        count: (q,) int64, earlier events.
        first_ns: (q,) int64, when the first of them was; anything where there is none.
        partners: (q,) int64, how many of them were marked as first of a partner.
    """

    count: Integers
    first_ns: Integers
    partners: Integers

    def of(self, queries: Integers) -> Lived:
        """Return some of the nodes."""
        return Lived(
            count=self.count[queries],
            first_ns=self.first_ns[queries],
            partners=self.partners[queries],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """New events of nodes, in the order of the stream; n of them.

    Attributes:
        serial: (n,) int64, even, ascending over the whole stream.
        time_ns: (n,) int64, never descending.
        is_marked: (n,) whether an event is the first of a partner.
    """

    serial: Integers
    time_ns: Integers
    is_marked: Truths


class Lives:
    """Lifetimes of the nodes of one kind.

    Args:
        width: columns of a key, >= 1.
    """

    def __init__(self, width: int) -> None:
        self._slots = Slots(width)
        self._figures = {name: np.zeros(0, np.int64) for name in _FIGURES}

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def size_bytes(self) -> int:
        """Bytes of all arrays."""
        held = sum(array.nbytes for array in self._figures.values())
        return held + self._slots.size_bytes

    def push(
        self,
        keys: Integers,
        block: Block,
        *,
        asked: Integers | None = None,
        counted: Truths | None = None,
    ) -> tuple[Lived, Lived]:
        """Take events; return what their nodes had behind them, and what others had.

        Args:
            keys: (width, m) int64, nodes of the block's events; of each event one, or
                two, one after the other.
            block: of n events.
            asked: (width, n) int64, one more node to tell about before each event.
            counted: (m,) False for members that only ask; all count if None.
        """
        slot = self._slots.find(keys)
        if not slot.size:
            nothing = Lived(count=slot, first_ns=slot, partners=slot)
            return nothing, nothing
        self._lengthen()
        per_event = len(slot) // len(block.time_ns)
        other = slot[:0] if asked is None else self._slots.look_up(asked)
        members, queries = pasts.group(
            slot,
            asked=other,
            before=np.arange(len(other)),
            per_event=per_event,
            counted=counted,
        )
        told = self._told(slot, members, block), self._told(other, queries, block)
        is_new = self._figures["count"][slot] == 0
        event = np.arange(len(slot)) // per_event
        is_in = np.ones(len(slot), np.bool_) if counted is None else counted
        # of several numbers for one node the last stays: backwards, the earliest
        backwards = np.flatnonzero(is_new)[::-1]
        first_ns = block.time_ns[event[backwards]]
        self._figures["first_ns"][slot[backwards]] = first_ns
        # serials are even: two nodes of one event are told apart
        second = np.arange(len(slot)) % per_event
        self._figures["serial"][slot] = block.serial[event] + second
        np.add.at(self._figures["count"], slot, is_in)
        np.add.at(self._figures["partners"], slot, is_in & block.is_marked[event])
        return told

    def forget_all_but(self, most: int) -> None:
        """Forget the nodes that were not seen for longest; so many are left."""
        excess = len(self) - most
        if excess <= 0:
            return
        kept = np.sort(np.argsort(self._figures["serial"][: len(self)])[excess:])
        self._slots.keep(kept)
        self._figures = {name: held[kept] for name, held in self._figures.items()}

    def state(self) -> State:
        """Return all that has to be known to go on, as arrays.

        The same stream gives the same bytes, however it was cut.
        """
        keys = np.ascontiguousarray(self._slots.keys[:, : len(self)])
        held = {name: held[: len(self)] for name, held in self._figures.items()}
        return {"keys": keys, **held}

    @classmethod
    def from_state(cls, width: int, state: Mapping[str, npt.NDArray[Any]]) -> Lives:
        """Return lives that go on where others stood.

        Args:
            width: of those.
            state: what ``state`` returned.

        Raises:
            MalformedMessage: arrays that ``state`` cannot have returned.
        """
        if state.keys() != {"keys", *_FIGURES}:
            raise MalformedMessage(f"lives: got arrays {', '.join(sorted(state))}")
        keys = state["keys"]
        nodes = keys.shape[-1] if keys.ndim else 0
        for name, array in state.items():
            shape = (width, nodes) if name == "keys" else (nodes,)
            if (array.dtype, array.shape) != (np.dtype(np.int64), shape):
                raise MalformedMessage(
                    f"lives, {name}: got {array.dtype} {array.shape}, want {shape}"
                )
        count, partners = state["count"], state["partners"]
        if not ((count >= 1) & (partners >= 0) & (partners <= count)).all():
            raise MalformedMessage("lives: no event of a node, or too many partners")
        if np.unique(keys, axis=1).shape[1] != nodes:
            raise MalformedMessage("lives: a node stands twice")
        lives = cls(width)
        lives._slots.extend(keys)
        lives._figures = {name: state[name].copy() for name in _FIGURES}
        return lives

    def _lengthen(self) -> None:
        """Make room for as many nodes as there are slots."""
        for name, held in self._figures.items():
            if len(self) > len(held):
                more = np.zeros(2 * len(self) - len(held), np.int64)
                self._figures[name] = np.concatenate([held, more])

    def _told(self, slot: Integers, past: Past, block: Block) -> Lived:
        """Return what nodes had behind them, here and in the block."""
        is_known = slot != NONE
        count, first_ns, partners = (
            np.where(is_known, held[slot], 0) if len(held) else np.zeros_like(slot)
            for held in (self._figures[name] for name in _FIGURES[1:])
        )
        first = block.time_ns[past.events[np.minimum(past.begin, len(past.events) - 1)]]
        marked = lifetimes.counted(block.is_marked[past.events])
        return Lived(
            count=count + past.position - past.begin,
            first_ns=np.where(count > 0, first_ns, first),
            partners=partners + marked[past.position] - marked[past.begin],
        )


class SetLives(abc.ABC):
    """Lifetimes of all kinds of node that a feature set knows.

    Attributes:
        KINDS: columns of a key, by kind.
    """

    KINDS: ClassVar[Mapping[str, int]]

    def __init__(self) -> None:
        self._kinds = {name: Lives(width) for name, width in self.KINDS.items()}

    @property
    def nodes(self) -> tuple[int, ...]:
        """How many nodes of each kind are remembered now."""
        return tuple(len(lives) for lives in self._kinds.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of all arrays."""
        return sum(lives.size_bytes for lives in self._kinds.values())

    @abc.abstractmethod
    def push(
        self, known: Mapping[str, Integers], *, serial: Integers, time_ns: Integers
    ) -> Floats:
        """Return what the set tells of the next events' lifetimes, (n, k) float32.

        Args:
            known: (n,) int64 columns by the names of readings.py.
            serial: (n,) int64, even, ascending over the whole stream.
            time_ns: (n,) int64, never descending.
        """

    def forget_all_but(self, most: int) -> None:
        """Forget, of each kind, the nodes that were not seen for longest."""
        for lives in self._kinds.values():
            lives.forget_all_but(most)

    def state(self) -> State:
        """Return all that has to be known to go on, as arrays."""
        return {
            f"{kind}.{name}": array
            for kind, lives in self._kinds.items()
            for name, array in lives.state().items()
        }

    @classmethod
    def from_state(cls, state: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Return lives that go on where others stood.

        Args:
            state: what ``state`` returned.

        Raises:
            MalformedMessage: arrays that ``state`` cannot have returned.
        """
        parts: dict[str, State] = {kind: {} for kind in cls.KINDS}
        for name, array in state.items():
            kind, _, rest = name.partition(".")
            if kind not in parts:
                raise MalformedMessage(f"lives: no place for {name}")
            parts[kind][rest] = array
        found = cls()
        found._kinds = {
            kind: Lives.from_state(width, parts[kind])
            for kind, width in cls.KINDS.items()
        }
        return found


class EdgeLives(SetLives):
    """Lifetimes as the set ``edges`` tells them."""

    KINDS = MappingProxyType({"source": 1, "destination": 1, "end": 1, "pair": 2})

    @override
    def push(
        self, known: Mapping[str, Integers], *, serial: Integers, time_ns: Integers
    ) -> Floats:
        """Return the next events' own numbers, (n, ``lifetimes.OWN``) float32."""
        source, destination = known["source"], known["destination"]
        n = len(source)
        is_loop = source == destination
        block = Block(serial=serial, time_ns=time_ns, is_marked=np.zeros(n, np.bool_))
        pair, back = self._kinds["pair"].push(
            np.stack([source, destination]),
            block,
            asked=np.stack([destination, source]),
        )
        block = Block(serial=serial, time_ns=time_ns, is_marked=pair.count == 0)
        as_source, _ = self._kinds["source"].push(source[None], block)
        as_target, _ = self._kinds["destination"].push(destination[None], block)
        counted = np.ones(2 * n, np.bool_)
        counted[1::2] = ~is_loop
        ends = np.stack([source, destination], axis=1).reshape(1, -1)
        end, _ = self._kinds["end"].push(ends, block, counted=counted)
        rows = 2 * np.arange(n)
        told = (
            as_source,
            as_target,
            end.of(rows),
            end.of(rows + ~is_loop),
            pair,
            back,
        )
        found = np.empty((n, lifetimes.OWN), np.float32)
        for place, lived in enumerate(told):
            lifetimes.write_lifetime(
                found, place, lived.count, time_ns=time_ns, first_ns=lived.first_ns
            )
        found[:, -2] = columns.log(as_source.partners)
        found[:, -1] = columns.log(as_target.partners)
        return np.clip(found, 0, columns.BOUND)
