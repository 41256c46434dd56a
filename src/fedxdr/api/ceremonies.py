# SPDX-License-Identifier: Apache-2.0
"""Routes of key ceremonies: the operator publishes a record, members read it.

A record is public: the key, who holds a share, commitments to the shares. It does NOT
hold a share, and whether its dealer can be trusted nobody sees from it.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from fedxdr.api.service import Operator, Reader, Service, service_of
from fedxdr.core import canonical
from fedxdr.core.errors import NotFound
from fedxdr.ledger.block import Block
from fedxdr.secagg.encrypted.ceremony import Ceremony

router = APIRouter(prefix="/federation", tags=["members"])


@router.post("/key-ceremony", status_code=201)
async def publish(request: Request, signed: Operator) -> dict[str, Any]:
    """Put a ceremony's record on the ledger; the operator signs this request."""
    record = canonical.decode(signed.body, Ceremony)

    def store(service: Service) -> Block:
        return service.registrar.publish(record)

    return _told(record, await service_of(request).run_in_time(store))


@router.get("/key-ceremony")
async def newest(request: Request, _: Reader) -> dict[str, Any]:
    """Return the newest ceremony on the ledger, with its record."""

    def look(service: Service) -> tuple[Ceremony, Block]:
        found = list(service.orchestrator.recorder.in_force.ceremonies.values())
        if not found:
            raise NotFound("there is no key ceremony on the ledger")
        return found[-1], service.registrar.ceremony_block(found[-1])

    record, block = await service_of(request).run(look)
    return {**_told(record, block), "record": canonical.builtins(record)}


def _told(record: Ceremony, block: Block) -> dict[str, Any]:
    return {
        "fingerprint": record.fingerprint,
        "holders": list(record.key.holders),
        "threshold": record.key.threshold,
        "height": block.height,
    }
