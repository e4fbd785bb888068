"""`/mcp`: the memory of agents for programs that use MCP servers, over streamable HTTP.

At `/mcp/AGENT` it is that of one agent; at `/mcp`, each call says whose. A request stands for itself: there are no
sessions that somebody could steal, or that a start of the server would end. Knows nothing of what is offered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from memagent import registry
from memagent.memory.core import Edit
from memagent.roster import Entry
from memagent.server.callers import Caller, Needs
from memagent.server.house import House
from memagent.server.problems import Refused

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from memagent.bridges.open_memory import OpenMemory

router = APIRouter(include_in_schema=False)
Reader = Annotated[Caller, Depends(Needs("read"))]
"""Who may look may ask; what a tool needs beyond that is looked at when it is called."""


@router.post("/mcp")
@router.post("/mcp/{agent}")
async def asked(request: Request, caller: Reader, agent: str = "") -> Response:
    """A message of a program that uses the memory of agents."""
    registry.check_installed("mcp")
    try:
        body = await request.body()
    except ClientDisconnect:
        raise Refused(400, "Nobody is there any more.") from None
    visit = Visit(request.app.state.house, caller)
    return Answer(await asyncio.to_thread(visit.server, agent), body)


class Visit:
    """One request: who asks, of which house."""

    def __init__(self, house: House, caller: Caller) -> None:
        self._house = house
        self._caller = caller
        self._roster = house.residents.roster(caller.owner)

    def server(self, agent: str) -> Server[Any]:
        """What answers it: for an agent, or for all of whoever asks."""
        from memagent.bridges.mcp_server import Memories, memory_server

        if agent:
            entry = self._roster.find(agent)
            memories = Memories.of(entry.name, lambda: self._memory(entry))
        else:
            memories = Memories.among(
                lambda: [each.name for each in self._roster.all()], lambda name: self._memory(self._roster.find(name))
            )
        return memory_server(memories, self._caller.may)

    def _memory(self, entry: Entry) -> OpenMemory:
        from memagent.bridges import open_memory

        def done(what: str, edits: Sequence[Edit]) -> None:
            targets = [f"{entry.name}/{edit.label}" for edit in edits] or [entry.name]
            for target in targets:
                self._caller.note(self._house, what, target)
            self._house.edited(entry.id, edits)

        settings = self._house.residents.settings_of(entry.owner, entry.settings.get("settings"))
        key = self._caller.key
        return open_memory.opened(settings, self._house.database, entry, by=f"key {key.name}" if key else "", done=done)


class Answer(Response):
    """What the official SDK answers to a request, of which the body was read."""

    def __init__(self, server: Server[Any], body: bytes) -> None:
        super().__init__()
        self._server = server
        self._read: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        async def heard() -> Message:
            return self._read.pop() if self._read else await receive()

        manager = StreamableHTTPSessionManager(self._server, json_response=True, stateless=True)
        async with manager.run():
            await manager.handle_request(scope, heard, send)
