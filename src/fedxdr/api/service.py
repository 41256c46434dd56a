# SPDX-License-Identifier: Apache-2.0
"""What the routes work on, and how they take turns.

The parties are not made for two threads at once: ``Service.run`` runs a call in a
worker thread while it holds the one lock, so slow work never blocks the event loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Concatenate, ParamSpec, Protocol, TypeVar

from fastapi import Depends, Query, Request

from fedxdr.core.clock import Clock
from fedxdr.core.errors import (
    TooLarge,
    Unauthorised,
    UnknownSender,
    WaitingForQuorum,
)
from fedxdr.core.ids import Digest, OrgId, org_id
from fedxdr.crypto import requests
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger.block import SignedBlock
from fedxdr.parties.orchestrator import OPERATOR, Orchestrator
from fedxdr.parties.ports import Registry
from fedxdr.parties.recognising import Recogniser
from fedxdr.parties.registrar import Registrar

_CONSENT_S = 10.0
_POLL_S = 0.05

P = ParamSpec("P")
T = TypeVar("T")


class Models(Protocol):
    """Publishes models for strangers; takes its time and needs no lock."""

    def publish(self, blocks: Sequence[SignedBlock]) -> None:
        """Publish what the next blocks bring; the same ones come again if it fails."""

    def seal(self, model: Digest) -> bytes:
        """Return what the publisher added to a model.

        Raises:
            NotFound: it is not published here.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The orchestrator's parts behind the routes.

    Attributes:
        orchestrator: rounds and ledger.
        registrar: invitations, applications, the founding.
        recogniser: tokens and request signatures.
        registry: what is kept about members beside the ledger.
        identity: the orchestrator's key.
        clock: the time.
        max_body_bytes: of one request.
        models: publishes committed models; None: nobody does.
        lock: owned by whoever calls a party; guards all of them.
    """

    orchestrator: Orchestrator
    registrar: Registrar
    recogniser: Recogniser
    registry: Registry
    identity: IdentityKey
    clock: Clock
    max_body_bytes: int
    models: Models | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    async def run_in_time(
        self,
        call: Callable[Concatenate[Service, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return what ``run`` returns, once members' agents have had time to consent.

        Raises:
            WaitingForQuorum: they have not in ten seconds; it may be asked again.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + _CONSENT_S
        while True:
            try:
                return await self.run(call, *args, **kwargs)
            except WaitingForQuorum:
                if loop.time() >= end:
                    raise
            await asyncio.sleep(_POLL_S)

    async def run(
        self,
        call: Callable[Concatenate[Service, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return ``call(service, …)``, run in a thread under the lock."""

        def locked() -> T:
            with self.lock:
                return call(self, *args, **kwargs)

        return await asyncio.to_thread(locked)


def service_of(request: Request) -> Service:
    """Return the service behind an application."""
    service = request.app.state.service
    if not isinstance(service, Service):
        raise TypeError("the application was made without a service")
    return service


async def body_of(request: Request, *, limit: int | None = None) -> bytes:
    """Return the request's body.

    Args:
        request: as it arrives.
        limit: bytes at most, where the service's own limit is not lower.

    Raises:
        TooLarge: more than the limit; nothing beyond it was read.
    """
    most = service_of(request).max_body_bytes
    limit = most if limit is None else min(limit, most)
    too_large = TooLarge(f"a request has at most {limit} bytes")
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        raise too_large
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise too_large
        parts.append(part)
    return b"".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A request whose signature is good.

    Attributes:
        by: an organisation's name, or ``operator``.
        body: the exact bytes.
    """

    by: str
    body: bytes

    @property
    def org(self) -> OrgId:
        """The organisation that signed.

        Raises:
            UnknownSender: the operator signed.
        """
        if self.by == OPERATOR:
            raise UnknownSender("an organisation signs this request, not the operator")
        return org_id(self.by)


async def writer(request: Request) -> Signed:
    """Return the signed body of a request that writes; its nonce is used up.

    Raises:
        BadSignature: not signed, expired, or over another request.
        UnknownSender: by a key that is not on the ledger.
        ReplayedRequest: seen before.
    """
    body = await body_of(request)
    service = service_of(request)

    def check(service: Service) -> str:
        return service.recogniser.signer(signed_parts(request, body), is_write=True)

    return Signed(by=await service.run(check), body=body)


async def operator(request: Request) -> Signed:
    """Return the body of a request that the operator signed.

    Raises:
        UnknownSender: somebody else signed it.
    """
    signed = await writer(request)
    if signed.by != OPERATOR:
        raise UnknownSender("only the operator may do this")
    return signed


async def reader(request: Request) -> str:
    """Return who reads: by bearer token, or by a signed request.

    Raises:
        Unauthorised: neither a token nor a signature.
        BadSignature: a signature that does not verify.
    """
    service = service_of(request)
    authorisation = request.headers.get("authorization", "")
    if authorisation.lower().startswith("bearer "):
        # not under the lock: whoever asks for the standing does not wait for a round
        return service.recogniser.bearer(authorisation[7:].strip())
    if "signature-input" not in request.headers:
        raise Unauthorised(
            "send a bearer token (Authorization: Bearer …) or sign the request"
        )

    def check(service: Service) -> str:
        return service.recogniser.signer(signed_parts(request, b""), is_write=False)

    return await service.run(check)


async def member(request: Request) -> str:
    """Return who reads what is for members (and the operator) only.

    Raises:
        UnknownSender: an organisation that only applied.
    """
    name = await reader(request)

    def check(service: Service) -> None:
        service.recogniser.require_member(name)

    await service_of(request).run(check)
    return name


def signed_parts(request: Request, body: bytes) -> requests.Request:
    """Return what a request's signature covers, as it arrived."""
    return requests.Request(
        method=request.method,
        url=str(request.url),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=body,
    )


Reader = Annotated[str, Depends(reader)]
Member = Annotated[str, Depends(member)]
Writer = Annotated[Signed, Depends(writer)]
Operator = Annotated[Signed, Depends(operator)]
Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0)]
