# SPDX-License-Identifier: Apache-2.0
"""The agent's own small service, on loopback: its purse, and routes that see gradients.

Raw gradients never travel to the orchestrator, so the routes that take one live here,
beside the organisation's data; so does the purse, which nobody else has to know.

It does NOT take part in rounds, hold keys, or answer anybody but programs on the same
machine: there is no token because there is no way in from outside.

Rules that always hold:
    1. It listens on a loopback address or not at all, and a peer or a ``Host`` that is
       none is refused: a name that resolves to 127.0.0.1 (DNS rebinding) is no way in.
    2. No page of a browser gets through: a request with an ``Origin`` is refused, and
       there are no CORS headers.
    3. Bodies are JSON, bounded before they are read, and hold no field that is unknown
       and no number that is NaN or infinite.
    4. Nothing of a request is kept or logged.

Source: RFC 9110, sections 7.2 and 15.5.20 (Host, 421); the Fetch standard (Origin).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from fastapi import APIRouter, FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fedxdr import __version__
from fedxdr.api import problems
from fedxdr.api.agent_encryption import Encrypted, public_key
from fedxdr.api.agent_forms import Encrypt, Gradient, Sanitize, parse
from fedxdr.core import canonical
from fedxdr.core.clock import Clock, rfc3339
from fedxdr.core.errors import InvalidSettings, TooLarge, Unauthorised
from fedxdr.core.ids import OrgId
from fedxdr.core.layout import Vector
from fedxdr.parties import privacy_views
from fedxdr.parties.privacy_views import Spending
from fedxdr.privacy import gradients
from fedxdr.secagg.encrypted.paillier import PublicKey

logger = logging.getLogger(__name__)

PREFIX = "/api/fl-blockchain"
DEFAULT_PORT: Final = 8808
MAX_BODY_BYTES: Final = 64 * 2**20
"""A gradient of 1,000,000 values in decimal has about 20 MB."""

_HOST = re.compile(r"(127(?:\.\d{1,3}){3}|localhost|\[::1\])(?::\d{1,5})?")
_JSON = re.compile(r"application/json(?:\s*;.*)?", re.IGNORECASE)


class Encryption(Protocol):
    """Encrypts a gradient as the plan in force says."""

    def __call__(self, values: Vector, key: PublicKey) -> Encrypted:
        """Return the ciphertexts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentService:
    """What the routes ask; every call may take a while and runs in a thread.

    Attributes:
        org: whose agent this is.
        clock: the time.
        config: what protects contributions, as ``privacy_views.protection`` says it.
        budget: where the purse stands.
        encrypt: encrypts.
        ready: what has to be there, name -> whether it is.
        proofs: what convicts the log of the ledger, by file name.
        max_body_bytes: of one request.
    """

    org: OrgId
    clock: Clock
    config: Callable[[], Mapping[str, Any]]
    budget: Callable[[], Spending]
    encrypt: Encryption
    ready: Callable[[], Mapping[str, bool]]
    proofs: Callable[[], Mapping[str, bytes]] = dict
    max_body_bytes: int = MAX_BODY_BYTES


def create_agent_app(service: AgentService) -> FastAPI:
    """Return the application over a service."""
    app = FastAPI(
        title="fedxdr agent",
        version=__version__,
        description=__doc__,
        docs_url=None,  # its pages would be fetched from elsewhere
        redoc_url=None,
    )
    app.state.service = service
    problems.install(app)
    app.include_router(router, prefix=PREFIX)
    app.add_middleware(LoopbackOnly)
    return app


def listen(host: str = "127.0.0.1", *, port: int = DEFAULT_PORT) -> socket.socket:
    """Return a socket that listens on a loopback address.

    Args:
        host: a loopback address, or ``localhost``.
        port: 0 for any that is free.

    Raises:
        InvalidSettings: another address, or one that is taken.
    """
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise InvalidSettings(f"{host!r} is no address; use 127.0.0.1") from error
    if not address.is_loopback:
        raise InvalidSettings(
            "the agent's own routes see raw gradients and listen on loopback alone, "
            f"not on {host}: use 127.0.0.1, and your own tunnel to come from elsewhere"
        )
    if not 0 <= port <= 65_535:
        raise InvalidSettings(f"{port} is no port: want 0 to 65535")
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        return socket.create_server((str(address), port), family=family)
    except OSError as error:
        raise InvalidSettings(f"cannot listen on {address}, port {port}") from error


