# SPDX-License-Identifier: Apache-2.0
"""The HTTP application over a federation in memory, and clients that sign for it."""

import asyncio
import dataclasses
import json
from contextlib import contextmanager, suppress

import httpx
import numpy as np
import pytest

from fedxdr.api import service as serving
from fedxdr.api.app import PREFIX, create_app
from fedxdr.api.service import Service
from fedxdr.core.errors import FedxdrError, Unavailable
from fedxdr.core.ids import org_id
from fedxdr.core.layout import Layout, Segment
from fedxdr.core.randomness import SeededEntropy, generator
from fedxdr.core.update import Update
from fedxdr.crypto import requests
from fedxdr.federation import opening
from fedxdr.federation.floor import Floor
from fedxdr.federation.plan import SEGMENTS
from fedxdr.parties.ports import Learned
from fedxdr.simulation.federation import SimulatedFederation
from fedxdr.transport.client import Client, HttpLink

LAYOUT = Layout(
    segments=(
        Segment(name="statistics.mean", shape=(3,)),
        Segment(name="weights.w", shape=(2, 4)),
    )
)
ORGANISATIONS = ("alpha", "bravo", "charlie", "delta")
BASE = "http://testserver"
LIMIT = 200_000
START = "/federation/round/start"
WAITING = "https://fedxdr.org/problems/waiting-for-quorum"
_STEPS_TO_CONSENT = 5


class Learner:
    """Fixed figures in place of data."""

    def __init__(self, place):
        self.place = place

    def samples(self):
        return 64

    def learn(self, *, task, parent, plan, number):
        del parent
        begin, end = plan.layout.span(SEGMENTS[task])
        values = generator(self.place, number).normal(size=end - begin)
        return Learned(
            update=Update(values=values.astype(np.float32), samples=64),
            metrics=dict.fromkeys(opening.metrics_of(plan, task), 0.5),
        )


class HoldingLink(HttpLink):
    """A link that keeps one step's message to itself and says the server is away."""

    holds = None
    held = b""

    def send(self, round_id, step, body):
        if step is self.holds:
            self.held = body
            raise Unavailable("held back")
        super().send(round_id, step, body)


class InProcess(httpx.BaseTransport):
    """Hands each request to an application in this process."""

    def __init__(self, app):
        self.app = httpx.ASGITransport(app, raise_app_exceptions=False)

    def handle_request(self, request):
        async def hand_over():
            answer = await self.app.handle_async_request(
                httpx.Request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    stream=httpx.ByteStream(request.read()),
                )
            )
            return answer.status_code, answer.headers, await answer.aread()

        status, headers, body = asyncio.run(hand_over())
        return httpx.Response(status, headers=headers, content=body)


