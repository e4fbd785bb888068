"""Connections to MCP servers: opened when first needed, kept while they work, closed for good with the agent.

All of them live in one background thread, in which the asynchronous SDK runs; everybody else waits for it. Whatever a
server does, what comes of a call is a text or a `ToolError`. Knows nothing of agents, or of who allowed what when.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import re
import shutil
import threading
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from weakref import finalize

from memagent import config, registry
from memagent.errors import BackendError, ConfigError, ToolError
from memagent.log import plain_to_see
from memagent.tools.mcp import MOST_TOOLS, Definition, Server
from memagent.tools.mcp.declared import Servers

if TYPE_CHECKING:
    from concurrent.futures import Future

    from mcp import Client
    from mcp.client._transport import Transport

    from memagent.tools.mcp.pipe import Diary

log = logging.getLogger(__name__)
T = TypeVar("T")
Mode = Literal["auto", "legacy"]

OPENING = 120.0
"""Seconds that a server may take to start, where nobody waits for a call: some are downloaded first."""
CHECKING = 5.0
"""Seconds in which a server must show that it still answers, after a call that it left unanswered."""
CLOSING = 8.0
HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
LONGEST_COMPLAINT = 1000


@dataclass(frozen=True)
class Offer:
    """What a server says of itself: its name, the protocol that it speaks, its tools."""

    title: str
    protocol: str
    tools: Mapping[str, Definition]


class Connection:
    """The way to one server, for one agent. Safe to use from several threads."""

    def __init__(self, server: Server, home: Path) -> None:
        self._server = server
        self._home = home
        self._line: _Line | None = None
        self._opening: asyncio.Lock | None = None
        self._closed = False

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Call a tool, from any event loop; ending this ends the call."""
        registry.check_installed("mcp")
        return await asyncio.wrap_future(_in_background(self._call(tool, arguments)))

    def offer(self, seconds: float = OPENING) -> Offer:
        """What the server offers now. Raises `BackendError` when it can't be asked."""
        registry.check_installed("mcp")
        asked = _in_background(self._offer())
        try:
            return asked.result(seconds)
        except TimeoutError:
            asked.cancel()
            raise self._error(f"did not answer within {seconds:g} seconds") from None

    def close(self) -> None:
        """Let go of the server for good; a program that was started for it is gone then."""
        self._closed = True
        if self._line is not None:
            with suppress(TimeoutError):
                _in_background(self._drop()).result(CLOSING)

    # In the background ------------------------------------------------------------------------------------------------

    async def _call(self, tool: str, arguments: Mapping[str, Any]) -> str:
        from mcp import MCPError, types

        from memagent.tools.mcp.results import as_text

        try:
            line = await self._opened()
        except BackendError as error:
            raise ToolError(f"{error.message} The call did not happen.") from error
        if self._pinned().get(tool) != line.digest(tool):
            raise ToolError(
                f"The tool {tool!r} of the MCP server {self._server.name!r} is off: a person has not allowed it as it "
                "is now. The call did not happen; tell the user."
            )
        line.pending += 1
        try:
            result = await line.client.call_tool(tool, dict(arguments))
            text = as_text(result)
        except asyncio.CancelledError:
            line.doubted = True
            raise
        except Exception as error:  # the tool boundary: a server can make the SDK raise whatever it likes
            told = isinstance(error, MCPError) and error.code not in (types.CONNECTION_CLOSED, types.REQUEST_TIMEOUT)
            if told or isinstance(error, RuntimeError):  # it answered, though not with a result
                raise ToolError(f"{self._server.name} refused: {_short(str(error))}") from error
            await self._drop()
            why = f" ({line.diary.why})" if line.diary.why else ""
            log.warning("MCP server %s failed in a call: %r %s", self._server.name, error, line.diary.last_words)
            raise ToolError(
                f"The MCP server {self._server.name!r} failed before it answered{why}. "
                "Whether the call had an effect is not known."
            ) from error
        finally:
            line.pending -= 1
        if result.is_error:
            raise ToolError(text or f"{self._server.name} says that the call failed, and nothing more.")
        return text or "Done. (It returned nothing.)"

    async def _offer(self) -> Offer:
        line = await self._opened()
        info = line.client.server_info
        title = plain_to_see(f"{info.name} {info.version}".strip()) if info else ""
        return Offer(title[:200], line.client.protocol_version, line.tools)

    async def _opened(self) -> _Line:
        """The line to the server: the one that there is, if it still works, or a new one."""
        self._opening = self._opening or asyncio.Lock()
        async with self._opening:
            if self._line and not await self._line.answers():
                await self._drop()
            if self._closed:
                raise self._error("is not connected any more")
            if self._line is None:
                self._line = await self._new_line()
            if not self._line.compared:
                self._line.compared = True
                now = self._line
                changed = [tool for tool, digest in self._pinned().items() if now.digest(tool) not in ("", digest)]
                Servers(self._home).note_changed(self._server, changed)
            return self._line

    async def _new_line(self) -> _Line:
        """A line that is open. Some servers take no other greeting than the old one."""
        parts = self._parts()
        modes: Sequence[Mode] = ("auto", "legacy") if parts.command else ("auto",)
        for mode in modes:
            line = _Line(self._server, parts, mode)
            try:
                await asyncio.shield(line.ready)
                await line.look()
            except BaseException as error:
                await line.end()
                if not isinstance(error, Exception):
                    raise
                words = line.diary.why or line.diary.last_words or _short(_innermost(error))
                problem = self._error(f"can't be used: {plain_to_see(words[-LONGEST_COMPLAINT:])}")
                if mode == modes[-1] or not line.diary.gone:
                    raise problem from error
            else:
                finalize(self, line.leave)
                return line
        raise AssertionError("the last way that is tried returns or raises")

    async def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.end()

    def _pinned(self) -> dict[str, str]:
        """What is allowed now, as it was then."""
        allowed = Servers(self._home).allowed(self._server)
        return {name: of.definition.digest for name, of in allowed.items() if not of.changed}

    def _parts(self) -> _Parts:
        """What the server is given: the program and its variables, or the address and its headers."""
        server = self._server
        texts = [*server.environment.values(), *server.headers.values()]
        wanted = {name for text in texts for name in _VARIABLE.findall(text)}
        found = config.named_variables(self._home, wanted)
        if missing := sorted(wanted - found.keys()):
            raise ConfigError(
                f"The MCP server {server.name!r} needs the variable {missing[0]}, which is not set.",
                hint=f"Set it in the environment, or write {missing[0]}=… into .env in home.",
            )

        def filled(given: Mapping[str, str]) -> dict[str, str]:
            return {key: _VARIABLE.sub(lambda hit: found[hit[1]], text) for key, text in given.items()}

        environment = {**config.clean_environment(), **filled(server.environment)}
        command = list(server.command)
        if command:
            program = shutil.which(command[0], path=environment.get("PATH"))
            if program is None:
                raise self._error(f"can't be started: there is no program {command[0]!r} on the PATH")
            command[0] = program
        return _Parts(command, environment, filled(server.headers), self._home)

    def _error(self, problem: str) -> BackendError:
        return BackendError(
            f"The MCP server {self._server.name!r} {problem}.", hint=f"Try: memagent mcp test {self._server.name}"
        )


