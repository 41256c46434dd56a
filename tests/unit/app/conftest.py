# SPDX-License-Identifier: Apache-2.0
"""Folders of a federation on disk, and a network that is in this process."""

import asyncio
import dataclasses
import functools
from contextlib import ExitStack

import httpx
import numpy as np
import pytest

from fedxdr.api import service
from fedxdr.api.app import create_app
from fedxdr.app import deciding, participating
from fedxdr.app.deciding import Somebody, find_change
from fedxdr.app.orchestrating import OpenOrchestrator, initialise
from fedxdr.app.participating import OpenParticipant, join
from fedxdr.app.server_file import ServerFile
from fedxdr.app.settings import PlanSettings
from fedxdr.core.errors import WaitingForQuorum
from fedxdr.core.layout import Layout, Segment
from fedxdr.core.update import Update
from fedxdr.federation import opening
from fedxdr.federation.phases import Phase
from fedxdr.federation.plan import SEGMENTS
from fedxdr.models.snapshot import Card, Snapshot
from fedxdr.parties.ports import Learned
from fedxdr.transport.client import Client

LAYOUT = Layout(
    segments=(
        Segment(name="statistics.mean", shape=(3,)),
        Segment(name="weights.w", shape=(2, 4)),
    )
)
MODEL = Snapshot(
    vector=np.zeros(LAYOUT.size, np.float32),
    card=Card(layout=LAYOUT, architecture={"name": "tiny"}),
)
ADDRESS = "http://127.0.0.1:8000"


class Killed(BaseException):
    """The process ended here."""


class Learner:
    """Fixed figures in place of data."""

    def samples(self):
        return 64

    def learn(self, *, task, parent, plan, number):
        del parent
        begin, end = plan.layout.span(SEGMENTS[task])
        values = np.full(end - begin, 0.1 * number, np.float32)
        return Learned(
            update=Update(values=values, samples=64),
            metrics=dict.fromkeys(opening.metrics_of(plan, task), 0.5),
        )


class InProcess(httpx.BaseTransport):
    """Hands requests to an open orchestrator's application; can be killed on the way.

    ``dies`` names a path; ``after`` says whether the server still got the request.
    """

    def __init__(self):
        self.opened = None
        self.dies = ""
        self.after = False

    def handle_request(self, request):
        is_last = bool(self.dies) and request.url.path.endswith(self.dies)
        if is_last and not self.after:
            raise Killed
        transport = httpx.ASGITransport(create_app(self.opened.service))

        async def hand_over():
            answer = await transport.handle_async_request(
                httpx.Request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    stream=httpx.ByteStream(request.read()),
                )
            )
            return answer.status_code, answer.headers, await answer.aread()

        status, headers, body = asyncio.run(hand_over())
        if is_last:
            raise Killed
        return httpx.Response(status, headers=headers, content=body)


def reopen(folder):
    return OpenOrchestrator(folder, settings=PlanSettings())


class Place:
    """A federation's folders, and what its people do with them.

    Attributes:
        server: the orchestrator's folder.
        network: the way to it.
    """

    def __init__(self, base, network):
        self.base = base
        self.server = base / "server"
        self.network = network

    def folder(self, org):
        return self.base / org

    def invitation(self, org, **changes):
        options = {"server": ADDRESS, "lifetime_s": 60} | changes
        return self.network.opened.registrar.invite(org, **options)

    def join(self, *orgs):
        """Let organisations apply, as `fedxdr join` does."""
        for org in orgs:
            join(
                self.folder(org),
                self.invitation(org),
                name=org.title(),
                data_sources=("zeek-conn",),
            )

    def operator(self):
        return Somebody.of(self.server)

    def somebody(self, org):
        return Somebody.of(self.folder(org))

    def approve(self, wanted, *orgs):
        """Let organisations approve a change, as their people do."""
        for org in orgs:
            somebody = self.somebody(org)
            told = somebody.approve(find_change(somebody.changes(), wanted))
        return told

    def found(self, *orgs):
        """Let organisations join and found the federation."""
        self.join(*orgs)
        self.operator().call("POST", "/federation/found", {})
        return self.approve("founding", *orgs)

    def start_round(self, *orgs):
        """Open a round as the operator does, while these agents run."""
        for _ in range(6):
            try:
                form = {"config": {}}
                return self.operator().call("POST", "/federation/round/start", form)
            except WaitingForQuorum:
                self.run_agents(*orgs)
        raise AssertionError("the members' agents have not consented")

    def run_round(self, *orgs):
        """Run a round over HTTP to its end; return the model that it made."""
        self.start_round(*orgs)
        orchestrator = self.network.opened.orchestrator
        self.run_agents(
            *orgs, steps=20, is_enough=lambda: orchestrator.current.is_ended
        )
        round_ = orchestrator.current
        assert round_.phase is Phase.COMMITTED, round_.failure
        return orchestrator.recorder.in_force.model

    def serve_until(self, done):
        """Let the server live, with its loops, until something is so."""

        async def living():
            app = create_app(self.network.opened.service)
            async with app.router.lifespan_context(app):
                for _ in range(3000):
                    if done():
                        return
                    await asyncio.sleep(0.01)
            raise AssertionError("it has not come to that")

        asyncio.run(living())

    def agent(self, org, **options):
        return OpenParticipant(self.folder(org), **({"learner": Learner()} | options))

    def run_agents(self, *orgs, steps=1, is_enough=lambda: False, **options):
        """Let agents look at the orchestrator at most so many times, and end."""
        with ExitStack() as stack:
            running = []
            for org in orgs:
                running.append(self.agent(org, **options))
                stack.callback(running[-1].close)
            for opened in running:
                opened.follow_ledger()
            for _ in range(steps):
                was_enough = is_enough()
                for opened in running:
                    opened.participant.step(wait_s=0)
                if was_enough:
                    break


@pytest.fixture
def made(tmp_path):
    """An orchestrator's folder."""
    folder = tmp_path / "server"
    initialise(folder, federation="drill", model=MODEL)
    dataclasses.replace(ServerFile.read(folder), address=ADDRESS).write(folder)
    return folder


@pytest.fixture
def network(made, monkeypatch):
    """A way to the orchestrator on that folder for everybody's folders."""
    transport = InProcess()
    transport.opened = reopen(made)
    reaching = functools.partial(Client, transport=transport)
    monkeypatch.setattr(participating, "Client", reaching)
    monkeypatch.setattr(deciding, "Client", reaching)
    monkeypatch.setattr(service, "_CONSENT_S", 0.0)
    yield transport
    transport.opened.close()


@pytest.fixture
def place(tmp_path, network):
    """The folders of a federation that is not founded yet."""
    return Place(tmp_path, network)
