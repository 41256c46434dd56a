# SPDX-License-Identifier: Apache-2.0
"""One POST: to nobody but the server, and nothing of it in a log."""

from __future__ import annotations

import logging

import pytest
from tests.unit.transport.sinks.receivers import Response

from fedxdr.core.errors import InvalidInput, Unavailable
from fedxdr.transport.sinks import posting
from fedxdr.transport.sinks.posting import Poster
from fedxdr.transport.sinks.sink import tls_context


@pytest.fixture
def make():
    made = []

    def build(base, *, context=None, **settings):
        made.append(
            Poster("sink", base, headers={"x-a": "1"}, context=context, **settings)
        )
        return made[-1]

    yield build
    for one in made:
        one.close()


def test_a_redirect_is_not_followed(http, make):
    other = http(lambda _: Response())
    headers = (("location", f"{other.base}/elsewhere"),)
    receiver = http(lambda _: Response(307, b"", headers))
    with pytest.raises(Unavailable, match="redirects"):
        make(receiver.base).post("/in", b"x", headers={})
    assert other.requests == []


def test_certificates_are_checked(http, make, tls):
    trusted, context = tls
    receiver = http(lambda _: Response(200, b"yes"), context=context)
    sure = make(receiver.base, context=tls_context(trusted))
    assert sure.post("/in", b"x", headers={"x-b": "2"}) == (200, b"yes")
    assert receiver.requests[0].headers["x-a"] == "1"
    assert receiver.requests[0].headers["x-b"] == "2"
    with pytest.raises(Unavailable, match="cannot be reached"):
        make(receiver.base, context=tls_context(None)).post("/in", b"x", headers={})


def test_proxies_of_the_environment_are_not_used(http, make, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    receiver = http(lambda _: Response())
    assert make(receiver.base).post("/", b"", headers={}).status == 200


def test_who_is_away(make):
    with pytest.raises(Unavailable, match="cannot be reached"):
        make("http://127.0.0.1:9").post("/", b"", headers={})


def test_answers_are_bounded(http, make, monkeypatch):
    monkeypatch.setattr(posting, "_LIMIT_BYTES", 10)
    receiver = http(lambda _: Response(200, b"x" * 11))
    with pytest.raises(Unavailable, match="too much"):
        make(receiver.base).post("/", b"", headers={})


def test_what_is_no_verdict(make):
    refusal = make("http://127.0.0.1:9").refusal(posting.Answer(502, b"HUSH"))
    assert str(refusal) == "sink answers 502"


def test_too_large(http, make):
    receiver = http(lambda _: Response(413))
    with pytest.raises(InvalidInput, match="too large"):
        make(receiver.base).post("/", b"", headers={})


def test_no_log_shows_path_or_query(http, make, caplog):
    caplog.set_level(logging.DEBUG)
    receiver = http(lambda _: Response())
    make(receiver.base).post("/hooks/T0P5ECRET?key=HUSH", b"", headers={"x": "QUIET"})
    assert "HTTP Request: POST http://127.0.0.1" in caplog.text
    for secret in ("T0P5ECRET", "HUSH", "QUIET"):
        assert secret not in caplog.text
