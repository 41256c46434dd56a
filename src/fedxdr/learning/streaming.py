# SPDX-License-Identifier: Apache-2.0
"""Features of a stream, block by block: what a batch over the whole past would give.

``Stream.push`` takes the newest events and returns their features, the same bits as
``FeatureSet.compute`` on all events so far; what it costs hangs on the block, not on
the past. How: of every node only the last events are held that a set can read
(models/rings.py, readings.py); where a set reads lifetimes, three sums of each node
beside (lives.py).

It does NOT score, and it does not wait for events that come late (reordering.py does).
``counters``, which count within hours, cannot be streamed.

Rules that always hold:
    1. However a stream is cut into blocks, features and ``save`` have the same bits.
    2. Memory is bounded: after every ``most_nodes`` events each key forgets all but the
       ``most_nodes`` nodes seen last. A forgotten node is new when it comes again;
       until one does, features equal the batch's.
       Of ``traffic``, a node of one key takes 22 KB when it is busy, 350 bytes when it
       was seen once.
    3. An event older than the newest so far is read as if it came at that time, and
       counted (``late``): the bits are those of a batch whose times are raised to the
       largest so far.

    4. What ``save`` gives is as private as the events: it stays with the organisation.

Source: ours.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final, Self

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from fedxdr.core import canonical
from fedxdr.core.errors import InvalidTelemetry, MalformedMessage
from fedxdr.core.ids import Digest, sha256
from fedxdr.learning import columns, entities, features
from fedxdr.learning.features import FeatureSet
from fedxdr.learning.readings import COLUMNS, READINGS, SHORT, Key
from fedxdr.models.graph import Floats, Integers
from fedxdr.models.rings import Block, Look, Rings, Shape
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.features import own_features

MOST_NODES: Final = 65_536
"""How many nodes of a key are remembered, if nothing else is said."""

PIECE: Final = 16_384
"""Events that are read at once; larger blocks are cut, to need little memory."""


_KEY: Final = "fedxdr-stream"
_CLOCK: Final = "clock"
_LIVES: Final = "lives"
_NO_TIME: Final = np.iinfo(np.int64).min
_HEADER_BYTES: Final = 8
_VERSION: Final = 1
_NO_DIGEST: Final = Digest("")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Card:
    """What a saved stream says about itself; ``digest`` is of that and its arrays."""

    features: str
    most_nodes: int
    digest: Digest = _NO_DIGEST
    version: int = _VERSION


class Stream:
    """Features of one stream of events.

    Args:
        feature_set: the set or its name.
        most_nodes: how many nodes of each key are remembered, >= 1.

    Attributes:
        seen: events so far.
        late: how many of them were older than one before.
        newest_ns: the largest time so far, None before the first event.

    Raises:
        InvalidTelemetry: no such set, or one that cannot be streamed.
    """

    def __init__(
        self, feature_set: FeatureSet | str, *, most_nodes: int = MOST_NODES
    ) -> None:
        name = feature_set if isinstance(feature_set, str) else feature_set.name
        self._set = features.find(name)
        if name not in READINGS:
            raise InvalidTelemetry(
                f"feature set {name!r} cannot be streamed: use one of "
                f"{', '.join(READINGS)}"
            )
        if most_nodes < 1:
            raise InvalidTelemetry(f"got {most_nodes} nodes to remember, want >= 1")
        self._reading = READINGS[name]
        self._most = most_nodes
        self._rings = [Rings(shape) for shape in self._shapes()]
        self._lives = self._reading.lives() if self._reading.lives else None
        self.seen = 0
        self.late = 0
        self.newest_ns: int | None = None

    @property
    def width(self) -> int:
        """D: how many features an event has."""
        neighbours = self._set.keys * len(self._set.ranks)
        return neighbours * self._set.token + self._set.own

    @property
    def size_bytes(self) -> int:
        """Bytes that the past takes now."""
        lives = self._lives.size_bytes if self._lives else 0
        return lives + sum(rings.size_bytes for rings in self._rings)

    @property
    def nodes(self) -> tuple[int, ...]:
        """How many nodes of each key are remembered now."""
        lives = self._lives.nodes if self._lives else ()
        return (*(len(rings) for rings in self._rings), *lives)

    def push(self, events: Events) -> Floats:
        """Return the features of the next events of the stream.

        Args:
            events: n events in time order; all of them become context.

        Returns:
            (n, D) float32, in [0, ``features.BOUND``], one row per event.

        Raises:
            InvalidTelemetry: the events are not in time order; the stream has then not
                taken any of them.
        """
        if not events.is_sorted:
            raise InvalidTelemetry("a stream needs events in time order: sort() them")
        found = np.empty((len(events), self.width), np.float32)
        begin = 0
        while begin < len(events):
            until_forgetting = self._most - self.seen % self._most
            end = min(begin + PIECE, begin + until_forgetting, len(events))
            self._read(events.select(slice(begin, end)), found[begin:end])
            self.seen += end - begin
            if self.seen % self._most == 0:
                for rings in self._rings:
                    rings.forget_all_but(self._most)
                if self._lives:
                    self._lives.forget_all_but(self._most)
            begin = end
        return found

    def save(self) -> bytes:
        """Return all that has to be known to go on later, as one safetensors file.

        The same stream gives the same bytes, however it was cut.
        """
        arrays = {
            f"{number}.{name}": array
            for number, rings in enumerate(self._rings)
            for name, array in rings.state().items()
        }
        lives = self._lives.state() if self._lives else {}
        arrays |= {f"{_LIVES}.{name}": array for name, array in lives.items()}
        newest_ns = _NO_TIME if self.newest_ns is None else self.newest_ns
        arrays[_CLOCK] = np.array([self.seen, self.late, newest_ns], np.int64)
        card = _Card(features=self._set.name, most_nodes=self._most)
        card = dataclasses.replace(card, digest=_digest_of(card, arrays))
        return save_tensors(arrays, metadata={_KEY: canonical.encode(card).decode()})

    @classmethod
    def load(cls, file: bytes) -> Self:
        """Return a stream that goes on where another stood.

        Args:
            file: what its ``save`` returned.

        Raises:
            MalformedMessage: not such a file, of another version, or one of which a bit
                was changed.
        """
        try:
            size = int.from_bytes(file[:_HEADER_BYTES], "little")
            header = msgspec.json.decode(file[_HEADER_BYTES : _HEADER_BYTES + size])
            card = canonical.decode(header["__metadata__"][_KEY].encode(), _Card)
            arrays = load_tensors(file)
            stream = cls(card.features, most_nodes=card.most_nodes)
        except (
            SafetensorError,
            msgspec.DecodeError,
            InvalidTelemetry,
            MalformedMessage,
            AttributeError,
            KeyError,
            MemoryError,
            OverflowError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            raise MalformedMessage(f"not the state of a stream: {error}") from error
        if card.version != _VERSION:
            raise MalformedMessage(f"the state of a stream, version {card.version}")
        if card.digest != _digest_of(card, arrays):
            raise MalformedMessage("the state of a stream does not have its digest")
        stream._take(arrays)
        return stream

    def _take(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Go on from these arrays, of a stream of the same set."""
        clock = arrays.pop(_CLOCK, np.zeros(0))
        if clock.dtype != np.int64 or clock.shape != (3,) or clock[:2].min() < 0:
            raise MalformedMessage("the state of a stream has no clock")
        self.seen, self.late, newest_ns = clock.tolist()
        self.newest_ns = None if newest_ns == _NO_TIME else newest_ns
        parts: list[dict[str, npt.NDArray[Any]]] = [{} for _ in self._rings]
        lives: dict[str, npt.NDArray[Any]] = {}
        for name, array in arrays.items():
            number, _, rest = name.partition(".")
            if number == _LIVES and self._lives:
                lives[rest] = array
                continue
            if number not in map(str, range(len(parts))):
                raise MalformedMessage(f"the state of a stream: no place for {name}")
            parts[int(number)][rest] = array
        self._rings = [
            Rings.from_state(rings.shape, part)
            for rings, part in zip(self._rings, parts, strict=True)
        ]
        self._lives = type(self._lives).from_state(lives) if self._lives else None

    def _read(self, events: Events, out: Floats) -> None:
        """Take a few events and write their features."""
        time_ns = events.time_ns
        if self.newest_ns is not None:
            self.late += int((time_ns < self.newest_ns).sum())
            time_ns = np.maximum(time_ns, self.newest_ns)
        self.newest_ns = int(time_ns[-1])
        edges = np.zeros((len(events), 0), np.float32)
        if self._reading.has_edges:
            edges = np.stack(columns.edges(events), axis=1)
        piece = _Piece(
            known={name: column(events) for name, column in COLUMNS.items()},
            time_ns=time_ns,
            edges=edges,
            serial=2 * (self.seen + np.arange(len(events))),
        )
        writer = _Writer(out)
        looks: list[Look] = []
        for key, rings in zip(self._reading.keys, self._rings, strict=True):
            look = piece.push(rings, key)
            self._tokens(writer, look, key)
            looks.append(look)
        if self._reading.has_own:
            writer.put(own_features(events))
        if self._reading.has_shown:
            writer.put(entities.shown(events, events.destination))
        self._mixtures(writer, looks)
        if self._lives:
            told = self._lives.push(
                piece.known, serial=piece.serial, time_ns=piece.time_ns
            )
            writer.put(told)

    def _tokens(self, writer: _Writer, look: Look, key: Key) -> None:
        """Write what is told of the neighbours at each rank."""
        ranks = self._set.ranks
        is_there, seconds, values = look.back(ranks)
        same = look.same(ranks, key.places(key.same))
        token = writer.tokens(len(ranks), self._set.token)
        token[:, :, 0] = columns.gap(seconds)
        if self._reading.closeness:
            token[:, :, 1] = columns.closeness(seconds)
            np.multiply(same, 2, out=token[:, :, 2], casting="unsafe")
        else:
            token[:, :, 1] = is_there
            token[:, :, 2] = same
        if self._reading.has_edges:
            # copied whole: number by number it takes five times as long
            _items(token[:, :, 3:])[:] = _items(values)

    def _mixtures(self, writer: _Writer, looks: list[Look]) -> None:
        """Write shares and diversities of all keys, then means of some."""
        scale = 2 if self._reading.closeness else 1
        for key, look in zip(self._reading.keys, looks, strict=True):
            for mark in range(len(key.mixtures)):
                for share in look.shares(mark, self._reading.alike):
                    writer.put(scale * share)
                for number in look.diversity(mark, self._reading.diverse):
                    writer.put(np.log1p(number))
        for key, look in zip(self._reading.keys, looks, strict=True):
            for mean in look.means(self._reading.means) if key.has_means else ():
                writer.put(mean)

    def _shapes(self) -> list[Shape]:
        return [
            Shape(
                width=max(len(key.by), 1),
                depth=max(self._set.ranks),
                watched=tuple(
                    np.dtype(np.int32 if name in SHORT else np.int64)
                    for name in key.watched
                ),
                marks=tuple(key.places(names) for names in key.mixtures),
                asked=key.places(key.same),
                values=columns.EDGES if self._reading.has_edges else 0,
                is_summed=key.has_means,
            )
            for key in self._reading.keys
        ]


