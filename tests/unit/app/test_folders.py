# SPDX-License-Identifier: Apache-2.0
"""The life of a folder: made once, joined once, one process, killed anywhere."""

import asyncio
import functools
import json

import httpx
import numpy as np
import pytest

from fedxdr.api.app import create_app
from fedxdr.app import orchestrating, participating
from fedxdr.app.orchestrating import OpenOrchestrator, initialise
from fedxdr.app.participating import AgentFile, OpenParticipant, join
from fedxdr.app.server_file import ServerFile, operator_key
from fedxdr.app.settings import PlanSettings
from fedxdr.core.errors import (
    BadSignature,
    InvalidSettings,
    InvitationRefused,
    MalformedMessage,
    Unavailable,
)
from fedxdr.core.layout import Layout, Segment
from fedxdr.ledger import verifier
from fedxdr.models.snapshot import Card, Snapshot
from fedxdr.parties.recording import Recorder
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
QUESTION = json.dumps({"model_hash": "0" * 64}).encode()
ADDRESS = "http://127.0.0.1:8000"


class Killed(BaseException):
    """The process ended here."""


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


@pytest.fixture
def made(tmp_path):
    """An orchestrator's folder."""
    folder = tmp_path / "server"
    initialise(folder, federation="drill", model=MODEL)
    return folder


@pytest.fixture
def network(made, monkeypatch):
    """A way to the orchestrator on that folder for everything in ``participating``."""
    transport = InProcess()
    transport.opened = reopen(made)
    monkeypatch.setattr(
        participating, "Client", functools.partial(Client, transport=transport)
    )
    yield transport
    transport.opened.close()


def invitation(network, org="aurora", **changes):
    options = {"server": ADDRESS, "lifetime_s": 60} | changes
    return network.opened.registrar.invite(org, **options)


def join_as(folder, token):
    return join(folder, token, name="Aurora", data_sources=("zeek-conn",))


# The orchestrator's folder.


def test_a_new_folder_holds_keys_ledger_and_model(made):
    for name in ("orchestrator", "operator", "token"):
        assert (made / "keys" / f"{name}.key").stat().st_mode & 0o777 == 0o600
    opened = reopen(made)
    try:
        in_force = opened.orchestrator.recorder.in_force
        assert in_force.genesis.federation == "drill"
        assert in_force.orchestrator.keyid == (
            operator_key(made, name="orchestrator").public.keyid
        )
        assert opened.orchestrator.blobs.has(in_force.model)
        export = opened.orchestrator.recorder.export(opened.identity)
        assert verifier.verify(export).blocks_verified == 1
    finally:
        opened.close()
    assert operator_key(made).public.keyid != (
        operator_key(made, name="orchestrator").public.keyid
    )


def test_a_folder_is_made_once(made):
    before = {p: p.read_bytes() for p in (made / "keys").iterdir()}
    with pytest.raises(InvalidSettings, match="already"):
        initialise(made, federation="drill", model=MODEL)
    assert {p: p.read_bytes() for p in (made / "keys").iterdir()} == before


@pytest.mark.parametrize("place", range(6))
def test_making_goes_on_where_it_was_killed(tmp_path, monkeypatch, place):
    """Three keys, the model, the block and the file: killed before each of them."""
    left = [place]

    def mortal(write):
        def writing(*args, **options):
            if left[0] == 0:
                left[0] = -1
                raise Killed
            left[0] -= 1
            return write(*args, **options)

        return writing

    monkeypatch.setattr(orchestrating, "write_seed", mortal(orchestrating.write_seed))
    monkeypatch.setattr(
        orchestrating.FileBlobs, "put", mortal(orchestrating.FileBlobs.put)
    )
    monkeypatch.setattr(Recorder, "record", mortal(Recorder.record))
    monkeypatch.setattr(ServerFile, "write", mortal(ServerFile.write))
    with pytest.raises(Killed):
        initialise(tmp_path, federation="drill", model=MODEL)
    keys = {p: p.read_bytes() for p in (tmp_path / "keys").glob("*")}
    assert not (tmp_path / "server.json").exists()
    initialise(tmp_path, federation="drill", model=MODEL)
    assert all(path.read_bytes() == seed for path, seed in keys.items())
    opened = reopen(tmp_path)
    try:
        recorder = opened.orchestrator.recorder
        assert recorder.size() == 1
        verifier.verify(
            recorder.export(opened.identity),
            pinned_orchestrator_key=opened.identity.public.ed25519,
        )
    finally:
        opened.close()


