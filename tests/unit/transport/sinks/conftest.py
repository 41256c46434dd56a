# SPDX-License-Identifier: Apache-2.0
"""Receivers that end with their test."""

from __future__ import annotations

import pytest
from tests.unit.transport.sinks.receivers import (
    HttpReceiver,
    KafkaCluster,
    SyslogReceiver,
    certificate,
)


@pytest.fixture
def http():
    made = []

    def start(answer, **settings):
        made.append(HttpReceiver(answer, **settings))
        return made[-1]

    yield start
    for one in made:
        one.down()


@pytest.fixture
def syslog():
    made = []

    def start(**settings):
        made.append(SyslogReceiver(**settings))
        return made[-1]

    yield start
    for one in made:
        one.down()


@pytest.fixture(scope="session")
def tls(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def kafka():
    return KafkaCluster()
