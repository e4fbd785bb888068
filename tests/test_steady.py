"""Core memory that is shown steadily: what a model has read need not be read again, and nothing is hidden from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memagent.agent import Agent
from memagent.assemble import load_agent, make_agent
from memagent.config import Settings
from memagent.errors import UserError
from memagent.llm import Request
from memagent.llm.scripted import ScriptedLLM
from memagent.storage.sqlite import SqliteDatabase

NOON = datetime(2026, 5, 31, 12, tzinfo=timezone(timedelta(hours=2)))
OWN = '''
from memagent.tools import tool

@tool(blocks=("block",), quiet=True, after_cut="retry")
def wipe(block: str) -> str:
    """Wipe a block.

    Args:
        block: Which.
    """
    return "Wiped."
'''
BLOCKS = {"rules": {"value": "Be kind.", "read_only": True}, "diary": {"value": "First line.\n\nSecond line."}}


class House:
    """A home with one agent in it, whose core memory is shown steadily or not."""

    def __init__(self, folder: Path, *, steady: bool = True) -> None:
        self.settings = Settings(home=folder, embedder="off", preset="own", verify_first=False, steady=steady)
        for name in ("presets", "prompts", "functions"):
            (folder / name).mkdir()
        (folder / "prompts" / "own.txt").write_text("You are tested.")
        (folder / "functions" / "own.py").write_text(OWN)
        self.database = SqliteDatabase(folder / "memagent.db")

    def agent(self, script: Sequence[Any], **preset: Any) -> Agent:
        page = {"system": "own", "functions": ["base", "own"], "blocks": BLOCKS, **preset}
        (self.settings.home / "presets" / "own.yaml").write_text(json.dumps(page))
        return make_agent(self.settings, self.database, "ada", llm=ScriptedLLM(script), clock=lambda: NOON)

    def again(self, script: Sequence[Any]) -> Agent:
        """The same agent, as another process would find it."""
        return load_agent(self.settings, self.database, "ada", llm=ScriptedLLM(script), clock=lambda: NOON)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    here = House(tmp_path)
    yield here
    here.database.close()


def edit(text: str, old: str = "", *, block: str = "human") -> dict[str, Any]:
    """A call that appends to a block, or replaces something in it."""
    if old:
        given = {"name": block, "old_content": old, "new_content": text}
        return {"call": "core_memory_replace", "arguments": given, "heartbeat": True}
    return {"call": "core_memory_append", "arguments": {"name": block, "content": text}, "heartbeat": True}


def steps(*replies: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"when": {}, "steps": list(replies)}]


def requests(agent: Agent) -> list[Request]:
    assert isinstance(agent.llm, ScriptedLLM)
    return list(agent.llm.requests)


def systems(agent: Agent) -> list[str]:
    return [request.messages[0].content for request in requests(agent)]


NAMED = [
    {"when": "Ada", "steps": [edit("Is called Ada."), {"say": "Hello Ada."}]},
    {"when": "Ida", "steps": [edit("Is called Ida.", "Is called Ada."), {"say": "Hello Ida."}]},
    {"when": "tea", "steps": [edit("Likes tea."), {"say": "Tea!"}]},
    {"when": "long", "say": "Yes. " * 400},
    {"when": {"kind": "user"}, "say": "Well."},
    {"text": "We met."},
]


# What is sent ---------------------------------------------------------------------------------------------------------


def test_what_the_model_has_read_stays_while_the_edits_are_in_view(house: House) -> None:
    agent = house.agent(NAMED)
    for text in ("I am Ada.", "No, Ida."):
        list(agent.turn(text))
    assert len(systems(agent)) == 4 and len(set(systems(agent))) == 1
    assert "Ada" not in systems(agent)[0] and "Ida" not in systems(agent)[0]
    assert agent.state.core.blocks["human"].value.endswith("Is called Ida.")
    for before, after in zip(requests(agent), requests(agent)[1:], strict=False):
        assert list(after.messages[: len(before.messages)]) == list(before.messages), "it only grows"
    assert any("Is called Ida." in call.arguments for m in requests(agent)[-1].messages for call in m.calls)


def test_another_process_shows_the_same(house: House) -> None:
    agent = house.agent(NAMED)
    list(agent.turn("I am Ada."))
    again = house.again([{"say": "Hello."}])
    list(again.turn("Hi"))
    assert systems(again) == systems(agent)[:1]


def test_without_it_an_edit_is_shown_at_once(tmp_path: Path) -> None:
    house = House(tmp_path, steady=False)
    agent = house.agent(NAMED)
    list(agent.turn("I am Ada."))
    assert ["Is called Ada." in text for text in systems(agent)] == [False, True]
    house.database.close()


def test_after_a_summary_it_is_shown_as_it_is(house: House) -> None:
    agent = house.agent(NAMED)
    list(agent.turn("I am Ada."))
    for _ in range(8):
        list(agent.turn("It was a long day. " * 40))
    assert len(set(systems(agent))) == 1
    list(agent.summarize())
    list(agent.turn("Who am I?"))
    assert not [call for m in agent.state.window for call in m.calls if call.name == "core_memory_append"]
    assert "Is called Ada." in systems(agent)[-1] and agent.core_in_view() == agent.state.core.render()


def test_an_edit_of_the_users_is_shown_at_once_and_stays(house: House) -> None:
    agent = house.agent(NAMED)
    list(agent.turn("I am Ada."))
    agent.state.edit_block("human", "Is called Grace.")
    list(agent.turn("I like tea."))
    assert "Is called Grace." in systems(agent)[2] and "Ada" not in systems(agent)[2]
    assert systems(agent)[3] == systems(agent)[2], "what the agent adds to it comes later"


def test_what_was_taken_back_is_shown_as_it_is_now(house: House) -> None:
    agent = house.agent(NAMED)
    for text in ("I am Ada.", "No, Ida."):
        list(agent.turn(text))
    agent.state.undo_edit()
    assert "Is called Ada." in agent.core_in_view() and "Ida" not in agent.core_in_view()
    agent.state.undo_edit()
    assert "Ada" not in agent.core_in_view() and agent.core_in_view() == agent.state.core.render()
    assert house.again([]).core_in_view() == agent.core_in_view()


def test_a_turn_that_was_taken_back_leaves_no_trace(house: House) -> None:
    agent = house.agent(NAMED)
    before = agent.core_in_view()
    list(agent.turn("I am Ada."))
    agent.state.undo_turn()
    assert agent.core_in_view() == before == agent.state.core.render()


EDITS = st.sampled_from(["append", "replace", "user", "undo", "pop", "summarize", "again"])


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(EDITS, st.sampled_from(["human", "diary"])), min_size=1, max_size=6))
def test_whatever_is_edited_is_in_view_and_nothing_changes_without_need(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[str, str]]
) -> None:
    house = House(tmp_path_factory.mktemp("house"))
    agent = house.agent([])
    for number, (what, block) in enumerate(edits):
        before = agent.core_in_view()
        lines = agent.state.core.blocks[block].value.splitlines()
        line = f"Line number {number}."
        if what in ("append", "replace"):
            agent = house.again(steps(edit(line, lines[-1] if what == "replace" else "", block=block), {"say": "Yes."}))
            list(agent.turn(f"Please {what}."))
            assert agent.core_in_view() == before, "the calls that edited it are in view"
            assert agent.state.core.blocks[block].value.endswith(line)
        elif what == "again":
            agent = house.again([])
            assert agent.core_in_view() == before
        elif what == "summarize":
            agent = house.again([{"text": "A summary."}])
            list(agent.summarize())
        elif what == "user":
            agent.state.edit_block(block, f"{line} By the user.")
            assert line in agent.core_in_view()
        elif what == "undo":
            agent.state.undo_edit()
        else:
            with suppress(UserError):  # there may be none
                agent.state.undo_turn()
        called = " ".join(call.arguments for m in agent.state.window for call in m.calls)
        for each in agent.state.core.blocks.values():
            for there in filter(None, each.value.splitlines()):
                assert there in agent.core_in_view() or there in called, f"{there!r} is hidden"
    house.database.close()


# What the model is held to --------------------------------------------------------------------------------------------


def test_a_model_is_told_which_functions_are_quiet_and_what_may_be_named(house: House) -> None:
    agent = house.agent([{"say": "Hello."}])
    list(agent.turn("Hi"))
    request = requests(agent)[0]
    assert set(request.quiet) == {
        "pause_heartbeats", "core_memory_append", "core_memory_replace", "archival_memory_insert", "wipe",
    }  # fmt: skip
    labels = ["persona", "human", "diary"]
    assert {key: list(of) for key, of in request.choices.items() if key[1] != "old_content"} == {
        ("core_memory_append", "name"): labels, ("core_memory_replace", "name"): labels, ("wipe", "block"): labels,
    }  # fmt: skip
    lines = request.choices["core_memory_replace", "old_content"]
    assert [*lines][-2:] == ["First line.", "Second line."] and "Be kind." not in lines and "" not in lines


def test_what_may_be_named_follows_core_memory(house: House) -> None:
    agent = house.agent(steps(edit("New line.", block="diary"), {"say": "Noted."}))
    list(agent.turn("Note it."))
    agent.state.edit_block("persona", "")
    agent.state.edit_block("human", "First line.\n")
    list(agent.turn("And now?"))
    lines = requests(agent)[-1].choices["core_memory_replace", "old_content"]
    assert lines == ["First line.", "Second line.", "New line."], "each once"


def test_a_preset_may_say_that_a_function_is_not_quiet(house: House) -> None:
    rules = {"core_memory_append": {"quiet": False}, "conversation_search": {"quiet": True}}
    agent = house.agent([{"say": "Hello."}], rules=rules)
    list(agent.turn("Hi"))
    quiet = set(requests(agent)[0].quiet)
    assert "conversation_search" in quiet and "core_memory_append" not in quiet and "core_memory_replace" in quiet
