# SPDX-License-Identifier: Apache-2.0
"""Topics, against librdkafka's own mock cluster and a real producer."""

from __future__ import annotations

import builtins
import json
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.intake.test_following import eve, tokenise

from fedxdr.core.clock import SystemClock
from fedxdr.core.errors import InvalidSettings
from fedxdr.intake import kafka
from fedxdr.intake.chunks import Chunk
from fedxdr.intake.follow import Follower
from fedxdr.intake.following import following
from fedxdr.intake.kafka import KafkaReader
from fedxdr.intake.spool import Spool

confluent_kafka = pytest.importorskip("confluent_kafka")

QUIET = logging.getLogger("test.kafka")
QUIET.setLevel(logging.CRITICAL)


class Cluster:
    """Brokers inside a producer."""

    def __init__(self) -> None:
        self.producer = confluent_kafka.Producer(
            {"bootstrap.servers": "mock", "test.mock.num.brokers": 2}, logger=QUIET
        )
        brokers = self.producer.list_topics(timeout=5).brokers.values()
        self.servers = ",".join(f"{one.host}:{one.port}" for one in brokers)

    def send(self, topic: str, *values: bytes | None, partition: int = 0) -> None:
        for value in values:
            self.producer.produce(topic, value, partition=partition)
        assert self.producer.flush(5) == 0


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    return request.node.name.replace("[", "-").replace("]", "")


@pytest.fixture
def readers() -> Iterator[list[KafkaReader]]:
    every: list[KafkaReader] = []
    yield every
    for one in every:
        one.close()


def reader(
    cluster: Cluster, topic: str, readers: list[KafkaReader], *, after: Any = ()
) -> KafkaReader:
    made = KafkaReader(cluster.servers, [topic], clock=SystemClock(), positions=after)
    readers.append(made)
    return made


def take(one: KafkaReader, messages: int) -> list[Chunk]:
    """Poll until so many messages have come."""
    found: list[Chunk] = []
    end = time.monotonic() + 10
    while time.monotonic() < end:
        found += one.poll()
        if sum(c.position.end - c.position.begin for c in found) >= messages:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{len(found)} chunks only")


def test_messages_are_lines_and_go_on_after_a_restart(
    cluster: Cluster, topic: str, readers: list[KafkaReader]
) -> None:
    cluster.send(topic, b"a", b"b\n")
    cluster.send(topic, b"x", partition=1)
    first = reader(cluster, topic, readers)
    found = {c.position.device: c for c in take(first, 3)}
    assert (found[0].block, found[1].block) == (b"a\nb\n", b"x\n")
    assert found[0].position.source == f"kafka:{topic}"
    first.stored()
    cluster.send(topic, b"c")
    again = reader(cluster, topic, readers, after=first.positions())
    (chunk,) = take(again, 1)
    assert (chunk.block, chunk.position.begin, chunk.position.end) == (b"c\n", 2, 3)
    assert again.gaps == 0


def test_a_message_of_several_lines_and_one_without_a_value(
    cluster: Cluster, topic: str, readers: list[KafkaReader]
) -> None:
    spread = json.dumps({"a": 1, "b": "x\ny"}, indent=2).encode()
    cluster.send(topic, b"1\n2\n", None, spread, b"\xff\n\xfe")
    (chunk,) = take(reader(cluster, topic, readers), 4)
    assert chunk.block == b'1\n2\n{"a":1,"b":"x\\ny"}\n\xff\n\xfe\n'
    assert chunk.offsets is not None
    assert chunk.offsets.tolist() == [0, 0, 2, 3, 3]


def test_what_was_taken_and_not_handed_out_is_not_read(
    cluster: Cluster, topic: str, readers: list[KafkaReader]
) -> None:
    cluster.send(topic, b"a")
    cluster.send(topic, b"x", partition=1)
    one = reader(cluster, topic, readers)
    end = time.monotonic() + 10
    while not one._waiting and time.monotonic() < end:
        poll = one.poll()
        got = next(poll, None)
        poll.close()
        if got is not None and not one._waiting:
            break
    rest = take(reader(cluster, topic, readers, after=one.positions()), 1)
    handed = {mark.device for mark in one.positions()}
    assert {chunk.position.device for chunk in rest} == {0, 1} - handed


def test_offsets_that_are_gone_are_counted(
    cluster: Cluster, topic: str, readers: list[KafkaReader]
) -> None:
    cluster.send(topic, b"a", b"b", b"c")
    one = reader(cluster, topic, readers)
    messages = []
    one._assign()
    while len(messages) < 3:
        messages += one._consumer.consume(3, timeout=5)
    chunk = one._chunk((topic, 0), [messages[0], messages[2], messages[1]])
    assert chunk is not None
    assert chunk.block == b"a\nc\n"
    assert one.gaps == 1
    one._marks[topic, 0] = chunk.position
    assert one._chunk((topic, 0), messages) is None


def test_topics_and_files_share_one_spool(
    cluster: Cluster, topic: str, readers: list[KafkaReader], tmp_path: Path
) -> None:
    cluster.send(topic, *(eve(n) for n in range(5)))
    (tmp_path / "eve.json").write_bytes(b"".join(eve(n) for n in range(5, 9)))
    for more in (9, 10):
        spool = Spool(tmp_path / "spool")
        positions = spool.positions()
        clock, stop = SystemClock(), threading.Event()
        topics = reader(cluster, topic, readers, after=positions)
        files = Follower([tmp_path / "eve.json"], clock=clock, positions=positions)
        stored = following(
            [files, topics], tokenise=tokenise, spool=spool, clock=clock, stop=stop
        )
        found = []
        for one in stored:
            found += [one.lines.of(row) for row in range(len(one.events))]
            if len(spool.read()) == more:
                stop.set()
        assert all(place is not None for place in found)
        spool.close()
        files.close()
        cluster.send(topic, eve(9))
    numbers = Spool(tmp_path / "spool").read().flow_id
    assert sorted(numbers.tolist()) == list(range(10))


def test_a_broker_that_is_away_stops_nothing(readers: list[KafkaReader]) -> None:
    one = KafkaReader(
        "127.0.0.1:1", ["t"], clock=SystemClock(), options={"log_level": 0}
    )
    readers.append(one)
    assert list(one.poll()) == []
    assert list(one.poll()) == []


def test_a_topic_that_is_not_there_is_waited_for(
    cluster: Cluster, topic: str, readers: list[KafkaReader]
) -> None:
    one = reader(cluster, topic, readers)
    assert list(one.poll()) == []
    assert one.positions() == ()
    one.stored()


def test_options_that_are_none_and_the_extra_that_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InvalidSettings, match="No such configuration property"):
        KafkaReader("x", ["t"], clock=SystemClock(), options={"no.such": 1})
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "confluent_kafka":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InvalidSettings, match=r"fedxdr\[kafka\]"):
        KafkaReader("x", ["t"], clock=SystemClock())


def test_what_is_fetched_beforehand_is_bounded() -> None:
    assert kafka._FIXED["queued.max.messages.kbytes"] == kafka.QUEUED_KIB
