"""The REST door with the published client: health, models, and agents made, listed, changed and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import letta_client
import pytest
from letta import client_of, made
from letta_client import Letta
from serving import Serving


@pytest.fixture
def client(server: Serving) -> Iterator[Letta]:
    with client_of(server) as client:
        yield client


def test_health_and_models(client: Letta) -> None:
    assert client.health().status == "ok"
    assert [model.handle for model in client.models.list()] == ["scripted/scripted"]
    assert client.models.embeddings.list() == []


def test_an_agent_is_made_as_asked_and_told_again(client: Letta, server: Serving) -> None:
    agent = client.agents.create(
        name="ada",
        model="openai/gpt-4o-mini",
        embedding="openai/text-embedding-3-small",
        memory_blocks=[
            {"label": "human", "value": "Bo.", "limit": 300, "description": "of the user", "read_only": True},
            {"label": "persona", "value": "", "tags": ["mine"], "metadata": {"a": 1}},
        ],
        tools=["http_request"], tags=["x", "y"], system="Be kind.", metadata={"of": "test"}, description="A friend.",
        context_window_limit=16_000, agent_type="memgpt_v2_agent", timezone="Europe/Oslo",
        tool_rules=[{"type": "requires_approval", "tool_name": "http_request"}],
    )  # fmt: skip
    again = client.agents.retrieve(agent.id)
    assert again == agent and agent.id.startswith("agent-") and len(agent.id) == 42
    assert (agent.name, agent.system, agent.model) == ("ada", "Be kind.", "openai/gpt-4o-mini")
    assert agent.llm_config.context_window == 16_000 and agent.embedding == "openai/text-embedding-3-small"
    assert agent.tags == ["x", "y"] and agent.metadata == {"of": "test"} and agent.timezone == "Europe/Oslo"
    human, persona = agent.memory.blocks
    assert (human.label, human.value, human.limit, human.read_only) == ("human", "Bo.", 300, True)
    assert (persona.value, persona.tags, persona.metadata) == ("", ["mine"], {"a": 1})
    tools = {tool.name: tool for tool in agent.tools}
    assert {"send_message", "core_memory_append", "http_request"} <= tools.keys()
    assert tools["http_request"].default_requires_approval and tools["http_request"].json_schema["parameters"]
    assert server.entry("ada").settings["settings"]["context_window"] == 16_000


def test_an_agent_without_any_wishes_has_what_its_preset_gives(client: Letta) -> None:
    agent = client.agents.create()
    assert agent.name.startswith("agent-")
    assert [block.label for block in agent.blocks] == ["persona", "human"]
    bare = client.agents.create(include_base_tools=False, memory_blocks=[])
    assert [tool.name for tool in bare.tools] == ["send_message"] and bare.blocks == []


def test_lists_end_and_find(client: Letta) -> None:
    for number in range(7):
        made(client, f"ada {number}", tags=["even" if number % 2 == 0 else "odd", "all"])
    names = [f"ada {number}" for number in range(7)]
    assert [agent.name for agent in client.agents.list(limit=2)] == names[::-1]
    assert [agent.name for agent in client.agents.list(limit=3, order="asc")] == names
    assert [agent.name for agent in client.agents.list(name="ada 3")] == ["ada 3"]
    assert len(list(client.agents.list(query_text="DA 5"))) == 1
    assert [agent.name for agent in client.agents.list(tags=["odd"], order="asc", limit=1)] == names[1::2]
    assert len(list(client.agents.list(tags=["odd", "all"], match_all_tags=True))) == 3
    last = client.agents.list(order="asc").items[-1]
    assert [agent.name for agent in client.agents.list(order="asc", before=last.id, limit=2).items] == names[4:6]
    found = client.agents.list(include=["agent.blocks"], limit=1).items[0]
    assert found.blocks and not found.tools
    assert not list(client.agents.list(after="agent-00000000-0000-0000-0000-000000000000"))


def test_an_agent_is_changed_and_deleted(client: Letta) -> None:
    agent = made(client, tags=["old"], description="stays")
    changed = client.agents.update(
        agent.id, name="eve", system="New.", tags=["new"], model="scripted/other", model_settings={"temperature": 0.5}
    )  # fmt: skip
    assert (changed.name, changed.system, changed.tags) == ("eve", "New.", ["new"])
    assert (changed.description, changed.llm_config.temperature) == ("stays", 0.5)
    assert changed.model == "scripted/other" and client.agents.retrieve(agent.id) == changed
    bare = client.agents.update(agent.id, tags=None, model_settings=None, description=None, metadata=None)
    assert (bare.tags, bare.description, bare.metadata) == ([], None, {})
    client.agents.delete(agent.id)
    with pytest.raises(letta_client.NotFoundError, match="not found"):
        client.agents.retrieve(agent.id)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"tools": ["no_such_function"]}, "There is no tool"),
        ({"secrets": {"A": "b"}}, "environment"),
        ({"memory_blocks": [{"label": "a b<", "value": ""}]}, "no label"),
        ({"memory_blocks": [{"label": "human", "value": "long", "limit": 2}]}, "limit is 2"),
        ({"context_window_limit": -1}, "context_window must be"),
        ({"name": "../ada"}, "can't be used"),
        ({"block_ids": ["block-00000000-0000-0000-0000-000000000000"]}, "no block"),
        ({"metadata": {"a": "x" * 200_000}}, "characters"),
        ({"tool_rules": [{"type": "requires_approval", "tool_name": "none"}]}, "rules"),
        ({"initial_message_sequence": [{"role": "user", "content": "x"}]}, "agent file"),
    ],
)
def test_what_can_not_be_done_is_refused_in_words_and_leaves_nothing(
    client: Letta, wish: dict[str, object], words: str
) -> None:
    with pytest.raises(letta_client.APIStatusError, match=words) as refused:
        client.agents.create(**{"name": "ada", **wish})  # type: ignore[arg-type]
    assert 400 <= refused.value.status_code < 500 and refused.value.body["detail"]  # type: ignore[index]
    assert not list(client.agents.list())


def test_names_are_taken_once_and_nobody_asks_again(client: Letta, server: Serving) -> None:
    made(client)
    with pytest.raises(letta_client.ConflictError) as taken:
        made(client)
    assert taken.value.response.headers["x-should-retry"] == "false"


def test_agents_are_their_owners_alone(server: Serving) -> None:
    with client_of(server, server.key("a", user="ann")) as ann, client_of(server, server.key("b", user="bo")) as bo:
        agent = made(ann)
        assert [each.id for each in ann.agents.list()] == [agent.id] and not list(bo.agents.list())
        for call in (bo.agents.retrieve, bo.agents.delete, bo.agents.update):
            with pytest.raises(letta_client.NotFoundError):
                call(agent.id)
        made(bo)  # the same name is another agent
    with client_of(server, server.key("r", "read", user="ann")) as reader:
        assert reader.agents.retrieve(agent.id).name == "ada"
        with pytest.raises(letta_client.PermissionDeniedError):
            reader.agents.delete(agent.id)
    with client_of(server) as nobody, pytest.raises(letta_client.AuthenticationError):
        nobody.agents.list()


def test_a_model_that_is_run_elsewhere_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from serving import served

    monkeypatch.setenv("MEMAGENT_PROVIDER", "openai")
    monkeypatch.setenv("MEMAGENT_API_KEY", "sk-none-of-this-is-used")
    with served(home, provider="openai", model="gpt-4o") as server, client_of(server) as client:
        with pytest.raises(letta_client.BadRequestError, match="run by 'openai'"):
            made(client, model="anthropic/claude")
        assert made(client, model="openai/gpt-4.1").model == "openai/gpt-4o", "a flag of the server's wins"
