# SPDX-License-Identifier: Apache-2.0
"""Who sent it, once, in time, whole and not too large: before any route acts."""

import asyncio
import json
import threading
from datetime import timedelta

import pytest

from fedxdr.api.app import PREFIX, create_app
from fedxdr.core.errors import IntegrityFault

START = "/federation/round/start"


def test_a_replayed_request_is_refused(api, problem):
    headers = api.headers("operator", "POST", START, b"{}")
    first = api.send("POST", START, b"{}", headers=dict(headers))
    again = api.send("POST", START, b"{}", headers=dict(headers))
    assert first.status_code == 201
    problem(again, 409, "replayed-request", "new nonce")


def test_a_replay_is_refused_for_as_long_as_its_signature_would_hold(api, problem):
    headers = api.headers("operator", "POST", START, b"{}")
    assert api.send("POST", START, b"{}", headers=dict(headers)).status_code == 201
    for _ in range(9):
        api.world.clock.advance(seconds=10)
        # other writes clear out nonces that are of no use any more
        api.post(START, {})
        answer = api.send("POST", START, b"{}", headers=dict(headers))
        problem(answer, 409, "replayed-request")
    api.world.clock.advance(seconds=1)
    api.post(START, {})
    answer = api.send("POST", START, b"{}", headers=dict(headers))
    problem(answer, 401, "bad-signature", "expired")


def test_a_nonce_counts_only_once_its_signature_was_good(api):
    headers = api.headers("operator", "POST", START, b"{}")
    wrong = api.send("POST", START, b'{"task":"training"}', headers=dict(headers))
    assert wrong.status_code == 401
    # somebody who changes a request on its way does not use it up
    assert api.send("POST", START, b"{}", headers=dict(headers)).status_code == 201


@pytest.mark.parametrize("field", ["signature", "signature-input", "content-digest"])
def test_an_unsigned_request_does_not_write(api, problem, field):
    problem(api.send("POST", START, b"{}"), 401, "bad-signature")
    headers = api.headers("operator", "POST", START, b"{}")
    present = {name.lower(): name for name in headers}
    del headers[present[field]]
    problem(api.send("POST", START, b"{}", headers=headers), 401, "bad-signature")


def test_a_signature_holds_for_its_time_only(api, problem):
    now = api.world.clock.now()
    for moved, word in ((-91, "expired"), (31, "future")):
        when = now + timedelta(seconds=moved)
        headers = api.headers("operator", "POST", START, b"{}", now=when)
        answer = api.send("POST", START, b"{}", headers=headers)
        problem(answer, 401, "bad-signature", word)
    for moved in (-89, 29):
        when = now + timedelta(seconds=moved)
        headers = api.headers("operator", "POST", START, b"x", now=when)
        answer = api.send("POST", START, b"x", headers=headers)
        problem(answer, 422, "malformed-message")


def test_a_signature_is_for_one_method_route_and_body(api, problem):
    cases = (
        api.headers("operator", "PUT", START, b"{}"),
        api.headers("operator", "POST", "/federation/start-round", b"{}"),
        api.headers("operator", "POST", START + "?x=1", b"{}"),
        api.headers("operator", "POST", START, b"{} "),
        api.headers(
            "operator", "POST", START, b"{}", url=f"http://elsewhere{PREFIX}{START}"
        ),
    )
    for headers in cases:
        answer = api.send("POST", START, b"{}", headers=headers)
        problem(answer, 401, "bad-signature")
    assert api.world.orchestrator.current is None


def test_another_name_under_a_good_signature_is_refused(api, problem):
    headers = api.headers("alpha", "POST", START, b"{}")
    name = next(n for n in headers if n.lower() == "signature-input")
    keyid = api.keys["alpha"].public.keyid
    assert keyid in headers[name]
    headers[name] = headers[name].replace(keyid, api.keys["operator"].public.keyid)
    answer = api.send("POST", START, b"{}", headers=headers)
    problem(answer, 401, "bad-signature")


