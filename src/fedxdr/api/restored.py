# SPDX-License-Identifier: Apache-2.0
"""Routes of an orchestrator that was set back to a backup: what members saw.

Only these take anything until every member has told (parties/catching_up.py); whoever
reads is answered as always.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from fedxdr.api.service import Service, Writer, service_of
from fedxdr.core import canonical
from fedxdr.parties.testimony import Heard, Testimony

router = APIRouter(prefix="/ledger/testimony", tags=["ledger"])


async def at_work(request: Request) -> None:
    """Let nobody write while it is asked what members saw.

    Raises:
        WaitingForQuorum: members are awaited.
        WrongPhase: this orchestrator signed another history.
    """
    if request.method != "GET":
        # reading one reference; the lock is not needed for it
        catching_up = service_of(request).orchestrator.catching_up
        if catching_up.is_on:
            catching_up.require_over()


@router.post("", status_code=202)
async def testify(request: Request, signed: Writer) -> dict[str, Any]:
    """Take a page of what a member saw; its key signs this request."""
    said = Testimony.from_value(canonical.parse_jcs(signed.body))

    def hear(service: Service) -> Heard:
        return service.orchestrator.testify(signed.org, said)

    return (await service_of(request).run(hear)).to_value()


@router.post("/model", status_code=202)
async def give_model(request: Request, signed: Writer) -> dict[str, Any]:
    """Take the file of a model that is lacking; a member's key signs this request."""

    def take(service: Service) -> int:
        service.orchestrator.give_model(signed.org, signed.body)
        return len(signed.body)

    return {"size_bytes": await service_of(request).run(take)}
