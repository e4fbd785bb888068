"""The application: its doors, and what stands before them. `create` makes it from settings.

Knows nothing of sockets, or of how the process starts and ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from importlib import import_module
from typing import Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memagent import __version__, telemetry, watching
from memagent.errors import MemagentError
from memagent.server import problems
from memagent.server.description import Described
from memagent.server.gate import Gate
from memagent.server.health import Metrics, count, note
from memagent.server.house import House
from memagent.settings import Settings

DOORS = ("health", "rest", "openai_api", "websocket", "mcp", "desk", "page")
"""The files of this room that have a `router`."""
UNTOLD: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""FastAPI would tell what stands in addresses, and in errors."""
OFTEN = ("/v1/agents/{agent_id}/messages", "/v1/chat/completions")
"""What is asked for most is looked for first, since one route is tried after the other."""
LOCAL = ("localhost", "127.0.0.1", "::1")
STOP_SECONDS = 3.5
"""Seconds that turns are given to come to their end when the server is told to: it is gone before whoever told it loses
patience, and what is cut goes on when it is there again.
"""
PROBES = ("/v1/health/", "/health/ready", "/metrics")
"""What is asked again and again by machines, and traced by none."""
AT_ONCE = 16
"""So many questions to the database wait for their answers at once."""


def create(
    settings: Settings, *, flags: Mapping[str, Any] | None = None, hosts: Collection[str] = LOCAL,
    stop_seconds: float = STOP_SECONDS,
) -> FastAPI:  # fmt: skip
    """The application. `flags` are settings that hold for all agents, `hosts` the names that the server goes by."""

    telemetry.begin(settings)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(AT_ONCE, "asked"))
        try:
            house = await asyncio.to_thread(House.opened, settings, flags or {}, loop)
            house.runs.heard = partial(note, app.state.metrics)
            app.state.house = house
            await asyncio.to_thread(house.start)
        except MemagentError as error:
            app.state.failed = error
            raise
        try:
            yield
        finally:
            await asyncio.to_thread(house.close, stop_seconds)

    app = Described(
        title="memagent", version=__version__, lifespan=life, docs_url=None, redoc_url=None,
        description="Agents that remember. Beside these routes there are a WebSocket at /ws and an MCP server at /mcp.",
        telemetry=UNTOLD,
    )  # fmt: skip
    app.state.metrics = Metrics()
    app.state.failed = None  # why the house could not be opened, for whoever starts it
    problems.install(app)
    for door in DOORS:  # side by side: of routers that stand inside others, FastAPI asks each one twice
        app.router.routes.extend(import_module(f"memagent.server.{door}").router.routes)
    app.router.routes.sort(key=lambda route: getattr(route, "path", "") not in OFTEN)
    app.add_middleware(Counting, metrics=app.state.metrics)
    app.add_middleware(Gate, hosts=hosts)
    return app


class Counting:
    """Counts what is answered, and how long it took to begin."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        watched = watching.request(scope) if scope["path"] not in PROBES else nullcontext(watching.unheard)
        with watched as answered:

            async def counted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    route = count(self._metrics, scope, message["status"], time.perf_counter() - began)
                    answered(route, message["status"])
                await send(message)

            await self._app(scope, receive, counted)
