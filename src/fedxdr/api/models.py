# SPDX-License-Identifier: Apache-2.0
"""Routes of global models: the file, and what is known of it."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from fastapi import APIRouter, Request, Response

from fedxdr.api.service import Reader, Service, service_of
from fedxdr.core.errors import NotFound
from fedxdr.core.ids import digest
from fedxdr.parties import views

router = APIRouter(prefix="/federation", tags=["models"])

_BINARY = "application/octet-stream"
_JSON = "application/json"


@router.get("/model/{name}")
async def model(request: Request, name: str, _: Reader) -> Response:
    """Return a global model's file (safetensors)."""

    def look(service: Service) -> bytes:
        wanted = digest(name)
        views.ancestry(service.orchestrator, wanted)
        return service.orchestrator.blobs.get(wanted)

    def proposed(service: Service) -> bytes:
        current = service.orchestrator.current
        if current is None or current.opened is None:
            raise NotFound("there is no such model")
        if current.opened.model_hash != digest(name):
            raise NotFound("there is no such model")
        return service.orchestrator.blobs.get(current.opened.model_hash)

    service = service_of(request)
    try:
        file = await service.run(proposed)
    except NotFound:
        file = await service.run(look)
    return Response(file, media_type=_BINARY)


@router.get("/model/{name}/seal")
async def seal(request: Request, name: str, _: Reader) -> Response:
    """Return card and signatures of a published model, for members to mirror it."""
    models = service_of(request).models
    if models is None:
        raise NotFound("no models are published here")
    return Response(
        await asyncio.to_thread(models.seal, digest(name)), media_type=_JSON
    )


@router.get("/global-model")
async def global_model(
    request: Request,
    _: Reader,
    model_version: str | None = None,
    *,
    inline: bool = False,
) -> dict[str, Any]:
    """Describe the model in force, or an older version of it."""

    def look(service: Service) -> dict[str, Any]:
        orchestrator = service.orchestrator
        recorder = orchestrator.recorder
        stored = recorder.blocks(begin=0, end=recorder.size())
        wanted = model_version or recorder.model_version
        for signed in stored:
            if signed.block.provenance.model_version == wanted:
                view = views.block_view(signed)
                name = signed.block.model_hash
                file = orchestrator.blobs.get(name) if inline else None
                return {
                    "model_version": wanted,
                    "weights": {
                        "format": "safetensors",
                        "link": f"{request.scope['root_path']}"
                        f"/api/fl-blockchain/federation/model/{name}",
                        "sha256": name,
                        "inline": base64.b64encode(file).decode() if file else None,
                    },
                    "hash": name,
                    "provenance": view["provenance"],
                    "signatures": view["signatures"],
                }
        raise NotFound(f"there is no model version {wanted}")

    return await service_of(request).run(look)
