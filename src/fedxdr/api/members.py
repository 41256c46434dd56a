# SPDX-License-Identifier: Apache-2.0
"""Routes of membership: invitations, joining, who is a member."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from fastapi import APIRouter, Request

from fedxdr.api.schemas import Invite, Register, parse
from fedxdr.api.service import (
    Limit,
    Offset,
    Operator,
    Reader,
    Service,
    Writer,
    body_of,
    service_of,
    signed_parts,
)
from fedxdr.core import canonical
from fedxdr.core.errors import InvitationRefused, MalformedMessage
from fedxdr.core.ids import digest
from fedxdr.crypto.envelope import Envelope
from fedxdr.parties import views
from fedxdr.parties.enrolment import Application
from fedxdr.parties.recognising import TOKEN_LIFETIME_S
from fedxdr.parties.registrar import Enrolled

router = APIRouter(prefix="/federation", tags=["members"])

_APPLICATION_BYTES = 65_536


@router.post("/register", status_code=201)
async def register(request: Request) -> dict[str, Any]:
    """Take the application of an organisation with an invitation; its key signs this.

    The members decide: founders about the Genesis, later a quorum about everybody new.
    """
    service = service_of(request)
    # anybody may send this: no more than an enrolment can need
    body = await body_of(request, limit=_APPLICATION_BYTES)
    application = _application(parse(Register, body))

    def enrol(service: Service) -> dict[str, Any]:
        registrar = service.registrar
        proof = registrar.applicant(signed_parts(request, body), application)
        return _enrolled(service, registrar.enrol(application, proof=proof))

    return await service.run(enrol)


@router.post("/invitations", status_code=201)
async def invite(request: Request, signed: Operator) -> dict[str, Any]:
    """Make a one-time invitation; the operator signs this request."""
    form = parse(Invite, signed.body)

    def make(service: Service) -> dict[str, Any]:
        token = service.registrar.invite(
            form.org_id,
            server=form.server or str(request.base_url).rstrip("/"),
            lifetime_s=form.lifetime_s,
        )
        return {
            "token": str(token),
            "org_id": token.org,
            "expires_in_s": form.lifetime_s,
        }

    return await service_of(request).run(make)


@router.post("/token", status_code=201)
async def token(request: Request, signed: Writer) -> dict[str, Any]:
    """Give an organisation a new bearer token; its present key signs this request."""

    def issue(service: Service) -> str:
        return service.recogniser.issue_token(signed.org)

    return {
        "org_id": signed.org,
        "registration_token": await service_of(request).run(issue),
        "expires_in_s": TOKEN_LIFETIME_S,
    }


@router.get("/organizations")
async def organisations(
    request: Request, _: Reader, limit: Limit = 50, offset: Offset = 0
) -> dict[str, Any]:
    """List the members with their state; before the founding there are none."""

    def look(service: Service) -> list[views.OrganisationView]:
        if not service.registrar.is_founded:
            return []
        return views.organisations(service.orchestrator, service.registry)

    found = await service_of(request).run(look)
    return {
        "organizations": [canonical.builtins(v) for v in found[offset:][:limit]],
        "total": len(found),
        "limit": limit,
        "offset": offset,
    }


def _application(form: Register) -> Application:
    if form.invitation is None or form.enrolment is None:
        raise InvitationRefused(
            "joining takes an invitation: ask the operator for one and run "
            "`fedxdr join` with it"
        )
    try:
        proof = base64.b64decode(form.invitation.proof, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedMessage("the proof is not base64") from error
    return Application(
        enrolment=Envelope.from_value(form.enrolment),
        invitation_id=digest(form.invitation.id),
        proof=proof,
        endpoint=form.endpoint,
        capabilities=tuple(form.capabilities),
    )


def _enrolled(service: Service, enrolled: Enrolled) -> dict[str, Any]:
    receipt = json.loads(enrolled.receipt.payload)
    recorder = service.orchestrator.recorder
    in_force = recorder.in_force if recorder.is_begun else None
    plan = None if in_force is None else in_force.plan
    return {
        "org_id": receipt["org"],
        "registered_at": receipt["received_at"],
        "status": enrolled.status,
        "registration_token": enrolled.token,
        "global_config": {
            "federation": receipt["federation"],
            "origin": receipt["origin"],
            "genesis": None if in_force is None else in_force.genesis_hash,
            "plan_digest": None if plan is None else plan.digest,
            "model_hash": None if in_force is None else in_force.model,
            "max_body_bytes": service.max_body_bytes,
        },
        "receipt": enrolled.receipt.to_value(),
    }
