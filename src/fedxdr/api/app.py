# SPDX-License-Identifier: Apache-2.0
"""The application: routes under one prefix, problems for errors, a clock that ticks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from fastapi import Depends, FastAPI

from fedxdr import __version__
from fedxdr.api import (
    audits,
    ceremonies,
    changes,
    events,
    health,
    ledger,
    members,
    models,
    privacy,
    problems,
    restored,
    rounds,
    tlog,
)
from fedxdr.api.service import Models, Service
from fedxdr.ledger.block import SignedBlock

logger = logging.getLogger(__name__)

PREFIX = "/api/fl-blockchain"
_TICK_S = 0.05
_PAUSE_S = 1.0
_BLOCKS_AT_ONCE = 200


def create_app(service: Service) -> FastAPI:
    """Return the application over a service."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = [asyncio.ensure_future(_tick(service))]
        if service.models is not None:
            running.append(asyncio.ensure_future(_publish(service, service.models)))
        try:
            yield
        finally:
            app.state.listeners.is_closed = True
            for task in running:
                task.cancel()

    app = FastAPI(
        title="fedxdr orchestrator",
        version=__version__,
        lifespan=lifespan,
        description=__doc__,
    )
    app.state.service = service
    app.state.listeners = events.Listeners()
    app.state.audits = audits.Audits()
    problems.install(app)
    for router in (
        members.router,
        ceremonies.router,
        changes.router,
        rounds.router,
        models.router,
        privacy.router,
    ):
        at_work = [Depends(restored.at_work)]
        app.include_router(router, prefix=PREFIX, dependencies=at_work)
    for router in (
        ledger.router,
        tlog.router,
        restored.router,
        events.router,
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


async def _publish(service: Service, models: Models) -> None:
    """Publish each committed model once its block stands; a failure is tried again.

    Beside the rounds: the lock is held for reading blocks and for nothing else.
    """
    done = 0
    while True:
        # reading one number; the lock is not needed for it
        size = service.orchestrator.recorder.size()
        if done < size:
            end = min(size, done + _BLOCKS_AT_ONCE)
            try:
                blocks = await service.run(_read, done, end)
                await asyncio.to_thread(models.publish, blocks)
                done = end
            except Exception:
                logger.exception("a model is not published yet")
                await asyncio.sleep(_PAUSE_S)
        else:
            await asyncio.sleep(_TICK_S)


def _read(service: Service, begin: int, end: int) -> list[SignedBlock]:
    return service.orchestrator.recorder.blocks(begin=begin, end=end)
