# SPDX-License-Identifier: Apache-2.0
"""Topics of a Kafka broker as lines of logs; offsets are kept with the events.

Needs the extra ``kafka``.

It does NOT join a group that shares partitions out: one process reads all partitions of
its topics, from the offsets that the spool has. Offsets are committed to the broker
only behind the store and only for those who watch the lag; nothing reads them back. It
does NOT serve formats that say at a log's head what their columns mean.

Rules that always hold:
    1. A message is one line, or several where it holds several; a JSON value that is
       spread over lines becomes one.
    2. Each message counts as read once, however often the broker sends it.
    3. Back-pressure: nothing is taken while nobody asks; what librdkafka fetches
       beforehand is at most ``QUEUED_KIB``, then it fetches no more.
    4. Offsets that the broker has no more are passed over and counted (``gaps``).
    5. A broker that is away stops nothing else: it is asked again later.

Source: librdkafka, CONFIGURATION.md; confluent-kafka, Consumer.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
import numpy as np
from typing_extensions import override

from fedxdr.core.clock import Clock
from fedxdr.core.errors import InvalidSettings
from fedxdr.core.ids import sha256
from fedxdr.intake.chunks import TOPIC, Chunk, Reader
from fedxdr.intake.parsers import instant
from fedxdr.telemetry.findings import Position

logger = logging.getLogger(__name__)

QUEUED_KIB: Final = 8192
"""What is fetched beforehand, for all partitions together."""

TAKEN: Final = 5000
"""Messages that are taken at once."""

SWEEP_S: Final = 10.0
"""How often a broker is asked for its partitions."""

GROUP: Final = "fedxdr"
_ASK_S: Final = 0.5
_FIXED: Final = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
    "queued.max.messages.kbytes": QUEUED_KIB,
    "max.poll.interval.ms": 86_400_000,
}


class KafkaReader(Reader):
    """Reads topics.

    Args:
        servers: ``host:port``, several with commas.
        topics: their names.
        clock: tells when the broker is asked for its partitions.
        positions: how far topics were read before; those of files are left alone.
        options: of librdkafka, for passwords and certificates; those that hold the
            rules cannot be changed.

    Attributes:
        gaps: how often offsets were missing between two messages: compacted, or deleted
            before they were read.

    Raises:
        InvalidSettings: the extra is not installed, or an option is wrong.
    """

    def __init__(
        self,
        servers: str,
        topics: Sequence[str],
        *,
        clock: Clock,
        positions: Iterable[Position] = (),
        options: Mapping[str, str | int | bool] | None = None,
    ) -> None:
        try:
            import confluent_kafka  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise InvalidSettings(
                "topics need the extra kafka: pip install 'fedxdr[kafka]'"
            ) from error
        self._kafka: Any = confluent_kafka
        self._topics = tuple(topics)
        self._clock = clock
        self._marks: dict[tuple[str, int], Position] = {
            (one.source.removeprefix(TOPIC), one.device): one
            for one in positions
            if one.source.startswith(TOPIC)
        }
        self._assigned: set[tuple[str, int]] = set()
        self._waiting: deque[Chunk] = deque()
        self._due_s = float("-inf")
        self.gaps = 0
        given = {"bootstrap.servers": servers, "group.id": GROUP, **(options or {})}
        try:
            self._consumer: Any = confluent_kafka.Consumer(
                given | _FIXED, logger=logger
            )
        except confluent_kafka.KafkaException as error:
            raise InvalidSettings(f"Kafka: {error.args[0].str()}") from error

    @override
    def poll(self) -> Iterator[Chunk]:
        """Yield what has come since it was asked last.

        A chunk counts as read when it is handed out.
        """
        now_s = self._clock.now().timestamp()
        if now_s >= self._due_s:
            self._due_s = now_s + SWEEP_S
            self._assign()
        if not self._waiting:
            self._take()
        while self._waiting:
            chunk = self._waiting.popleft()
            place = chunk.position
            key = (place.source.removeprefix(TOPIC), place.device)
            self._marks[key] = replace(place, begin=0)
            yield chunk

    @override
    def positions(self) -> tuple[Position, ...]:
        """Return how far everything was read: enough to go on after a restart."""
        return tuple(self._marks.values())

    @override
    def stored(self) -> None:
        """Tell the broker how far everything is stored, for those who watch the lag."""
        offsets = [
            self._kafka.TopicPartition(topic, partition, mark.end)
            for (topic, partition), mark in self._marks.items()
            if (topic, partition) in self._assigned
        ]
        if offsets:
            try:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            except self._kafka.KafkaException as error:
                self._tell(error)

    @override
    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def _assign(self) -> None:
        """Begin to read partitions that are new."""
        new = []
        for topic in self._topics:
            try:
                told = self._consumer.list_topics(topic, timeout=_ASK_S).topics[topic]
            except self._kafka.KafkaException as error:
                self._tell(error)
                return
            new += [
                (topic, partition)
                for partition in ([] if told.error else sorted(told.partitions))
                if (topic, partition) not in self._assigned
            ]
        begun = [
            self._kafka.TopicPartition(
                *key,
                self._marks[key].end
                if key in self._marks
                else self._kafka.OFFSET_BEGINNING,
            )
            for key in new
        ]
        if begun:
            self._consumer.incremental_assign(begun)
            self._assigned.update(new)

    def _take(self) -> None:
        """Take what has come, as one chunk for each partition."""
        found: dict[tuple[str, int], list[Any]] = {}
        for message in self._consumer.consume(TAKEN, timeout=0):
            if message.error():
                self._tell(message.error())
                continue
            key = (message.topic(), message.partition())
            found.setdefault(key, []).append(message)
        for key, messages in found.items():
            chunk = self._chunk(key, messages)
            if chunk is not None:
                self._waiting.append(chunk)

    def _chunk(self, key: tuple[str, int], messages: list[Any]) -> Chunk | None:
        topic, partition = key
        mark = self._marks.get(key)
        begin = messages[0].offset() if mark is None else mark.end
        expected = begin
        lines: list[bytes] = []
        offsets: list[int] = []
        written_ms = 0
        for message in messages:
            offset = message.offset()
            if offset < expected:
                continue
            self.gaps += offset > expected
            expected = offset + 1
            new = _lines(message.value())
            lines += new
            offsets += [offset] * len(new)
            written_ms = max(written_ms, message.timestamp()[1])
        if expected == begin:
            return None
        position = Position(
            source=f"{TOPIC}{topic}",
            device=partition,
            inode=0,
            fingerprint=sha256(topic.encode()),
            begin=begin,
            end=expected,
        )
        return Chunk(
            position=position,
            block=b"".join(line + b"\n" for line in lines),
            name=topic,
            written=instant(written_ms / 1000) if written_ms else self._clock.now(),
            offsets=np.array(offsets, np.int64),
        )

    def _tell(self, error: Any) -> None:  # noqa: ANN401 - a library without types
        inner = error.args[0] if isinstance(error, Exception) else error
        logger.warning("the Kafka broker says no", extra={"reason": inner.name()})


def _lines(value: bytes | None) -> list[bytes]:
    """Return the lines of a message; a tombstone has none."""
    if value is None:
        return []
    text = value.strip(b"\r\n")
    if b"\n" not in text:
        return [text]
    try:
        one = msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return text.split(b"\n")
    return [msgspec.json.format(bytes(one), indent=-1)]
