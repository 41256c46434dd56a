# SPDX-License-Identifier: Apache-2.0
"""Features of bare edges: who met whom when, and how long they have known each other.

The set ``edges`` reads three columns: time, source, destination. Its neighbours are the
recent events of either end (in any role), of the pair, and of everybody; its own
numbers are lifetimes: how many earlier events, since when, how often an hour, of the
source as source, the destination as destination, either end in any role, the pair and
the pair the other way round; and how many partners both have had.

``against`` asks the same of an edge that did not happen: another destination in its
place. That is what the head for "what follows" learns from. ``both`` gives the edges'
own features beside, for half as much again.

It does NOT read ports, sizes, services or users, and has no bound on the past: an old
event still counts in a lifetime. No claim about single events can be made for it.

Rules that always hold: strictly causal; every number lies in [0, BOUND].

Source: choice of keys and lifetimes is ours, on DARPA 1998 with each network's own
attacks left out in turn (docs/explanation/detection.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning import columns, pasts
from fedxdr.learning.pasts import Past, Truths
from fedxdr.models import numbering
from fedxdr.models.graph import NONE, Floats, Integers
from fedxdr.telemetry.event import Events

NAME: Final = "edges"
RANKS: Final = (1, 2, 4, 8, 16, 32, 64, 128)
KEYS: Final = 4
TOKEN: Final = 3
_PER_LIFETIME: Final = 4
_LIFETIMES: Final = 6
OWN: Final = _LIFETIMES * _PER_LIFETIME + 2
_HOUR_S: Final = 3600.0

_PER_KEY: Final = len(RANKS) * TOKEN
_OWN: Final = KEYS * _PER_KEY
_PARTNERS: Final = _OWN + _LIFETIMES * _PER_LIFETIME
_BACK: Final = np.array(RANKS, np.int64)[:, None]
_PIECE: Final = 2048
"""Rows that are written at once: what stands between then stays in the cache."""


def make(events: Events, rows: Integers) -> Floats:
    """Return the features of some events, (q, D) float32.

    Args:
        events: n events in time order.
        rows: (q,) indices of those asked for.
    """
    return _features(events, rows, None, has_own=True)[0]


def against(events: Events, rows: Integers, destination: Integers) -> Floats:
    """Return the features that edges to other destinations would have had.

    Args:
        events: n events in time order.
        rows: (q,) indices: their times and sources are taken.
        destination: (q,) int64, entities, known before or not.

    Returns:
        (q, D) float32 in [0, BOUND].

    Raises:
        InvalidTelemetry: not one destination per row.
    """
    return _features(events, rows, destination, has_own=False)[0]


def both(
    events: Events,
    rows: Integers,
    destination: Integers,
    *,
    before: Integers | None = None,
) -> tuple[Floats, Floats]:
    """Return what ``make`` gives, and what ``against`` gives.

    Args:
        events: n events in time order.
        rows: (q,) indices of those asked for.
        destination: (q,) int64, entities, known before or not.
        before: (q,) int64, at most the row each: the first event that a row does not
            see; the row itself if None.

    Raises:
        InvalidTelemetry: not one destination per row, or a row that would see itself.
    """
    if before is not None and not (
        before.shape == rows.shape and (before <= rows).all()
    ):
        raise InvalidTelemetry(
            "a row sees what is before it, and there is one limit each"
        )
    own, other = _features(events, rows, destination, has_own=True, before=before)
    return own, other


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Source:
    """What q rows and their rivals have in common.

    Attributes:
        code: (q,) of the source.
        now: (q,) int64 ns.
        as_source: its past as source.
        of_source: its past in any role.
        everybody: all events before.
    """

    code: Integers
    now: Integers
    as_source: Past
    of_source: Past
    everybody: Past

    def of(self, queries: slice) -> _Source:
        """Return some of the rows."""
        return _Source(
            code=self.code[queries],
            now=self.now[queries],
            as_source=self.as_source.of(queries),
            of_source=self.of_source.of(queries),
            everybody=self.everybody.of(queries),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Edge:
    """Where q edges lead that happened, or did not, and the pasts that hang on it.

    Attributes:
        destination: (q,) codes, ``NONE`` of a node that no event has.
        pair: (q,) codes, ``NONE`` of a pair that no event has.
        as_target: of the destination as destination.
        of_target: of the destination in any role.
        of_pair: of the pair.
        of_back: of the pair the other way round.
    """

    destination: Integers
    pair: Integers
    as_target: Past
    of_target: Past
    of_pair: Past
    of_back: Past

    def of(self, queries: slice) -> _Edge:
        """Return some of the edges."""
        return _Edge(
            destination=self.destination[queries],
            pair=self.pair[queries],
            as_target=self.as_target.of(queries),
            of_target=self.of_target.of(queries),
            of_pair=self.of_pair.of(queries),
            of_back=self.of_back.of(queries),
        )


def _features(
    events: Events,
    rows: Integers,
    rival: Integers | None,
    *,
    has_own: bool,
    before: Integers | None = None,
) -> list[Floats]:
    """Return the features of rows' own edges, of those to rivals, or of both."""
    if rival is not None and rival.shape != rows.shape:
        raise InvalidTelemetry(f"got {len(rival)} destinations, {len(rows)} rows")
    n, q = len(events), len(rows)
    if not q:
        empty = np.zeros((0, _OWN + OWN), np.float32)
        return [empty] * (has_own + (rival is not None))
    nodes, other = numbering.numbers(
        np.concatenate([events.source, events.destination]),
        rows[:0] if rival is None else rival,
    )
    source, target = nodes[:n], nodes[n:]
    here, there, width = source[rows], target[rows], int(nodes.max()) + 1
    ends = ([there] if has_own else []) + ([] if rival is None else [other])
    # who sees all that was before stands among the members of its nodes already
    is_member = before is None
    seen = rows if before is None else before
    sources = [] if is_member else [here]
    asked = ends[1:] if is_member and has_own else ends
    pairs = [_pair(here, end, width) for end in asked]
    backs = [_pair(end, here, width) for end in ends]
    pair, wanted = numbering.numbers(
        source * width + target, np.concatenate([*pairs, *backs])
    )
    codes = [*wanted.reshape(-1, q)]
    is_loop = source == target
    is_new_end = np.ones(2 * n, np.bool_)
    is_new_end[1::2] = ~is_loop
    by_source, as_source = _grouped(source, sources, seen)
    by_target, as_target = _grouped(target, asked, seen)
    by_end, of_ends = _grouped(
        np.stack([source, target], axis=1).ravel(),
        [*sources, *asked],
        seen,
        per_event=2,
        counted=is_new_end,
    )
    by_pair, of_pairs = _grouped(pair, codes, seen)
    of_source, of_target = of_ends[: len(sources)], of_ends[len(sources) :]
    if is_member:
        as_source, of_source = [by_source.of(rows)], [by_end.of(2 * rows)]
    if is_member and has_own:
        as_target = [by_target.of(rows), *as_target]
        of_target = [by_end.of(2 * rows + ~is_loop[rows]), *of_target]
        of_pairs = [by_pair.of(rows), *of_pairs]
        codes = [pair[rows], *codes]
    edges = [
        _Edge(
            destination=end,
            pair=codes[i],
            as_target=as_target[i],
            of_target=of_target[i],
            of_pair=of_pairs[i],
            of_back=of_pairs[len(ends) + i],
        )
        for i, end in enumerate(ends)
    ]
    is_first = by_pair.begin == by_pair.position
    writer = _Writer(
        time_ns=events.time_ns,
        by_end=by_end.events,
        by_pair=by_pair.events,
        source=source,
        target=target,
        pair=pair,
        partners=(
            counted(is_first[by_source.events]),
            counted(is_first[by_target.events]),
        ),
    )
    common = _Source(
        code=here,
        now=events.time_ns[rows],
        as_source=as_source[0],
        of_source=of_source[0],
        everybody=Past(
            events=pasts.padded(np.arange(n)),
            begin=np.full(q, pasts.PAD),
            position=seen + pasts.PAD,
        ),
    )
    return writer.write(common, edges)


