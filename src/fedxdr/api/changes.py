# SPDX-License-Identifier: Apache-2.0
"""Routes of what members decide: proposals, approvals, the founding, cosignatures.

The orchestrator collects here and decides nothing; who applied may read the proposals
and approve the founding.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from fedxdr.api.rounds import wishes_of
from fedxdr.api.schemas import ProposeChange, ProposePlan, parse
from fedxdr.api.service import Operator, Reader, Service, Writer, service_of
from fedxdr.core import canonical
from fedxdr.core.errors import UnknownSender
from fedxdr.core.ids import digest
from fedxdr.crypto.envelope import Envelope
from fedxdr.ledger import entries
from fedxdr.ledger.entries import (
    Change,
    Genesis,
    KeyCeremony,
    MemberEnrolled,
    MemberKeyRotated,
    MemberSuspended,
    PlanAdopted,
)
from fedxdr.parties.changes import ProposedChange, governed
from fedxdr.parties.orchestrator import OPERATOR

router = APIRouter(tags=["members"])


@router.get("/federation/changes")
async def changes(request: Request, _: Reader, *, all: bool = False) -> dict[str, Any]:  # noqa: A002 - the query's name
    """List the proposed changes of members, keys and plan; with ``all`` closed too."""

    def look(service: Service) -> dict[str, Any]:
        orchestrator = service.orchestrator
        return {
            "next_change": orchestrator.governance.next_number,
            "changes": [
                found.to_value()
                for found in orchestrator.governance.proposals(is_open=not all)
            ],
        }

    return await service_of(request).run(look)


@router.post("/federation/changes", status_code=201)
async def propose(request: Request, signed: Writer) -> dict[str, Any]:
    """Propose a change; members propose, the operator proposes, applicants do not."""
    form = parse(ProposeChange, signed.body)
    entry = governed(entries.parse(form.entry))
    envelopes = tuple(map(Envelope.from_value, form.envelopes))

    def file(service: Service) -> dict[str, Any]:
        service.recogniser.require_member(signed.by)
        _require_proposer(entry, signed.by)
        orchestrator = service.orchestrator
        found = orchestrator.governance.propose(
            entry, envelopes=envelopes, by=signed.by
        )
        orchestrator.version += 1
        return found.to_value()

    return await service_of(request).run(file)


def _require_proposer(entry: Genesis | Change, by: str) -> None:
    """Refuse what has another way in, or another proposer.

    Who is to be a member applies with an invitation; plans and ceremonies, which agents
    approve by themselves, are the operator's to propose: each of them gives all other
    open changes a new number, and a member could keep its own suspension from ever
    getting its quorum.
    """
    match entry:
        case Genesis() | MemberEnrolled():
            raise UnknownSender(
                "members are proposed by their own application: `fedxdr join`; the "
                "founding by `fedxdr members propose --found`"
            )
        case PlanAdopted() | KeyCeremony() if by != OPERATOR:
            raise UnknownSender("the operator proposes plans and key ceremonies")
        case MemberKeyRotated() if by != entry.org_id:
            raise UnknownSender("a member proposes its own new keys, and nobody else")
        case _:
            pass


@router.post("/federation/found", status_code=201)
async def found(request: Request, _: Operator) -> dict[str, Any]:
    """Propose the Genesis, with all who applied as founders."""

    def file(service: Service) -> ProposedChange:
        return service.registrar.found()

    return (await service_of(request).run(file)).to_value()


@router.post("/federation/plan", status_code=201)
async def propose_plan(request: Request, signed: Operator) -> dict[str, Any]:
    """Propose the plan that these wishes make; say whether it is in force."""
    wishes = wishes_of(parse(ProposePlan, signed.body or b"{}"))

    def file(service: Service) -> dict[str, Any]:
        return service.orchestrator.propose_plan(wishes).to_value()

    answer = await service_of(request).run(file)
    return {**answer, "plan_digest": answer["entry"]["plan_digest"]}


@router.post("/federation/changes/{name}/approval", status_code=202)
async def approve(request: Request, name: str, signed: Writer) -> dict[str, Any]:
    """Take an organisation's signed approval of a change."""
    approval = Envelope.from_json(signed.body)

    def take(service: Service) -> dict[str, Any]:
        orchestrator = service.orchestrator
        orchestrator.approve(digest(name), signed.org, approval)
        return orchestrator.governance.proposal(digest(name)).to_value()

    return await service_of(request).run(take)


@router.post("/federation/changes/{name}/withdrawal", status_code=202)
async def withdraw(request: Request, name: str, signed: Writer) -> dict[str, Any]:
    """Take back a change: who proposed it, or the operator."""

    def close(service: Service) -> dict[str, Any]:
        governance = service.orchestrator.governance
        _require_withdrawer(governance.proposal(digest(name)), signed.by)
        governance.withdraw(digest(name), why=f"{signed.by} took it back")
        service.orchestrator.version += 1
        return governance.proposal(digest(name)).to_value()

    return await service_of(request).run(close)


def _require_withdrawer(change: ProposedChange, by: str) -> None:
    """Refuse whoever would stop what others want.

    One entry can be proposed by several, and is filed for the first of them: that one
    must not take it from the others, least of all who is to be suspended by it.
    """
    if by == OPERATOR:
        return
    if by != change.proposed_by:
        raise UnknownSender("only who proposed a change, or the operator, may")
    entry = change.entry
    if isinstance(entry, MemberSuspended) and by == entry.org_id:
        raise UnknownSender("whom a suspension is about does not withdraw it")
    if set(change.approved_by) - {by}:
        raise UnknownSender("others have approved it: only the operator withdraws it")


@router.post("/ledger/checkpoint/{size}", status_code=202)
async def cosign(request: Request, size: int, signed: Writer) -> dict[str, Any]:
    """Take a member's two cosignature lines on a head."""

    def take(service: Service) -> dict[str, Any]:
        orchestrator = service.orchestrator
        orchestrator.cosign(size, signed.org, signed.body)
        return {
            "size": size,
            "cosigned_by": list(orchestrator.heads.cosigned_by(size)),
            "has_quorum": orchestrator.heads.has_quorum(size),
        }

    answer: dict[str, Any] = canonical.builtins(await service_of(request).run(take))
    return answer