def test_what_was_begun_for_another_federation_is_not_taken_over(made):
    (made / "server.json").unlink()
    with pytest.raises(InvalidSettings, match="another federation, drill"):
        initialise(made, federation="other", model=MODEL)


def test_a_wrong_name_makes_nothing(tmp_path):
    with pytest.raises(MalformedMessage):
        initialise(tmp_path / "x", federation="Not A Name", model=MODEL)
    assert not (tmp_path / "x").exists()


def test_one_process_at_a_time(made):
    opened = reopen(made)
    try:
        with pytest.raises(Unavailable, match="in use"):
            reopen(made)
    finally:
        opened.close()
    reopen(made).close()


def test_a_half_written_address_is_never_seen(made, monkeypatch):
    before = ServerFile.read(made)

    def killed(*_):
        raise Killed

    monkeypatch.setattr(type(made), "replace", killed)
    with pytest.raises(Killed):
        ServerFile(federation="drill", origin="o", address="http://x:1").write(made)
    assert ServerFile.read(made) == before


# An organisation's folder.


def test_joining_makes_a_folder_that_only_its_owner_reads(network, tmp_path):
    token = invitation(network)
    file = join_as(tmp_path / "a", token)
    assert AgentFile.read(tmp_path / "a") == file
    assert (file.org, file.server) == ("aurora", ADDRESS)
    assert file.orchestrator_keyid == token.pin
    for name in ("agent.json", "keys/identity.key"):
        assert (tmp_path / "a" / name).stat().st_mode & 0o777 == 0o600
    with pytest.raises(InvalidSettings, match="member already"):
        join_as(tmp_path / "a", token)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("path", ["/info", "/register"])
def test_joining_goes_on_where_it_was_killed_with_the_same_key(
    network, tmp_path, path, after
):
    token = invitation(network)
    network.dies, network.after = path, after
    with pytest.raises(Killed):
        join_as(tmp_path / "a", token)
    key = (tmp_path / "a" / "keys" / "identity.key").read_bytes()
    assert not (tmp_path / "a" / "agent.json").exists()
    network.dies = ""
    join_as(tmp_path / "a", token)
    assert (tmp_path / "a" / "keys" / "identity.key").read_bytes() == key
    in_force = network.opened.orchestrator.recorder.in_force
    assert in_force.cohort == ("aurora",)
    assert in_force.head.height == 1


def test_another_server_than_the_pinned_one_gets_nothing(
    network, tmp_path, monkeypatch
):
    token = invitation(network)
    other = tmp_path / "other"
    initialise(other, federation="drill", model=MODEL)
    seen = []
    handle = InProcess.handle_request
    monkeypatch.setattr(
        InProcess,
        "handle_request",
        lambda self, request: seen.append(request.url.path) or handle(self, request),
    )
    network.opened.close()
    network.opened = reopen(other)
    with pytest.raises(InvitationRefused, match="nothing was sent"):
        join_as(tmp_path / "a", token)
    assert [path.rsplit("/", 1)[1] for path in seen] == ["info"]


@pytest.mark.parametrize("change", [{"genesis": "0" * 64}, {"orchestrator_keyid": "0"}])
def test_an_agent_refuses_another_ledger_than_the_one_it_joined(
    network, tmp_path, change
):
    join_as(tmp_path / "a", invitation(network))
    path = tmp_path / "a" / "agent.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    opened = OpenParticipant(tmp_path / "a", learner=None)
    try:
        with pytest.raises(BadSignature, match="another"):
            opened.follow_ledger()
    finally:
        opened.close()


def test_an_agent_follows_the_ledger_and_counts_what_it_sent(network, tmp_path):
    join_as(tmp_path / "a", invitation(network))
    for _ in range(2):
        opened = OpenParticipant(tmp_path / "a", learner=None)
        with pytest.raises(Unavailable, match="in use"):
            OpenParticipant(tmp_path / "a", learner=None)
        opened.follow_ledger()
        assert opened.participant.mirror.size() == 2
        opened.client.call("POST", "/ledger/verify", body=QUESTION)
        opened.note_sent_bytes()
        opened.close()
    assert int((tmp_path / "a" / "sent-bytes").read_text()) == 2 * len(QUESTION)
