# SPDX-License-Identifier: Apache-2.0
"""What happens, as server-sent events: blocks, heads, phases of rounds, changes.

``block`` comes for each block, in order, with its height as the event's id: a client
that reconnects sends the last id (``Last-Event-ID``) and gets what it missed, from the
ledger. ``head``, ``round`` and ``change`` say how things stand, at first and whenever
they differ; states that pass between two looks are not told, and have no id.

Blocks and heads are everybody's; rounds and changes are told to who sends a token or
signs the request, as ``/federation/standing`` does.

It does NOT prove anything: an event is a hint to look at the ledger.

Rules that always hold: no lock is held while nothing happens, and looking is shared by
all listeners; there are at most so many listeners, and those without a token or a
signature take half of the places at most; a slow one delays nobody; all end with the
server.

Source: the HTML standard, section 9.2 (server-sent events).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from fedxdr.api.service import Service, reader, service_of
from fedxdr.core import canonical
from fedxdr.core.errors import MalformedMessage, NotFound, Unavailable
from fedxdr.core.ids import Digest
from fedxdr.federation.phases import Phase
from fedxdr.federation.rounds import Round
from fedxdr.ledger.block import SignedBlock
from fedxdr.parties.changes import ProposedChange

router = APIRouter(tags=["service"])

MOST_LISTENERS = 64
MOST_ANONYMOUS = 32
_RETRY_MS = 2000
_POLL_S = 0.05
_HEARTBEAT_S = 15.0
_BLOCKS_AT_ONCE = 100
_LONGEST_ID = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """How things stand at one instant; the JSON of the events.

    Attributes:
        size: of the ledger.
        head: the newest head, None before the Genesis.
        round: the newest round, None before the first.
        changes: the open changes, by digest.
    """

    size: int
    head: Mapping[str, Any] | None
    round: Mapping[str, Any] | None
    changes: Mapping[Digest, Mapping[str, Any]]


@dataclass(slots=True, kw_only=True)
class Listeners:
    """All who listen to one application; belongs to its event loop.

    Attributes:
        count: how many there are.
        anonymous: how many of them nobody knows.
        ends: whether the server is about to end.
    """

    count: int = 0
    anonymous: int = 0
    ends: Callable[[], bool] = lambda: False
    is_closed: bool = False
    _look: asyncio.Lock = field(default_factory=asyncio.Lock)
    _known: tuple[tuple[int, int], News] | None = None

    def enter(self, *, is_known: bool) -> None:
        """Take a place.

        Args:
            is_known: whether it sent a token or signed the request.

        Raises:
            Unavailable: there is none.
        """
        if self.count >= MOST_LISTENERS:
            raise Unavailable(f"{self.count} clients listen already; try again later")
        if not is_known and self.anonymous >= MOST_ANONYMOUS:
            raise Unavailable(
                f"{self.anonymous} clients listen already without a token; send one, "
                "or try again later"
            )
        self.count += 1
        self.anonymous += not is_known

    def leave(self, *, is_known: bool) -> None:
        """Give a place back."""
        self.count -= 1
        self.anonymous -= not is_known

    async def news(self, service: Service) -> News:
        """Return how things stand; looked up once for all who ask."""
        async with self._look:
            # reading two numbers; the lock is not needed for it
            orchestrator = service.orchestrator
            version = (orchestrator.version, orchestrator.recorder.size())
            if self._known is None or self._known[0] != version:
                self._known = (version, await service.run(_look_around))
            return self._known[1]


@router.get("/events", response_class=StreamingResponse)
async def events(request: Request) -> StreamingResponse:
    """Stream what happens as server-sent events; without a token blocks and heads."""
    is_known = bool({"authorization", "signature-input"} & set(request.headers))
    if is_known:
        await reader(request)
    last = _last_height(request.headers.get("last-event-id", ""))
    listeners = request.app.state.listeners
    if not isinstance(listeners, Listeners):
        raise TypeError("the application was made without listeners")
    listeners.enter(is_known=is_known)
    told = stream(service_of(request), listeners, after=last, is_whole=is_known)
    return _Stream(told, listeners, is_known=is_known)


class _Stream(StreamingResponse):
    """A stream that gives its listener's place back, however it ends."""

    def __init__(
        self, told: AsyncIterator[bytes], listeners: Listeners, *, is_known: bool
    ) -> None:
        super().__init__(
            told,
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )
        self._listeners = listeners
        self._is_known = is_known

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._listeners.leave(is_known=self._is_known)


