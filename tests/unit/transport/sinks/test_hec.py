# SPDX-License-Identifier: Apache-2.0
"""Splunk's collector, as its documentation says it answers."""

from __future__ import annotations

import json

import pytest
from tests.unit.telemetry.found import NAMES, NOW, finding, findings
from tests.unit.transport.sinks.receivers import Response, Splunk

from fedxdr.core.errors import InvalidInput, Unavailable
from fedxdr.core.randomness import SeededEntropy
from fedxdr.telemetry.ocsf_out import to_ocsf
from fedxdr.transport.sinks.hec import HecSink

TOKEN = "00112233-4455-6677-8899-aabbccddeeff"  # noqa: S105 - of a test


@pytest.fixture
def make(http):
    made = []

    def build(answer, **settings):
        receiver = http(answer)
        made.append(
            HecSink(
                "hec",
                receiver.base,
                TOKEN,
                names=NAMES.get,
                context=None,
                entropy=SeededEntropy(1),
                **settings,
            )
        )
        return made[-1], receiver

    yield build
    for one in made:
        one.close()


def test_events(make):
    splunk = Splunk()
    sink, receiver = make(splunk, index="soc")
    sink.send(findings(2))
    assert sink.name == "hec"
    [request] = receiver.requests
    assert request.target == "/services/collector/event"
    assert request.headers["authorization"] == f"Splunk {TOKEN}"
    first, second = splunk.events
    assert first == {
        "time": NOW / 10**9,
        "source": "fedxdr",
        "sourcetype": "ocsf:detection_finding",
        "index": "soc",
        "fields": {"finding_id": finding(0).id},
        "event": json.loads(to_ocsf(finding(0), names=NAMES.get)),
    }
    assert second["fields"]["finding_id"] == finding(1).id


def test_it_waits_until_a_batch_is_indexed(make):
    sink, receiver = make(Splunk(looks=1), is_acknowledged=True)
    sink.send(findings(1))
    asked = [one for one in receiver.requests if "/ack?" in one.target]
    assert len(asked) == 2
    channel = receiver.requests[0].headers["x-splunk-request-channel"]
    assert asked[0].target == f"/services/collector/ack?channel={channel}"
    assert json.loads(asked[0].body) == {"acks": [7]}


def test_without_an_acknowledgement_it_did_not_arrive(make):
    sink, _ = make(Splunk(looks=99), is_acknowledged=True, timeout_s=0.3)
    with pytest.raises(Unavailable, match=r"not indexed in 0\.3 s"):
        sink.send(findings(1))
    sink, _ = make(lambda _: Response(body=b'{"code":0}'), is_acknowledged=True)
    with pytest.raises(Unavailable, match="does not acknowledge"):
        sink.send(findings(1))

    def confused(request):
        return Splunk()(request) if "/ack" not in request.target else Response(503)

    sink, _ = make(confused, is_acknowledged=True)
    with pytest.raises(Unavailable, match="answers 503"):
        sink.send(findings(1))


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, 6, InvalidInput),  # invalid data format
        (400, 7, Unavailable),  # incorrect index: the operator's to mend
        (400, 10, Unavailable),  # data channel is missing
        (401, 3, Unavailable),
        (403, 4, Unavailable),  # invalid token
        (503, 9, Unavailable),  # server is busy
        (500, None, Unavailable),
    ],
)
def test_only_what_the_event_is_to_blame_for_is_final(make, status, code, error):
    body = b"oops" if code is None else json.dumps({"text": "x", "code": code}).encode()
    sink, _ = make(lambda _: Response(status, body))
    with pytest.raises(error) as caught:
        sink.send(findings(1))
    assert type(caught.value) is error
    assert TOKEN not in str(caught.value)
