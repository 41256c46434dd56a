# SPDX-License-Identifier: Apache-2.0
"""Findings travel from the outbox to every sink, one thread each.

``Courier`` decides for one sink: facts go in, commands come out, time is an argument.
``Deliveries`` does what it says, in threads.

Not here: how a sink is spoken to (transport/sinks/), how findings wait
(storage/outbox.py), what a URL of a sink means (sinks.py).

Rules that always hold:
    1. A finding is settled only after its sink took it: it arrives at least once.
    2. A sink that is away is tried again, after at most ``LONGEST_S``, for ever; the
       others do not notice.
    3. A batch that a sink refuses is sent one by one, and what it refuses alone is set
       aside: one bad record holds up no other.
    4. What goes wrong with the outbox ends all deliveries (``fault``).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Self, assert_never

from fedxdr.core.errors import Fault, InvalidInput, Unavailable
from fedxdr.core.ids import Digest
from fedxdr.storage.outbox import Outbox
from fedxdr.telemetry.findings import Finding
from fedxdr.transport.sinks.sink import Sink

logger = logging.getLogger(__name__)

BATCH: Final = 256
"""Findings in one delivery."""

PACE_S: Final = 0.1
"""Least time between two deliveries, so that findings gather."""

LONGEST_S: Final = 1.0
"""Longest wait after a failure, and between two looks when nobody wakes it."""

_SHORTEST_S: Final = 0.05
_PATIENCE_S: Final = 30.0


# Facts.


@dataclass(frozen=True, slots=True)
class Found:
    """What is due."""

    batch: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class Taken:
    """The sink took what was sent."""


@dataclass(frozen=True, slots=True)
class Missed:
    """The sink is away."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The sink will never take something of what was sent."""

    reason: str


@dataclass(frozen=True, slots=True)
class Noted:
    """What was to be settled or set aside is; or the rest is over."""


Fact = Found | Taken | Missed | Rejected | Noted

# Commands.


@dataclass(frozen=True, slots=True)
class Look:
    """Ask the outbox what is due."""

    limit: int


@dataclass(frozen=True, slots=True)
class Send:
    """Deliver."""

    batch: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class Settle:
    """Note that these have arrived."""

    ids: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class SetAside:
    """Note that these will never be taken."""

    ids: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class Rest:
    """Wait; a new finding ends it where ``is_light``."""

    seconds: float
    is_light: bool


Command = Look | Send | Settle | SetAside | Rest


@dataclass(slots=True, kw_only=True)
class Standing:
    """How deliveries to one sink go.

    Attributes:
        sink: its name.
        delivered: findings that it took since the start.
        set_aside: findings that it refused since the start.
        failures: attempts in a row that failed; 0 while it is there.
        down_since_s: when the first of them was, on the clock of the facts.
        reason: of the last one.
    """

    sink: str
    delivered: int = 0
    set_aside: int = 0
    failures: int = 0
    down_since_s: float = 0.0
    reason: str = ""


class Courier:
    """Decides for one sink.

    Args:
        sink: its name.
        limit: findings in one delivery, >= 1.
    """

    def __init__(self, sink: str, *, limit: int = BATCH) -> None:
        self.standing = Standing(sink=sink)
        self._limit = limit
        self._alone = 0
        self._sent: Sequence[Finding] = ()
        self._next_s = -1.0

    def begin(self) -> Command:
        """Return the first command."""
        return self._look()

    def take(self, fact: Fact, *, now_s: float) -> Command:
        """Return what to do after a fact.

        Args:
            fact: what came of the last command.
            now_s: seconds on a clock that never goes back.
        """
        match fact:
            case Found(batch):
                return self._found(batch, now_s)
            case Taken():
                self._next_s = now_s + PACE_S
                return self._took(now_s)
            case Missed(reason):
                return self._missed(reason, now_s)
            case Rejected(reason):
                return self._rejected(reason)
            case Noted():
                return self._look()
            case _:
                assert_never(fact)

    def _look(self) -> Command:
        return Look(1 if self._alone else self._limit)

    def _found(self, batch: Sequence[Finding], now_s: float) -> Command:
        if not batch:
            self._alone = 0
            return Rest(LONGEST_S, is_light=True)
        # what gathers meanwhile goes with the next look; a full batch need not wait
        if len(batch) < self._limit and not self._alone and now_s < self._next_s:
            return Rest(self._next_s - now_s, is_light=False)
        self._sent = batch
        return Send(batch)

    def _took(self, now_s: float) -> Command:
        standing = self.standing
        if standing.failures:
            down_s = round(now_s - standing.down_since_s, 1)
            logger.info("sink is back", extra={"sink": standing.sink, "down_s": down_s})
        standing.failures = 0
        standing.reason = ""
        standing.delivered += len(self._sent)
        self._alone = max(0, self._alone - len(self._sent))
        return Settle(tuple(one.id for one in self._sent))

    def _missed(self, reason: str, now_s: float) -> Command:
        standing = self.standing
        if not standing.failures:
            standing.down_since_s = now_s
            extra = {"sink": standing.sink, "reason": reason}
            logger.warning("sink is away; its findings wait", extra=extra)
        # 2^5 is enough to reach the longest
        wait_s = min(LONGEST_S, _SHORTEST_S * 2 ** min(standing.failures, 5))
        standing.failures += 1
        standing.reason = reason
        return Rest(wait_s, is_light=False)

    def _rejected(self, reason: str) -> Command:
        standing = self.standing
        if len(self._sent) > 1:
            self._alone = len(self._sent)
            return self._look()
        extra = {"sink": standing.sink, "reason": reason}
        logger.warning("sink refuses a finding; it is set aside", extra=extra)
        standing.set_aside += 1
        standing.reason = reason
        self._alone = max(0, self._alone - 1)
        return SetAside(tuple(one.id for one in self._sent))


