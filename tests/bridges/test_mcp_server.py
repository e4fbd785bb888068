"""An agent's memory as an MCP server, asked by the official client: in this process, and over a program's pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp.types import TextContent, TextResourceContents

from memagent.assemble import load_agent, make_agent, open_state
from memagent.bridges.mcp_server import Memories, memory_server
from memagent.bridges.open_memory import opened
from memagent.config import Settings
from memagent.llm.scripted import ScriptedLLM
from memagent.memory.core import CoreMemory
from memagent.persistence import PersistenceManager
from memagent.roster import Roster
from memagent.storage.opening import opened as open_database

READING = {"search", "recall", "read_core_memory"}
WRITING = {"remember", "append_to_core_memory", "edit_core_memory"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Those of a home in which Ada is, who was told of a dog."""
    settings = Settings(home=tmp_path, embedder="off", verify_first=False, provider="scripted")
    with closing(open_database(settings)) as database:
        agent = make_agent(settings, database, "ada", llm=ScriptedLLM([{"when": {}, "say": "Good dog."}]))
        list(agent.turn("My dog is called Rex."))
        agent.close()
    return settings


@pytest.fixture
def state(settings: Settings) -> Iterator[PersistenceManager]:
    with closing(open_database(settings)) as database:
        yield open_state(settings, database, Roster(database, "local").find("ada"))


Asking = Callable[[Callable[[Client], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def asking(settings: Settings) -> Iterator[Asking]:
    """Talks with the server as a client does."""

    async def talked(server: Any, talk: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
        async with Client(server) as client:
            await talk(client)

    with closing(open_database(settings)) as database:
        memory = opened(settings, database, Roster(database, "local").find("ada"))
        server = memory_server(Memories.of("ada", lambda: memory))
        yield lambda talk: anyio.run(talked, server, talk)


async def said(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert isinstance(result.content[0], TextContent)
    return ("error: " if result.is_error else "") + result.content[0].text


def test_memory_is_searched_kept_and_edited(asking: Asking, state: PersistenceManager) -> None:
    async def talk(client: Client) -> None:
        tools = (await client.list_tools()).tools
        assert {tool.name for tool in tools} == READING | WRITING
        assert all(
            bool(tool.annotations and tool.annotations.read_only_hint) == (tool.name in READING) for tool in tools
        )
        assert "user: My dog is called Rex." in await said(client, "search", query="dog", where="conversation")
        assert "Rex" in await said(client, "recall")
        assert await said(client, "recall", since="2001-01-01", until="2001-01-02") == "Conversation: 0 of 0"
        assert "is not a day" in await said(client, "recall", since="yesterday")
        assert await said(client, "remember", text="Rex was seen by a vet in May.", tags=["dog"]) == "Kept."
        assert "(dog): Rex was seen by a vet in May." in await said(client, "search", query="vet", where="notes")
        assert "Kept as fact" in await said(client, "remember", text="Rex is nine years old.", kind="fact")
        assert "Rex is nine years old." in await said(client, "search", query="Rex")
        assert "version 2:" in await said(client, "append_to_core_memory", block="human", text="Has a dog.")
        assert "Has an old dog." in await said(client, "edit_core_memory", block="human", old="a dog", new="an old dog")
        assert "Has an old dog." in await said(client, "read_core_memory")
        read = (await client.read_resource("memory://core/human")).contents[0]
        assert isinstance(read, TextResourceContents) and "Has an old dog." in read.text

    asking(talk)
    assert [edit.cause for edit in state.core.history("human")] == ["mcp", "mcp", "preset"]
    state.undo_edit()
    assert state.core.blocks["human"].value.endswith("Has a dog.")


def test_what_holds_for_the_agent_holds_for_others(asking: Asking, state: PersistenceManager) -> None:
    with state.database.write() as tx:
        tx.run("UPDATE blocks SET read_only = 1 WHERE label = 'persona'")

    async def talk(client: Client) -> None:
        assert "can hold 2000 characters" in await said(client, "append_to_core_memory", block="human", text="x" * 3000)
        assert "read-only" in await said(client, "append_to_core_memory", block="persona", text="Is evil.")
        assert "There is no block 'x'" in await said(client, "append_to_core_memory", block="x", text="y")
        assert "is not in the block" in await said(client, "edit_core_memory", block="human", old="zzz", new="")
        assert "There is no text" in await said(client, "remember", text=" ")
        assert "at most 500 characters" in await said(client, "remember", text="x" * 501, kind="fact")
        assert "Kept as fact" in await said(client, "remember", text="A\0 thing.", kind="fact")
        assert "error" not in await said(client, "search", query="\0 (NOT *")
        state.begin([])
        assert "is busy" in await said(client, "append_to_core_memory", block="human", text="Hello.")
        assert "is busy" in await said(client, "remember", text="Something.")
        assert "Rex" in await said(client, "search", query="Rex")
        state.end("done")
        assert "version 2:" in await said(client, "append_to_core_memory", block="human", text="Hello.")

    asking(talk)
    assert len(state.core.history()) == 3


@pytest.mark.slow
def test_it_is_served_over_pipes(settings: Settings) -> None:
    code = "from memagent.cli.app import program; program()"
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    more = {"MEMAGENT_HOME": str(settings.home), "MEMAGENT_EMBEDDER": "off", "MEMAGENT_PROVIDER": "scripted"}
    words = ["-c", code, "mcp", "serve", "ada"]

    async def talk(read_only: bool) -> None:
        args = [*words, "--read-only"] if read_only else words
        async with Client(StdioServerParameters(command=sys.executable, args=args, env=kept | more)) as client:
            assert client.server_info and client.server_info.name == "memagent ada"
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert names == (READING if read_only else READING | WRITING)
            assert "Rex" in await said(client, "search", query="dog")
            if not read_only:
                assert "version 2:" in await said(client, "append_to_core_memory", block="human", text="Has a dog.")

    anyio.run(talk, True)
    anyio.run(talk, False)
    with closing(open_database(settings)) as database:
        agent = load_agent(settings, database, "ada", llm=ScriptedLLM([]))
        assert "Has a dog." in CoreMemory(database, agent.state.entry.id).history("human")[0].after
        agent.close()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals as Unix has them")
@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_it_is_told_to(settings: Settings, told: signal.Signals) -> None:
    code = "from memagent.cli.app import program; program()"
    variables = {**os.environ, "MEMAGENT_HOME": str(settings.home), "MEMAGENT_EMBEDDER": "off"}
    serving = subprocess.Popen(
        [sys.executable, "-c", code, "mcp", "serve", "ada"],
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert serving.stdin and serving.stdout
    with serving.stdin, serving.stdout:
        serving.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "nothing"}\n')
        serving.stdin.flush()
        assert b'"error"' in serving.stdout.readline()
        serving.send_signal(told)
        assert serving.wait(20) == 128 + told
        assert serving.stdout.read() == b""
