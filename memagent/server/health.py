"""Whether the server lives, whether it can work, and its numbers for Prometheus.

Knows nothing of what any agent says.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import Any

from fastapi import APIRouter, Depends, Request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.responses import JSONResponse, Response

from memagent import __version__
from memagent.errors import MemagentError
from memagent.events import Event, TurnEnded
from memagent.server.callers import Needs, open_to_all
from memagent.server.house import House
from memagent.watching import METHODS

router = APIRouter(tags=["health"])
ROOM = 1_000_000
"""Bytes that must be free: with less, no turn can be stored."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """What is counted while the server runs."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "memagent_requests", "Requests that were answered", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "memagent_request_seconds", "How long answers took to begin", ["route"], buckets=SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.turns = Counter("memagent_turns", "Turns that came to an end", ["ending"], registry=self.registry)
        self.tokens = Counter("memagent_tokens", "Tokens that models read and wrote", ["kind"], registry=self.registry)
        self.running = Gauge("memagent_runs", "Runs that are not over", registry=self.registry)
        self.started = time.time()


@router.get("/v1/health/", dependencies=[Depends(open_to_all)])
async def health() -> dict[str, str]:
    """The server lives."""
    return {"version": __version__, "status": "ok"}


@router.get("/health/ready", dependencies=[Depends(open_to_all)])
async def ready(request: Request) -> JSONResponse:
    """The server can work: its database answers, its disk has room, and it is not about to stop."""
    house: House = request.app.state.house
    if house.runs.stopping:
        return JSONResponse({"status": "stopping"}, 503)
    try:
        await asyncio.to_thread(house.database.rows, "SELECT 1")
    except MemagentError as error:
        return JSONResponse({"status": "no database", "detail": type(error).__name__}, 503)
    try:
        free = (await asyncio.to_thread(shutil.disk_usage, house.settings.home)).free
    except OSError as error:
        return JSONResponse({"status": "no home", "detail": type(error).__name__}, 503)
    return JSONResponse({"status": "ready"}) if free >= ROOM else JSONResponse({"status": "disk full"}, 503)


@router.get("/metrics", dependencies=[Depends(Needs("admin"))])
async def metrics(request: Request) -> Response:
    """Numbers of the whole server, in the form of Prometheus."""
    counted: Metrics = request.app.state.metrics
    counted.running.set(len(request.app.state.house.runs.running()))
    return Response(generate_latest(counted.registry), media_type="text/plain; version=0.0.4")


def count(metrics: Metrics, scope: Any, status: int, seconds: float) -> str:
    """Count an answer, by the route as it is written, so that no id becomes a name of its own; returns the route."""
    route = getattr(scope.get("route"), "path", "none")
    method = scope["method"] if scope["method"] in METHODS else "other"
    metrics.requests.labels(method, route, str(status)).inc()
    metrics.seconds.labels(route).observe(seconds)
    return str(route)


def note(metrics: Metrics, event: Event) -> None:
    """Count a turn that came to its end, and what its model read and wrote."""
    if isinstance(event, TurnEnded):
        metrics.turns.labels(event.ending).inc()
        for kind, tokens in event.usage.items():
            metrics.tokens.labels(kind.removesuffix("_tokens")).inc(tokens)