async def stream(
    service: Service, listeners: Listeners, *, after: int | None, is_whole: bool
) -> AsyncIterator[bytes]:
    """Yield events until the server ends.

    Args:
        service: whose events.
        listeners: shared by all streams of an application.
        after: height of the last block that the client knows; None: blocks that are
            there already are not told.
        is_whole: whether rounds and changes are told too.
    """
    loop = asyncio.get_running_loop()
    yield f"retry: {_RETRY_MS}\n\n".encode()
    news = await listeners.news(service)
    begin = news.size if after is None else min(after + 1, news.size)
    told = News(size=0, head=None, round=None, changes={})
    spoke_at = loop.time()
    while not (listeners.is_closed or listeners.ends()):
        found: list[bytes] = []
        news = await listeners.news(service)
        while begin < news.size:
            blocks = await service.run(_read, begin, news.size)
            for signed in blocks:
                yield _block(signed)
            begin += len(blocks)
            spoke_at = loop.time()
        if news.head is not None and news.head != told.head:
            found.append(_event("head", news.head))
        if is_whole:
            if news.round is not None and news.round != told.round:
                found.append(_event("round", news.round))
            found += await _changes(service, told, news)
        told = news
        if not found and loop.time() - spoke_at >= _HEARTBEAT_S:
            found.append(b": alive\n\n")
        for event in found:
            yield event
            spoke_at = loop.time()
        await asyncio.sleep(_POLL_S)


async def _changes(service: Service, told: News, news: News) -> list[bytes]:
    """Return events for changes that are new, have an approval more, or are closed."""
    closed = [digest for digest in told.changes if digest not in news.changes]
    ends = await service.run(_ended, closed) if closed else []
    fresh = [
        change
        for digest, change in news.changes.items()
        if told.changes.get(digest) != change
    ]
    return [_event("change", change) for change in (*ends, *fresh)]


def _last_height(text: str) -> int | None:
    """Return the height in a ``Last-Event-ID``, None without one.

    Raises:
        MalformedMessage: it is none of ours.
    """
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > _LONGEST_ID:
        raise MalformedMessage("Last-Event-ID is the height of a block")
    return int(text)


def _event(kind: str, value: Mapping[str, Any], *, name: str = "") -> bytes:
    head = f"id: {name}\n" if name else ""
    return f"event: {kind}\n{head}data: ".encode() + canonical.jcs(value) + b"\n\n"


def _block(signed: SignedBlock) -> bytes:
    block = signed.block
    value = {
        "height": block.height,
        "hash": block.hash,
        "kind": block.entry.type,
        "model_hash": block.model_hash,
    }
    return _event("block", value, name=str(block.height))


# Looking, in a thread and under the lock.


def _read(service: Service, begin: int, end: int) -> list[SignedBlock]:
    recorder = service.orchestrator.recorder
    return recorder.blocks(begin=begin, end=min(end, begin + _BLOCKS_AT_ONCE))


def _look_around(service: Service) -> News:
    orchestrator = service.orchestrator
    return News(
        size=orchestrator.recorder.size(),
        head=_head(service),
        round=None if orchestrator.current is None else _round(orchestrator.current),
        changes={
            change.digest: _change(change)
            for change in orchestrator.governance.proposals()
        },
    )


def _head(service: Service) -> dict[str, Any] | None:
    heads, size = service.orchestrator.heads, service.orchestrator.recorder.size()
    try:
        cosigned = heads.cosigned_by(size) if size else None
    except NotFound:
        return None  # the log has passed to another orchestrator
    if cosigned is None:
        return None
    return {
        "size": size,
        "cosigned_by": list(cosigned),
        "has_quorum": heads.has_quorum(size),
    }


def _round(round_: Round) -> dict[str, Any]:
    names = {Phase.COMMITTED: "completed", Phase.FAILED: "failed"}
    return {
        "round_id": round_.announcement.round_id,
        "round_number": round_.announcement.number,
        "task": round_.announcement.task,
        "phase": str(round_.phase),
        "status": names.get(round_.phase, "in_progress"),
    }


def _ended(service: Service, digests: list[Digest]) -> list[dict[str, Any]]:
    governance = service.orchestrator.governance
    return [_change(governance.proposal(digest)) for digest in digests]


def _change(change: ProposedChange) -> dict[str, Any]:
    return {
        "digest": change.digest,
        "kind": change.entry.type,
        "proposed_by": change.proposed_by,
        "approved_by": list(change.approved_by),
        "outcome": change.outcome or "open",
    }
