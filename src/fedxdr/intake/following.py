# SPDX-License-Identifier: Apache-2.0
"""Growing logs into the spool: read, recognise, parse, store; each line once.

It does NOT score events, and starts no thread: who wants one runs the loop in it.

Rules that always hold:
    1. What is yielded is stored. Who was killed before using it finds it again by its
       number (``Spool.batches``).
    2. Nothing is read while nobody asks: a slow user stops the reading, logs wait on
       the disk and topics at their broker. Memory is bounded by a batch and a block.
    3. A log whose lines no parser knows is not given up: its lines are refused with
       that reason until one is known.
"""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final

from fedxdr.core.clock import Clock
from fedxdr.core.errors import InvalidTelemetry
from fedxdr.intake.chunks import Chunk, Reader
from fedxdr.intake.counters import Counters
from fedxdr.intake.deadletter import DeadLetters
from fedxdr.intake.lines import Lines, lines_of_events
from fedxdr.intake.parsers import NEEDLES, header_of, parser_for
from fedxdr.intake.segments import Stored
from fedxdr.intake.sniffing import LogFormat, sniff
from fedxdr.intake.spool import Spool
from fedxdr.intake.stream import BATCH_ROWS
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.findings import Position
from fedxdr.telemetry.parser import (
    Parsed,
    Parser,
    Rejected,
    Tokenise,
    Tokeniser,
    line_count,
    numbered,
)
from fedxdr.telemetry.suricata import LABEL_SEVERITY

FLUSH_S: Final = 0.5
"""How long an event waits to be stored, about."""

PAUSE_S: Final = 0.05
"""How long is waited where nothing has come."""

NO_FORMAT: Final = "a log of no known format"
_MOST_PARSERS: Final = 1024


def following(
    readers: Sequence[Reader],
    *,
    tokenise: Tokenise | Tokeniser,
    spool: Spool,
    clock: Clock,
    stop: threading.Event,
    batch_rows: int = BATCH_ROWS,
    flush_s: float = FLUSH_S,
    letters: DeadLetters | None = None,
    counters: Counters | None = None,
    label_severity: int = LABEL_SEVERITY,
) -> Iterator[Stored]:
    """Yield what comes in, when it is stored.

    Ends when ``stop`` is set, with all stored that was read.

    Args:
        readers: begun at ``spool.positions()``.
        tokenise: see ``stream``.
        spool: where events go; nobody else appends to it.
        clock: tells when a batch has waited.
        stop: ends the loop.
        batch_rows: events from which on a batch is stored at once, >= 1.
        flush_s: seconds after which one is stored that has fewer.
        letters: where rejected lines go; they are in it at least once.
        counters: where lines and reasons are counted.
        label_severity: see ``EveParser``.

    Raises:
        StorageFault: the disk said no; what was not stored is read again next time.
    """
    batch = _Batch(spool, readers)
    source = _Parsers(tokenise, label_severity)
    counters = counters or Counters()
    if batch.is_ahead:
        # from here on a rotated file is one that was not read, and not an old one
        batch.store()
    while True:
        is_last, is_idle = stop.is_set(), True
        for reader in readers:
            for chunk in reader.poll():
                is_idle = False
                parsed, lines = source.parse(chunk)
                counters.parsed(parsed, size_bytes=len(chunk.block))
                if letters is not None:
                    place = chunk.position
                    letters.keep(place.source, parsed.rejected, begin=place.begin)
                batch.add(parsed.events, lines, clock)
                if batch.rows >= batch_rows:
                    yield batch.store()
        if batch.is_begun and (is_last or batch.waited_s(clock) >= flush_s):
            yield batch.store()
        if is_last:
            return
        if is_idle:
            stop.wait(PAUSE_S)


