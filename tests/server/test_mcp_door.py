"""The memory of agents over MCP, asked by the official client: with keys, for one agent or for several, by many at
once; and what others see of it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Coroutine
from importlib.machinery import ModuleSpec
from typing import Any

import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent, TextResourceContents
from serving import Serving, until
from test_websocket import Client as Looking

from memagent import registry
from memagent.access import SCOPES, Keys
from memagent.assemble import local_time
from memagent.bridges.open_memory import OFFERED, OpenMemory

ASK = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
PROTOCOL = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}


def talked(
    server: Serving, talk: Callable[[Client], Coroutine[Any, Any, None]], path: str = "/ada", key: str = "", **how: Any
) -> None:
    """Talk with the server as a program does that was told an address and a header."""
    import httpx2

    async def connected() -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=20) as http:
            transport: Any = streamable_http_client(f"{server.address}/mcp{path}", http_client=http)
            async with Client(transport, **how) as client:
                await talk(client)

    asyncio.run(connected())


async def said(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert isinstance(result.content[0], TextContent)
    return ("error: " if result.is_error else "") + result.content[0].text


async def offered(client: Client) -> dict[str, Any]:
    return {tool.name: tool for tool in (await client.list_tools()).tools}


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_agents_memory_is_searched_kept_and_edited(server: Serving, mode: str) -> None:
    agent = server.agent()
    server.start(agent, "note I like tea").over.wait(5)

    async def talk(client: Client) -> None:
        assert client.server_info and client.server_info.name == "memagent ada"
        tools = await offered(client)
        assert tools.keys() == OFFERED.keys() and "agent" not in tools["search"].input_schema["properties"]
        assert "user: note I like tea" in await said(client, "search", query="tea", where="conversation")
        assert await said(client, "remember", text="Tea is kept in the blue tin.", tags=["tea"]) == "Kept."
        assert "the blue tin" in await said(client, "search", query="blue", where="notes")
        assert "version 3" in await said(client, "edit_core_memory", block="human", old="tea", new="coffee")
        read = (await client.read_resource("memory://core/human")).contents[0]
        assert isinstance(read, TextResourceContents) and "I like coffee" in read.text
        assert "memory://core/human" in [str(each.uri) for each in (await client.list_resources()).resources]
        assert "can hold 2000" in await said(client, "append_to_core_memory", block="human", text="x" * 2000)
        assert "error: page: Input should be" in await said(client, "search", query="tea", page=-1)
        assert "error: There is no tool 'run'" in await said(client, "run", code="1")

    talked(server, talk, mode=mode)


def test_every_tool_needs_a_scope_and_a_key_opens_no_more(server: Serving) -> None:
    public = {name for name, of in vars(OpenMemory).items() if callable(of) and not name.startswith("_")}
    assert public - OFFERED.keys() == {"read"}, "the resources"
    server.agent()
    before = server.rows("SELECT * FROM blocks")
    arguments = {"query": "x", "text": "x", "block": "human", "old": "", "new": "x"}
    for scope in SCOPES:
        opens = {name for name, needed in OFFERED.items() if SCOPES.index(needed) <= SCOPES.index(scope)}

        async def talk(client: Client, opens: set[str] = opens) -> None:
            tools = await offered(client)
            assert tools.keys() == opens
            for name in OFFERED.keys() - opens:
                assert f"needs the scope '{OFFERED[name]}'" in await said(client, name, **arguments)

        talked(server, talk, key=server.key(scope, scope))
    assert server.rows("SELECT * FROM blocks") == before
    assert server.rows("SELECT count(*) FROM passages") == [(0,)]


def test_where_there_are_several_each_call_says_whose_memory(server: Serving) -> None:
    server.agent("ada")

    async def alone(client: Client) -> None:
        assert "agent" not in (await offered(client))["search"].input_schema["required"]
        assert "version 2" in await said(client, "append_to_core_memory", block="human", text="Likes tea.")

    talked(server, alone, "")
    for name, user in (("ben", "local"), ("eve", "other")):
        server.agent(name, user)

    async def several(client: Client) -> None:
        schema = (await offered(client))["search"].input_schema
        assert schema["properties"]["agent"]["enum"] == ["ada", "ben"] and "agent" in schema["required"]
        assert "Name the agent: ada, ben." in await said(client, "read_core_memory")
        assert "Likes tea." in await said(client, "read_core_memory", agent="ada")
        assert "Likes tea." not in await said(client, "read_core_memory", agent="ben")
        assert "There is no agent 'eve'" in await said(client, "read_core_memory", agent="eve")
        assert "error: agent" in await said(client, "read_core_memory", agent=["ada"])

    talked(server, several, "", key=server.key())
    key = server.key("eve", user="other")
    assert server.http(key, **PROTOCOL).post("/mcp/ada", json=ASK).status_code == 404


def test_others_see_what_was_edited_at_once_and_who_did_it(server: Serving) -> None:
    agent, key = server.agent(), server.key("claude")
    server.start(agent, "hello").over.wait(5)  # now it is open
    resident = server.house.residents.agent(server.entry())
    looking = Looking(server, authorization=f"Bearer {key}")
    assert looking.command("load_agent", name="ada")["status"] == "OK"

    async def talk(client: Client) -> None:
        assert "version 2" in await said(client, "append_to_core_memory", block="human", text="Likes tea.")

    talked(server, talk, key=key)
    told = looking.until("memory_edited")[-1]
    assert (told["run"], told["label"], told["cause"]) == ("", "human", "mcp, key claude")
    looking.close()
    server.start(agent, "note Likes cake.").over.wait(5)
    assert server.house.residents.agent(server.entry()) is resident
    assert resident.state.core.blocks["human"].value.endswith("Likes tea.\nLikes cake.")
    done = Keys(server.database, local_time).noted()[0]
    assert (done.what, done.target, done.address) == ("block edited", "ada/human", "127.0.0.1")
    assert done.key == key.split("-")[1]


def test_a_turn_is_not_disturbed_and_many_ask_at_once(server: Serving) -> None:
    server.agent()
    turn = server.house.residents.state(server.entry())
    turn.begin([])

    async def talk(client: Client) -> None:
        assert "is busy" in await said(client, "append_to_core_memory", block="human", text="Likes tea.")
        many = [said(client, "read_core_memory") for _ in range(20)]
        assert all("human" in each for each in await asyncio.gather(*many))

    talked(server, talk)
    turn.end("done")


def test_who_leaves_stops_nothing(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    server.agent()
    begun, left, edit = threading.Event(), threading.Event(), OpenMemory._edit

    def slowly(memory: OpenMemory, change: Any) -> str:
        begun.set()
        left.wait(5)
        return edit(memory, change)

    monkeypatch.setattr(OpenMemory, "_edit", slowly)
    append = {"name": "append_to_core_memory", "arguments": {"block": "human", "text": "Likes tea."}}
    body = json.dumps({**ASK, "method": "tools/call", "params": append})
    head = {**PROTOCOL, "host": "localhost", "content-type": "application/json", "content-length": len(body)}
    lines = ["POST /mcp/ada HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", body]
    with socket.create_connection(("127.0.0.1", server.port)) as leaving:
        leaving.sendall("\r\n".join(lines).encode())
        begun.wait(5)
    left.set()
    until(lambda: server.rows("SELECT 1 FROM blocks WHERE value LIKE '%Likes tea.'"))


def test_there_is_no_session_to_steal_or_to_leave_open(server: Serving) -> None:
    server.agent()
    server.agent("eve", "other")
    ours, theirs = server.http(server.key(), **PROTOCOL), server.http(server.key("eve", user="other"), **PROTOCOL)
    first = ours.post("/mcp/ada", json={**ASK, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"},
    }})  # fmt: skip
    assert first.json()["result"]["serverInfo"]["name"] == "memagent ada"
    assert "mcp-session-id" not in first.headers and first.headers["cache-control"] == "no-store"
    assert theirs.post("/mcp/ada", json=ASK, headers={"mcp-session-id": "0" * 32}).status_code == 404
    assert [ours.request(method, "/mcp/ada").status_code for method in ("GET", "DELETE")] == [405, 405]
    assert ours.post("/mcp/ada", json=ASK, headers={"origin": "https://evil.example"}).status_code == 403
    assert ours.post("/mcp/ada", json={**ASK, "method": "subscriptions/listen"}).json()["error"]["code"] == -32601
    for body in (b"{", b"[]", b"[" * 100_000, b'{"jsonrpc": "2.0", "id": {}, "method": 1}', b"x" * 5_000_000):
        answer = ours.post("/mcp/ada", content=body, headers={"content-type": "application/json"})
        assert 400 <= answer.status_code < 500, answer.text


def test_without_the_extra_the_door_says_which_is_missing(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    find = registry.find_spec

    def without(name: str) -> ModuleSpec | None:
        return None if name == "mcp" else find(name)

    monkeypatch.setattr(registry, "find_spec", without)
    answer = server.http().post("/mcp", json=ASK)
    assert answer.status_code == 501 and "memagent[mcp]" in answer.json()["detail"]
