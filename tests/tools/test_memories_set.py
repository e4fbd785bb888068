"""An agent keeps people and events of its own accord, field by field, and mends them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from memagent.agent import Agent
from memagent.assemble import make_agent
from memagent.config import Settings
from memagent.events import Returned
from memagent.facts import Cause
from memagent.facts.kinds import Kinds
from memagent.facts.ledger import Ledger, keeper
from memagent.facts.records import Records
from memagent.llm.scripted import ScriptedLLM
from memagent.storage.sqlite import SqliteDatabase

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
BOOK = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Book:
    title: str
    pages: int | None = None
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for folder in ("presets", "kinds"):
        (tmp_path / folder).mkdir()
    (tmp_path / "presets" / "mine.yaml").write_text("system: chat\nfunctions: [base, memories]\n")
    (tmp_path / "kinds" / "books.py").write_text(BOOK)
    return tmp_path


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    opened = SqliteDatabase(tmp_path / "memagent.db")
    yield opened
    opened.close()


@pytest.fixture
def agent(home: Path, database: SqliteDatabase) -> Agent:
    settings = Settings(home=home, embedder="off", verify_first=False, provider="scripted", preset="mine")
    return make_agent(settings, database, "ada", llm=ScriptedLLM([]), clock=lambda: NOW)


def call(agent: Agent, function: str, /, said: str = "…", **arguments: Any) -> str:
    """What a call of a function returned, in a turn of its own."""
    agent.llm = ScriptedLLM([{"call": function, "arguments": arguments, "heartbeat": True}, {"say": "Done."}])
    (returned,) = [event.text for event in agent.turn(said) if isinstance(event, Returned) and event.name == function]
    return returned


def records(agent: Agent, own: bool = False) -> Records:
    database = agent.state.database
    whose = keeper(database, "local", agent.state.entry.id if own else None, NOW)
    return Records(Ledger(database, whose), Kinds(), lambda: NOW)


def test_a_person_is_kept_changed_and_shown(agent: Agent) -> None:
    fields = {"name": "Anna", "relation": "sister", "relationships": {"Bob": "husband"}, "details": ["Paints boats."]}
    assert call(agent, "memory_add", said="I have a sister", kind="person", fields=fields) == (
        "Kept: Anna is the user's sister. Bob is Anna's husband. Paints boats."
    )
    assert call(agent, "memory_change", name="my sister", fields={"personality": "warm", "alive": True}) == (
        "Changed:\npersonality: (nothing) → warm"
    )
    assert call(agent, "memory_change", name="Anna", fields={"personality": "warm"}) == "It reads like that already."
    assert call(agent, "memory_add", kind="fact", fields={"note": "Anna is afraid of geese."}, about="Anna")
    shown = call(agent, "memory_show", name="Anna")
    for line in ("details: Paints boats.", "personality: warm", "Bob is the husband of Anna", "afraid of geese"):
        assert line in shown
    anna = records(agent).find("Anna")
    assert anna.fact.cause == Cause("agent", "", agent.state.entry.id, anna.fact.cause.message)
    assert anna.fact.cause.message
    assert [step.record.value.personality for step in records(agent).history(anna)] == ["", "warm"]


def test_kinds_of_ones_own_are_listed_and_kept(agent: Agent) -> None:
    assert "book: title (a text); pages (a whole number, or nothing)" in call(agent, "memory_kinds")
    assert call(agent, "memory_add", kind="book", fields={"title": "Dune", "pages": "412"}) == (
        "Kept: Book: Dune. Pages: 412."
    )


def test_what_it_is_itself_stays_its_own_and_leaves_an_event(agent: Agent) -> None:
    call(agent, "memory_add", kind="person", fields={"name": "Ada", "relation": "self", "personality": "shy"})
    call(agent, "memory_change", name="Ada", fields={"personality": "bold"})
    assert not records(agent).people()
    assert {one.kind.name for one in records(agent, own=True).listed()} == {"person", "event"}
    assert records(agent, own=True).listed("event")[0].value.note == "My personality changed from “shy” to “bold”"


@pytest.mark.parametrize(
    ("function", "arguments", "why"),
    [
        ("memory_add", {"kind": "person", "fields": {"nam": "Anna"}}, "no field 'nam'. Did you mean 'name'"),
        ("memory_add", {"kind": "ship", "fields": {"name": "Emma"}}, "no kind of memory 'ship'"),
        ("memory_add", {"kind": "event", "fields": {"note": "x", "dates": ["soon"]}}, "must be a day, month or year"),
        ("memory_add", {"kind": "person", "fields": {"name": "bob"}}, "a person called 'Bob' already"),
        ("memory_change", {"name": "Eve", "fields": {"alive": False}}, "called 'Eve'"),
        ("memory_show", {"name": "99"}, "no fact 99"),
    ],
)
def test_what_can_not_be_kept_is_told(agent: Agent, function: str, arguments: dict[str, Any], why: str) -> None:
    records(agent).create("person", {"name": "Bob"}, Cause("user"))
    assert why in call(agent, function, **arguments)
    assert [one.name for one in records(agent).listed()] == ["Bob"]


def test_what_is_taken_back_is_no_memory_any_more(agent: Agent) -> None:
    records(agent).create("person", {"name": "Bob"}, Cause("user"))
    call(agent, "memory_add", kind="person", fields={"name": "Anna"})
    call(agent, "memory_change", name="Bob", fields={"personality": "loud"})
    agent.state.undo_turn()
    agent.state.undo_turn()
    assert [(one.name, one.value.personality) for one in records(agent).people()] == [("Bob", "")]
