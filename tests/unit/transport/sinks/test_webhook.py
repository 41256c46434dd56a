# SPDX-License-Identifier: Apache-2.0
"""A webhook: what is posted is signed, and a receiver can check it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
from tests.unit.telemetry.found import NAMES, findings
from tests.unit.transport.sinks.receivers import Response

from fedxdr.core.clock import ManualClock
from fedxdr.core.errors import InvalidInput, InvalidSettings, Unavailable
from fedxdr.telemetry.ocsf_out import to_ocsf
from fedxdr.transport.sinks.webhook import WebhookSink, signature

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of a test
CLOCK = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))


def sink_to(receiver, *, secret=SECRET):
    return WebhookSink(
        "webhook",
        receiver.base,
        "/in?team=1",
        secret=secret,
        names=NAMES.get,
        context=None,
        clock=CLOCK,
    )


def test_the_vector_of_the_specification():
    # Standard Webhooks 1.0, example of its libraries' tests
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    body = b'{"test": 2432232314}'
    made = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", [SECRET, "a text of 24 bytes or so"])
def test_a_receiver_checks_it(http, secret):
    receiver = http(lambda _: Response(204, b""))
    sink = sink_to(receiver, secret=secret)
    assert sink.name == "webhook"
    sink.send(findings(2))
    sink.send(findings(2))
    sink.send(findings(3))
    sink.close()
    first, again, other = receiver.requests
    assert first.target == "/in?team=1"
    assert first.headers["content-type"] == "application/json"
    assert first.headers["webhook-timestamp"] == "1767225600"
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert first.headers["webhook-id"] != other.headers["webhook-id"]
    key = (
        base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    )
    signed = f"{first.headers['webhook-id']}.1767225600.".encode() + first.body
    want = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert first.headers["webhook-signature"] == f"v1,{want}"
    assert json.loads(first.body) == [
        json.loads(to_ocsf(one, names=NAMES.get)) for one in findings(2)
    ]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidInput),
        (413, InvalidInput),
        (422, InvalidInput),
        (401, Unavailable),
        (404, Unavailable),
        (410, Unavailable),
        (500, Unavailable),
    ],
)
def test_answers(http, status, error):
    sink = sink_to(http(lambda _: Response(status)))
    with pytest.raises(error) as caught:
        sink.send(findings(1))
    assert type(caught.value) is error
    sink.close()


@pytest.mark.parametrize("secret", ["whsec_c2hvcnQ=", "short", "whsec_no base64 here!"])
def test_a_weak_secret_is_refused_and_not_shown(http, secret):
    with pytest.raises(InvalidSettings) as caught:
        sink_to(http(lambda _: Response()), secret=secret)
    assert secret.removeprefix("whsec_") not in str(caught.value)