class _Batch:
    """Events that are not stored yet."""

    def __init__(self, spool: Spool, readers: Sequence[Reader]) -> None:
        self._spool = spool
        self._readers = readers
        self._events: list[Events] = []
        self._lines: list[Lines] = []
        self._begun_s: float | None = None
        self.rows = 0

    @property
    def is_ahead(self) -> bool:
        """Whether the readers know of logs that the spool does not know."""
        return set(self._positions()) != set(self._spool.positions())

    @property
    def is_begun(self) -> bool:
        """Whether anything was read."""
        return self._begun_s is not None

    def waited_s(self, clock: Clock) -> float:
        """Return for how long the first of it waits."""
        return clock.now().timestamp() - (self._begun_s or 0.0)

    def add(self, events: Events, lines: Lines, clock: Clock) -> None:
        """Take what a chunk held, even if nothing."""
        if self._begun_s is None:
            self._begun_s = clock.now().timestamp()
        self._events.append(events)
        self._lines.append(lines)
        self.rows += len(events)

    def store(self) -> Stored:
        """Store it with the readers' positions, and return it."""
        events, lines = (
            Events.concatenate(self._events),
            Lines.concatenate(self._lines),
        )
        number = self._spool.append(events, self._positions(), lines=lines)
        for reader in self._readers:
            reader.stored()
        self._events, self._lines, self._begun_s, self.rows = [], [], None, 0
        return Stored(number=number, events=events, lines=lines)

    def _positions(self) -> list[Position]:
        return [one for reader in self._readers for one in reader.positions()]


class _Parsers:
    """The parser of each log, recognised by its first lines."""

    def __init__(self, tokenise: Tokenise | Tokeniser, label_severity: int) -> None:
        self._tokenise = tokenise
        self._label_severity = label_severity
        self._known: OrderedDict[tuple[str, int, int], tuple[LogFormat, Parser]] = (
            OrderedDict()
        )

    def parse(self, chunk: Chunk) -> tuple[Parsed, Lines]:
        """Return what a chunk held and where."""
        place = chunk.position
        key = (place.source, place.device, place.inode)
        known = self._known.pop(key, None)
        if known is None or place.begin == 0 or known[0] is LogFormat.SYSLOG:
            known = self._begin(chunk, None if known is None else known[0])
        if known is None:
            return _refused(chunk.block), Lines.unknown(0)
        parsed, lines = _parse(chunk, known)
        if len(parsed.rejected) and not len(parsed.events):
            # a topic may hold several formats, a file become another
            other = self._begin(dataclasses.replace(chunk, head=b""), None)
            if other is not None and other[0] is not known[0]:
                known = other
                parsed, lines = _parse(chunk, known)
        self._known[key] = known
        if len(self._known) > _MOST_PARSERS:
            self._known.popitem(last=False)
        return parsed, lines

    def _begin(
        self, chunk: Chunk, format_: LogFormat | None
    ) -> tuple[LogFormat, Parser] | None:
        """Return format and parser of a log, None where it has no known format."""
        if format_ is None or chunk.position.begin == 0:
            try:
                format_ = sniff(chunk.head or chunk.block)
                if format_ is LogFormat.EMPTY:
                    format_ = sniff(chunk.block)
            except InvalidTelemetry:
                return None
        if format_ is LogFormat.EMPTY:
            return None
        parser = parser_for(
            format_,
            name=chunk.name,
            written=chunk.written,
            tokenise=self._tokenise,
            label_severity=self._label_severity,
        )
        header = header_of(format_, chunk.head)
        if header:
            parser.parse(header)
        return format_, parser


def _parse(chunk: Chunk, known: tuple[LogFormat, Parser]) -> tuple[Parsed, Lines]:
    format_, parser = known
    again = copy.copy(parser)
    parsed = parser.parse(chunk.block)
    needle = NEEDLES.get(format_)
    return parsed, lines_of_events(chunk, parsed, again=again, needle=needle)


def _refused(block: bytes) -> Parsed:
    """Return a block of no known format: each line is refused."""
    return Parsed(
        events=Events.empty(),
        rejected=tuple(
            Rejected.of(number, NO_FORMAT, line) for number, line in numbered(block, 1)
        ),
        lines=line_count(block),
    )