class Api:
    """A federation, the application over it, and requests to it."""

    def __init__(self, *, clear=False, rounds=0, wishes=(), agreed=False, **service):
        plan = {"layout": LAYOUT, "architecture": {"name": "tiny"}, **dict(wishes)}
        if clear:
            plan |= {"collection_mode": "clear", "acknowledge_clear": True}
        self.world = SimulatedFederation(
            {org_id(o): Learner(place) for place, o in enumerate(ORGANISATIONS)},
            plan=plan,
            initial=np.zeros(LAYOUT.size, np.float32),
            floor=Floor(modes=("secagg", "clear")),
        )
        for _ in range(rounds):
            self.world.run_round()
        world = self.world
        made = Service(
            orchestrator=world.orchestrator,
            registrar=world.registrar,
            recogniser=world.registrar.recogniser,
            registry=world.registry,
            identity=world.identity,
            clock=world.clock,
            **{"max_body_bytes": LIMIT, **service},
        )
        self.attach(world, made)
        if agreed:
            self.agree()

    def attach(self, world, service):
        """Put the application over a federation."""
        self.world = world
        self.service = service
        # not entered as a context: nothing ticks, time is moved by tests
        self.app = create_app(self.service)
        self.transport = InProcess(self.app)
        self.http = httpx.Client(transport=self.transport, base_url=BASE)
        self.keys = {**world.keys, "operator": world.operator}
        self.entropy = SeededEntropy(7)

    def agree(self):
        """Let the members cosign, and adopt the plan of the settings."""
        self.world.step()
        self.world.orchestrator.propose_plan({})
        self.world.step()
        self.world.step()

    def start(self, form=None, *, path=START):
        """Open a round as the operator does, while the members' agents run."""
        for _ in range(_STEPS_TO_CONSENT):
            answer = self.post(path, form)
            if answer.json().get("type") != WAITING:
                break
            self.world.step()
        return answer

    def headers(self, by, method, path, body=b"", *, url=None, now=None):
        """Return the headers of a request signed by somebody."""
        headers = {"content-type": "application/json"}
        signed = requests.Request(
            method=method,
            url=url or f"{BASE}{PREFIX}{path}",
            headers=headers,
            body=body,
        )
        requests.sign(
            signed,
            signer=self.keys.get(by, by),
            now=now or self.world.clock.now(),
            entropy=self.entropy,
        )
        return headers

    def send(self, method, path, form=None, *, by=None, headers=None, **extra):
        """Return the answer to a request, signed if ``by`` says by whom."""
        body = form if isinstance(form, bytes) else b""
        if form is not None and not isinstance(form, bytes):
            body = json.dumps(form).encode()
        if headers is None:
            plain = {"content-type": "application/json"} if body else {}
            headers = self.headers(by, method, path, body) if by else plain
        headers |= extra
        return self.http.request(
            method, f"{PREFIX}{path}", content=body, headers=headers
        )

    def get(self, path, *, by="alpha"):
        """Return the answer to a request signed by a member."""
        return self.send("GET", path, by=by)

    def post(self, path, form=None, *, by="operator"):
        """Return the answer to a request signed by the operator."""
        return self.send("POST", path, {} if form is None else form, by=by)

    def client(self, by):
        """Return the product's own client over this application."""
        return Client(
            BASE,
            signer=self.keys.get(by),
            clock=self.world.clock,
            entropy=self.entropy,
            transport=self.transport,
        )

    def use_http(self):
        """Let every organisation talk to the application instead of the object."""
        for org, participant in self.world.participants.items():
            link = HoldingLink(self.client(org))
            participant._desk = dataclasses.replace(participant._desk, link=link)
            participant.follower._link = link

    def bring_to(self, step, *, held=()):
        """Open a round and run it until ``held`` are about to send ``step``.

        Returns the bodies that they were about to send.
        """
        self.use_http()
        links = {o: p._desk.link for o, p in self.world.participants.items()}
        for org in held:
            links[org].holds = step
        round_id = self.start().json()["round_id"]
        for _ in range(12):
            for participant in self.world.participants.values():
                with suppress(Unavailable):
                    participant.step(wait_s=0)
            if all(links[org].held for org in held) and held:
                break
        return round_id, {org: links[org].held for org in held}

    def bearer(self, org="alpha"):
        """Return the header of a member that reads by token."""
        token = self.service.recogniser.issue_token(org_id(org))
        return {"authorization": f"Bearer {token}"}


def assert_problem(answer: httpx.Response, status: int, code: str, *words: str) -> None:
    """Fail unless the answer is an RFC 9457 problem that says why."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "instance"}
    assert problem["type"] == f"https://fedxdr.org/problems/{code}"
    assert problem["title"] == code.replace("-", " ")
    assert problem["status"] == status
    assert problem["detail"]
    assert "Traceback" not in answer.text
    for word in words:
        assert word in problem["detail"]


@pytest.fixture(scope="session")
def problem():
    return assert_problem


@pytest.fixture(autouse=True)
def nobody_is_waited_for(monkeypatch):
    """Agents act between requests here, not while one is answered."""
    monkeypatch.setattr(serving, "_CONSENT_S", 0.0)


@pytest.fixture
def make_api():
    return Api


@pytest.fixture
def api():
    """A federation that has agreed on a plan and has held no round."""
    return Api(agreed=True)


@pytest.fixture(scope="module")
def settled():
    """A federation with a statistics and two training rounds; read it only."""
    return Api(rounds=3)


@pytest.fixture
def refuses():
    """A context in which the product's own client must raise."""

    @contextmanager
    def expecting(kind: type[FedxdrError], *words: str):
        with pytest.raises(kind) as caught:
            yield
        assert type(caught.value) is kind
        for word in words:
            assert word in str(caught.value)

    return expecting
