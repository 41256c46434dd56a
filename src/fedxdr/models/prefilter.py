# SPDX-License-Identifier: Apache-2.0
"""A cheap sense of bursts in front of the network: MIDAS-F over a stream of edges.

Every edge, every source and every destination is counted per tick in a count-min
sketch, next to what was counted in all ticks before; an edge's score is how far this
tick is from the mean of the past (chi-squared), for each of the three. Counts fade by
``decay`` per tick. What alarmed is not learned: at the end of a tick a cell takes in
its counts only if its last score was below ``threshold``, else it takes in its mean.

It does NOT learn from labels, know what an event means, look at ports or volumes, or
choose what goes on to the network: one flood holds most of the highest scores, so that
a plain share of them shows the network that flood and little else. Nor does it judge
clocks: a time far ahead moves the stream there, and what follows counts in that
tick until the clocks meet (whoever reads logs refuses such times). A source, edge or
destination with no past tick scores 0, however loud: only the others can speak.

Rules that always hold:
    1. An edge's scores depend on it and on earlier edges only. An edge older than the
       newest one so far counts in the newest one's tick.
    2. Any cut of a stream into pushes, and any ``state`` and ``from_state`` between
       them, gives the same bits. All is float64 in one order; powers are made by
       multiplication, never by a library's ``pow``.
    3. Memory does not grow with hosts or time: see ``sketch_bytes``, and scratch for
       ``_BLOCK`` edges.
    4. Python loops run over ticks, rows and blocks, never over edges; ticks without
       edges cost nothing.
    5. Cells are found by a keyed hash: without the seed nobody can choose addresses
       that share a cell.

Sources: Bhatia et al. 2020 (AAAI), "MIDAS", for sketches, ticks and the three kinds of
counts; Bhatia et al. 2022 (TKDD), arXiv 2009.08452, "MIDAS-F", for the score
(a + s - a t)^2 / (s (t - 1)) and the conditional merge; Thorup 2015, arXiv 1504.06804,
for multiply-shift hashing of vectors, which is strongly universal. Ours is the lazy
form: a cell is brought up to date when it is next touched, which is exact because
between two touches its score stands still and the merges are a geometric series.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry, MalformedMessage
from fedxdr.crypto.expand import SEED_BYTES, hkdf

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
State = Mapping[str, npt.NDArray[Any]]

EDGE, SOURCE, DESTINATION = range(3)
"""Columns of the scores."""

_PARTS: Final = 3
_LABEL: Final = "fedxdr/prefilter/v1"
_BLOCK: Final = 1 << 14
"""Most edges at once: the scratch stays near the processor. At most 2^16, so that a
tick's number in a block has 16 bits."""

_MOST_COLUMNS: Final = 1 << 16
_MOST_ROWS: Final = 16
_MOST_TICK_S: Final = 1 << 31
_NS_PER_S: Final = 1_000_000_000
_POWERS: Final = 1024
_SKETCHES: Final = ("before", "count", "total", "score", "tick")


