# SPDX-License-Identifier: Apache-2.0
"""The attacker on the wire: a real server on loopback, and who stands before it.

``Puppeteer`` sees every request and may answer in the application's place, change what
the application answers, or keep a message from it. It decides nothing: scripts do.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

_PROBLEM = b"application/problem+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What goes back to a caller."""

    status: int = 200
    body: bytes = b"{}"

    @classmethod
    def problem(cls, status: int, code: str, detail: str) -> Reply:
        kind = f"https://fedxdr.org/problems/{code}"
        return cls(
            status=status, body=json.dumps({"type": kind, "detail": detail}).encode()
        )


TAKEN = Reply(status=202, body=b'{"status":"accepted"}')
"""The attacker says that it took a message, and keeps it from the real application."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One message of an organisation, as it came over the wire."""

    org: str
    name: str
    body: bytes


class Puppeteer:
    """Stands between the application and whoever calls it (an ASGI application).

    ``answers`` maps (organisation or ``*``, name) to a function from the true reply to
    the one given; ``takes`` maps it to a function from a body to a reply, None to let
    the message through.
    """

    def __init__(self, app: Any, who: Callable[[dict[str, str]], str]) -> None:
        self.app = app
        self.who = who
        self.answers: dict[tuple[str, str], Callable[[Reply], Reply | bytes]] = {}
        self.takes: dict[tuple[str, str], Callable[[bytes], Reply | None]] = {}
        self.posts: list[Post] = []
        self.shown: dict[tuple[str, str], bytes] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            event = await receive()
            body += event.get("body", b"")
            more = event.get("more_body", False)
        headers = {k.decode(): v.decode() for k, v in scope["headers"]}
        org, name = self.who(headers), _name_of(scope["path"])
        reply: Reply | None = None
        if scope["method"] == "POST":
            self.posts.append(Post(org=org, name=name, body=body))
            take = self._hook(self.takes, org, name)
            reply = take(body) if take else None
        if reply is None:
            reply = await self._true(scope, body)
        change = self._hook(self.answers, org, name)
        if change and scope["method"] == "GET":
            changed = change(reply)
            reply = changed if isinstance(changed, Reply) else Reply(body=changed)
        if scope["method"] == "GET" and reply.status == 200:
            self.shown[org, name] = reply.body
        kind = b"application/json" if reply.status < 400 else _PROBLEM
        await send(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": [(b"content-type", kind)],
            }
        )
        await send({"type": "http.response.body", "body": reply.body})

    def _hook(self, hooks: dict[tuple[str, str], Any], org: str, name: str) -> Any:
        return hooks.get((org, name)) or hooks.get(("*", name))

    async def _true(self, scope: Any, body: bytes) -> Reply:
        status, parts, is_read = 500, list[bytes](), False

        async def receive() -> dict[str, Any]:
            nonlocal is_read
            if is_read:
                return {"type": "http.disconnect"}
            is_read = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(event: dict[str, Any]) -> None:
            nonlocal status
            if event["type"] == "http.response.start":
                status = event["status"]
            else:
                parts.append(event.get("body", b""))

        await self.app(scope, receive, send)
        return Reply(status=status, body=b"".join(parts))


def _name_of(path: str) -> str:
    parts = path.strip("/").split("/")
    if "contribution" in parts:
        return "vector"
    if "model" in parts:
        return "model"
    if "checkpoint" in parts:
        return "checkpoint"
    name = parts[-1]
    return {"submit-gradient": "contribution", "raw-blocks": "blocks"}.get(name, name)


class Loopback:
    """One real server for all stages: loading it costs more than a round."""

    def __init__(self) -> None:
        self.app: Any = None

        async def serve(scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope, receive, send)

        config = uvicorn.Config(serve, port=0, log_config=None, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not (self._server.started and self._server.servers):
            self._thread.join(0.005)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)


@contextmanager
def on_loopback() -> Iterator[Loopback]:
    """Run a loopback server."""
    server = Loopback()
    try:
        yield server
    finally:
        server.close()
