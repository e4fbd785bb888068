"""The base functions, called as the model calls them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from memagent.errors import ToolError
from memagent.memory.core import Block, Draft
from memagent.storage import Found, Page
from memagent.tools import Outcome, Tool
from memagent.tools.loader import link
from memagent.tools.run import run

ZONE = timezone(timedelta(hours=2))


class Shelf:
    """A memory of texts, that finds those with the query in them, five on a page."""

    def __init__(self) -> None:
        self.texts: list[Found] = []
        self.asked: list[Any] = []

    def insert(self, text: str, tags: Sequence[str] = ()) -> int:
        when = datetime(2026, 5, 1, 12, tzinfo=UTC) + timedelta(hours=len(self.texts))
        self.texts.append(Found(text, when, "user", len(self.texts), tuple(tags)))
        return 1 + len(text) // 1000

    def search(self, query: str, page: int = 0) -> Page:
        found = [one for one in self.texts if query in one.text]
        return Page(found[page * 5 : page * 5 + 5], len(found), page, 5)

    def search_dates(self, start: date | None, end: date | None, page: int = 0) -> Page:
        self.asked.append((start, end))
        return self.search("", page)


class Facade:
    """An agent with two blocks of core memory."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 31, 18, tzinfo=ZONE)
        self.core = Draft({"human": Block("human", "Name: Ada", 60), "persona": Block("persona", "", 60)})
        self.recall = self.archival = Shelf()
        self.said: list[str] = []
        self.paused: list[int] = []

    def say(self, text: str) -> None:
        if not text.strip():
            raise ToolError("The message is empty.")
        self.said.append(text)

    def pause_heartbeats(self, minutes: int) -> None:
        self.paused.append(minutes)


@pytest.fixture(scope="module")
def tools() -> Mapping[str, Tool]:
    return link(["base"], [])


@pytest.fixture
def agent() -> Facade:
    return Facade()


@pytest.fixture
def call(tools: Mapping[str, Tool], agent: Facade) -> Any:
    def calling(name: str, /, **arguments: Any) -> Outcome:
        return run(tools[name], json.dumps(arguments), agent)  # type: ignore[arg-type]

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


def test_speaking(call: Any, agent: Facade) -> None:
    assert call("send_message", message="Hello", request_heartbeat=True) == Outcome(True, "Sent.", False)
    assert agent.said == ["Hello"]
    assert call("send_message", message=" ") == Outcome(False, "The message is empty.")


def test_pausing(call: Any, agent: Facade) -> None:
    assert call("pause_heartbeats", minutes="90").ok
    assert agent.paused == [90]


def test_core_memory_is_appended_and_replaced(call: Any, agent: Facade) -> None:
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
def test_an_edit_that_can_not_be_made_is_told(call: Any, agent: Facade, name: str, arguments: Any, said: str) -> None:
    outcome = call(name, **arguments)
    assert not outcome.ok and said in outcome.text
    assert agent.core.changes() == []


def test_archival_memory_keeps_and_finds(call: Any) -> None:
    assert call("archival_memory_insert", content="Ada was born in London.", tags="ada").text == "Kept."
    assert call("archival_memory_insert", content="long " * 500).text == "Kept, in 3 parts."
    assert call("archival_memory_search", query="born").text == (
        "Results 1-1 of 1 (page 0):\n[Fri 2026-05-01 14:00] user (ada): Ada was born in London."
    )


def test_results_are_paged_with_true_totals(call: Any, agent: Facade) -> None:
    for number in range(23):
        agent.archival.insert(f"note\n{number}")
    first = call("conversation_search", query="note").text.splitlines()
    assert first[0] == "Results 1-5 of 23 (page 0):"
    assert first[1:] == [f"[Fri 2026-05-01 {14 + n}:00] user: note {n}" for n in range(5)]
    assert call("conversation_search", query="note", page="4").text.startswith("Results 21-23 of 23 (page 4):")
    assert call("conversation_search", query="note", page=5).text == (
        "There is no page 5. The 23 results are on pages 0 to 4."
    )
    assert call("archival_memory_search", query="note", page=10**30).text.startswith("There is no page 1000000.")
    assert call("archival_memory_search", query="nothing").text == "Nothing was found."
    assert call("archival_memory_search", query="note", page=-1) == Outcome(False, "Pages count from 0.")


def test_long_results_share_the_room(call: Any, agent: Facade) -> None:
    for number in range(5):
        agent.archival.insert(f"{number} " + "word " * 2000)
    text = call("archival_memory_search", query="word").text
    assert len(text) < 6000
    assert [line.count("more characters") for line in text.splitlines()] == [0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("2026-05-31", date(2026, 5, 31)),
        ("2026-05-31T18:30", datetime(2026, 5, 31, 18, 30, tzinfo=ZONE)),
        ("2026-05-31 18:30:05Z", datetime(2026, 5, 31, 18, 30, 5, tzinfo=UTC)),
        ("", None),
    ],
)
def test_dates_and_times(call: Any, agent: Facade, given: str, meant: Any) -> None:
    assert call("conversation_search_date", start_date=given, end_date="2026-06-01").text == "Nothing was found."
    assert agent.recall.asked == [(meant, date(2026, 6, 1))]


@pytest.mark.parametrize("given", ["yesterday", "31.05.2026", "2026-02-30", "x" * 10_000])
def test_what_is_no_date_is_told(call: Any, given: str) -> None:
    outcome = call("conversation_search_date", start_date="2026-01-01", end_date=given)
    assert not outcome.ok
    assert outcome.text.startswith("end_date must be a date like 2026-05-31 or 2026-05-31T18:30, not ")
    assert len(outcome.text) < 200
