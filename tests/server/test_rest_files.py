"""The REST door with the published client: agents out and in as files, whatever stands in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import letta_client
import pytest
from letta import client_of, made
from letta_client import Letta
from serving import Serving

from memagent.roster import Roster
from memagent.transfer import export

CODE = "import pathlib\npathlib.Path('{place}').write_text('run')\ndef evil():\n    pass\n"


@pytest.fixture
def client(server: Serving) -> Iterator[Letta]:
    with client_of(server) as client:
        yield client


def taken_in(client: Letta, document: Any, **more: Any) -> list[str]:
    text = document if isinstance(document, str | bytes) else json.dumps(document)
    data = text if isinstance(text, bytes) else text.encode()
    return client.agents.import_file(file=("agent.af", data, "application/json"), **more).agent_ids


def said(client: Letta, agent: str) -> list[tuple[str, str]]:
    messages = client.agents.messages.list(agent, order="asc", limit=1000)
    keys = ("content", "reasoning", "tool_return", "summary")
    return [
        (m.message_type, next((str(v) for k in keys if (v := getattr(m, k, None)) is not None), "")) for m in messages
    ]


def test_an_agent_goes_out_and_comes_in_again(client: Letta) -> None:
    agent = made(client, system="Be kind.", tags=["x"], tools=["http_request"])
    client.agents.messages.create(agent.id, input="note likes tea")
    client.agents.messages.create(agent.id, input="hello")
    client.agents.passages.create(agent.id, text="The blue key.", tags=["keys"])
    file = client.agents.export_file(agent.id)
    document = json.loads(file)
    assert document["agents"][0]["name"] == "ada" and len(document["agents"][0]["messages"]) > 8
    [copy] = taken_in(client, file)
    again = client.agents.retrieve(copy)
    assert (again.name, again.system, again.tags) == ("ada_2", "Be kind.", ["x"])
    assert [(b.label, b.value) for b in again.blocks] == [("human", "Bo.\nlikes tea"), ("persona", "I am Ada.")]
    assert {tool.name for tool in again.tools} == {tool.name for tool in agent.tools}
    assert said(client, copy) == said(client, agent.id)
    assert [(p.text, p.tags) for p in client.agents.passages.list(copy)] == [("The blue key.", ["keys"])]
    answer = client.agents.messages.create(copy, input="and now?")
    assert answer.messages[-1].content == "echo and now?"
    bare = json.loads(client.agents.export_file(agent.id, scrub_messages=True))
    assert bare["agents"][0]["messages"] == []
    [named] = taken_in(client, json.dumps(file), name="eve", strip_messages=True)  # JSON within a string of JSON
    assert client.agents.retrieve(named).name == "eve" and said(client, named) == []


def wild(**more: Any) -> dict[str, Any]:
    """A file as other programs write it."""
    call = {"id": "call_1", "type": "function", "function": {"name": "send_message", "arguments": '{"message": "Hi!"}'}}
    lost = {"id": "call_2", "type": "function", "function": {"name": "evil", "arguments": "{broken"}}
    packed = json.dumps({"type": "user_message", "message": "It is me.", "time": "noon"})
    messages = [
        {"id": "m0", "role": "system", "content": [{"type": "text", "text": "compiled"}]},
        {"id": "m1", "role": "user", "content": [{"type": "text", "text": packed}],
         "created_at": "2025-01-02T03:04:05"},
        {"id": "m2", "role": "assistant", "content": [{"type": "text", "text": "Who?"}], "tool_calls": [call]},
        {"id": "m3", "role": "tool", "content": [{"type": "text", "text": '{"status": "OK", "message": "None"}'}],
         "tool_call_id": "call_1"},
        {"id": "m4", "role": "user", "content": json.dumps(json.dumps({"type": "heartbeat", "reason": "x"}))},
        {"id": "m5", "role": "assistant", "content": None, "tool_calls": [lost]},
        {"id": "m6", "role": "user", "content": "Are you there?"},
        {"id": "m7", "role": "tool", "content": "nobody asked", "tool_call_id": "call_9"},
    ]  # fmt: skip
    agent = {
        "id": "agent-0", "name": "Memo 📓 <b>", "system": "Be.", "agent_type": "letta_v1_agent", "tags": ["wild"],
        "llm_config": {"model": "gpt-4o", "handle": "openai/gpt-4o", "model_endpoint": "http://127.0.0.1:1/"},
        "block_ids": ["block-0"], "tool_ids": ["tool-0", "tool-1"], "messages": messages,
        "in_context_message_ids": ["m4", "m5", "m6"],
    }  # fmt: skip
    return {
        "agents": [{**agent, **more}],
        "blocks": [{"id": "block-0", "label": "/notes of mine/", "value": "x" * 6000, "limit": 20_000}],
        "tools": [
            {"id": "tool-0", "name": "send_message", "source_code": "raise SystemExit"},
            {"id": "tool-1", "name": "evil", "description": "Does harm.", "json_schema": {"name": "evil"},
             "source_code": CODE.format(place="/none")},
        ],
        "groups": [], "files": [], "sources": [], "mcp_servers": [],
    }  # fmt: skip


def test_a_file_of_another_program_comes_in_and_none_of_its_code_runs(
    client: Letta, home: Path, server: Serving
) -> None:
    document = wild()
    document["tools"][1]["source_code"] = CODE.format(place=home / "taken")
    [id] = taken_in(client, document)
    agent = client.agents.retrieve(id)
    assert agent.name == "Memo b" and agent.tags == ["wild"] and agent.model == "openai/gpt-4o"
    assert (agent.blocks[0].label, len(agent.blocks[0].value)) == ("notes_of_mine", 6000)
    tools = {tool.name: tool for tool in agent.tools}
    assert tools.keys() == {"send_message", "evil"} and tools["evil"].tags == ["disabled"]
    assert "write_text" in tools["evil"].source_code and tools["send_message"].source_code is None
    talk = said(client, id)
    assert [kind for kind, _ in talk] == [
        "user_message", "reasoning_message", "assistant_message", "system_message", "tool_call_message",
        "tool_return_message", "user_message", "summary_message",
    ]  # fmt: skip
    assert ("user_message", "It is me.") in talk and ("assistant_message", "Hi!") in talk
    assert "did not happen" in talk[5][1] and "It is me." in talk[-1][1]
    window = client.agents.retrieve(id).message_ids
    assert len(window) == 5, "the summary, and what was in view"
    assert client.agents.messages.create(id, input="hello").messages[-1].content == "echo hello"
    assert not (home / "taken").exists()


def test_an_agent_that_spoke_plainly_goes_on_doing_so(client: Letta, server: Serving) -> None:
    document = wild(tool_ids=["tool-1"], messages=[
        {"role": "user", "content": "Hello?"}, {"role": "assistant", "content": [{"type": "text", "text": "Hi!"}]},
    ])  # fmt: skip
    [id] = taken_in(client, document)
    assert said(client, id) == [("user_message", "Hello?"), ("assistant_message", "Hi!")]
    assert server.entry("Memo b").settings["speech"] == "plain"
    assert [tool.name for tool in client.agents.retrieve(id).tools] == ["evil"]
    assert "boot" not in {row[0] for row in server.rows("SELECT kind FROM messages")}


def test_blocks_that_agents_of_a_file_share_are_shared_again(client: Letta) -> None:
    document = wild()
    document["agents"].append({**document["agents"][0], "id": "agent-1", "name": "second", "messages": []})
    first, second = taken_in(client, document)
    block = client.agents.retrieve(first).blocks[0]
    assert client.agents.retrieve(second).blocks[0].id == block.id
    assert len(list(client.blocks.agents.list(block.id))) == 2


def test_a_file_of_memagents_own_comes_in(client: Letta, server: Serving) -> None:
    from memagent import transfer
    from memagent.roster import Roster

    server.agent("ada")
    own = transfer.export(server.database, Roster(server.database, "local"), "ada")
    [id] = taken_in(client, own, append_copy_suffix=True)
    assert client.agents.retrieve(id).name == "ada_copy"


@pytest.mark.parametrize(
    "wrong", [[], {"tags": 5}, {"metadata": []}, {"disabled_tools": [5]}, {"model_settings": "x"}, {"description": {}}]
)
def test_a_file_that_holds_nonsense_spoils_no_list(client: Letta, server: Serving, wrong: Any) -> None:
    document = json.loads(export(server.database, Roster(server.database, "local"), made(client, tags=["x"]).name))
    settings = json.loads(document["agent"]["settings"])
    right = {"timezone": "Europe/Lisbon"}
    settings["beside"] = wrong if isinstance(wrong, list) else {**right, **wrong}
    document["agent"] |= {"name": "eve", "settings": json.dumps(settings)}
    [eve] = taken_in(client, document)
    assert {agent.name for agent in client.agents.list()} == {"ada", "eve"}
    assert client.agents.retrieve(eve).timezone == (None if isinstance(wrong, list) else right["timezone"])
    assert client.agents.export_file(eve)


def test_what_is_no_agent_file_is_refused_in_words_and_leaves_nothing(client: Letta) -> None:
    documents: list[Any] = [
        b"\xff\xfe", "", "no json", "[]", '"text"', "{}", {"agents": []}, {"agents": [{"name": 5}]}, "[" * 100_000,
        wild(block_ids=["block-7"]), wild(messages=[{"role": "user", "content": 7}]), wild(messages="none"),
        {"format": "memagent-agent", "version": 99}, wild(metadata={"a": "x" * 200_000}),
    ]  # fmt: skip
    for number, document in enumerate(documents):
        with pytest.raises(letta_client.BadRequestError) as refused:
            taken_in(client, document)
            pytest.fail(f"document {number} was taken in")
        assert refused.value.body["detail"], number  # type: ignore[index]
        assert not list(client.agents.list()) and not list(client.blocks.list()), number


def test_files_are_their_owners_alone(server: Serving) -> None:
    with client_of(server, server.key("a", user="ann")) as ann, client_of(server, server.key("b", user="bo")) as bo:
        agent = made(ann)
        with pytest.raises(letta_client.NotFoundError):
            bo.agents.export_file(agent.id)
        taken_in(bo, ann.agents.export_file(agent.id))
        assert len(list(bo.agents.list())) == 1 == len(list(ann.agents.list()))
    key = server.key("c", "chat", user="ann")
    answer = httpx2.post(
        f"{server.address}/v1/agents/import", files={"file": ("a", b"{}")}, headers={"authorization": f"Bearer {key}"},
        trust_env=False,
    )  # fmt: skip
    assert answer.status_code == 403
