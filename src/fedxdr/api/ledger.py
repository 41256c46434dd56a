# SPDX-License-Identifier: Apache-2.0
"""Routes of the ledger: blocks, lineage, verification, the whole as one bundle.

Reading the ledger needs no token: it is there to be checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from fedxdr.api import audits
from fedxdr.api.audits import Audits
from fedxdr.api.schemas import VerifyModel, parse
from fedxdr.api.service import Limit, Offset, Service, body_of, service_of
from fedxdr.core import canonical
from fedxdr.core.clock import rfc3339
from fedxdr.core.errors import NotFound, VerificationFailed
from fedxdr.core.ids import digest
from fedxdr.ledger.block import SignedBlock
from fedxdr.parties import views

router = APIRouter(tags=["ledger"])

_Height = Annotated[int | None, Query(ge=0)]


@router.get("/blockchain/ledger/blocks")
@router.get("/ledger/blocks", deprecated=True)
async def blocks(
    request: Request,
    limit: Limit = 10,
    offset: Offset = 0,
    from_height: _Height = None,
    to_height: _Height = None,
) -> dict[str, Any]:
    """List blocks, newest first."""

    def read(service: Service) -> tuple[int, list[SignedBlock]]:
        recorder = service.orchestrator.recorder
        size = recorder.size()
        begin = min(from_height or 0, size)
        end = size if to_height is None else min(to_height + 1, size)
        top = end - offset
        return max(0, end - begin), recorder.blocks(
            begin=max(begin, top - limit), end=top
        )

    total, stored = await service_of(request).run(read)
    return {
        "blocks": await asyncio.to_thread(_views, stored),
        "total": total,
        "limit": limit,
        "offset": offset,
    }


def _views(stored: Sequence[SignedBlock]) -> list[dict[str, Any]]:
    return [views.block_view(signed) for signed in reversed(stored)]


@router.get("/blockchain/ledger/block/{height}")
@router.get("/ledger/block/{height}", deprecated=True)
async def block(request: Request, height: int) -> dict[str, Any]:
    """Return one whole block with its hash and signatures."""

    def look(service: Service) -> dict[str, Any]:
        found = service.orchestrator.recorder.blocks(begin=height, end=height + 1)
        if not found:
            raise NotFound(f"there is no block {height}")
        return views.block_view(found[0])

    return await service_of(request).run(look)


@router.get("/ledger/raw-blocks")
async def raw_blocks(
    request: Request,
    begin: Annotated[int, Query(ge=0)] = 0,
    end: Annotated[int, Query(ge=0)] = 50,
) -> list[dict[str, Any]]:
    """Return blocks with heights [begin, end) byte for byte, at most 200."""

    def look(service: Service) -> list[dict[str, Any]]:
        stored = service.orchestrator.recorder.blocks(
            begin=begin, end=min(end, begin + 200)
        )
        return [
            {
                "body": signed.block.body().decode(),
                "envelopes": [e.to_json().decode() for e in signed.envelopes],
            }
            for signed in stored
        ]

    return await service_of(request).run(look)


@router.get("/blockchain/ledger/verify")
async def verify(request: Request) -> dict[str, Any]:
    """Verify the whole ledger as an auditor would, from an export.

    Once for each head that members cosign; ``verification_timestamp`` says when.
    """
    service = service_of(request)
    try:
        audit = await _audits_of(request).newest(service)
    except VerificationFailed as error:
        return {
            "chain_valid": False,
            "blocks_verified": error.height or 0,
            "last_block_hash": None,
            "verification_timestamp": rfc3339(service.clock.now()),
            "reason": str(error),
        }
    return {
        "chain_valid": True,
        "blocks_verified": audit.report.blocks_verified,
        "last_block_hash": audit.report.last_block_hash,
        "verification_timestamp": rfc3339(audit.at),
        "reason": None,
    }


def _audits_of(request: Request) -> Audits:
    found = request.app.state.audits
    if not isinstance(found, Audits):
        raise TypeError("the application was made without audits")
    return found


@router.get("/ledger/bundle")
async def bundle(request: Request) -> Response:
    """Export the ledger, as far as a quorum cosigned it, as one canonical bundle."""
    return Response(
        await audits.export(service_of(request)), media_type="application/x-ndjson"
    )


@router.get("/blockchain/provenance/{model_hash}")
@router.get("/ledger/provenance/{model_hash}", deprecated=True)
async def provenance(request: Request, model_hash: str) -> dict[str, Any]:
    """Return a model's lineage, newest first, back to the genesis model."""

    def look(service: Service) -> views.Ancestry:
        return views.ancestry(service.orchestrator, digest(model_hash))

    found: dict[str, Any] = canonical.builtins(await service_of(request).run(look))
    return found


@router.post("/ledger/verify")
async def verify_model(request: Request) -> dict[str, Any]:
    """Say whether a model and given signatures stand on the verified ledger.

    Only what a quorum has cosigned counts; a model that was withdrawn is not verified.
    """
    form = parse(VerifyModel, await body_of(request))
    service, wanted = service_of(request), digest(form.model_hash)
    try:
        audit = await _audits_of(request).newest(service)
    except VerificationFailed as error:
        return _judged(reasons=[f"the ledger does not verify: {error}"])
    report = audit.report

    def uncosigned(service: Service) -> list[SignedBlock]:
        recorder = service.orchestrator.recorder
        return recorder.blocks(begin=report.blocks_verified, end=recorder.size())

    firsts, withdrawn = audits.first_heights(await service.run(uncosigned))
    height = audit.firsts.get(wanted, firsts.get(wanted))
    if height is None:
        return _judged(reasons=["no block of this ledger has that model"])
    if height >= report.blocks_verified:
        return _judged(reasons=[f"block {height} has it, and waits for cosignatures"])
    left = audit.withdrawn.get(wanted, withdrawn.get(wanted))
    if left is not None:
        return _judged(reasons=[f"the members have withdrawn it: block {left}"])

    def first(service: Service) -> dict[str, str]:
        recorder = service.orchestrator.recorder
        (signed,) = recorder.blocks(begin=height, end=height + 1)
        return {str(org): name for org, name in signed.block.org_signatures.items()}

    known = await service.run(first)
    wrong = sorted(o for o, s in form.org_signatures.items() if known.get(o) != s)
    if wrong:
        return _judged(reasons=[f"{o}: no such signature on the ledger" for o in wrong])
    return _judged(reasons=report.trust.reasons, score=report.trust.score)


def _judged(*, reasons: Sequence[str], score: float | None = None) -> dict[str, Any]:
    """Return a judgement; without a score it is a rejection."""
    return {
        "verified": score is not None,
        "trust_score": score or 0.0,
        "why": list(reasons),
    }