class _Writer:
    """Writes features, a piece of the rows at a time.

    Args:
        time_ns: (n,) of the stream's events.
        source: (n,) codes.
        target: (n,) codes.
        pair: (n,) codes.
        by_end: events by their ends, as in ``Past``.
        by_pair: events by their pair.
        partners: per kind of end, how many partners each node had before each event.
    """

    def __init__(
        self,
        *,
        time_ns: Integers,
        source: Integers,
        target: Integers,
        pair: Integers,
        by_end: Integers,
        by_pair: Integers,
        partners: tuple[Integers, Integers],
    ) -> None:
        self._time_ns = time_ns
        self._by_end = time_ns[by_end], source[by_end], target[by_end]
        self._by_pair = time_ns[by_pair]
        self._by_time = pasts.padded(time_ns), pasts.padded(pair)
        self._partners = partners

    def write(self, common: _Source, edges: list[_Edge]) -> list[Floats]:
        """Return the features of edges with a common source, (q, D) float32 each."""
        q = len(common.now)
        found = [np.empty((q, _OWN + OWN), np.float32) for _ in edges]
        for begin in range(0, q, _PIECE):
            piece = slice(begin, begin + _PIECE)
            source = common.of(piece)
            out = found[0][piece]
            of_source, everybody = self._source(out, source)
            for other in found[1:]:
                other[piece] = out
            for whole, edge in zip(found, edges, strict=True):
                out, part = whole[piece], edge.of(piece)
                same = self._by_end[2][of_source.place] == part.destination
                _put(out, 0, 2, same & of_source.is_there)
                same = self._by_time[1][everybody.place] == part.pair
                _put(out, 3, 2, same & everybody.is_there)
                self._edge(out, part, source)
                np.clip(out, 0, columns.BOUND, out=out)
        return found

    def _source(self, out: Floats, source: _Source) -> tuple[_Near, _Near]:
        """Write what hangs on time and source; return neighbours to compare."""
        near = (
            _Near.of(source.of_source, now=source.now, time_ns=self._by_end[0]),
            _Near.of(source.everybody, now=source.now, time_ns=self._by_time[0]),
        )
        for key, one in zip((0, 3), near, strict=True):
            _put(out, key, 0, one.gap)
            _put(out, key, 1, one.is_there)
        self._lifetime(out, 0, source.as_source, source.now)
        self._lifetime(out, 2, source.of_source, source.now)
        out[:, _PARTNERS] = _partners(source.as_source, self._partners[0])
        return near

    def _edge(self, out: Floats, edge: _Edge, source: _Source) -> None:
        """Write what hangs on the destination."""
        near = _Near.of(edge.of_target, now=source.now, time_ns=self._by_end[0])
        same = self._by_end[1][near.place] == source.code
        _put(out, 1, 0, near.gap)
        _put(out, 1, 1, near.is_there)
        _put(out, 1, 2, same & near.is_there)
        near = _Near.of(edge.of_pair, now=source.now, time_ns=self._by_pair)
        _put(out, 2, 0, near.gap)
        _put(out, 2, 1, near.is_there)
        # of a pair every event has the same source
        _put(out, 2, 2, near.is_there)
        pasts = (edge.as_target, edge.of_target, edge.of_pair, edge.of_back)
        for place, past in zip((1, 3, 4, 5), pasts, strict=True):
            self._lifetime(out, place, past, source.now)
        out[:, _PARTNERS + 1] = _partners(edge.as_target, self._partners[1])

    def _lifetime(self, out: Floats, place: int, past: Past, now: Integers) -> None:
        """Write how many, for how long, whether any, how many an hour."""
        count = past.position - past.begin
        first = past.events[np.where(count > 0, past.begin, 0)]
        write_lifetime(
            out[:, _OWN:], place, count, time_ns=now, first_ns=self._time_ns[first]
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Near:
    """The neighbours of some queries at all ranks; (ranks, q) each.

    Attributes:
        place: where in a past's events each is; anywhere where there is none.
        is_there: whether there is one.
        gap: how long ago it was, as a feature.
    """

    place: Integers
    is_there: Truths
    gap: Floats

    @classmethod
    def of(cls, past: Past, *, now: Integers, time_ns: Integers) -> _Near:
        """Return the neighbours in a past.

        Args:
            past: of q queries.
            now: (q,) their times.
            time_ns: of the past's events, in its order.
        """
        place = past.position - _BACK
        is_there = place >= past.begin
        seconds = np.where(is_there, (now - time_ns[place]) / 1e9, np.inf)
        gap = columns.gap(seconds.astype(np.float32))
        return cls(place=place, is_there=is_there, gap=gap)


def _put(
    out: Floats, key: int, number: int, values: npt.NDArray[np.floating] | Truths
) -> None:
    """Write one number of a key's neighbours, (ranks, q)."""
    begin = key * _PER_KEY + number
    for rank, row in enumerate(values):
        out[:, begin + rank * TOKEN] = row


def _grouped(
    codes: Integers,
    asked: list[Integers],
    seen: Integers,
    *,
    per_event: int = 1,
    counted: Truths | None = None,
) -> tuple[Past, list[Past]]:
    """Return the past of members, and of several queries of each row."""
    q = len(seen)
    members, queries = pasts.group(
        codes,
        asked=np.concatenate([seen[:0], *asked]),
        before=np.tile(seen, len(asked)),
        per_event=per_event,
        counted=counted,
    )
    return members, [queries.of(slice(i * q, i * q + q)) for i in range(len(asked))]


def _pair(source: Integers, target: Integers, width: int) -> Integers:
    """Return one number per pair of nodes below ``width``, ``NONE`` without a node."""
    is_known = (source != NONE) & (target != NONE)
    return np.where(is_known, source * width + target, NONE)


def write_lifetime(
    out: Floats, place: int, count: Integers, *, time_ns: Integers, first_ns: Integers
) -> None:
    """Write how many, for how long, whether any, how many an hour.

    Args:
        out: (q, ``OWN``) float32, own numbers of rows.
        place: which of the lifetimes.
        count: (q,) int64, earlier events.
        time_ns: (q,) int64.
        first_ns: (q,) int64, when the first was; anything where there is none.
    """
    is_known = count > 0
    age = np.where(is_known, (time_ns - first_ns) / 1e9, 0.0)
    begin = place * _PER_LIFETIME
    out[:, begin] = columns.log(count)
    out[:, begin + 1] = columns.log(age)
    out[:, begin + 2] = is_known
    out[:, begin + 3] = columns.log(count / (1 + age / _HOUR_S))


def counted(is_marked: Truths) -> Integers:
    """Return how many are marked before each place of a past's padded list."""
    is_marked[: pasts.PAD] = False
    return np.concatenate([[0], np.cumsum(is_marked)])


def _partners(past: Past, counted: Integers) -> Floats:
    """Return (q,) how many partners a node has had, as a feature."""
    return columns.log(counted[past.position] - counted[past.begin])
