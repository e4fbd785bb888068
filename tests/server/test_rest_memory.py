"""The REST door with the published client: core memory, blocks that are shared, archival memory, and tools."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import letta_client
import pytest
from letta import client_of, made
from letta_client import Letta
from serving import Serving

from memagent.memory.core import CoreMemory

DICE = '''
def roll_dice(sides: int = 6) -> int:
    """Roll a die.

    Args:
        sides: How many sides it has.
    """
    return sides
'''


@pytest.fixture
def client(server: Serving) -> Iterator[Letta]:
    with client_of(server) as client:
        yield client


# Core memory --------------------------------------------------------------------------------------------------------


def test_core_memory_is_read_and_changed_and_every_edit_has_its_cause(client: Letta, server: Serving) -> None:
    agent = made(client, memory_blocks=[{"label": "human", "value": "Bo.", "limit": 10}])
    block = client.agents.blocks.update("human", agent_id=agent.id, value="Bo, 40.", description="of them", limit=8)
    assert (block.value, block.description, block.limit) == ("Bo, 40.", "of them", 8)
    assert client.agents.blocks.retrieve("human", agent_id=agent.id) == block
    assert [each.label for each in client.agents.blocks.list(agent.id)] == ["human"]
    edits = CoreMemory(server.database, server.entry().id).history()
    assert [(edit.after, edit.cause) for edit in edits] == [("Bo, 40.", "user"), ("Bo.", "preset")]
    with pytest.raises(letta_client.BadRequestError, match="8 characters"):
        client.agents.blocks.update("human", agent_id=agent.id, value="far too long")
    with pytest.raises(letta_client.NotFoundError, match="no block"):
        client.agents.blocks.retrieve("mood", agent_id=agent.id)
    client.agents.messages.create(agent.id, input="hello")  # the agent sees it, whoever has it open
    assert client.agents.blocks.retrieve("human", agent_id=agent.id).value == "Bo, 40."


def test_a_block_is_shared_and_what_one_agent_notes_the_other_knows(client: Letta, server: Serving) -> None:
    shared = client.blocks.create(label="human", value="Bo.", tags=["team"], metadata={"a": 1})
    ada = made(client, memory_blocks=[], block_ids=[shared.id])
    eve = made(client, "eve", memory_blocks=[{"label": "persona", "value": "I am Eve."}])
    attached = client.agents.blocks.attach(shared.id, agent_id=eve.id)
    assert [block.id for block in attached.blocks][-1] == shared.id
    assert [agent.id for agent in client.blocks.agents.list(shared.id, order="asc")] == [ada.id, eve.id]
    client.agents.messages.create(ada.id, input="note likes tea")
    assert client.agents.blocks.retrieve("human", agent_id=eve.id).value == "Bo.\nlikes tea"
    edits = CoreMemory(server.database, server.entry("eve").id).history("human")
    assert [edit.cause for edit in edits] == ["shared: core_memory_append", "attached"]
    client.blocks.update(shared.id, value="New.", limit=100)
    assert {client.agents.blocks.retrieve("human", agent_id=of).value for of in (ada.id, eve.id)} == {"New."}
    assert client.blocks.retrieve(shared.id).metadata == {"a": 1}
    detached = client.agents.blocks.detach(shared.id, agent_id=eve.id)
    assert [block.label for block in detached.blocks] == ["persona"]
    assert [block.id for block in client.blocks.list(tags=["team"])] == [shared.id]
    client.blocks.delete(shared.id)
    assert client.agents.retrieve(ada.id).blocks == []
    with pytest.raises(letta_client.NotFoundError):
        client.blocks.retrieve(shared.id)


def test_blocks_are_listed_page_by_page(client: Letta) -> None:
    for number in range(5):
        client.blocks.create(label=f"block_{number}", value=f"text {number}")
    made(client)
    labels = [block.label for block in client.blocks.list(limit=2)]
    assert labels == [*(f"block_{number}" for number in range(5)), "human", "persona"]
    assert [block.label for block in client.blocks.list(limit=3, order="desc")] == labels[::-1]
    assert [block.value for block in client.blocks.list(label="block_3")] == ["text 3"]
    assert len(list(client.blocks.list(value_search="TEXT"))) == 5


def test_blocks_are_their_owners_alone(server: Serving) -> None:
    with client_of(server, server.key("a", user="ann")) as ann, client_of(server, server.key("b", user="bo")) as bo:
        block, agent, own = ann.blocks.create(label="x", value=""), made(ann), made(bo)
        for call in (bo.blocks.retrieve, bo.blocks.update, bo.blocks.delete, bo.blocks.agents.list):
            with pytest.raises(letta_client.NotFoundError):
                call(block.id)
        for id in (block.id, agent.blocks[0].id):
            with pytest.raises(letta_client.NotFoundError):
                bo.agents.blocks.attach(id, agent_id=own.id)
        with pytest.raises(letta_client.NotFoundError):
            bo.agents.blocks.update("human", agent_id=agent.id, value="mine")
        assert len(list(bo.blocks.list())) == 2


# Archival memory ----------------------------------------------------------------------------------------------------


def test_passages_are_kept_listed_searched_and_deleted(client: Letta) -> None:
    agent = made(client)
    noon = datetime(2025, 3, 4, 12, tzinfo=UTC)
    for number, tags in enumerate((["tea"], ["tea", "china"], ["coffee"], None, ["tea"])):
        [kept] = client.agents.passages.create(agent.id, text=f"Note {number} on drinks", tags=tags, created_at=noon)
        assert kept.id.startswith("passage-") and kept.tags == (tags or []) and kept.created_at == noon
    texts = [f"Note {number} on drinks" for number in range(5)]

    def listed(**more: object) -> list[str]:
        return [passage.text for passage in client.agents.passages.list(agent.id, **more)]  # type: ignore[arg-type]

    assert listed(limit=10) == texts and listed(ascending=False) == texts[::-1] and listed(search="3 ON") == texts[3:4]
    first, second = client.agents.passages.list(agent.id, limit=2)
    assert [each.text for each in client.agents.passages.list(agent.id, after=second.id)] == texts[2:]
    assert [each.id for each in client.agents.passages.list(agent.id, before=second.id)] == [first.id]

    found = client.agents.passages.search(agent.id, query="drinks", tags=["tea", "china"], tag_match_mode="all")
    assert [result.content for result in found.results] == [texts[1]] and found.count == 1
    assert client.agents.passages.search(agent.id, query="drinks", tags=["china", "coffee"]).count == 2
    assert client.agents.passages.search(agent.id, query="drinks", top_k=3).count == 3
    assert client.agents.passages.search(agent.id, query="drinks", start_datetime=datetime(2026, 1, 1)).count == 0
    assert found.results[0].tags == ["tea", "china"] and found.results[0].timestamp.startswith("2025-03-04")

    client.agents.passages.delete(second.id, agent_id=agent.id)
    assert texts[1] not in listed()
    with pytest.raises(letta_client.NotFoundError):
        client.agents.passages.delete(second.id, agent_id=agent.id)
    [again] = client.agents.passages.create(agent.id, text=texts[0], tags=["more"])
    assert again.id == first.id and again.tags == ["tea", "more"], "the same text is the same note"


def test_what_an_agent_keeps_is_there_and_long_texts_are_cut(client: Letta) -> None:
    agent = made(client)
    client.agents.messages.create(agent.id, input="keep the blue key opens the shed")
    assert [each.text for each in client.agents.passages.list(agent.id)] == ["the blue key opens the shed"]
    parts = client.agents.passages.create(agent.id, text="A sentence that is said again. " * 300)
    assert len(parts) > 1
    with pytest.raises(letta_client.BadRequestError, match="no text"):
        client.agents.passages.create(agent.id, text="  ")
    with pytest.raises(letta_client.BadRequestError, match="tag"):
        client.agents.passages.create(agent.id, text="x", tags=["y" * 100])


def test_passages_are_their_owners_alone(server: Serving) -> None:
    with client_of(server, server.key("a", user="ann")) as ann, client_of(server, server.key("b", user="bo")) as bo:
        agent, own = made(ann), made(bo)
        [passage] = ann.agents.passages.create(agent.id, text="secret")
        for id in (agent.id, own.id):
            with pytest.raises(letta_client.NotFoundError):
                bo.agents.passages.delete(passage.id, agent_id=id)
        with pytest.raises(letta_client.NotFoundError):
            bo.agents.passages.search(agent.id, query="secret")
        assert not list(bo.agents.passages.list(own.id, after=passage.id))


# Tools --------------------------------------------------------------------------------------------------------------


def test_tools_are_the_operators_and_are_given_and_taken(client: Letta, home: Path) -> None:
    (home / "functions").mkdir()
    (home / "functions" / "games.py").write_text(DICE)
    (home / "functions" / "broken.py").write_text("def oops(:")
    dice = client.tools.list(name="roll_dice").items[0]
    assert client.tools.retrieve(dice.id) == dice and dice.json_schema["parameters"]["properties"]["sides"]
    names = [tool.name for tool in client.tools.list(limit=3)]
    assert {"roll_dice", "send_message", "archival_memory_search"} <= {*names} and len({*names}) == len(names)
    assert client.tools.search(query="roll a die")[0].tool.name == "roll_dice"
    agent = made(client)
    client.agents.tools.attach(dice.id, agent_id=agent.id)
    assert "roll_dice" in [tool.name for tool in client.agents.tools.list(agent.id)]
    client.agents.tools.detach(dice.id, agent_id=agent.id)
    client.agents.tools.detach(client.tools.list(name="core_memory_replace").items[0].id, agent_id=agent.id)
    left = [tool.name for tool in client.agents.tools.list(agent.id)]
    assert not {"roll_dice", "core_memory_replace"} & {*left} and "core_memory_append" in left
    assert client.agents.messages.create(agent.id, input="hello").stop_reason.stop_reason == "end_turn"
    with pytest.raises(letta_client.BadRequestError, match="mute"):
        client.agents.tools.detach(client.tools.list(name="send_message").items[0].id, agent_id=agent.id)


def test_an_agent_whose_function_is_gone_is_still_shown(client: Letta, home: Path) -> None:
    (home / "functions").mkdir()
    (home / "functions" / "games.py").write_text(DICE)
    agent = made(client, tools=["roll_dice"])
    (home / "functions" / "games.py").unlink()
    names = [tool.name for tool in client.agents.retrieve(agent.id).tools]
    assert "send_message" in names and "roll_dice" not in names


def test_no_code_is_ever_taken(client: Letta, home: Path) -> None:
    agent, source = made(client), f"open({str(home / 'taken')!r}, 'w')\n{DICE}"
    for call in (client.tools.create, client.tools.upsert):
        with pytest.raises(letta_client.BadRequestError, match="none of its code ever runs here"):
            call(source_code=source)
    known = client.tools.list(name="send_message").items[0].id
    for again in (
        lambda: client.tools.update(known, source_code=source),
        lambda: client.tools.delete(known),
        lambda: client.agents.tools.run("send_message", agent_id=agent.id, args={"message": "x"}),
    ):
        with pytest.raises(letta_client.BadRequestError):
            again()
    assert not (home / "taken").exists() and not (home / "functions").exists()


def test_the_context_window_is_shown_by_part(client: Letta, server: Serving) -> None:
    agent = made(client, system="Be kind.")
    client.agents.messages.create(agent.id, input="hello")
    shown = server.http().get(f"/v1/agents/{agent.id}/context").json()
    assert shown["system_prompt"] == "Be kind." and "<human" in shown["core_memory"]
    assert shown["context_window_size_current"] == sum(shown["parts"].values()) > shown["num_tokens_messages"] > 0