class LoopbackOnly:
    """Refuses whatever does not come from a program on this machine.

    ASGI middleware, so that nothing of a refused request is read or routed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a problem."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no web sockets here
            return
        refusal = _why_refused(scope)
        if refusal is None:
            await self._app(scope, receive, send)
            return
        status, reason = refusal
        logger.warning("refused", extra={"status": status, "reason": reason})
        answer = problems.problem(
            status=status,
            code=Unauthorised.code,
            title=Unauthorised.code,
            detail=reason,
            instance=scope["path"],
        )
        await answer(scope, receive, send)


def _why_refused(scope: Scope) -> tuple[int, str] | None:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    peer = scope.get("client")
    if peer is None or not _is_loopback(peer[0]):
        return 403, "the agent answers programs on its own machine alone"
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0].lower()):
        return 421, "the Host of a request to the agent is 127.0.0.1, ::1 or localhost"
    if any(name in (b"origin", b"sec-fetch-site") for name, _ in headers):
        return 403, "the agent does not answer pages of a browser"
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


router = APIRouter()


def _service(request: Request) -> AgentService:
    service = request.app.state.service
    if not isinstance(service, AgentService):
        raise TypeError("the application was made without a service")
    return service


async def _body(request: Request) -> bytes:
    """Return the body of a request.

    Raises:
        Unauthorised: not sent as JSON, as a page can without being asked.
        TooLarge: more than the limit; nothing beyond it was read.
    """
    if not _JSON.fullmatch(request.headers.get("content-type", "")):
        raise Unauthorised("send the body as application/json")
    limit = _service(request).max_body_bytes
    too_large = TooLarge(f"a request has at most {limit} bytes")
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > limit:
        raise too_large
    data = bytearray()
    async for part in request.stream():
        if len(data) + len(part) > limit:
            raise too_large
        data += part
    return bytes(data)


@router.get("/health", tags=["service"])
async def health(request: Request) -> dict[str, str]:
    """Say that the process is alive."""
    return {"status": "healthy", "timestamp": rfc3339(_service(request).clock.now())}


@router.get("/ready", tags=["service"])
async def ready(request: Request, response: Response) -> dict[str, Any]:
    """Say whether what an agent needs is there."""
    found = dict(await asyncio.to_thread(_service(request).ready))
    is_ready = all(found.values())
    response.status_code = 200 if is_ready else 503
    return {"ready": is_ready, **found}


@router.get("/info", tags=["service"])
async def info(request: Request) -> dict[str, Any]:
    """Say what this is."""
    paths = request.app.openapi()["paths"]
    return {
        "system": "fedxdr",
        "version": __version__,
        "org_id": _service(request).org,
        "components": ["Agent", "PrivacyLayer"],
        "api_endpoints": sum(len(methods) for methods in paths.values()),
    }


@router.get("/ledger/equivocation", tags=["ledger"])
async def equivocation(request: Request) -> dict[str, Any]:
    """Return what this agent found that convicts the log of two histories."""
    found = await asyncio.to_thread(_service(request).proofs)
    # as text: a proof has one form, byte for byte
    return {
        "proofs": {
            name: proof.decode(errors="replace") for name, proof in found.items()
        }
    }


@router.get("/privacy/config", tags=["privacy"])
async def config(request: Request) -> dict[str, Any]:
    """Say what protects contributions under the plan in force, and what does not."""
    return dict(await asyncio.to_thread(_service(request).config))


@router.get("/privacy/budget", tags=["privacy"])
async def budget(request: Request) -> dict[str, Any]:
    """Say what this organisation has spent of its purse, and how long it lasts."""
    found = await asyncio.to_thread(_service(request).budget)
    return privacy_views.budget_body(found)


@router.get("/privacy/privacy-budget", tags=["privacy"], deprecated=True)
async def privacy_budget(request: Request) -> dict[str, Any]:
    """Return the same figures under the names of the architecture's document."""
    found = await asyncio.to_thread(_service(request).budget)
    return privacy_views.privacy_budget_body(found)


@router.post("/privacy/sanitize", tags=["privacy"])
async def sanitize(request: Request) -> dict[str, Any]:
    """Return a gradient without what is local, clipped and thinned, in its form."""
    body = await _body(request)

    def work() -> dict[str, Any]:
        form = parse(Sanitize, body)
        gradient = Gradient.of(form.raw_gradient)
        plain = {name: part.values.tolist() for name, part in gradient.parts.items()}
        done = gradients.sanitise_request(
            plain if gradient.has_segments else plain[""],
            sensitivity=form.sensitivity,
            config=form.config.model_dump(exclude_none=True),
        )
        left: Any = done.pop("sanitized_gradient")
        kept = left if gradient.has_segments else {"": left}
        return {"sanitized_gradient": gradient.written(kept), **done}

    return await asyncio.to_thread(work)


@router.post("/privacy/encrypt", tags=["privacy"])
async def encrypt(request: Request) -> dict[str, Any]:
    """Return a gradient's ciphertexts under a public key."""
    service, body = _service(request), await _body(request)

    def work() -> dict[str, Any]:
        form = parse(Encrypt, body)
        gradient = Gradient.of(form.gradient)
        gradients.refuse_local(list(gradient.parts))
        values = np.concatenate([part.values for part in gradient.parts.values()])
        found = service.encrypt(values, public_key(form.public_key))
        told: dict[str, Any] = canonical.builtins(found)
        shapes = {name: list(part.shape) for name, part in gradient.parts.items()}
        shape = shapes if gradient.has_segments else shapes[""]
        return {"encrypted_gradient": told, "shape": shape}

    return await asyncio.to_thread(work)