class Prefilter:
    """Scores edges as they come, in constant memory.

    Args:
        tick_s: seconds of a tick, in [1, 2^31]; ticks begin at multiples of it since
            1970.
        rows: of each sketch, in [1, 16]; a count is the least of its rows.
        columns: of each sketch, in [1, 65536]; 1,024 as the authors', and more told no
            more on DARPA 1998 (benchmarks/prefilter.py).
        threshold: > 0; a cell whose last score in a tick was below it takes in that
            tick's counts. Infinity switches the filter off.
        decay: in [0, 1), what a tick's counts are worth one tick later.
        seed: in [0, 2^256), key of the hashes.

    Raises:
        InvalidTelemetry: a number out of these bounds.
    """

    def __init__(
        self,
        *,
        tick_s: int = 60,
        rows: int = 2,
        columns: int = 1024,
        threshold: float = 1000.0,
        decay: float = 0.5,
        seed: int = 0,
    ) -> None:
        if not 1 <= tick_s <= _MOST_TICK_S:
            raise InvalidTelemetry(f"got a tick of {tick_s} s, want 1 to 2^31")
        if not (1 <= rows <= _MOST_ROWS and 1 <= columns <= _MOST_COLUMNS):
            raise InvalidTelemetry(f"got {rows} rows of {columns} columns")
        if not threshold > 0 or not 0 <= decay < 1:
            raise InvalidTelemetry(f"got threshold {threshold} and decay {decay}")
        if not 0 <= seed < 1 << 8 * SEED_BYTES:
            raise InvalidTelemetry("a seed lies in [0, 2^256)")
        self._tick_s, self._rows, self._columns = tick_s, rows, columns
        self._threshold, self._decay, self._seed = float(threshold), float(decay), seed
        self._hash = _Hash(seed, rows=rows, columns=columns)
        self._powers = _power(self._decay, np.arange(_POWERS))
        self._begin: int | None = None  # number since 1970 of the stream's first tick
        self._now = 0  # newest tick, counted from 1; 0 before the first edge
        cells = _PARTS * rows * columns
        # One number per cell, flat in the order (part, row, column):
        self._before = np.zeros(cells)  # faded counts of ticks before its newest
        self._count = np.zeros(cells)  # of its newest tick
        self._total = np.zeros(cells)  # sum over ticks before its newest
        self._score = np.zeros(cells)  # last one in its newest tick
        self._tick = np.ones(cells, np.int64)  # its newest tick

    @property
    def sketch_bytes(self) -> int:
        """What the sketches take; it never changes."""
        return sum(array.nbytes for array in self._sketches())

    def push(
        self, time_ns: npt.ArrayLike, source: npt.ArrayLike, destination: npt.ArrayLike
    ) -> Floats:
        """Take in edges in the order in which they stand, and score each.

        Args:
            time_ns: (n,) int64, nanoseconds since 1970.
            source: (n,) int64 tokens.
            destination: (n,) int64 tokens.

        Returns:
            (n, 3) float64 >= 0: of edge, source and destination; see ``score``.

        Raises:
            InvalidTelemetry: not three integer columns of one length.
        """
        times, sources, targets = (
            _column(values) for values in (time_ns, source, destination)
        )
        if not len(times) == len(sources) == len(targets):
            sizes = len(times), len(sources), len(targets)
            raise InvalidTelemetry(f"got columns of {sizes} edges, want one length")
        scores = np.zeros((len(times), _PARTS))
        for begin in range(0, len(times), _BLOCK):
            part = slice(begin, begin + _BLOCK)
            ticks = self._ticks(times[part])
            cells = self._hash.cells(sources[part], targets[part])
            scores[part] = self._score_block(ticks, cells)
        return scores

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return all there is to it as plain arrays; ``from_state`` goes on from it.

        The hash key is among them: it stays where the stream is.
        """
        shape = (_PARTS, self._rows, self._columns)
        clock = (0, 0) if self._begin is None else (self._begin, self._now)
        arrays = (array.reshape(shape).copy() for array in self._sketches())
        return {
            **dict(zip(_SKETCHES, arrays, strict=True)),
            "clock": np.array([self._tick_s, *clock], np.int64),
            "rates": np.array([self._threshold, self._decay]),
            "seed": np.frombuffer(self._seed.to_bytes(SEED_BYTES, "big"), np.uint8),
        }

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Return a pre-filter that goes on where another stood.

        Args:
            state: what ``state`` returned.

        Raises:
            MalformedMessage: arrays that ``state`` cannot have returned.
            InvalidTelemetry: numbers that a pre-filter cannot be made with.
        """
        _check_state(state)
        _, rows, columns = state["before"].shape
        tick_s, begin, now = (int(number) for number in state["clock"])
        threshold, decay = (float(number) for number in state["rates"])
        made = cls(
            tick_s=tick_s,
            rows=rows,
            columns=columns,
            threshold=threshold,
            decay=decay,
            seed=int.from_bytes(state["seed"].tobytes(), "big"),
        )
        made._begin, made._now = (begin, now) if now else (None, 0)
        for name, array in zip(_SKETCHES, made._sketches(), strict=True):
            array[:] = state[name].ravel()
        return made

    def _sketches(self) -> tuple[npt.NDArray[Any], ...]:
        return self._before, self._count, self._total, self._score, self._tick

    def _ticks(self, times: Integers) -> Integers:
        """Return each edge's tick, counted from 1 and never falling."""
        number = times // (self._tick_s * _NS_PER_S)
        if self._begin is None:
            self._begin = int(number[0])
        ticks = np.maximum.accumulate(number - self._begin + 1)
        ticks = np.maximum(ticks, max(self._now, 1))
        self._now = int(ticks[-1])
        return ticks

    def _score_block(self, ticks: Integers, cells: npt.NDArray[np.uint16]) -> Floats:
        """Score edges and move the sketches behind them.

        A *touch* is all edges of one tick that meet one cell.

        Args:
            ticks: (n,), ascending.
            cells: (sketches, n) uint16, the column of each edge in each sketch.

        Returns:
            (n, 3).
        """
        touches = _touches(ticks, cells, rows=self._rows, columns=self._columns)
        cell, tick = touches.cell, touches.tick
        past = np.where(touches.earlier >= 0, tick[touches.earlier], self._tick[cell])
        elapsed = tick - past
        counted, rank = touches.length, touches.rank
        whole = self._before + self._count
        # An earlier push may have begun this tick: its touches go on.
        begun = np.flatnonzero(elapsed == 0)
        if begun.size:
            going_on = cell[begun]
            whole[going_on] = self._before[going_on]
            carried = np.zeros(len(cell))
            carried[begun] = self._count[going_on]
            counted = counted + carried
            rank = rank + carried[touches.of_edge]
            touches.other_rank += carried[touches.other]
        before, total = self._walk(touches, elapsed, past, counted, whole)
        newest = np.ones(len(cell), np.bool_)
        newest[touches.earlier[touches.earlier >= 0]] = False
        at = cell[newest]
        self._before[at], self._count[at] = before[newest], counted[newest]
        self._tick[at] = tick[newest]
        parts = (_PARTS, self._rows, len(ticks))
        of_edge = touches.of_edge
        current = (before[of_edge] + rank).reshape(parts).min(axis=1)
        sums = total[of_edge].reshape(parts).min(axis=1)
        return _chi_squared(current, sums, ticks.astype(np.float64)).T

    def _walk(
        self,
        touches: _Touches,
        elapsed: Integers,
        past: Integers,
        counted: Floats,
        whole: Floats,
    ) -> tuple[Floats, Floats]:
        """Go through the ticks; return faded counts and totals of every touch.

        Args:
            touches: of the block.
            elapsed: (g,) ticks since the cell was touched before.
            past: (g,) that earlier tick.
            counted: (g,) edges of the tick so far, up to the touch's last.
            whole: (cells,) counts of each cell at its last touch; written to.
        """
        is_short = elapsed.max(initial=0) < _POWERS
        faded = self._powers[elapsed] if is_short else _power(self._decay, elapsed)
        merged = (1.0 - faded) / (1.0 - self._decay)
        # Tick 1 has no score, so that nothing is kept from it.
        kept = (touches.tick - 1) / np.maximum(past - 1, 1)
        before, total = np.empty(len(elapsed)), np.empty(len(elapsed))
        for begin, end in zip(touches.bounds[:-1], touches.bounds[1:], strict=True):
            now = slice(begin, end)
            at = touches.cell[now]
            was, old = whole[at], self._total[at]
            learns = self._score[at] < self._threshold
            new = np.where(learns, old + was * merged[now], old * kept[now])
            early = was * faded[now]
            before[now], total[now] = early, new
            self._total[at], whole[at] = new, early + counted[now]
            # the last edge of each cell leaves its score there
            other = touches.other[:, now]
            current = (before[other] + touches.other_rank[:, now]).min(axis=0)
            self._score[at] = _chi_squared(
                current, total[other].min(axis=0), float(touches.tick[begin])
            )
        return before, total