_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class _Parts:
    command: Sequence[str]
    environment: Mapping[str, str]
    headers: Mapping[str, str]
    directory: Path


class _Line:
    """One open connection. A task of its own opens and closes it: the SDK wants both done by the same one."""

    def __init__(self, server: Server, parts: _Parts, mode: Mode) -> None:
        from memagent.tools.mcp.pipe import Diary

        self.diary: Diary = Diary()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.tools: dict[str, Definition] = {}
        self.doubted = self.outdated = self.compared = False
        self.pending = 0
        self._leave = asyncio.Event()
        self._task = asyncio.create_task(self._keep(server, parts, mode))
        _open.add(self)

    async def look(self) -> None:
        """See what tools there are."""
        self.outdated = self.compared = False
        self.tools = await _tools(self.client)

    def digest(self, tool: str) -> str:
        """How the server tells of a tool now; empty when it does not."""
        return self.tools[tool].digest if tool in self.tools else ""

    async def answers(self) -> bool:
        """Whether it still works. Where there is a doubt, or something new is announced, the server is asked."""
        if self._task.done():
            return False
        if self.doubted or self.outdated or self.pending:  # an agent calls one after the other: that one was given up
            try:
                async with asyncio.timeout(CHECKING):
                    await self.look()
            except Exception as error:  # noqa: BLE001  # whatever it is: a new line is opened then
                log.info("an MCP server does not answer any more: %r", error)
                return False
            self.doubted = False
        return True

    def leave(self) -> None:
        """Close it, from any thread, without waiting."""
        _background().call_soon_threadsafe(self._leave.set)

    async def end(self) -> None:
        """Close it, and wait until that is done."""
        self._leave.set()
        if not self.ready.done():
            self._task.cancel()
        await asyncio.wait([self._task])

    async def _keep(self, server: Server, parts: _Parts, mode: Mode) -> None:
        from mcp import Client, Implementation, types

        from memagent import __version__

        async def hear(message: object) -> None:
            self.outdated |= isinstance(message, types.ToolListChangedNotification)

        info = Implementation(name="memagent", version=__version__)
        try:
            async with AsyncExitStack() as stack:
                transport = await _transport(server, parts, self.diary, stack)
                self.client: Client = await stack.enter_async_context(
                    Client(transport, client_info=info, message_handler=hear, cache=None, mode=mode)
                )
                self.ready.set_result(None)
                await self._leave.wait()
        except BaseException as error:  # the one who waits for it is told; after that, the line is simply over
            if not self.ready.done():
                self.ready.set_exception(error if isinstance(error, Exception) else ConnectionError("ended"))
            elif isinstance(error, Exception):
                log.info("the connection to an MCP server ended: %r", error)
            else:
                raise
        finally:
            _open.discard(self)


