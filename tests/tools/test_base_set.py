"""The base functions, called as the model calls them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from memagent.memory.archival import ArchivalMemory
from memagent.memory.core import Block, Draft
from memagent.memory.log import MessageLog
from memagent.memory.recall import RecallMemory
from memagent.messages import user_message
from memagent.stage import Door, Stage, StagedArchive, StagedCore, StagedFacts, StagedRecall
from memagent.storage.sqlite import SqliteDatabase
from memagent.tools import Outcome, Tool
from memagent.tools.loader import link
from memagent.tools.run import run

NOW = datetime(2026, 5, 31, 18, tzinfo=timezone(timedelta(hours=2)))


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Stage]:
    """An agent with two blocks of core memory, and nothing in the others yet."""
    database = SqliteDatabase(tmp_path / "memory.db")
    with database.write() as tx:
        tx.run(
            "INSERT INTO agents (id, owner, name, created, settings, system) VALUES ('a', 'me', 'Eva', ?, '{}', '')",
            NOW.isoformat(),
        )
    door = Door()
    core = StagedCore(Draft({"human": Block("human", "Name: Ada", 60), "persona": Block("persona", "", 60)}), door)
    recall = StagedRecall(RecallMemory(database, "a"), 1000)
    archive = StagedArchive(ArchivalMemory(database, "a", None), door)
    stage = Stage("Eva", NOW, tmp_path, "key", (), core, recall, archive, StagedFacts(None, "", [], door), str, door)
    stage.database = database  # type: ignore[attr-defined]
    yield stage
    database.close()


def store(agent: Any) -> None:
    """What was staged for archival memory is stored, as when a call has returned."""
    with agent.database.write() as tx:
        for prepared in agent.archival.prepared:
            agent.archival._archival.store(tx, prepared, turn=1, now=NOW)
    agent.archival.prepared.clear()


def hear(agent: Any, *texts: str) -> None:
    """The user said these things, an hour after each other."""
    messages = [user_message(text, NOW + timedelta(hours=hour)) for hour, text in enumerate(texts)]
    with agent.database.write() as tx:
        MessageLog(agent.database, "a").append(tx, messages, 1)


@pytest.fixture(scope="module")
def tools() -> Mapping[str, Tool]:
    return link(["base"], [])


@pytest.fixture
def call(tools: Mapping[str, Tool], agent: Stage) -> Any:
    def calling(name: str, /, **arguments: Any) -> Outcome:
        return run(tools[name], json.dumps(arguments), agent)

    return calling


def test_the_set_is_whole_and_small(tools: Mapping[str, Tool]) -> None:
    assert list(tools) == [
        "send_message",
        "pause_heartbeats",
        "core_memory_append",
        "core_memory_replace",
        "conversation_search",
        "conversation_search_date",
        "archival_memory_insert",
        "archival_memory_search",
    ]
    schemas = json.dumps([tool.schema for tool in tools.values()], separators=(",", ":"))
    assert len(schemas) / 4 <= 760


def test_only_send_message_ends_the_turn_and_all_are_safe_to_run_again(tools: Mapping[str, Tool]) -> None:
    assert [name for name, tool in tools.items() if tool.rules.ends_turn] == ["send_message"]
    for name, tool in tools.items():
        assert tool.rules.inside and tool.rules.after_cut == "retry" and not tool.rules.approval
        assert ("request_heartbeat" in tool.schema["parameters"]["properties"]) == (name != "send_message")


def test_speaking(call: Any, agent: Stage) -> None:
    assert call("send_message", message="Hello", request_heartbeat=True) == Outcome(True, "Sent.", False)
    assert agent.said == ["Hello"]
    assert not call("send_message", message=" ").ok


def test_pausing(call: Any, agent: Stage) -> None:
    assert call("pause_heartbeats", minutes="90").ok
    assert agent.quiet_until == NOW + timedelta(minutes=90)
    assert not call("pause_heartbeats", minutes=10**30).ok


def test_core_memory_is_appended_and_replaced(call: Any, agent: Stage) -> None:
    assert call("core_memory_append", name="human", content="Likes tea").text == "Saved. human now has 19 characters."
    assert call("core_memory_replace", name="human", old_content="tea", new_content="coffee").ok
    assert agent.core.read("human") == "Name: Ada\nLikes coffee"


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("core_memory_append", {"name": "human", "content": "x" * 100}, "can hold 60 characters"),
        ("core_memory_append", {"name": "pet", "content": "x"}, "There is no block 'pet'"),
        ("core_memory_replace", {"name": "human", "old_content": "Bob", "new_content": ""}, "is not in the block"),
        ("core_memory_replace", {"name": "human", "old_content": "a", "new_conten": ""}, "did you mean 'new_content'"),
    ],
)
def test_an_edit_that_can_not_be_made_is_told(call: Any, agent: Stage, name: str, arguments: Any, said: str) -> None:
    outcome = call(name, **arguments)
    assert not outcome.ok and said in outcome.text
    assert agent.core.changes() == []


def test_archival_memory_keeps_and_finds(call: Any, agent: Stage) -> None:
    assert call("archival_memory_insert", content="Ada was born in London.", tags="ada").text == "Kept."
    assert call("archival_memory_insert", content="Some words. " * 200).text == "Kept, in 3 parts."
    store(agent)
    assert call("archival_memory_insert", content="Ada was born in London.").text == "This very text was kept already."
    assert call("archival_memory_search", query="born").text == (
        "Results 1-1 of 1 (page 0):\n[Sun 2026-05-31 18:00] you (ada): Ada was born in London."
    )


def test_results_are_paged_with_true_totals(call: Any, agent: Stage) -> None:
    hear(agent, *(f"note\n{number}" for number in range(23)))
    first = call("conversation_search_date", start_date="2026-05-31", end_date="2026-06-02").text.splitlines()
    assert first[0] == "Results 1-5 of 23 (page 0):"
    assert first[1:] == [f"[Sun 2026-05-31 {18 + number}:00] user: note {number}" for number in range(5)]
    assert call("conversation_search", query="note").text.startswith("Results 1-5 of 23 (page 0):")
    assert call("conversation_search", query="note", page="4").text.startswith("Results 21-23 of 23 (page 4):")
    for page in (5, 10**30):
        assert call("conversation_search", query="note", page=page).text == (
            f"There is no page {page}. The 23 results are on pages 0 to 4."
        )
    assert call("conversation_search", query="nothing").text == "Nothing was found."
    assert not call("conversation_search", query="note", page=-1).ok


def test_long_results_share_the_room(call: Any, agent: Stage) -> None:
    hear(agent, *(f"{number} " + "word " * 2000 for number in range(5)))
    text = call("conversation_search", query="word").text
    assert len(text) < 6000
    assert [line.count("more characters") for line in text.splitlines()] == [0, 1, 1, 1, 1, 1]


def test_passages_of_archival_memory_are_shown_whole(call: Any, agent: Stage) -> None:
    call("archival_memory_insert", content="All of these words are wanted. " * 200)
    store(agent)
    text = call("archival_memory_search", query="wanted").text
    assert text.startswith("Results 1-5 of ") and "more characters" not in text and "[cut" not in text


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        ("2026-05-31", "2026-05-31", range(6)),
        ("2026-06-01", "2026-06-01", range(6, 10)),
        ("2026-05-31T19:00", "2026-05-31 20:30", (1, 2)),
        ("2026-05-31T17:00:00Z", "2026-05-31T18:00:00+00:00", (1, 2)),
        ("", "2026-05-31T18:00", (0,)),
    ],
)
def test_dates_and_times(call: Any, agent: Stage, start: str, end: str, hours: Sequence[int]) -> None:
    hear(agent, *(f"note {number}" for number in range(10)))
    text = call("conversation_search_date", start_date=start, end_date=end).text
    assert re.findall(r"note (\d)", text) == [str(hour) for hour in hours][:5]
    assert f"of {len(hours)} " in text


@pytest.mark.parametrize("given", ["yesterday", "31.05.2026", "2026-02-30", "x" * 10_000])
def test_what_is_no_date_is_told(call: Any, given: str) -> None:
    outcome = call("conversation_search_date", start_date="2026-01-01", end_date=given)
    assert not outcome.ok
    assert outcome.text.startswith("end_date must be a date like 2026-05-31 or 2026-05-31T18:30, not ")
    assert len(outcome.text) < 200