@dataclass(slots=True)
class _Line:
    """One sink's thread and what wakes it."""

    sink: Sink
    courier: Courier
    wake: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


class Deliveries:
    """Delivers what is in an outbox; a context: threads run inside of it.

    Args:
        outbox: opened with the names of exactly these sinks.
        sinks: where to; they are closed at the end.
        monotonic: seconds on a clock that never goes back.
        limit: findings in one delivery, >= 1.
    """

    def __init__(
        self,
        outbox: Outbox,
        sinks: Sequence[Sink],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        limit: int = BATCH,
    ) -> None:
        self._outbox = outbox
        self._monotonic = monotonic
        self._lines = [_Line(one, Courier(one.name, limit=limit)) for one in sinks]
        self._stop = threading.Event()
        self._fault: Fault | None = None
        """The first; written once, by the thread that met it."""

    def __enter__(self) -> Self:
        for line in self._lines:
            line.thread = threading.Thread(
                target=self._run,
                args=(line,),
                name=f"sink {line.sink.name}",
                daemon=True,
            )
            line.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def put(self, findings: Iterable[Finding]) -> int:
        """Store findings and let them be delivered; return how many are new.

        Raises:
            Unavailable: the outbox is full: wait, and put the same again.
            Fault: the outbox failed, now or before.
        """
        self.check()
        new = self._outbox.put(findings)
        for line in self._lines:
            line.wake.set()
        return new

    def newest(self, limit: int) -> list[Finding]:
        """Return what was put last, the oldest first; for ``Grouper.recall``.

        Raises:
            Fault: a finding does not read back.
        """
        return self._outbox.newest(limit)

    def check(self) -> None:
        """Raise the fault that ended deliveries, if there was one.

        Raises:
            Fault: ours: stop.
        """
        if self._fault is not None:
            raise self._fault

    def drain(self, *, timeout_s: float) -> bool:
        """Return whether everything was delivered, or set aside, within a time.

        Raises:
            Fault: the outbox failed.
        """
        end_s = self._monotonic() + timeout_s
        while any(self._outbox.due(line.sink.name, 1) for line in self._lines):
            self.check()
            if self._monotonic() >= end_s or self._stop.wait(_SHORTEST_S):
                return False
        return True

    def waiting(self) -> dict[str, int]:
        """Return how many findings each sink does not have, those set aside too."""
        names = [line.sink.name for line in self._lines]
        return {name: self._outbox.waiting(name) for name in names}

    def standings(self) -> list[Standing]:
        """Return how deliveries to each sink go."""
        return [line.courier.standing for line in self._lines]

    def stop(self) -> None:
        """Begin no more deliveries; return once the last ones have ended."""
        self._stop.set()
        for line in self._lines:
            line.wake.set()
        end_s = time.monotonic() + _PATIENCE_S
        for line in self._lines:
            if line.thread is not None:
                line.thread.join(max(0.0, end_s - time.monotonic()))
                if line.thread.is_alive():
                    continue  # it ends with the process
            line.sink.close()

    def _run(self, line: _Line) -> None:
        command = line.courier.begin()
        try:
            # what was taken is still settled, or it would come again
            while isinstance(command, Settle | SetAside) or not self._stop.is_set():
                fact = self._do(line, command)
                command = line.courier.take(fact, now_s=self._monotonic())
        except Fault as fault:
            extra = {"sink": line.sink.name, "reason": str(fault)}
            logger.error("deliveries end", extra=extra)  # noqa: TRY400 - told by itself
            self._fault = self._fault or fault
            self._stop.set()

    def _do(self, line: _Line, command: Command) -> Fact:
        name = line.sink.name
        match command:
            case Look(limit):
                return Found(self._outbox.due(name, limit))
            case Send(batch):
                return _send(line.sink, batch)
            case Settle(ids):
                self._outbox.done(name, ids)
            case SetAside(ids):
                self._outbox.set_aside(name, ids)
            case Rest(seconds, is_light):
                (line.wake if is_light else self._stop).wait(seconds)
                line.wake.clear()
            case _:
                assert_never(command)
        return Noted()


def _send(sink: Sink, batch: Sequence[Finding]) -> Fact:
    try:
        sink.send(batch)
    except Unavailable as error:
        return Missed(str(error))
    except InvalidInput as error:
        return Rejected(str(error))
    except Exception as error:
        # the outermost loop: if it ended, nothing would be delivered any more
        logger.exception("a sink failed", extra={"sink": sink.name})
        return Missed(type(error).__name__)
    return Taken()
