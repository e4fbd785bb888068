"""`/ws`: a client looks at agents and talks with them, over one connection, for as long as it likes.

Events go to those who look at the agent, and to nobody else. What a client does wrong is told, and the connection
stays. Knows nothing of how turns run.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from memagent.access import Scope
from memagent.assemble import store_agent
from memagent.bridges.socket.wire import KEY, NAME
from memagent.errors import MemagentError, NotFound
from memagent.roster import Entry
from memagent.server.callers import Caller, Needs
from memagent.server.channel import Gone
from memagent.server.house import House
from memagent.server.problems import Refused
from memagent.server.protocol import (
    Cancel,
    Create,
    Decide,
    Leave,
    Load,
    UserMessage,
    server_error,
    told,
    understood,
    written,
)

router = APIRouter()
MOST_LOOKED_AT = 50
"""So many agents one connection may look at."""
REVOKED = "This key opens nothing any more."
LOOK_AGAIN = 10.0
"""Seconds between two looks whether the key of a connection was revoked; before anything is done, one looks anyway."""
PATIENCE = 30.0
"""Seconds that a client may take to read what it is sent; one that takes longer is gone."""


@router.websocket("/ws")
async def socket(websocket: WebSocket, caller: Annotated[Caller, Depends(Needs("read"))]) -> None:
    """Look at agents, and talk with them."""
    offered = [each.strip() for each in websocket.headers.get("sec-websocket-protocol", "").split(",")]
    await websocket.accept(NAME if NAME in offered or any(each.startswith(KEY) for each in offered) else None)
    visit = Visit(websocket, websocket.app.state.house, caller)
    ending = asyncio.create_task(visit.end_with_key())
    try:
        await visit.listen()
    except WebSocketDisconnect:
        pass
    finally:
        ending.cancel()
        visit.leave_all()


@dataclass(eq=False)
class Visit:
    """One client that is connected, and the agents that it looks at."""

    websocket: WebSocket
    house: House
    caller: Caller
    looking: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    last: str = ""

    async def listen(self) -> None:
        """Do what the client says, until it leaves."""
        while True:
            try:
                text = await self.websocket.receive_text()
            except KeyError:
                text = ""  # bytes, and no text: told below
            if not await self._holds():
                raise WebSocketDisconnect(1008, REVOKED)
            try:
                await self._do(understood(text))
            except (ValueError, Refused, MemagentError) as error:
                await self.send(server_error(getattr(error, "detail", "") or str(error)))

    async def end_with_key(self) -> None:
        """Close the connection when its key was revoked."""
        while await self._holds():
            await asyncio.sleep(LOOK_AGAIN)
        await self.websocket.close(1008, REVOKED)

    async def _holds(self) -> bool:
        key = self.caller.key
        return key is None or await asyncio.to_thread(self.house.keys.holds, key)

    async def send(self, text: str) -> None:
        """Tell the client something; one that does not read is let go."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.websocket.send_text(text)
        except TimeoutError:
            raise WebSocketDisconnect(1008, "too slow") from None
        except RuntimeError:  # it left, which another one who told it something has seen before
            raise WebSocketDisconnect(1006) from None

    def leave_all(self) -> None:
        """Look at nothing any more."""
        for task in self.looking.values():
            task.cancel()
        self.looking.clear()

    async def _do(self, said: Any) -> None:
        match said:
            case Load():
                self._needs("read")
                await self._look(await self._entry(said.name), said.after)
            case Leave():
                entry = await self._entry(said.name)
                if task := self.looking.pop(entry.id, None):
                    task.cancel()
                await self._answer(said.command)
            case Create():
                await self._create(said)
            case UserMessage():
                await self._say(said)
            case Decide():
                told = {"call_id": said.call_id, "digest": said.digest, "approve": said.approve}
                await self._start(await self._entry(said.name), "decide", told)
            case Cancel():
                self._needs("chat")
                entry = await self._entry(said.name)
                running = [run for run in self.house.runs.running() if run.of == entry.id]
                for run in reversed(running):
                    await asyncio.to_thread(self.house.runs.cancel, run)
                await self._answer(said.command, runs=[run.id for run in running])

    def _needs(self, scope: Scope) -> None:
        if not self.caller.may(scope):
            raise Refused(403, f"This key may not do that: it needs the scope {scope!r}.")
        self.house.limits.hit(self.caller.key)

    async def _entry(self, name: str) -> Entry:
        return await asyncio.to_thread(self.house.residents.roster(self.caller.owner).find, name)

    async def _answer(self, command: str, **more: Any) -> None:
        await self.send(written({"type": "command_response", "command": command, "status": "OK", **more}))

    async def _create(self, said: Create) -> None:
        self._needs("admin")
        owner, given = self.caller.owner, said.config.model_dump(exclude_none=True)
        name = given.pop("name")

        def create() -> Entry:
            settings = replace(self.house.residents.settings_of(owner), **given)
            store_agent(settings, self.house.database, name, given=given)
            return self.house.residents.roster(owner).find(name)

        entry = await asyncio.to_thread(create)
        await asyncio.to_thread(self.caller.note, self.house, "agent made", entry.name)
        await self._look(entry, None, said.command)

    async def _look(self, entry: Entry, after: int | None, command: str = "load_agent") -> None:
        """Send what happens with an agent from now on; what came after a number first."""
        if task := self.looking.pop(entry.id, None):
            task.cancel()
        if len(self.looking) >= MOST_LOOKED_AT:
            raise Refused(429, f"One connection may look at {MOST_LOOKED_AT} agents.")
        channel, self.last = self.house.runs.channel(entry.id), entry.name
        number = channel.last if after is None else after
        if not channel.began <= number <= channel.last:  # it was seen before the server was started again
            number = channel.began
        await self._answer(command, name=entry.name, id=entry.id, number=number)
        self.looking[entry.id] = asyncio.create_task(self._follow(entry, number))

    async def _follow(self, entry: Entry, number: int) -> None:
        channel = self.house.runs.channel(entry.id)
        with suppress(WebSocketDisconnect):
            while self.websocket.client_state is WebSocketState.CONNECTED:
                try:
                    async for items in channel.follow(number):
                        for item in items:
                            await self.send(item.written(told))
                            number = item.number
                    return  # the server stops
                except Gone:
                    number = channel.last
                    await self.send(written({"type": "missed", "name": entry.name, "number": number}))

    async def _say(self, said: UserMessage) -> None:
        name = said.agent_name or self.last
        if not name:
            raise NotFound("No agent is loaded.", hint="Send load_agent first, or name one in agent_name.")
        entry = await self._entry(name)
        if entry.id not in self.looking:
            await self._look(entry, None)
        await self._start(entry, "say", {"text": said.message}, said.otid)

    async def _start(self, entry: Entry, work: str, told: dict[str, Any], otid: str | None = None) -> None:
        self._needs("chat")
        await asyncio.to_thread(self.house.limits.check_spent, self.caller.key)
        begun = self.house.runs.start
        run = await asyncio.to_thread(lambda: begun(entry, work, told, key=self.caller.id, otid=otid))
        await self.send(written({"type": "run", "name": entry.name, "run": run.id}))
