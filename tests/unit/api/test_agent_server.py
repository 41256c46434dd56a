# SPDX-License-Identifier: Apache-2.0
"""The agent's service on a real loopback socket."""

import socket
import threading

import httpx
import pytest
from fastapi import FastAPI, Request

from fedxdr.api.agent_app import LoopbackOnly, listen
from fedxdr.api.agent_server import AgentServer
from fedxdr.core.errors import InvalidSettings, Unavailable


def app():
    made = FastAPI()

    @made.get("/who")
    async def who(request: Request):
        return {"peer": request.client.host}

    made.add_middleware(LoopbackOnly)
    return made


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_answers_on_loopback_until_it_is_stopped(host):
    try:
        listener = listen(host, port=0)
    except InvalidSettings:
        pytest.skip(f"no {host} on this machine")
    with AgentServer(app(), listener) as server:
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{server.port}/who"
        answer = httpx.get(url, timeout=10)
        assert answer.json() == {"peer": host}
        assert "server" not in answer.headers
        assert threading.active_count() > 1
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, timeout=10)
    server.stop()


def test_a_header_is_not_believed_about_who_asks():
    with AgentServer(app(), listen(port=0)) as server:
        url = f"http://127.0.0.1:{server.port}/who"
        told = {"x-forwarded-for": "8.8.8.8"}
        assert httpx.get(url, headers=told, timeout=10).json() == {"peer": "127.0.0.1"}
        bad = httpx.get(url, headers={"host": "evil.example"}, timeout=10)
        assert bad.status_code == 421


def test_a_socket_on_every_address_is_refused():
    everywhere = ("0.0.0.0", 0)  # noqa: S104 - refused, as the test says
    with (
        socket.create_server(everywhere) as listener,
        pytest.raises(InvalidSettings),
    ):
        AgentServer(app(), listener)


def test_a_server_that_cannot_start_says_so():
    listener = listen(port=0)
    server = AgentServer(app(), listener)
    listener.close()
    with pytest.raises(Unavailable):
        server.start()
