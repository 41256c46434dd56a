# SPDX-License-Identifier: Apache-2.0
"""The application: routes under one prefix, problems for errors, a clock that ticks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from fastapi import FastAPI

from fedxdr import __version__
from fedxdr.api import (
    ceremonies,
    changes,
    health,
    ledger,
    members,
    models,
    privacy,
    problems,
    rounds,
    tlog,
)
from fedxdr.api.service import Service

logger = logging.getLogger(__name__)

PREFIX = "/api/fl-blockchain"
_TICK_S = 0.05
_PAUSE_S = 1.0


def create_app(service: Service) -> FastAPI:
    """Return the application over a service."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        ticking = asyncio.ensure_future(_tick(service))
        try:
            yield
        finally:
            ticking.cancel()

    app = FastAPI(
        title="fedxdr orchestrator",
        version=__version__,
        lifespan=lifespan,
        description=__doc__,
    )
    app.state.service = service
    problems.install(app)
    for router in (
        members.router,
        ceremonies.router,
        changes.router,
        rounds.router,
        models.router,
        ledger.router,
        tlog.router,
        privacy.router,
        health.router,
    ):
        app.include_router(router, prefix=PREFIX)
    return app


async def _tick(service: Service) -> None:
    """Do what deadlines make due; whatever goes wrong stops the round, never the loop.

    The outermost loop of the orchestrator: if it ended, no deadline would ever pass.
    """

    def drive(service: Service) -> datetime | None:
        return service.orchestrator.drive()

    while True:
        try:
            await service.run(drive)
        except Exception:
            logger.exception("a round cannot go on")
            await asyncio.sleep(_PAUSE_S)
        await asyncio.sleep(_TICK_S)
