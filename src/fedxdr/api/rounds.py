# SPDX-License-Identifier: Apache-2.0
"""Routes of rounds: opening them, their messages, where they stand."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from fedxdr.api.schemas import ProposePlan, StartRound, parse
from fedxdr.api.service import (
    Member,
    Operator,
    Reader,
    Service,
    Writer,
    service_of,
)
from fedxdr.core import canonical
from fedxdr.core.clock import rfc3339
from fedxdr.core.errors import (
    InvalidPlan,
    NotFound,
    WrongPhase,
)
from fedxdr.core.ids import digest, org_id, round_id
from fedxdr.federation import wire
from fedxdr.federation.phases import Kind
from fedxdr.federation.plan import Plan
from fedxdr.federation.rounds import Round, deadline
from fedxdr.federation.sessions import Step
from fedxdr.parties import views
from fedxdr.parties.orchestrator import Receipt

router = APIRouter(prefix="/federation", tags=["rounds"])

_POLL_S = 0.02
_WAIT_MAX_S = 30.0
_JSON = "application/json"
_BINARY = "application/octet-stream"
# a contribution has a route of its own
_SENT = set(Kind) - {Kind.CONTRIBUTION}


@router.post("/round/start", status_code=201)
@router.post("/start-round", status_code=201, deprecated=True)
async def start_round(request: Request, signed: Operator) -> dict[str, Any]:
    """Open a round; the operator signs this request."""
    form = parse(StartRound, signed.body or b"{}")
    return await service_of(request).run_in_time(_start, form)


def _start(service: Service, form: StartRound) -> dict[str, Any]:
    in_force = service.orchestrator.recorder.in_force
    number = in_force.attempted + 1
    if form.round_number not in {None, number}:
        raise WrongPhase(f"the next round has number {number}")
    if form.global_weights not in {None, in_force.model}:
        raise WrongPhase(f"the model in force is {in_force.model}")
    wishes = wishes_of(form)
    round_ = service.orchestrator.start_round(task=form.task, wishes=wishes)
    return _opened(round_)


def wishes_of(form: ProposePlan) -> dict[str, Any]:
    """Return the fields of the plan that a form wants otherwise.

    Raises:
        InvalidPlan: a field that no plan has.
    """
    wishes = dict(form.config)
    if form.aggregation_method is not None:
        wishes["aggregation_method"] = form.aggregation_method
    if form.min_orgs_required is not None:
        wishes["min_survivors"] = form.min_orgs_required
    known = set(Plan.__dataclass_fields__)
    for name in wishes:
        if name not in known:
            raise InvalidPlan(
                f"a plan has no field {name!r}; it has {', '.join(sorted(known))}"
            )
    return wishes


def _opened(round_: Round) -> dict[str, Any]:
    announcement, plan = round_.announcement, round_.plan
    return {
        "round_id": announcement.round_id,
        "round_number": announcement.number,
        "task": announcement.task,
        "status": "in_progress",
        "participants": list(announcement.cohort),
        "started_at": rfc3339(announcement.opened_at),
        "deadline": _deadline(round_),
        "plan_digest": announcement.plan_digest,
        "privacy_params": {
            "mechanism": plan.privacy_mechanism,
            "collection_mode": plan.collection_mode,
            "clipping_norm": plan.clip_norm,
        },
    }


def _deadline(round_: Round) -> str | None:
    closes = deadline(round_)
    return None if closes is None else rfc3339(closes)


@router.post("/round/submit-gradient", status_code=202)
@router.post("/submit-gradient", status_code=202, deprecated=True)
async def submit_gradient(request: Request, signed: Writer) -> dict[str, Any]:
    """Take one organisation's protected update (CBOR, or JSON with base64)."""
    service = service_of(request)
    is_json = request.headers.get("content-type", "").startswith(_JSON)

    def take(service: Service) -> dict[str, Any]:
        body = _contribution_body(service, signed.body) if is_json else signed.body
        name = request.query_params.get("round_id") or _round_of(service)
        receipt = service.orchestrator.receive(
            round_id(name), Kind.CONTRIBUTION, signed.org, body
        )
        round_ = service.orchestrator.load(round_id(name))
        return {
            "status": "accepted",
            "gradient_id": receipt.digest,
            "received_at": rfc3339(receipt.received_at),
            "ack": True,
            "aggregation_eta": _deadline(round_),
        }

    return await service.run(take)


def _contribution_body(service: Service, body: bytes) -> bytes:
    """Return the canonical CBOR of a contribution that came as JSON."""
    current = service.orchestrator.current
    if current is None:
        raise WrongPhase("no round is running")
    if b'"gradient"' in body and b'"statement"' not in body:
        raise WrongPhase(
            "a plaintext gradient is not taken: this run collects in mode "
            f"{current.plan.collection_mode}, and every contribution carries its "
            "organisation's signed statement; let the agent send it"
        )
    size = service.orchestrator.contribution_bytes(current)
    return wire.pack_contribution(wire.contribution_from_json(body, size_bytes=size))


