"""Server-sent events: what is told, as it comes, with a sign of life where nothing comes for a while.

Who stops reading ends only this. Knows nothing of what is told.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from starlette.responses import StreamingResponse

ALIVE = 15.0
"""Seconds of silence after which a comment is sent, so that nobody in between takes the connection for dead."""
DONE = "[DONE]"


def streamed(
    told: AsyncGenerator[str], *, headers: Mapping[str, str] | None = None, alive: str = ": alive\n\n"
) -> StreamingResponse:
    """An answer that is told bit by bit; each bit comes from `line`."""
    more = {"cache-control": "no-store", "x-accel-buffering": "no", **(headers or {})}
    return StreamingResponse(_kept_alive(told, alive), media_type="text/event-stream", headers=more)


def line(data: Any, event: str = "") -> str:
    """One event; text is sent as it is, anything else as JSON."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return f"event: {event}\ndata: {text}\n\n" if event else f"data: {text}\n\n"


async def _kept_alive(told: AsyncGenerator[str], alive: str) -> AsyncIterator[str]:
    coming = asyncio.ensure_future(anext(told))
    try:
        while True:
            done, _ = await asyncio.wait({coming}, timeout=ALIVE)
            if not done:
                yield alive
                continue
            try:
                yield coming.result()
            except StopAsyncIteration:
                return
            coming = asyncio.ensure_future(anext(told))
    finally:
        if not coming.cancel():  # else it ends there, wherever it waits: while it does, it can't be closed from here
            await told.aclose()
