# SPDX-License-Identifier: Apache-2.0
"""Routes about the service itself: alive, ready, what it is."""

from __future__ import annotations

import base64
from typing import Any

from fastapi import APIRouter, Request, Response

from fedxdr import __version__
from fedxdr.api.service import Service, service_of
from fedxdr.core import canonical
from fedxdr.core.clock import rfc3339
from fedxdr.ledger.entries import MemberKeys

router = APIRouter(tags=["service"])


@router.get("/health")
async def health(request: Request) -> dict[str, str]:
    """Say that the process is alive."""
    now = rfc3339(service_of(request).clock.now())
    return {"status": "healthy", "timestamp": now}


@router.get("/ready")
async def ready(request: Request, response: Response) -> dict[str, Any]:
    """Say whether database, ledger and key are there."""

    def look(service: Service) -> dict[str, Any]:
        recorder = service.orchestrator.recorder
        return {
            "ready": recorder.is_begun,
            "height": recorder.size() - 1,
            "head": recorder.in_force.head_hash if recorder.is_begun else None,
        }

    found = await service_of(request).run(look)
    response.status_code = 200 if found["ready"] else 503
    return found


@router.get("/info")
async def info(request: Request) -> dict[str, Any]:
    """Say what this is, and whose key signs here."""
    service = service_of(request)

    identity = service.identity.public
    paths = request.app.openapi()["paths"]
    return {
        "system": "fedxdr",
        "version": __version__,
        "federation": service.registrar.federation,
        "components": [
            "FederationOrchestrator",
            "PrivacyLayer",
            "BlockchainLedger",
            "FederatedModels",
        ],
        "api_endpoints": sum(len(methods) for methods in paths.values()),
        "orchestrator_key": base64.b64encode(identity.ed25519).decode(),
        "orchestrator_keyid": identity.keyid,
        "orchestrator_keys": canonical.builtins(MemberKeys.of(identity)),
        "orchestrator_fingerprint": identity.fingerprint,
    }