def score(scores: Floats) -> Floats:
    """Return one number per edge: the largest of its three, as in MIDAS-F.

    Args:
        scores: (n, 3) from ``Prefilter.push``.
    """
    return np.asarray(scores.max(axis=1, initial=0.0), np.float64)


class _Hash:
    """Finds the cells of edges: multiply-shift over 32-bit halves, one key per row.

    h = ((k + a source_low + b source_high + c destination_low + d destination_high)
    mod 2^64) >> 32, column = (h columns) >> 32; a source's hash has no c and d, a
    destination's no a and b, and k differs for the three.
    """

    def __init__(self, seed: int, *, rows: int, columns: int) -> None:
        key = hkdf(
            seed.to_bytes(SEED_BYTES, "big"), label=_LABEL, size_bytes=rows * 7 * 8
        )
        self._keys = np.frombuffer(key, ">u8").astype(np.uint64).reshape(rows, 7)
        self._columns = np.uint64(columns)

    def cells(self, source: Integers, destination: Integers) -> npt.NDArray[np.uint16]:
        """Return (3 * rows, n) uint16: columns for edge, source, destination."""
        rows = len(self._keys)
        found = np.empty((_PARTS, rows, len(source)), np.uint16)
        halves = [*_halves(source), *_halves(destination)]
        for row, (k_edge, k_source, k_target, *factors) in enumerate(self._keys):
            a, b, c, d = (
                half * factor for half, factor in zip(halves, factors, strict=True)
            )
            one, two = a + b, c + d
            found[EDGE, row] = self._column(one + two + k_edge)
            found[SOURCE, row] = self._column(one + k_source)
            found[DESTINATION, row] = self._column(two + k_target)
        return found.reshape(_PARTS * rows, -1)

    def _column(self, mixed: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        return ((mixed >> np.uint64(32)) * self._columns) >> np.uint64(32)


@dataclass(slots=True, kw_only=True, eq=False)
class _Touches:
    """Which edges meet which cell in which tick; g touches, ordered by tick.

    Attributes:
        cell: (g,) int64, flat cell number.
        tick: (g,) int64.
        length: (g,) float64, how many edges.
        earlier: (g,) int64, touch of the same cell before it in the block, -1 if none.
        other: (rows, g) int64, touches that its last edge makes in the part's rows.
        other_rank: (rows, g) float64, that edge's rank in each of them.
        of_edge: (sketches, n) int64, touch of each edge in each sketch.
        rank: (sketches, n) float64, the edge's place in it, from 1.
        bounds: where each tick's touches begin and, last, g.
    """

    cell: Integers
    tick: Integers
    length: Floats
    earlier: Integers
    other: Integers
    other_rank: Floats
    of_edge: Integers
    rank: Floats
    bounds: list[int]


def _touches(
    ticks: Integers, cells: npt.NDArray[np.uint16], *, rows: int, columns: int
) -> _Touches:
    """Group the edges of a block; see ``Prefilter._score_block`` for the arguments."""
    sketches, n = cells.shape
    local = np.zeros(n, np.uint32)
    np.cumsum(ticks[1:] != ticks[:-1], out=local[1:])
    order = np.argsort(cells, axis=1, kind="stable")
    # (cell, tick) pairs ascend in each sketch, because edges stand in time order
    pair = np.take_along_axis(cells, order, 1).astype(np.uint32) << np.uint32(16)
    pair |= local[order]
    is_first = np.ones((sketches, n), np.bool_)
    is_first[:, 1:] = pair[:, 1:] != pair[:, :-1]
    first = np.flatnonzero(is_first)
    length = np.diff(first, append=sketches * n)
    sketch, key = first // n, pair.ravel()[first]
    cell = sketch * columns + (key >> np.uint32(16)).astype(np.int64)
    by_tick = np.argsort((key & np.uint32(0xFFFF)).astype(np.uint16), kind="stable")
    place = np.empty(len(first), np.int64)
    place[by_tick] = np.arange(len(first))
    earlier = np.full(len(first), -1, np.int64)
    again = np.flatnonzero(cell[1:] == cell[:-1]) + 1
    earlier[again] = place[again - 1]
    flat = (order + np.arange(sketches)[:, None] * n).ravel()
    of_edge, rank = np.empty(sketches * n, np.int64), np.empty(sketches * n)
    of_edge[flat] = np.repeat(place, length)
    rank[flat] = np.arange(1, sketches * n + 1) - np.repeat(first, length)
    last = order.ravel()[first + length - 1][by_tick]
    part = sketch[by_tick] // rows * rows
    meets = (part + np.arange(rows)[:, None]) * n + last
    tick = ticks[last]
    bounds = np.flatnonzero(np.concatenate([[True], tick[1:] != tick[:-1]]))
    return _Touches(
        cell=cell[by_tick],
        tick=tick,
        length=length[by_tick].astype(np.float64),
        earlier=earlier[by_tick],
        other=of_edge[meets],
        other_rank=rank[meets],
        of_edge=of_edge.reshape(sketches, n),
        rank=rank.reshape(sketches, n),
        bounds=[*bounds.tolist(), len(tick)],
    )


def _chi_squared(current: Floats, total: Floats, tick: Floats | float) -> Floats:
    """Return (a + s - a t)^2 / (s (t - 1)), 0 without a past (s = 0)."""
    gap = current + total - current * tick
    weight = total * (tick - 1.0)
    return np.divide(gap * gap, weight, out=np.zeros_like(gap), where=weight > 0)


def _power(base: float, exponents: Integers) -> Floats:
    """Return base^exponents by squaring: the same bits on every machine.

    Args:
        base: in [0, 1).
        exponents: (n,) int64 >= 0.
    """
    found = np.ones(len(exponents))
    bits = math.frexp(float(exponents.max(initial=0)))[1]
    for bit in range(bits):
        found = np.where(exponents >> bit & 1, found * base, found)
        base *= base
    return found


def _halves(tokens: Integers) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Return the low and the high 32 bits."""
    bits = tokens.view(np.uint64)
    return bits & np.uint64(0xFFFFFFFF), bits >> np.uint64(32)


def _column(values: npt.ArrayLike) -> Integers:
    """Return a column as contiguous int64."""
    column = np.asarray(values)
    if column.ndim != 1 or (column.size and column.dtype.kind not in "iu"):
        raise InvalidTelemetry(
            f"got {column.ndim} dimensions of {column.dtype}, want (n,) integers"
        )
    return np.ascontiguousarray(column, dtype=np.int64)


def _check_state(state: State) -> None:
    """Refuse arrays that ``Prefilter.state`` cannot have returned."""
    shape = state["before"].shape if "before" in state else ()
    wanted: dict[str, tuple[str, tuple[int, ...]]] = {
        **dict.fromkeys(_SKETCHES, ("float64", shape)),
        "tick": ("int64", shape),
        "clock": ("int64", (3,)),
        "rates": ("float64", (2,)),
        "seed": ("uint8", (SEED_BYTES,)),
    }
    found = {name: (array.dtype.name, array.shape) for name, array in state.items()}
    if found != wanted or len(shape) != 3 or shape[0] != _PARTS:
        raise MalformedMessage(f"a pre-filter's state: got {found}")
    numbers = np.stack([state[name] for name in _SKETCHES[:-1]])
    if not np.isfinite(numbers).all() or (numbers < 0).any():
        raise MalformedMessage("a pre-filter's state: a count below 0, NaN or infinite")
    now, ticks = int(state["clock"][2]), state["tick"]
    if now < 0 or ticks.min(initial=1) < 1 or ticks.max(initial=1) > max(now, 1):
        raise MalformedMessage("a pre-filter's state: a tick outside the stream")
