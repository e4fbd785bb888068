"""A connection to a server: say something to an agent, and hear what happens.

When the connection breaks in the middle of a turn, it is made again, and goes on where it was. Knows nothing of who
prints what is heard.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit, urlunsplit

from memagent.bridges.socket.wire import KEY, NAME, heard
from memagent.errors import BackendError, MemagentError, MissingExtra, UserError
from memagent.events import Event, TurnEnded

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection as Socket

AGAIN = 3
"""How often a connection that breaks is made again before that is told."""
LARGEST = 16_000_000
MISSED = "So much happened meanwhile that some of it was missed; it is all kept."


class ServerError(BackendError):
    """A server refused something, or can't be reached."""


def connect(address: str, key: str = "") -> Connection:
    """A connection to the server at that address, such as http://127.0.0.1:8283."""
    return Connection(address, key)


async def connect_async(address: str, key: str = "") -> AsyncConnection:
    """The same for code with an event loop."""
    return AsyncConnection(await asyncio.to_thread(Connection, address, key))


@dataclass(frozen=True)
class Message:
    """What a server says: its kind, the run that it speaks of, and the event that it tells of, if it does."""

    kind: str
    run: str
    event: Event | None


class Connection:
    """A connection for plain code: `say` is a generator of events, like a turn of an agent. One turn at a time."""

    def __init__(self, address: str, key: str = "") -> None:
        self.place = _place(address)
        self._protocols: Any = [NAME, *([f"{KEY}{key}"] if key else [])]
        self._seen: dict[str, int] = {}
        """The number of the last event of each agent."""
        self._closing = ExitStack()
        self._socket: Socket
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; what an agent is doing goes on."""
        self._closing.close()

    def create(self, agent: str, **config: str) -> None:
        """Make an agent: `preset`, `persona`, `human` and `model` may be given."""
        self._do(agent, _command("create_agent", config={"name": agent, **config}))

    def load(self, agent: str) -> None:
        """Look at an agent, from behind what was seen of it. There must be one of that name."""
        self._do(agent, _command("load_agent", name=agent, after=self._seen.get(agent)))

    def say(self, agent: str, message: str) -> Iterator[Event]:
        """Say something to an agent; yields what happens, until it rests."""
        said = {"type": "user_message", "message": message, "agent_name": agent, "otid": str(uuid.uuid4())}
        return self._turn(agent, json.dumps(said))

    def decide(self, agent: str, call_id: str, digest: str, approve: bool) -> Iterator[Event]:
        """Answer `ApprovalAsked`; yields what happens then."""
        return self._turn(agent, _command("approve", name=agent, call_id=call_id, digest=digest, approve=approve))

    def cancel(self, agent: str) -> None:
        """End what an agent is doing; whoever hears it hears that too. May be called from another thread."""
        self._socket.send(_command("cancel", name=agent))

    def _turn(self, agent: str, said: str) -> Iterator[Event]:
        run, early, tries = "", list[Message](), 0
        if agent not in self._seen:
            self.load(agent)
        while True:
            try:
                if not run and not tries:
                    self._socket.send(said)
                    tries = 1
                message = self._hear(agent)
            except _lost() as error:
                tries += 1
                if tries > AGAIN:
                    raise self._broken(error) from error
                self._open()
                self.load(agent)
                tries = tries if run else 0  # said again with the same otid, it is the same run
                continue
            if message.kind == "run":
                run = message.run
            elif message.event is not None:
                early.append(message)  # an event may come before the answer that tells which run it is
            for each in early if run else ():
                if each.event is not None and each.run == run:
                    yield each.event
                    if isinstance(each.event, TurnEnded):
                        return
            early = [] if run else early

    def _do(self, agent: str, command: str) -> None:
        try:
            self._socket.send(command)
            while self._hear(agent).kind != "command_response":
                pass
        except _lost() as error:
            raise self._broken(error) from error

    def _hear(self, agent: str) -> Message:
        message = json.loads(self._socket.recv())
        kind, number = str(message.get("type")), message.get("number")
        if kind == "server_error":
            raise ServerError(str(message.get("message", "")))
        if isinstance(number, int):
            self._seen[agent] = number
        if kind == "missed":
            raise ServerError(MISSED)
        return Message(kind, str(message.get("run", "")), heard(message))

    def _open(self) -> None:
        try:
            from websockets.sync.client import connect as opened
        except ImportError as error:
            raise MissingExtra("The connection to servers", "server") from error
        self._closing.close()
        try:
            opening = opened(self.place, subprotocols=self._protocols, max_size=LARGEST)
            self._socket = self._closing.enter_context(opening)
        except _lost() as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> MemagentError:
        """What is told when there is no connection."""
        status = getattr(getattr(error, "response", None), "status_code", 0)
        if status == 403:
            hint = "Put one into MEMAGENT_SERVER_KEY; whoever runs the server makes it with: memagent keys add NAME"
            return UserError(f"{self.place} lets nobody in without a key that opens it.", hint=hint)
        hint = "Is it running there? Start it with: memagent server"
        return ServerError(f"{self.place} can't be reached: {str(error) or type(error).__name__}.", hint=hint)


class AsyncConnection:
    """The same connection for code with an event loop: it waits in a thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection; what an agent is doing goes on."""
        await asyncio.to_thread(self._connection.close)

    async def create(self, agent: str, **config: str) -> None:
        """Make an agent: `preset`, `persona`, `human` and `model` may be given."""
        await asyncio.to_thread(self._connection.create, agent, **config)

    async def load(self, agent: str) -> None:
        """Look at an agent, from behind what was seen of it. There must be one of that name."""
        await asyncio.to_thread(self._connection.load, agent)

    def say(self, agent: str, message: str) -> AsyncIterator[Event]:
        """Say something to an agent; yields what happens, until it rests."""
        return _each(self._connection.say(agent, message))

    def decide(self, agent: str, call_id: str, digest: str, approve: bool) -> AsyncIterator[Event]:
        """Answer `ApprovalAsked`; yields what happens then."""
        return _each(self._connection.decide(agent, call_id, digest, approve))

    async def cancel(self, agent: str) -> None:
        """End what an agent is doing; whoever hears it hears that too."""
        await asyncio.to_thread(self._connection.cancel, agent)


async def _each(happening: Iterator[Event]) -> AsyncIterator[Event]:
    while (event := await asyncio.to_thread(next, happening, None)) is not None:
        yield event


def _command(command: str, **more: Any) -> str:
    return json.dumps({"type": "command", "command": command, **more})


def _place(address: str) -> str:
    """The address of a server as that of its WebSocket."""
    parts = urlsplit(address if "://" in address else f"http://{address}")
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise UserError(f"{address!r} is no address of a server.", hint="Write it like http://127.0.0.1:8283.")
    return urlunsplit((scheme, parts.netloc, f"{parts.path.rstrip('/').removesuffix('/ws')}/ws", "", ""))


def _lost() -> tuple[type[Exception], ...]:
    """What a connection that breaks, or can't be made, raises."""
    from websockets.exceptions import WebSocketException

    return WebSocketException, OSError, EOFError