def _round_of(service: Service) -> str:
    current = service.orchestrator.current
    if current is None:
        raise WrongPhase("no round is running")
    return current.announcement.round_id


@router.get("/standing")
async def standing(  # noqa: PLR0917 - one for each field of a standing
    request: Request,
    _: Reader,
    round_id: str = "",
    phase: str = "",
    height: int = -1,
    changes: str = "",
    quorate: int | None = None,
    restored: bool | None = None,
    awaited: str | None = None,
    wait_s: Annotated[float, Query(ge=0, le=_WAIT_MAX_S)] = 0.0,
) -> dict[str, Any]:
    """Say where the newest round stands; hold the answer until there is news."""
    service = service_of(request)
    loop = asyncio.get_running_loop()
    end = loop.time() + wait_s
    while True:
        # reading one reference; the lock is not needed for it
        now = service.orchestrator.standing()
        names = ",".join(now.changes)
        found = (str(now.round_id or ""), str(now.phase or ""), now.height, names)
        also = (now.quorate, now.is_restored, ",".join(now.awaited))
        is_news = found != (round_id, phase, height, changes) or any(
            # (who does not say what it knows of these does not wait for them)
            known not in {None, is_now}
            for known, is_now in zip((quorate, restored, awaited), also, strict=True)
        )
        if is_news or loop.time() >= end:
            return {
                "round_id": now.round_id,
                "phase": now.phase,
                "height": now.height,
                "changes": list(now.changes),
                "quorate": now.quorate,
                "restored": now.is_restored,
                "awaited": list(now.awaited),
            }
        await asyncio.sleep(_POLL_S)


@router.get("/round/{name}/status")
async def round_status(request: Request, name: str, _: Reader) -> dict[str, Any]:
    """Say where one round stands and who is awaited."""

    def look(service: Service) -> views.RoundStatus:
        round_ = service.orchestrator.load(round_id(name))
        return views.round_status(service.orchestrator, round_)

    found: dict[str, Any] = canonical.builtins(await service_of(request).run(look))
    return found


@router.get("/status")
async def status(request: Request, _: Reader) -> dict[str, Any]:
    """Describe the federation at a glance."""

    def look(service: Service) -> views.FederationStatus:
        return views.federation_status(service.orchestrator)

    found: dict[str, Any] = canonical.builtins(await service_of(request).run(look))
    return found


@router.get("/round/{name}/announcement")
async def announcement(request: Request, name: str, _: Member) -> Response:
    """Return the signed announcement of a round."""

    def look(service: Service) -> bytes:
        return service.orchestrator.announcement(round_id(name)).to_json()

    return Response(await service_of(request).run(look), media_type=_JSON)


@router.get("/round/{name}/evidence")
async def evidence(request: Request, name: str, _: Member) -> Response:
    """Return what a member needs to replay a round."""

    def look(service: Service) -> bytes:
        return wire.pack_evidence(service.orchestrator.evidence(round_id(name)))

    return Response(await service_of(request).run(look), media_type=_JSON)


@router.get("/round/{name}/contribution/{name_of_vector}")
async def contribution(
    request: Request, name: str, name_of_vector: str, _: Member
) -> Response:
    """Return one protected vector of an opened round, for replay by members."""

    def look(service: Service) -> bytes:
        return service.orchestrator.vector(round_id(name), digest(name_of_vector))

    return Response(await service_of(request).run(look), media_type=_BINARY)


@router.get("/round/{name}/{step}")
async def fetch(request: Request, name: str, step: str, by: Member) -> Response:
    """Return what an organisation fetches in a step of its session."""

    def look(service: Service) -> bytes:
        if step not in set(Step):
            raise NotFound(f"a round has no {step}")
        return service.orchestrator.fetch(round_id(name), Step(step), org_id(by))

    return Response(await service_of(request).run(look), media_type=_JSON)


@router.post("/round/{name}/{step}", status_code=202)
async def send(
    request: Request, name: str, step: str, signed: Writer
) -> dict[str, Any]:
    """Take one message of a round."""

    def take(service: Service) -> Receipt:
        if step not in _SENT:
            raise NotFound(f"a round takes no {step}")
        return service.orchestrator.receive(
            round_id(name), Kind(step), signed.org, signed.body
        )

    receipt = await service_of(request).run(take)
    return {
        "status": "accepted",
        "digest": receipt.digest,
        "received_at": rfc3339(receipt.received_at),
    }
