# SPDX-License-Identifier: Apache-2.0
"""Runs the agent's own application beside its rounds, in one thread of its process.

It does NOT choose what is answered (agent_app.py), and it is not for the orchestrator:
one slow answer delays the next one, never a round.

Rules that always hold: it serves a socket that ``agent_app.listen`` made and no other;
it believes no header about who asks; it writes no log of requests; it never outlives
``stop``.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
from types import TracebackType
from typing import Self

import uvicorn
from fastapi import FastAPI

from fedxdr.core.errors import InvalidSettings, Unavailable

logger = logging.getLogger(__name__)

_START_S = 20.0
_STOP_S = 10.0
_POLL_S = 0.01


class AgentServer:
    """An application on a listening loopback socket; a context manager.

    Args:
        app: of ``agent_app.create_agent_app``.
        listener: of ``agent_app.listen``; closed by ``stop``.

    Raises:
        InvalidSettings: the socket listens elsewhere than on loopback.
    """

    def __init__(self, app: FastAPI, listener: socket.socket) -> None:
        host, self.port = listener.getsockname()[:2]
        if not ipaddress.ip_address(host).is_loopback:
            raise InvalidSettings(f"the agent listens on loopback alone, not on {host}")
        self._listener = listener
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                access_log=False,
                log_config=None,
                proxy_headers=False,
                server_header=False,
                ws="none",
                lifespan="off",
                limit_concurrency=32,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(
            target=self._run, name="fedxdr-agent-api", daemon=True
        )

    def start(self) -> None:
        """Begin to answer; returns once it does.

        Raises:
            Unavailable: it did not begin.
        """
        self._thread.start()
        waited = 0.0
        while not self._server.started:
            self._thread.join(_POLL_S)
            waited += _POLL_S
            if not self._thread.is_alive() or waited > _START_S:
                self.stop()
                raise Unavailable("the agent's own service did not start")

    def stop(self) -> None:
        """Stop answering and close the socket; nothing happens the second time."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        self._listener.close()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._listener])
        except OSError:
            # rounds go on; whoever waits in ``start`` sees the thread end
            logger.exception("the agent's own service has ended")

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()
