# SPDX-License-Identifier: Apache-2.0
"""An organisation's link over HTTP: signed, tried again, errors as they were made."""

import json
from datetime import UTC, datetime

import httpx
import pytest
import stamina

from fedxdr.core import errors
from fedxdr.core.clock import ManualClock
from fedxdr.core.errors import (
    FedxdrError,
    InvalidInput,
    InvalidSettings,
    MalformedMessage,
    NotFound,
    ReplayedRequest,
    TooLarge,
    Unavailable,
    WaitingForQuorum,
    WrongPhase,
)
from fedxdr.core.ids import RoundId
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto import requests
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation.phases import Phase
from fedxdr.federation.sessions import Step
from fedxdr.parties.ports import Standing
from fedxdr.transport import client as client_module
from fedxdr.transport.client import PREFIX, Client, HttpLink, problem

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROUND = RoundId("round-1-00112233aabb")


class Server:
    """Answers in turn, the last one for ever, and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def __call__(self, request):
        request.read()
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not isinstance(answer, httpx.Response | Exception):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def no_waiting():
    """Attempts follow each other at once; their number stays."""
    with stamina.set_testing(True, attempts=5, cap=True):
        yield


@pytest.fixture
def make():
    made = []

    def build(*answers, signed=True, server="http://127.0.0.1:1/"):
        key = IdentityKey.generate(SeededEntropy(1)) if signed else None
        answering = Server(*answers)
        client = Client(
            server,
            signer=key,
            clock=ManualClock(NOW),
            entropy=SeededEntropy(2),
            transport=httpx.MockTransport(answering),
        )
        made.append(client)
        return client, answering, key

    yield build
    for client in made:
        client.close()


def refusal(status, code, detail="because"):
    document = {"type": f"https://fedxdr.org/problems/{code}", "detail": detail}
    return httpx.Response(status, json=document)


def nonce_of(request):
    return request.headers["signature-input"].split("nonce=")[1]


def test_a_request_carries_a_signature_over_exactly_what_arrives(make):
    client, server, key = make(httpx.Response(200, content=b"answer"))
    assert client.call("POST", "/a?b=1", body=b"bytes") == b"answer"
    (request,) = server.asked
    assert str(request.url) == f"http://127.0.0.1:1{PREFIX}/a?b=1"
    proof = requests.verify(
        requests.Request(
            method=request.method,
            url=str(request.url),
            headers={n.lower(): v for n, v in request.headers.items()},
            body=request.content,
        ),
        identity=key.public,
        now=NOW,
    )
    assert proof.keyid == key.public.keyid


def test_without_a_key_nothing_is_signed(make):
    client, server, _ = make(httpx.Response(200), signed=False)
    client.call("GET", "/info")
    assert "signature" not in server.asked[0].headers


@pytest.mark.parametrize(
    "failure",
    [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"),
     httpx.RemoteProtocolError("cut off")],
)  # fmt: skip
def test_what_fails_on_the_way_is_tried_again_under_a_new_nonce(make, failure):
    client, server, _ = make(failure, failure, httpx.Response(200, content=b"x"))
    assert client.call("POST", "/a", body=b"same") == b"x"
    assert len(server.asked) == 3
    assert {r.content for r in server.asked} == {b"same"}
    assert len({nonce_of(r) for r in server.asked}) == 3


def test_after_five_attempts_the_server_is_unavailable(make):
    client, server, _ = make(httpx.ConnectError("refused"))
    with pytest.raises(Unavailable, match="cannot be reached"):
        client.call("GET", "/a")
    assert len(server.asked) == 5


def test_a_busy_server_is_asked_again_and_a_refusal_is_not(make):
    client, server, _ = make(refusal(503, "unavailable"), httpx.Response(200))
    client.call("GET", "/a")
    assert len(server.asked) == 2
    client, server, _ = make(refusal(409, "wrong-phase", "too late"))
    with pytest.raises(WrongPhase, match="too late"):
        client.call("GET", "/a")
    assert len(server.asked) == 1


def test_where_people_are_awaited_nobody_is_asked_again(make):
    refused = refusal(503, "waiting-for-quorum", "0 of the 3 that it takes")
    client, server, _ = make(refused, httpx.Response(200))
    with pytest.raises(WaitingForQuorum, match=r"^0 of the 3 that it takes$"):
        client.call("POST", "/a", body=b"same")
    assert len(server.asked) == 1


def test_why_it_is_not_ready_is_told_in_the_servers_own_words(make):
    client, _, _ = make(refusal(503, "unavailable", "not founded yet"))
    with pytest.raises(Unavailable, match=r"^not founded yet$"):
        client.call("GET", "/a")


def every_error(root=FedxdrError):
    yield root
    for below in root.__subclasses__():
        if below.__module__.startswith("fedxdr."):
            yield from every_error(below)


@pytest.mark.parametrize("kind", list(every_error()), ids=lambda k: k.code)
def test_each_error_comes_back_as_what_it_was(kind):
    found = problem(422, refusal(422, kind.code, "why").content)
    if kind is errors.VerificationFailed or not issubclass(
        kind, (errors.InvalidInput, errors.Refused)
    ):
        # no answer from outside is a fault of ours: that would stop an agent
        assert type(found) is InvalidInput
    else:
        assert found.code == kind.code
    assert "why" in str(found)


def test_codes_are_told_apart():
    codes = [kind.code for kind in every_error()]
    assert len(set(codes)) == len(codes)


def test_a_fault_of_the_server_may_be_better_later():
    found = problem(500, refusal(500, "integrity-fault").content)
    assert type(found) is Unavailable


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"type":"x"}', b'"text"', b"\xff"]
)
def test_an_error_without_a_problem_is_unavailable(body):
    assert type(problem(502, body)) is Unavailable


def test_an_unknown_code_is_the_other_sides_fault_not_ours():
    assert type(problem(418, refusal(418, "teapot").content)) is InvalidInput


def test_an_answer_above_the_limit_is_refused(make, monkeypatch):
    monkeypatch.setattr(client_module, "_LIMIT_BYTES", 10)
    client, _, _ = make(httpx.Response(200, content=b"x" * 11))
    with pytest.raises(TooLarge):
        client.call("GET", "/a")
    client, _, _ = make(httpx.Response(200, content=b"x" * 10))
    assert len(client.call("GET", "/a")) == 10


def test_an_answer_above_the_limit_is_not_read_to_its_end(make, monkeypatch):
    monkeypatch.setattr(client_module, "_LIMIT_BYTES", 1000)
    given = []

    class Endless(httpx.SyncByteStream):
        def __iter__(self):
            while True:
                given.append(100)
                yield b"x" * 100

    client, _, _ = make(httpx.Response(200, stream=Endless()))
    with pytest.raises(TooLarge):
        client.call("GET", "/a")
    assert sum(given) == 1100


def test_an_answer_that_cannot_be_unpacked_is_no_answer(make):
    def wrong():
        return httpx.Response(
            200,
            headers={"content-encoding": "gzip"},
            stream=httpx.ByteStream(b"this is not gzip"),
        )

    client, _, _ = make(wrong)
    with pytest.raises(Unavailable, match="cannot be reached"):
        client.call("GET", "/a")


@pytest.mark.parametrize(
    "server",
    ["", "host:1", "ftp://host", "http://", "http://host:port", "http://[::1",
     "http://host:99999", "http://a b"],
)  # fmt: skip
def test_an_address_that_is_none_is_the_users_mistake(make, server):
    with pytest.raises(InvalidSettings, match="no address"):
        make(httpx.Response(200), server=server)


def test_bytes_that_left_are_counted(make):
    client, _, _ = make(httpx.Response(200))
    client.call("POST", "/a", body=b"12345")
    client.call("POST", "/a", body=b"123")
    assert client.sent_bytes == 8


# The link.


def test_standing_says_what_is_known_and_reads_the_answer(make):
    changes = ["a" * 64, "b" * 64]
    answer = {"round_id": ROUND, "phase": "keys", "height": 7, "changes": changes}
    client, server, _ = make(httpx.Response(200, json=answer))
    link = HttpLink(client)
    first = link.standing(known=None, wait_s=0)
    assert first == Standing(
        round_id=ROUND, phase=Phase.KEYS, height=7, changes=tuple(changes)
    )
    link.standing(known=first, wait_s=10)
    queries = [dict(r.url.params) for r in server.asked]
    assert queries == [
        {"wait_s": "0"},
        {
            "wait_s": "10",
            "round_id": ROUND,
            "phase": "keys",
            "height": "7",
            "changes": ",".join(changes),
            "quorate": "0",
            "restored": "false",
            "awaited": "",
        },
    ]


def test_a_standing_says_who_is_awaited_after_a_backup(make):
    answer = {"round_id": None, "phase": None, "height": 7, "changes": []}
    also = {"quorate": 7, "restored": True, "awaited": ["org-a", "org-b"]}
    client, _, _ = make(httpx.Response(200, json=answer | also))
    found = HttpLink(client).standing(known=None, wait_s=0)
    assert found.is_restored
    assert (found.quorate, found.awaited) == (7, ("org-a", "org-b"))
    client, _, _ = make(httpx.Response(200, json=answer | {"awaited": ["../x"]}))
    with pytest.raises(MalformedMessage):
        HttpLink(client).standing(known=None, wait_s=0)


@pytest.mark.parametrize(
    "answer",
    [
        b"x",
        b"[]",
        b"{}",
        b'{"round_id":null,"phase":"tea","height":1,"changes":[]}',
        b'{"round_id":"../x","phase":"keys","height":1,"changes":[]}',
        b'{"round_id":null,"phase":null,"height":"many","changes":[]}',
        b'{"round_id":null,"phase":null,"height":1}',
        b'{"round_id":null,"phase":null,"height":1,"changes":["../x"]}',
        b'{"round_id":null,"phase":null,"height":1,"changes":7}',
    ],
)
def test_a_standing_that_is_none_is_malformed(make, answer):
    client, _, _ = make(httpx.Response(200, content=answer))
    with pytest.raises(MalformedMessage):
        HttpLink(client).standing(known=None, wait_s=0)


@pytest.mark.parametrize(
    "answer",
    [
        b"x",
        b"{}",
        b"[{}]",
        b'[{"body":"x","envelopes":[]}]',
        b'[{"body":"{}","envelopes":["x"]}]',
        b'[{"body":"{}","envelopes":[],"more":1}]',
    ],
)
def test_blocks_that_are_none_are_malformed(make, answer):
    client, _, _ = make(httpx.Response(200, content=answer))
    with pytest.raises(MalformedMessage):
        HttpLink(client).blocks(begin=0, end=1)


def test_a_contribution_goes_as_cbor_to_its_own_route(make):
    client, server, _ = make(httpx.Response(202))
    link = HttpLink(client)
    link.send(ROUND, Step.CONTRIBUTION, b"c")
    link.send(ROUND, Step.KEYS, b"k")
    seen = [
        (r.url.raw_path.decode().removeprefix(PREFIX), r.headers["content-type"])
        for r in server.asked
    ]
    assert seen == [
        (
            f"/federation/round/submit-gradient?round_id={ROUND}",
            "application/cbor",
        ),
        (f"/federation/round/{ROUND}/keys", "application/json"),
    ]


def test_an_agent_hears_what_the_server_refused(make):
    for code, kind in (("not-found", NotFound), ("replayed-request", ReplayedRequest)):
        client, _, _ = make(refusal(404, code))
        with pytest.raises(kind):
            HttpLink(client).fetch(ROUND, Step.MAIL)


def test_retries_are_logged_and_nothing_is_printed(make, caplog, capsys):
    client, _, _ = make(httpx.ConnectError("refused"), httpx.Response(200))
    with caplog.at_level("DEBUG", logger="fedxdr.retries"):
        client.call("GET", "/a")
    assert [r.message for r in caplog.records] == ["trying again"]
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


def test_certificates_are_checked_wherever_there_are_any(monkeypatch):
    seen = {}

    def remember(**options):
        seen.update(options)
        return httpx.MockTransport(lambda _: httpx.Response(200))

    monkeypatch.setattr(client_module.httpx, "Client", remember)
    for server, expected in (
        ("https://soc:1", True), ("HTTPS://soc:1", True), ("http://soc:1", False),
    ):  # fmt: skip
        Client(server, signer=None, clock=ManualClock(NOW), entropy=SeededEntropy(1))
        assert seen["verify"] is expected
        assert seen["trust_env"] is False


def test_a_problem_document_is_read_as_the_server_writes_it():
    body = json.dumps(
        {
            "type": "https://fedxdr.org/problems/too-large",
            "title": "too large",
            "status": 413,
            "detail": "a request has at most 5 bytes",
            "instance": "/x",
        }
    ).encode()
    found = problem(413, body)
    assert type(found) is TooLarge
    assert str(found) == "a request has at most 5 bytes"