async def _transport(server: Server, parts: _Parts, diary: Diary, stack: AsyncExitStack) -> Transport:
    if server.command:
        from memagent.tools.mcp.pipe import spoken

        return spoken(parts.command, parts.environment, parts.directory, diary)
    from mcp.client.streamable_http import streamable_http_client

    from memagent.tools.mcp.pipe import LARGEST
    from memagent.tools.mcp.web import client

    web = await stack.enter_async_context(client(parts.headers, diary))
    return streamable_http_client(server.url, http_client=web, max_sse_event_size=LARGEST)


async def _tools(client: Client) -> dict[str, Definition]:
    """All tools that a server tells of, up to a limit."""
    found: dict[str, Definition] = {}
    cursor: str | None = None
    for _ in range(MOST_TOOLS):
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            given = tool.annotations.model_dump(by_alias=True) if tool.annotations else {}
            hints = {key: value for key, value in given.items() if key in HINTS and isinstance(value, bool)}
            about = tool.description or tool.title or ""
            found.setdefault(tool.name, Definition(tool.name, about, tool.input_schema, hints))
        cursor = page.next_cursor
        if cursor is None or len(found) > MOST_TOOLS:
            break
    return dict(list(found.items())[:MOST_TOOLS])


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_COMPLAINT else f"{text[:LONGEST_COMPLAINT]}…"


def _innermost(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__


# The one thread -------------------------------------------------------------------------------------------------------

_open: set[_Line] = set()


@cache
def _background() -> asyncio.AbstractEventLoop:
    """The event loop of all connections, in a thread that keeps no process alive."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="memagent-mcp", daemon=True).start()
    atexit.register(_close_all)
    return loop


def _in_background(work: Coroutine[Any, Any, T]) -> Future[T]:
    return asyncio.run_coroutine_threadsafe(work, _background())


def _close_all() -> None:
    """No program that was started outlives the process that did it."""

    async def end() -> None:
        await asyncio.gather(*(line.end() for line in list(_open)))

    with suppress(TimeoutError):
        _in_background(end()).result(CLOSING)
