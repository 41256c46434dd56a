# SPDX-License-Identifier: Apache-2.0
"""Every error as an RFC 9457 problem document, made in this one place.

``type`` is ``https://fedxdr.org/problems/`` and the error's stable code; ``detail``
says what happened and what to do. Nothing about the server's inside gets out.
"""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from fedxdr.core.errors import (
    AlreadyAnswered,
    BadSignature,
    Fault,
    FedxdrError,
    InvalidInput,
    InvitationRefused,
    NotFound,
    Refused,
    ReplayedRequest,
    TooFewParticipants,
    TooLarge,
    Unauthorised,
    Unavailable,
    UnknownSender,
    WrongPhase,
)

logger = logging.getLogger(__name__)

TYPE_PREFIX = "https://fedxdr.org/problems/"
MEDIA_TYPE = "application/problem+json"

_STATUS: tuple[tuple[type[FedxdrError], int], ...] = (
    (BadSignature, 401),
    (UnknownSender, 403),
    (InvitationRefused, 401),
    (Unauthorised, 401),
    (NotFound, 404),
    (ReplayedRequest, 409),
    (AlreadyAnswered, 409),
    (WrongPhase, 409),
    (TooFewParticipants, 409),
    (TooLarge, 413),
    (Unavailable, 503),
    (Refused, 409),
    (InvalidInput, 422),
    (Fault, 500),
    (FedxdrError, 500),
)


def status_of(error: FedxdrError) -> int:
    """Return the HTTP status of an error."""
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def problem(
    *, status: int, code: str, title: str, detail: str, instance: str
) -> JSONResponse:
    """Return a problem document."""
    return JSONResponse(
        {
            "type": f"{TYPE_PREFIX}{code}",
            "title": title,
            "status": status,
            "detail": detail,
            "instance": instance,
        },
        status_code=status,
        media_type=MEDIA_TYPE,
    )


def install(app: FastAPI) -> None:
    """Make every error of an application a problem document."""

    @app.exception_handler(FedxdrError)
    async def on_error(request: Request, error: FedxdrError) -> JSONResponse:
        status = status_of(error)
        if status >= 500 and not isinstance(error, Unavailable):
            logger.error("fault", exc_info=error)
            detail = "the server failed; its log says why"
        else:
            logger.warning(
                "refused", extra={"code": error.code, "path": request.url.path}
            )
            detail = str(error)
        title = error.code.replace("-", " ")
        return problem(
            status=status,
            code=error.code,
            title=title,
            detail=detail,
            instance=request.url.path,
        )

    @app.exception_handler(RequestValidationError)
    async def on_invalid(
        request: Request, error: RequestValidationError
    ) -> JSONResponse:
        found = "; ".join(
            f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()
        )
        return problem(
            status=422,
            code="malformed-message",
            title="malformed message",
            detail=found,
            instance=request.url.path,
        )

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not-found", 405: "method-not-allowed"}.get(
            error.status_code, "http-error"
        )
        return problem(
            status=error.status_code,
            code=code,
            title=code.replace("-", " "),
            detail=f"{request.method} {request.url.path}: {error.detail}",
            instance=request.url.path,
        )

    @app.exception_handler(Exception)
    async def on_fault(request: Request, _: Exception) -> JSONResponse:
        # what stands behind it is raised again for the server's log
        return problem(
            status=500,
            code=Fault.code,
            title=Fault.code,
            detail="the server failed; its log says why",
            instance=request.url.path,
        )