@pytest.mark.parametrize(
    "value", ["", "fedxdr=", 'fedxdr=();keyid="x"', "a=1, b=2", "é"]
)
def test_signature_fields_that_cannot_be_read_are_refused(api, value):
    headers = api.headers("operator", "POST", START, b"{}")
    name = next(n for n in headers if n.lower() == "signature-input")
    answer = api.http.request(
        "POST",
        f"{PREFIX}{START}",
        content=b"{}",
        headers={**headers, name: value.encode("latin-1")},
    )
    assert answer.status_code in {401, 403}
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_unknown_route_and_method_are_problems(api, problem):
    problem(api.send("GET", "/teapot"), 404, "not-found", "/teapot")
    problem(api.send("DELETE", "/health"), 405, "method-not-allowed", "DELETE")
    outside = api.http.get("/somewhere")
    problem(outside, 404, "not-found", "/somewhere")


def test_a_body_above_the_limit_is_refused(make_api, problem):
    api = make_api(max_body_bytes=1000)
    body = b" " * 1001
    for path in (START, "/federation/register", "/federation/round/r/keys"):
        problem(api.post(path, body), 413, "too-large", "1000 bytes")
    problem(api.post(START, b" " * 1000), 422, "malformed-message")


def test_a_stranger_sends_no_more_than_an_enrolment_needs(settled, problem):
    """Anybody may register: nobody has been asked who he is yet."""
    path = "/federation/register"
    problem(settled.send("POST", path, b" " * 65_537), 413, "too-large", "65536")
    problem(settled.send("POST", path, b" " * 65_536), 422, "malformed-message")


def test_a_body_without_a_length_is_not_read_beyond_the_limit(make_api):
    api = make_api(max_body_bytes=1000)
    read, sent = [], []

    async def receive():
        read.append(100)
        return {"type": "http.request", "body": b"x" * 100, "more_body": True}

    async def send(message):
        sent.append(message)

    path = f"{PREFIX}/federation/register"
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1",
        "method": "POST", "scheme": "http", "path": path, "raw_path": path.encode(),
        "query_string": b"", "root_path": "", "headers": [(b"host", b"testserver")],
        "server": ("testserver", 80), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    asyncio.run(api.app(scope, receive, send))
    assert sent[0]["status"] == 413
    assert sum(read) == 1100


def test_a_fault_is_a_problem_that_tells_nothing_of_the_inside(make_api, problem):
    api = make_api()

    def fails(*_):
        raise IntegrityFault("secret path /var/lib/x does not hash")

    api.world.registry.registration = fails
    answer = api.get("/federation/organizations")
    problem(answer, 500, "integrity-fault", "log says why")
    assert "/var/lib" not in answer.text

    def breaks(*_):
        raise KeyError("inside")

    api.world.registry.registration = breaks
    answer = api.get("/federation/organizations")
    problem(answer, 500, "fault", "log says why")
    assert "inside" not in answer.text


def test_standing_is_answered_while_somebody_works_under_the_lock(settled):
    """A long poll neither takes the lock nor asks storage."""
    headers = settled.bearer()
    done = threading.Event()

    def ask():
        settled.send("GET", "/federation/standing", headers=headers)
        done.set()

    size, settled.world.recorder._store.size = (
        settled.world.recorder._store.size,
        None,
    )
    try:
        with settled.service.lock:
            thread = threading.Thread(target=ask)
            thread.start()
            assert done.wait(20)
        thread.join()
    finally:
        settled.world.recorder._store.size = size


def test_deadlines_pass_without_requests_and_a_fault_does_not_end_that(make_api):
    api = make_api()
    assert api.start().status_code == 201
    orchestrator = api.world.orchestrator
    drive, calls = orchestrator.drive, []

    def driven():
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError("a fault")
        return drive()

    orchestrator.drive = driven
    api.world.clock.advance(seconds=100)

    async def live():
        app = create_app(api.service)
        async with app.router.lifespan_context(app):
            for _ in range(400):
                await asyncio.sleep(0.01)
                if orchestrator.current.is_ended:
                    break

    asyncio.run(live())
    assert len(calls) > 1
    assert orchestrator.current.failure.reason == "too-few-participants"


def test_numbers_that_are_none_are_refused(api):
    for text in ('{"config": {"clip_norm": NaN}}', '{"config": {"clip_norm": 1e999}}'):
        answer = api.post(START, text.encode())
        assert answer.status_code == 422, answer.text
    assert json.loads(answer.text)["status"] == 422
    assert api.world.orchestrator.current is None
