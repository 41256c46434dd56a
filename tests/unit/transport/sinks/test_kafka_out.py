# SPDX-License-Identifier: Apache-2.0
"""Kafka, against librdkafka's own mock cluster."""

from __future__ import annotations

import sys

import pytest
from tests.unit.telemetry.found import NAMES, NOW, finding, findings

from fedxdr.core.errors import InvalidInput, InvalidSettings, Unavailable
from fedxdr.telemetry.ocsf_out import to_ocsf
from fedxdr.transport.sinks.kafka_out import KafkaSink


@pytest.fixture
def make(kafka):
    made = []

    def build(topic, **settings):
        servers = settings.pop("servers", kafka.servers)
        made.append(KafkaSink("kafka", servers, topic, names=NAMES.get, **settings))
        return made[-1]

    yield build
    for one in made:
        one.close()


def test_messages(make, kafka):
    sink = make("findings")
    sink.send(findings(3))
    sink.send(findings(5)[3:])
    assert sink.name == "kafka"
    found = {one.key().decode(): one for one in kafka.read("findings", 5)}
    assert set(found) == {one.id for one in findings(5)}
    first = found[finding().id]
    assert first.value() == to_ocsf(finding(), names=NAMES.get)
    assert first.timestamp()[1] == NOW // 10**6


def test_a_cluster_that_is_away(make):
    sink = make("findings", servers="127.0.0.1:9", timeout_s=0.3)
    for _ in range(2):  # a new producer each time
        with pytest.raises(Unavailable, match="cannot be reached"):
            sink.send(findings(2))


def test_a_message_that_is_too_large(make):
    sink = make("findings", settings={"message.max.bytes": "1000"})
    with pytest.raises(InvalidInput, match="refuses a message"):
        sink.send(findings(1))


def test_a_queue_that_is_full(make):
    sink = make("findings", settings={"queue.buffering.max.messages": "1"})
    with pytest.raises(Unavailable, match="no confirmation"):
        sink.send(findings(9))


def test_wrong_settings_show_no_secret(make):
    with pytest.raises(InvalidSettings) as caught:
        make("findings", settings={"security.protocol": "HUSH"})
    assert "HUSH" not in str(caught.value)


def test_without_the_extra_it_says_so(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(InvalidSettings, match=r"fedxdr\[kafka\]"):
        make("findings")
