# SPDX-License-Identifier: Apache-2.0
"""Live scoring beside an agent's rounds: logs are followed, findings reach the sinks.

Two threads: one reads what logs and topics bring into the spool, one scores the spool
(scored_spool.py) and puts what it finds into the outbox; the deliveries have a thread
for each sink (delivering.py). Training reads the same spool (learners.py).

It does NOT talk to the orchestrator: the models that score are offered to it.

Rules that always hold:
    1. Each line is scored once and each finding arrives at least once, over kill -9.
    2. Who scores slowly slows the reading: at most ``AHEAD`` segments wait, once
       scoring has begun. What is not read waits in the logs.
    3. What goes wrong in a thread ends the agent (``check``): nobody is left believing
       that somebody watches.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from typing_extensions import override

from fedxdr.app.delivering import Deliveries
from fedxdr.app.learners import pseudonymiser_in
from fedxdr.app.names import KnownNames
from fedxdr.app.participating import AgentFile
from fedxdr.app.scored_spool import ScoredSpool
from fedxdr.app.scoring import BUDGET, model_of
from fedxdr.app.sinks import delivering
from fedxdr.core.clock import Clock, SystemClock
from fedxdr.core.errors import Fault, FedxdrError, InvalidSettings, Unavailable
from fedxdr.core.ids import Digest, org_id
from fedxdr.core.randomness import SystemEntropy
from fedxdr.intake.chunks import Chunk, Reader
from fedxdr.intake.counters import Counters
from fedxdr.intake.deadletter import DeadLetters
from fedxdr.intake.follow import Follower
from fedxdr.intake.following import following
from fedxdr.intake.kafka import KafkaReader
from fedxdr.intake.spool import Spool
from fedxdr.parties.participant import Participant
from fedxdr.storage.outbox import REMEMBERED
from fedxdr.telemetry.findings import Finding, Position

logger = logging.getLogger(__name__)

SPOOL: Final = "spool"
STATE: Final = "live.state"
OUTBOX: Final = "outbox.db"
FINDINGS: Final = "findings.ndjson"
"""Names in the organisation's folder; findings go to the last if no sink is named."""

AHEAD: Final = 64
"""Segments that may be stored and not scored."""

TOLD_S: Final = 60.0
"""How often the counters are logged."""

