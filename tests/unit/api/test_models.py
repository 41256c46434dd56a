# SPDX-License-Identifier: Apache-2.0
"""Routes of models: described in every version, fetched as they hash."""

import asyncio
import base64
import dataclasses

from fedxdr.api import app as app_module
from fedxdr.api.app import create_app
from fedxdr.core.errors import NotFound, StorageFault
from fedxdr.core.ids import sha256
from fedxdr.models import snapshot


def test_the_model_is_described_in_every_version_and_inline(settled, problem):
    found = settled.get("/federation/global-model").json()
    assert set(found) == {
        "model_version", "weights", "hash", "provenance", "signatures",
    }  # fmt: skip
    assert found["model_version"] == "v3"
    assert found["weights"]["inline"] is None
    assert set(found["signatures"]) == {"alpha", "bravo", "charlie", "delta"}
    link = found["weights"]["link"].removeprefix("/api/fl-blockchain")
    file = settled.get(link)
    assert sha256(file.content) == found["hash"] == found["weights"]["sha256"]
    inline = settled.get("/federation/global-model?inline=true").json()
    assert base64.b64decode(inline["weights"]["inline"]) == file.content
    assert snapshot.load(file.content).vector.any()
    older = settled.get("/federation/global-model?model_version=v1").json()
    assert older["model_version"] == "v1"
    assert older["hash"] != found["hash"]
    answer = settled.get("/federation/global-model?model_version=v9")
    problem(answer, 404, "not-found", "v9")
    problem(settled.get(f"/federation/model/{'0' * 64}"), 404, "not-found")
    problem(settled.get("/federation/model/xyz"), 422, "malformed-message")


# Models published for strangers.


class Published:
    """Stands for the publisher; fails as often as it is told to."""

    def __init__(self, service, *, fails=0):
        self.service = service
        self.fails = fails
        self.heights = []

    def publish(self, blocks):
        assert not self.service.lock.locked()
        self.heights.append([signed.block.height for signed in blocks])
        if self.fails:
            self.fails -= 1
            raise StorageFault("disk full")

    def seal(self, model):
        if model == "0" * 64:
            raise NotFound("no model is published in /var/lib/models")
        return b'{"seal":true}'


def live(service, done):
    """Let an application live until something is so."""

    async def running():
        app = create_app(service)
        async with app.router.lifespan_context(app):
            for _ in range(1000):
                if done():
                    break
                await asyncio.sleep(0.01)

    asyncio.run(running())


def test_every_block_is_offered_for_publication_at_start_and_when_one_comes(api):
    models = Published(api.service)
    service = dataclasses.replace(api.service, models=models)
    models.service = service
    size = api.world.recorder.size()
    live(service, lambda: bool(models.heights))
    assert models.heights == [list(range(size))]

    def run_round():
        if len(models.heights) == 2:
            api.world.run_round()
        return len(models.heights) == 3

    live(service, run_round)
    assert models.heights[1:] == [list(range(size)), [size]]


def test_what_could_not_be_published_is_offered_again_and_rounds_go_on(
    api, monkeypatch, caplog
):
    monkeypatch.setattr(app_module, "_PAUSE_S", 0.0)
    models = Published(api.service, fails=3)
    service = dataclasses.replace(api.service, models=models)
    models.service = service
    live(service, lambda: len(models.heights) == 4)
    assert models.heights == [list(range(api.world.recorder.size()))] * 4
    assert "not published yet" in caplog.text
    assert "disk full" in caplog.text
    api.world.run_round()


def test_a_long_ledger_is_offered_in_parts(settled, monkeypatch):
    monkeypatch.setattr(app_module, "_BLOCKS_AT_ONCE", 2)
    models = Published(settled.service)
    service = dataclasses.replace(settled.service, models=models)
    models.service = service
    live(service, lambda: len(models.heights) == 3)
    assert models.heights == [[0, 1], [2, 3], [4]]


def test_members_fetch_the_seal_of_a_published_model(settled, problem):
    model = settled.world.recorder.in_force.model
    path = f"/federation/model/{model}/seal"
    problem(settled.get(path), 404, "not-found", "no models are published")
    service = dataclasses.replace(settled.service, models=Published(settled.service))
    settled.app.state.service = service
    try:
        found = settled.get(path)
        assert found.headers["content-type"] == "application/json"
        assert found.content == b'{"seal":true}'
        by_token = settled.send("GET", path, headers=settled.bearer())
        assert by_token.content == found.content
        problem(settled.send("GET", path), 401, "unauthorised")
        problem(settled.get(f"/federation/model/{'0' * 64}/seal"), 404, "not-found")
        problem(settled.get("/federation/model/xyz/seal"), 422, "malformed-message")
    finally:
        settled.app.state.service = settled.service
