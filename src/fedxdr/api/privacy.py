# SPDX-License-Identifier: Apache-2.0
"""Routes about privacy on the orchestrator: what protects, what is spent.

Figures are those of the ledger, where every organisation's claims stand, and of the
organisation that spent most: the orchestrator has no purse, and nobody's purse is known
to it. An agent answers the same paths from its own purse (agent_app.py).

It does NOT take gradients: routes that see one live in the agent.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from fedxdr.api.service import Reader, Service, service_of
from fedxdr.federation.protection import NO_PRIVACY, Privacy
from fedxdr.ledger.block import SignedBlock
from fedxdr.parties import privacy_views
from fedxdr.parties.privacy_views import Spending

router = APIRouter(prefix="/privacy", tags=["privacy"])


@router.get("/config")
async def config(request: Request) -> dict[str, Any]:
    """Say what protects contributions under the plan in force, and what does not."""

    def look(service: Service) -> dict[str, Any]:
        return privacy_views.protection(service.orchestrator.recorder.in_force.plan)

    return await service_of(request).run(look)


@router.get("/budget")
async def budget(request: Request, _: Reader) -> dict[str, Any]:
    """Say what the organisation that spent most has spent, and how long it lasts."""
    return privacy_views.budget_body(await _spending(service_of(request)))


@router.get("/privacy-budget", deprecated=True)
async def privacy_budget(request: Request, _: Reader) -> dict[str, Any]:
    """Return the same figures under the names of the architecture's document."""
    return privacy_views.privacy_budget_body(await _spending(service_of(request)))


async def _spending(service: Service) -> Spending:
    """Return where the budget stands; only the reading is done under the lock."""

    def look(service: Service) -> tuple[list[SignedBlock], Privacy]:
        recorder = service.orchestrator.recorder
        plan = recorder.in_force.plan
        privacy = plan.privacy if plan else NO_PRIVACY
        end = recorder.size() if privacy.is_on else 0
        return recorder.blocks(begin=0, end=end), privacy

    def account(blocks: list[SignedBlock], privacy: Privacy) -> Spending:
        charges = privacy_views.charges_on_ledger(blocks)
        return privacy_views.spent_on_ledger(charges, privacy)

    return await asyncio.to_thread(account, *await service.run(look))