_PAUSE_S: Final = 0.1
_RETRY_S: Final = 0.5
_FLUSH_S: Final = 0.25
_CAUGHT_UP_BYTES: Final = 1 << 20
_TOPICS_COME_S: Final = 5.0
_RECALLED: Final = 256
_PATIENCE_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is followed and where findings go.

    Attributes:
        sources: files, folders and glob patterns.
        servers: of a Kafka broker, empty for none.
        topics: of it.
        sinks: URLs; none: a file in the organisation's folder.
        budget: share of benign events that may alarm, in (0, 1).
        until_ns: see ``ScoredSpool``.

    Raises:
        InvalidSettings: nothing to follow, or a budget outside its range.
    """

    sources: tuple[str, ...]
    servers: str = ""
    topics: tuple[str, ...] = ()
    sinks: tuple[str, ...] = ()
    budget: float = BUDGET
    until_ns: int | None = None

    def __post_init__(self) -> None:
        if bool(self.servers) != bool(self.topics):
            raise InvalidSettings("--kafka SERVERS and --topic NAME go together")
        if not self.sources and not self.topics:
            raise InvalidSettings(
                "name what is to be followed: --eve, --zeek, or --kafka with --topic"
            )
        if not 0 < self.budget < 1:
            raise InvalidSettings("--budget is a share of events, above 0 and below 1")


class Live:
    """Reading and scoring; a context: threads run inside of it.

    Args:
        readers: of logs and topics, begun at the spool's positions.
        spool: that is written to.
        scored: over another object of the same spool.
        names: makes tokens.
        deliveries: of findings.
        letters: for lines that cannot be read.
        stopping: ends the scoring; what waits for room in the outbox is given up then,
            and found again next time.
        clock: the time.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        *,
        spool: Spool,
        scored: ScoredSpool,
        names: KnownNames,
        deliveries: Deliveries,
        letters: DeadLetters,
        stopping: threading.Event,
        clock: Clock,
    ) -> None:
        self._watched = [_Watched(one, clock) for one in readers]
        self._spool = spool
        self._scored = scored
        self._names = names
        self._deliveries = deliveries
        self._letters = letters
        self._clock = clock
        self._counters = Counters()
        self._offered: Digest | None = None
        self._stop_reading = threading.Event()
        self._stop_scoring = stopping
        self._news = threading.Event()
        self._stored = 0
        """Number of the newest segment; written by the reading thread alone."""
        self._fault: BaseException | None = None
        """The first; written once, by the thread that met it."""
        self._threads = [
            threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
            for name, work in (("reading", self._read), ("scoring", self._score))
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # what was read is stored, what was stored is left for the next time
        for stop, thread in zip(
            (self._stop_reading, self._stop_scoring), self._threads, strict=True
        ):
            stop.set()
            self._news.set()
            thread.join(_PATIENCE_S)

    def follow(self, participant: Participant) -> None:
        """Let the newest model of the federation score, if it is another.

        Belongs to the thread that takes part in rounds.

        Args:
            participant: whose mirror of the ledger says which it is.

        Raises:
            Fault: a thread has ended.
        """
        self.check()
        mirror = participant.mirror
        if not mirror.is_begun or mirror.in_force.model == self._offered:
            return
        digest = mirror.in_force.model
        try:
            model = model_of(mirror, participant.model)
        except Unavailable:
            return  # later
        except FedxdrError as error:
            extra = {"model": digest, "reason": str(error)}
            logger.warning("a model cannot score these logs", extra=extra)
        else:
            if model.is_trained:
                self._scored.offer(model)
                self._news.set()
            else:
                logger.info("no model is trained yet: scoring waits for a round")
        self._offered = digest

    @property
    def is_caught_up(self) -> bool:
        """Whether what logs held when reading began is stored."""
        return all(one.is_caught_up for one in self._watched)

    def catch_up(self) -> None:
        """Return once what logs held when reading began is stored.

        Raises:
            Fault: a thread has ended.
        """
        while not self.is_caught_up:
            self.check()
            time.sleep(_PAUSE_S)

    def check(self) -> None:
        """Raise what ended a thread, if anything did.

        Raises:
            Fault: ours: stop.
        """
        fault = self._fault
        if isinstance(fault, Fault):
            raise fault
        if fault is not None:
            # nobody may take it for the orchestrator's, and go on without watching
            raise Fault(f"live scoring has ended: {fault}") from fault
        self._deliveries.check()

    def figures(self) -> dict[str, int]:
        """Return counters since the start, and what waits for each sink."""
        read = self._counters.figures()
        waiting = self._deliveries.waiting()
        return {
            "lines": read.get("lines", 0),
            "kept": read.get("events", 0),
            "skipped": read.get("skipped", 0),
            "refused": read.get("rejected", 0),
            **self._scored.figures(),
            "waiting": max(waiting.values(), default=0),
        }

    # The threads.

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            # the outermost loop of a thread: the agent hears of it by `check`
            logger.exception("live scoring ends")
            self._fault = self._fault or error
            self._stop_reading.set()
            self._stop_scoring.set()
            self._news.set()

    def _read(self) -> None:
        for stored in following(
            self._watched,
            tokenise=self._names,
            spool=self._spool,
            clock=self._clock,
            stop=self._stop_reading,
            flush_s=_FLUSH_S,
            letters=self._letters,
            counters=self._counters,
        ):
            self._stored = stored.number
            self._news.set()
            while (
                self._scored.is_scoring
                and self.is_caught_up
                and self._stored - self._scored.number > AHEAD
                and not self._stop_reading.wait(_PAUSE_S)
            ):
                pass

    def _score(self) -> None:
        told_s = time.monotonic()
        while not self._stop_scoring.is_set():
            self._news.clear()
            try:
                is_any = self._scored.turn(
                    is_caught_up=self.is_caught_up, stopping=self._stop_scoring.is_set
                )
            except Unavailable:
                if self._stop_scoring.is_set():
                    return  # the detector is ahead of what was put: not stored
                raise
            if time.monotonic() - told_s >= TOLD_S:
                told_s = time.monotonic()
                logger.info("live", extra=self.figures())
            if not is_any:
                self._news.wait(_PAUSE_S)
        self._scored.save()
        logger.info("live scoring stops", extra=self.figures())


@contextmanager
def living(folder: Path, watch: Watch, *, clock: Clock | None = None) -> Iterator[Live]:
    """Follow and score logs while the block runs.

    Args:
        folder: the organisation's.
        watch: what is followed and where findings go.
        clock: the time.

    Raises:
        InvalidSettings: no member's folder, a URL that is none, or a topic without the
            extra.
        Unavailable: another process does so on this folder, or writes to a file.
        StorageFault: the disk said no.
    """
    clock = clock or SystemClock()
    org = org_id(AgentFile.read(folder).org)
    names = KnownNames(pseudonymiser_in(folder))
    recalled = threading.Event()

    def named(token: int) -> str | None:
        # what waits from before must not leave without the names that its lines have
        recalled.wait(_PATIENCE_S)
        return names(token)

    with ExitStack() as stack:
        deliveries = stack.enter_context(
            delivering(
                folder / OUTBOX,
                watch.sinks or (f"file:{quote(str(folder.absolute() / FINDINGS))}",),
                names=named,
                clock=clock,
                entropy=SystemEntropy(),
            )
        )
        names.recall(deliveries.newest(_RECALLED))
        recalled.set()
        spool = Spool(folder / SPOOL)
        stack.callback(spool.close)
        readers = _readers(watch, spool.positions(), clock)
        for reader in readers:
            stack.callback(reader.close)
        stopping = threading.Event()

        def put(findings: Sequence[Finding]) -> None:
            names.recall(findings)
            while True:
                try:
                    deliveries.put(findings)
                except Unavailable:
                    # full: the sinks are away. Nothing is dropped, reading waits
                    if stopping.wait(_RETRY_S):
                        raise
                else:
                    return

        scored = ScoredSpool(
            folder / STATE,
            spool=Spool(folder / SPOOL),
            org=org,
            budget=watch.budget,
            until_ns=watch.until_ns,
            put=put,
            told=lambda: deliveries.newest(REMEMBERED),
            clock=clock,
            monotonic=time.monotonic,
        )
        yield stack.enter_context(
            Live(
                readers,
                spool=spool,
                scored=scored,
                names=names,
                deliveries=deliveries,
                letters=stack.enter_context(DeadLetters(folder / "dead-letter.ndjson")),
                stopping=stopping,
                clock=clock,
            )
        )


def _readers(watch: Watch, positions: Sequence[Position], clock: Clock) -> list[Reader]:
    readers: list[Reader] = []
    if watch.sources:
        readers.append(Follower(watch.sources, clock=clock, positions=positions))
    if watch.topics:
        readers.append(
            KafkaReader(watch.servers, watch.topics, clock=clock, positions=positions)
        )
    return readers


class _Watched(Reader):
    """A reader, and whether what was there at its start is stored."""

    def __init__(self, inner: Reader, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock
        # topics tell what they have only after a while
        patience_s = 0.0 if isinstance(inner, Follower) else _TOPICS_COME_S
        self._since_s = clock.now().timestamp() + patience_s
        self._is_at_end = False
        self._is_stored = True
        self.is_caught_up = False

    @override
    def poll(self) -> Iterator[Chunk]:
        """Yield what has come, and note whether that was all."""
        size = 0
        for chunk in self._inner.poll():
            self._is_stored = False
            size += len(chunk.block)
            yield chunk
        if size < _CAUGHT_UP_BYTES and self._clock.now().timestamp() >= self._since_s:
            self._is_at_end = True
        self._note()

    @override
    def positions(self) -> tuple[Position, ...]:
        """Return how far everything was read."""
        return self._inner.positions()

    @override
    def stored(self) -> None:
        """Take note that what was read until now is stored."""
        self._inner.stored()
        self._is_stored = True
        self._note()

    @override
    def close(self) -> None:
        """Give up files and connections."""
        self._inner.close()

    def _note(self) -> None:
        self.is_caught_up |= self._is_at_end and self._is_stored
