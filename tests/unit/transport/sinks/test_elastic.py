# SPDX-License-Identifier: Apache-2.0
"""Elasticsearch's bulk interface: each finding once, whatever is sent again."""

from __future__ import annotations

import json

import pytest
from tests.unit.telemetry.found import NAMES, finding, findings
from tests.unit.transport.sinks.receivers import Elastic, Response

from fedxdr.core.errors import InvalidInput, Unavailable
from fedxdr.telemetry.ocsf_out import to_ocsf
from fedxdr.transport.sinks.elastic import ElasticSink


@pytest.fixture
def make(http):
    made = []

    def build(answer, *, authorisation="ApiKey c2VjcmV0"):
        receiver = http(answer)
        made.append(
            ElasticSink(
                "elastic",
                receiver.base,
                "find ings",
                authorisation=authorisation,
                names=NAMES.get,
                context=None,
            )
        )
        return made[-1], receiver

    yield build
    for one in made:
        one.close()


def test_documents(make):
    elastic = Elastic()
    sink, receiver = make(elastic)
    sink.send(findings(2))
    [request] = receiver.requests
    assert request.target.startswith("/find%20ings/_bulk?")
    assert request.headers["content-type"] == "application/x-ndjson"
    assert request.headers["authorization"] == "ApiKey c2VjcmV0"
    assert request.body.endswith(b"\n")
    assert sink.name == "elastic"
    assert list(elastic.documents) == [one.id for one in findings(2)]
    document = elastic.documents[finding().id]
    assert document.pop("@timestamp") == "2025-11-22T08:26:40Z"
    assert document == json.loads(to_ocsf(finding(), names=NAMES.get))


def test_what_is_there_already_counts_as_taken(make):
    elastic = Elastic()
    sink, _ = make(elastic, authorisation="")
    sink.send(findings(2))
    sink.send(findings(3))
    assert len(elastic.documents) == 3


def test_items_are_judged_one_by_one(make):
    elastic = Elastic()
    sink, _ = make(elastic)
    elastic.busy = {finding(1).id}
    elastic.poison = {finding(0).id}
    # what may pass comes first: nothing is set aside while the server is busy
    with pytest.raises(Unavailable, match="429 es_rejected"):
        sink.send(findings(3))
    assert set(elastic.documents) == {finding(2).id}
    elastic.busy = set()
    with pytest.raises(InvalidInput, match="400 document_parsing"):
        sink.send(findings(3))
    assert set(elastic.documents) == {finding(1).id, finding(2).id}
    sink.send(findings(3)[1:])


@pytest.mark.parametrize(
    ("response", "match"),
    [
        (Response(401), "answers 401"),
        (Response(503), "answers 503"),
        (Response(200, b"<html>"), "no bulk response"),
        (Response(200, b'{"items":[]}'), "0 of 1"),
        (Response(200, b'{"items":[{"create":{"status":404}}]}'), "status 404"),
    ],
)
def test_anything_else_is_tried_again(make, response, match):
    sink, _ = make(lambda _: response)
    with pytest.raises(Unavailable, match=match):
        sink.send(findings(1))