class _Writer:
    """Writes features side by side into rows."""

    def __init__(self, out: Floats) -> None:
        self._out = out
        self._next = 0

    def put(self, part: npt.NDArray[Any]) -> None:
        """Write (q,) or (q, k) numbers."""
        if part.ndim == 1:
            self._out[:, self._next] = part
            self._next += 1
            return
        end = self._next + part.shape[1]
        self._out[:, self._next : end] = part
        self._next = end

    def tokens(self, ranks: int, width: int) -> Floats:
        """Return a view of (q, ranks, width) numbers to write to."""
        begin, self._next = self._next, self._next + ranks * width
        return self._out[:, begin : self._next].reshape(len(self._out), ranks, width)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Piece:
    """A few events that are read at once.

    Attributes:
        known: (n,) int64 columns by name.
        time_ns: (n,) int64, never descending.
        edges: (n, EDGES) float32, what neighbours are read by.
        serial: (n,) int64, even numbers.
    """

    known: dict[str, Integers]
    time_ns: Integers
    edges: Floats
    serial: Integers

    def push(self, rings: Rings, key: Key) -> Look:
        """Add the events to their nodes' lists; return the look back of each event.

        One that belongs to a second node is a member there too, just behind; one of no
        node is no member anywhere.
        """
        n = len(self.time_ns)
        keys = np.stack(
            [self.known[name] for name in key.by] or [np.zeros(n, np.int64)]
        )
        event = np.flatnonzero(keys[0]) if key.has_unknown else np.arange(n)
        keys, serial = keys[:, event], self.serial[event]
        queries = np.arange(len(event))
        if key.other is not None:
            second = self.known[key.other]
            count = 1 + (second != keys[0])
            event = np.repeat(event, count)
            queries = np.cumsum(count) - count
            is_second = np.ones(len(event), np.bool_)
            is_second[queries] = False
            keys = np.where(is_second, second[event], keys[0][event])[None]
            serial = serial[event] + is_second
        block = Block(
            keys=keys,
            serial=serial,
            time_ns=self.time_ns[event],
            watched=tuple(
                self.known[name].astype(dtype, copy=False)[event]
                for name, dtype in zip(key.watched, rings.shape.watched, strict=True)
            ),
            values=self.edges[event],
        )
        look = rings.push(block)
        if key.has_unknown:
            return look.spread(event, n)
        return look if key.other is None else look.select(queries)


def _items(values: Floats) -> npt.NDArray[Any]:
    """Return (q, ranks) items of (q, ranks, k) numbers that lie side by side."""
    return values.view(f"V{values.shape[2] * values.itemsize}")[:, :, 0]


def _digest_of(card: _Card, arrays: dict[str, npt.NDArray[Any]]) -> Digest:
    bare = dataclasses.replace(card, digest=_NO_DIGEST)
    return sha256(sha256(canonical.encode(bare)).encode(), save_tensors(arrays))
