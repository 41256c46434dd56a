# SPDX-License-Identifier: Apache-2.0
"""Routes of the ledger: blocks, lineage, verification, the whole as one bundle.

Reading the ledger needs no token: it is there to be checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from fedxdr.api.schemas import VerifyModel, parse
from fedxdr.api.service import Limit, Offset, Service, body_of, service_of
from fedxdr.core import canonical
from fedxdr.core.clock import rfc3339
from fedxdr.core.errors import NotFound, VerificationFailed
from fedxdr.core.ids import Digest, digest
from fedxdr.ledger import verifier
from fedxdr.ledger.block import SignedBlock
from fedxdr.ledger.entries import Entry, ModelRetired
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

    def look(service: Service) -> dict[str, Any]:
        recorder = service.orchestrator.recorder
        begin = from_height or 0
        end = recorder.size() if to_height is None else to_height + 1
        stored = list(reversed(recorder.blocks(begin=begin, end=end)))
        return {
            "blocks": [views.block_view(s) for s in stored[offset:][:limit]],
            "total": len(stored),
            "limit": limit,
            "offset": offset,
        }

    return await service_of(request).run(look)


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
    """Verify the whole ledger as an auditor would, from an export."""
    service = service_of(request)
    now = rfc3339(service.clock.now())
    try:
        report = await _audit(service)
    except VerificationFailed as error:
        return {
            "chain_valid": False,
            "blocks_verified": error.height or 0,
            "last_block_hash": None,
            "verification_timestamp": now,
            "reason": str(error),
        }
    return {
        "chain_valid": True,
        "blocks_verified": report.blocks_verified,
        "last_block_hash": report.last_block_hash,
        "verification_timestamp": now,
        "reason": None,
    }


def _export(service: Service) -> bytes:
    orchestrator = service.orchestrator
    return orchestrator.recorder.export(heads=orchestrator.heads.for_bundle())


async def _audit(service: Service) -> verifier.Report:
    """Return what an auditor finds; only the export is made under the lock."""

    def prepare(service: Service) -> tuple[bytes, bytes]:
        genesis = service.orchestrator.recorder.in_force.genesis
        return _export(service), genesis.orchestrator.ed25519

    data, pinned = await service.run(prepare)
    return await asyncio.to_thread(
        verifier.verify, data, pinned_orchestrator_key=pinned
    )


@router.get("/ledger/bundle")
async def bundle(request: Request) -> Response:
    """Export the ledger, as far as a quorum cosigned it, as one canonical bundle."""
    return Response(
        await service_of(request).run(_export), media_type="application/x-ndjson"
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
        report = await _audit(service)
    except VerificationFailed as error:
        return _judged(reasons=[f"the ledger does not verify: {error}"])

    def find(service: Service) -> list[SignedBlock]:
        recorder = service.orchestrator.recorder
        return [
            signed
            for signed in recorder.blocks(begin=0, end=recorder.size())
            if signed.block.model_hash == wanted
            or _withdraws(signed.block.entry, wanted)
        ]

    found = await service.run(find)
    if not found:
        return _judged(reasons=["no block of this ledger has that model"])
    block = found[0].block
    if block.height >= report.blocks_verified:
        return _judged(
            reasons=[f"block {block.height} has it, and waits for cosignatures"]
        )
    withdrawn = [s.block for s in found if _withdraws(s.block.entry, wanted)]
    if withdrawn:
        height = withdrawn[0].height
        return _judged(reasons=[f"the members have withdrawn it: block {height}"])
    known: dict[str, str] = {str(o): s for o, s in block.org_signatures.items()}
    wrong = sorted(o for o, s in form.org_signatures.items() if known.get(o) != s)
    if wrong:
        return _judged(reasons=[f"{o}: no such signature on the ledger" for o in wrong])
    return _judged(reasons=report.trust.reasons, score=report.trust.score)


def _withdraws(entry: Entry, model: Digest) -> bool:
    return isinstance(entry, ModelRetired) and entry.model_hash == model


def _judged(*, reasons: Sequence[str], score: float | None = None) -> dict[str, Any]:
    """Return a judgement; without a score it is a rejection."""
    return {
        "verified": score is not None,
        "trust_score": score or 0.0,
        "why": list(reasons),
    }
