# SPDX-License-Identifier: Apache-2.0
"""Over HTTP: a restored orchestrator answers readers, and takes what members saw."""

import copy

import pytest

from fedxdr.core import canonical
from fedxdr.core.errors import BadSignature, UnknownSender
from fedxdr.core.ids import sha256
from fedxdr.parties import testifying
from fedxdr.parties.catching_up import Restoration

TOLD = "/ledger/testimony"


class Mark:
    """What would stand in ``restored.json``."""

    def __init__(self):
        self.found = None

    def read(self):
        return self.found

    def write(self, found):
        self.found = found

    def clear(self):
        self.found = None


@pytest.fixture
def restored(make_api):
    """A federation whose orchestrator thinks that it was set back."""
    api = make_api(rounds=1)
    api.world.step()
    catching_up = api.world.orchestrator.catching_up
    catching_up._mark = Mark()
    catching_up._keep(Restoration(since=1))
    catching_up._look()
    return api


def test_it_says_so_and_names_who_is_awaited(restored):
    now = restored.get("/federation/standing").json()
    assert now["restored"] is True
    assert now["awaited"] == ["alpha", "bravo", "charlie", "delta"]


def test_readers_are_answered(restored):
    for path in ("/ledger/checkpoint", "/ledger/blocks", "/federation/status"):
        assert restored.get(path).status_code == 200, path
    found = restored.send("POST", "/ledger/verify", {"model_hash": sha256(b"x")})
    assert found.status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/federation/round/start",
        "/federation/register",
        "/federation/invitations",
        "/federation/token",
        "/federation/changes",
        "/federation/found",
        "/federation/plan",
        f"/federation/changes/{sha256(b'x')}/approval",
        "/ledger/checkpoint/1",
        "/federation/round/round-1-000000000000/keys",
        "/federation/round/submit-gradient",
        "/federation/key-ceremony",
    ],
)
def test_nothing_else_is_taken(restored, problem, path):
    for by in ("operator", "alpha"):
        answer = restored.post(path, by=by)
        problem(answer, 503, "waiting-for-quorum", "not yet: alpha, bravo")


def test_members_tell_and_work_goes_on(restored):
    restored.use_http()
    restored.world.step()
    now = restored.get("/federation/standing").json()
    assert (now["restored"], now["awaited"]) == (False, [])
    assert restored.start().status_code == 201


def test_only_members_tell_and_only_by_their_signature(restored, problem):
    agent = restored.world.participants["alpha"]
    said = testifying.page(agent.mirror, agent._checkpoints, begin=0)
    said = canonical.jcs(said.to_value())
    problem(restored.send("POST", TOLD, said), 401, "bad-signature")
    problem(restored.post(TOLD, said), 403, "unknown-sender")
    problem(restored.post(TOLD, b"{}", by="alpha"), 422, "malformed-message")
    token = restored.bearer()
    assert restored.send("POST", TOLD, said, headers=token).status_code == 401
    answer = restored.post(f"{TOLD}/model", b"a file", by="alpha")
    problem(answer, 404, "not-found", "lacking")
    before = copy.copy(restored.world.orchestrator.catching_up._known)
    assert before.told == {}
    assert restored.post(TOLD, said, by="alpha").status_code == 202


def test_the_client_tells_and_hands_over_models(restored, refuses):
    world = restored.world
    model = world.recorder.in_force.model
    file = world.orchestrator.blobs.get(model)
    world.orchestrator.blobs.delete(model)
    restored.use_http()
    link = world.participants["alpha"]._desk.link
    agent = world.participants["alpha"]
    said = testifying.page(
        agent.mirror, agent._checkpoints, begin=world.recorder.size()
    )
    assert model in link.testify(said).models
    link.give_model(file)
    assert world.orchestrator.blobs.get(model) == file
    del link
    with refuses(UnknownSender):
        restored.keys["nobody"] = type(restored.keys["alpha"]).generate(
            restored.entropy
        )
        client = restored.client("nobody")
        client.call("POST", TOLD, body=b"{}")
    with refuses(BadSignature):
        restored.client(None).call("POST", TOLD, body=b"{}")
