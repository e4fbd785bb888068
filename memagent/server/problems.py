"""What is told where something goes wrong: the status, and one line that says what to do, never a traceback.

Knows nothing of what was asked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from memagent.errors import (
    AgentBusy,
    BackendError,
    MemagentError,
    MissingExtra,
    NameTaken,
    NotFound,
    Outdated,
    UserError,
)

log = logging.getLogger(__name__)

UNFORESEEN = "Something went wrong that was not foreseen; the server's log tells what."
STATUS: tuple[tuple[type[MemagentError], int], ...] = (
    (NotFound, 404), (NameTaken, 409), (AgentBusy, 409), (Outdated, 409), (MissingExtra, 501), (UserError, 400),
    (BackendError, 503),
)  # fmt: skip
NO_RETRY = {"x-should-retry": "false"}
"""Clients ask again at a 409 of themselves; a busy agent is for a person to come back to."""


class Refused(Exception):
    """Something that was asked for is not done, with the status that says why."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def status_of(error: MemagentError) -> int:
    """The status that an error is told with."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def told(
    status: int, detail: str | Sequence[Mapping[str, Any]], headers: Mapping[str, str] | None = None
) -> JSONResponse:  # fmt: skip
    """An answer that says what was wrong, in the words of both worlds whose clients come here."""
    more = {"www-authenticate": "Bearer"} if status == 401 else NO_RETRY if status == 409 else {}
    words = detail if isinstance(detail, str) else "; ".join(str(each.get("msg", each)) for each in detail)
    error = {"message": words, "type": "invalid_request_error" if status < 500 else "server_error", "code": None}
    return JSONResponse({"detail": detail, "error": error}, status, headers={**more, **(headers or {})})


def install(app: FastAPI) -> None:
    """Tell every error in this way."""

    @app.exception_handler(MemagentError)
    async def foreseen(_: Request, error: MemagentError) -> Response:
        return told(status_of(error), str(error))

    @app.exception_handler(Refused)
    async def refused(connection: Request | WebSocket, error: Refused) -> Response | None:
        if isinstance(connection, WebSocket):  # before it is accepted, which the client sees as a 403
            await connection.close(1008, error.detail)
            return None
        return told(error.status, error.detail, error.headers)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        detail = error.detail
        if error.status_code in (404, 405):
            detail = f"{request.method} {request.url.path[:200]} is not served here. What is, stands at /docs."
        return told(error.status_code, detail, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        if claim := getattr(request.state, "claim", None):
            try:
                await asyncio.to_thread(claim)
            except Refused as refusal:  # who may not come in is not told what was wrong
                return told(refusal.status, refusal.detail, refusal.headers)
        wrong = [{"loc": list(each["loc"]), "msg": each["msg"], "type": each["type"]} for each in error.errors()]
        return told(422, wrong)

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return told(500, UNFORESEEN)
