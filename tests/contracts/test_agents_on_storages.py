"""An agent lives alike on every kind of storage: its turns are durable, its memory is whole, and nobody shares it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from cards_made import V3, png
from storages import NOW, Place

from memagent.agent import Agent
from memagent.assemble import load_agent, make_agent
from memagent.bridges.cards.arriving import arrive
from memagent.bridges.cards.card import card_of
from memagent.bridges.cards.leaving import leave
from memagent.bridges.cards.sheets import Sheet
from memagent.config import Settings
from memagent.errors import AgentBusy, NameTaken, NotFound, UserError
from memagent.events import Event, MemoryEdited, Reply, TurnEnded
from memagent.llm.scripted import ScriptedLLM
from memagent.roster import Roster
from memagent.storage import Database
from memagent.transfer import export, read_in
from memagent.upkeep import open_behind

FUNCTIONS = [
    "send_message", "core_memory_append", "core_memory_replace", "archival_memory_insert", "archival_memory_search",
    "conversation_search",
]  # fmt: skip


def call(function: str, /, *, heartbeat: bool = True, **arguments: Any) -> dict[str, Any]:
    return {"call": function, "arguments": arguments, "heartbeat": heartbeat}


SCRIPT = [
    {"when": "name is (.+)", "steps": [
        call("core_memory_append", name="human", content="Name: {1}"),
        call("archival_memory_insert", content="The user is called {1}, and it's \"fine\" 東京."),
        call("archival_memory_search", query="called"),
        {"say": "Hello, {1}!"},
    ]},
    {"when": "^two$", "steps": [call("core_memory_append", name="human", content="Two"), {"say": "2"}]},
    {"when": "(?s)(.+)", "say": "You said: {1}"},
]  # fmt: skip


class Home:
    """The agents of one owner in a database."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database

    def new(self, name: str = "ada") -> Agent:
        return make_agent(self.settings, self.database, name, llm=ScriptedLLM(SCRIPT), clock=self.clock)

    def old(self, name: str = "ada", database: Database | None = None) -> Agent:
        model = ScriptedLLM(SCRIPT)
        return load_agent(self.settings, database or self.database, name, llm=model, clock=self.clock)

    @property
    def roster(self) -> Roster:
        return Roster(self.database, self.settings.user)

    def clock(self) -> datetime:
        return NOW


@pytest.fixture
def home(place: Place, db: Database, request: pytest.FixtureRequest) -> Home:
    """Agents of an owner of one's own, with the preset `brief`."""
    owner = f"owner of {request.node.name}"
    for folder in ("presets", "prompts"):
        (place.home / folder).mkdir(exist_ok=True)
    (place.home / "prompts" / "brief.txt").write_text("You remember things.")
    preset = {"system": "brief", "functions": FUNCTIONS}
    (place.home / "presets" / "brief.yaml").write_text(json.dumps(preset))
    variables = {**place.variables, "MEMAGENT_USER": owner, "MEMAGENT_PRESET": "brief"}
    return Home(Place(place.storage, place.home, variables).settings, db)


@pytest.fixture
def others(place: Place) -> Iterator[Database]:
    """The same database, as another program has it."""
    with place.opened() as database:
        yield database


def replies(happened: Sequence[Event]) -> list[str]:
    return [event.text for event in happened if isinstance(event, Reply)]


def human(agent: Agent) -> str:
    return agent.state.core.blocks["human"].value


def test_a_turn_is_had_and_stored(home: Home, others: Database) -> None:
    agent = home.new()
    happened = list(agent.turn("My name is Ada 👩‍🔬"))
    assert replies(happened) == ["Hello, Ada 👩‍🔬!"]
    assert any(isinstance(event, MemoryEdited) for event in happened)
    assert isinstance(happened[-1], TurnEnded) and happened[-1].ending == "done"
    again = home.old(database=others)
    assert "Name: Ada 👩‍🔬" in human(again)
    assert [found.text for found in again.state.archival.all().results] == [
        'The user is called Ada 👩‍🔬, and it\'s "fine" 東京.'
    ]
    assert [m.content for m in again.state.window] == [m.content for m in agent.state.window]
    assert "called Ada" in next(m.content for m in again.state.window if "called" in m.content and m.role == "tool")


def test_turns_follow_each_other_in_order(home: Home) -> None:
    agent = home.new()
    for word in ("one", "three", "four"):
        assert replies(list(agent.turn(word))) == [f"You said: {word}"]
    log = agent.state.log.all()
    assert [m.seq for m in log] == list(range(1, len(log) + 1))
    assert [m.said for m in log if m.kind == "user"] == ["one", "three", "four"]
    assert agent.state.recall.search("three").total == 2
    asked = next(m.seq for m in log if m.said == "three")
    around = agent.state.recall.around(asked, 1, 2)
    assert [found.text for found in around] == ["You said: one", "three", "You said: three", "four"]


def test_a_turn_can_be_taken_back(home: Home, others: Database) -> None:
    agent = home.new()
    list(agent.turn("hello"))
    list(agent.turn("My name is Ada"))
    words, left = agent.state.undo_turn()
    assert words == "My name is Ada" and left == []
    again = home.old(database=others).state
    assert "Ada" not in again.core.blocks["human"].value
    assert again.archival.total() == again.archival.search("called").total == again.recall.search("Ada").total == 0
    assert again.recall.search("hello").total == 2


def test_a_turn_that_was_cut_is_settled_by_the_next(home: Home, others: Database) -> None:
    turn = home.new().turn("My name is Ada")
    with closing(turn):
        next(event for event in turn if isinstance(event, MemoryEdited))
    again = home.old(database=others)
    assert replies(list(again.turn("still there?"))) == ["You said: still there?"]
    assert human(again).count("Name: Ada") == 1, "what was done before it was cut is there once"


def test_one_turn_at_a_time(home: Home, others: Database) -> None:
    turn = home.new().turn("My name is Ada")
    with closing(turn):
        next(turn)
        second = home.old(database=others)
        assert second.state.held_by()
        with pytest.raises(AgentBusy), second.state.alone():
            pass
    assert not second.state.held_by()
    assert replies(list(second.turn("me too"))) == ["You said: me too"]


def test_core_memory_has_its_history(home: Home) -> None:
    agent = home.new()
    list(agent.turn("two"))
    state = agent.state
    state.edit_block("human", 'Written by hand: it\'s 100% "right"')
    assert [edit.cause for edit in state.core.history("human")][:2] == ["user", "core_memory_append"]
    state.undo_edit()
    assert state.core.blocks["human"].value.endswith("Two")
    again = home.old().state
    assert again.core.blocks == state.core.blocks
    assert again.core.history("human") == state.core.history("human")


def test_agents_are_listed_renamed_and_deleted(home: Home, others: Database) -> None:
    for name in ("bob", "ada", "Édith"):
        list(home.new(name).turn("hello"))
    assert [(entry.name, entry.messages) for entry in home.roster.all()] == [("ada", 2), ("bob", 2), ("Édith", 2)]
    home.roster.rename("bob", "rob")
    with pytest.raises(NameTaken):
        home.roster.rename("rob", "ada")
    beside = Roster(others, home.settings.user)
    assert beside.exists("rob") and not beside.exists("bob")
    beside.delete("ada")
    with pytest.raises(NotFound, match="ada"):
        home.roster.find("ada")
    assert [entry.name for entry in home.roster.all()] == ["rob", "Édith"]


def test_what_is_exported_can_be_read_in_and_is_the_same(home: Home) -> None:
    agent = home.new()
    list(agent.turn("My name is Ada"))
    list(agent.turn("forget this"))
    agent.state.undo_turn()
    whole = export(home.database, home.roster, "ada")
    assert read_in(home.database, home.settings.user, whole, "copy").name == "copy"
    assert export(home.database, home.roster, "copy").replace('"copy"', '"ada"', 1) == whole
    list(home.old("copy").turn("two"))
    assert export(home.database, home.roster, "ada") == whole, "the copy is another agent"


def test_a_broken_import_leaves_nothing(home: Home) -> None:
    list(home.new().turn("My name is Ada"))
    document = json.loads(export(home.database, home.roster, "ada"))
    document["passages"].append({**document["passages"][0]})
    with pytest.raises(UserError, match="damaged"):
        read_in(home.database, home.settings.user, json.dumps(document), "copy")
    assert [entry.name for entry in home.roster.all()] == ["ada"]


def test_a_card_comes_in_is_called_to_mind_and_leaves(home: Home, others: Database) -> None:
    sheet = Sheet(card_of(V3, "mira"), png(), {"a.txt": b"\0\xff"})
    arrive(home.settings, home.database, sheet, "mira", name="mira", user="Bo 東京", clock=home.clock)
    agent = home.old("mira", database=others)
    assert [m.said for m in agent.state.window if m.said] == ["Shut the door, Bo 東京."]
    list(agent.turn("Light the lamp!"))
    assert isinstance(agent.llm, ScriptedLLM)
    assert any("Old Tom" in m.content for m in agent.llm.requests[-1].messages if m.kind == "reminder")
    assert leave(others, home.roster.find("mira"), home.clock) == sheet
    whole = export(home.database, home.roster, "mira")
    read_in(others, home.settings.user, whole, "copy")
    assert leave(home.database, home.roster.find("copy"), home.clock) == sheet
    home.roster.delete("mira")
    assert not others.rows("SELECT 1 FROM cards JOIN agents ON id = agent WHERE name = 'mira'")


# Facts ----------------------------------------------------------------------------------------------------------------


FACTS = [
    {"when": {"kind": "facts", "said": "no more (\\w+)"}, "facts": [{"text": "The user likes {1}.", "holds": False}]},
    {"when": {"kind": "facts", "said": "I like (\\w+)\\."}, "facts": ["The user likes {1}."]},
    {"when": {"reminder": "likes tea"}, "say": "You like tea."},
    {"when": {}, "say": "Well."},
]


def test_what_was_said_is_read_for_facts_that_come_to_mind_and_go_with_their_turn(home: Home) -> None:
    agent = make_agent(home.settings, home.database, "ada", llm=ScriptedLLM(FACTS), clock=home.clock)
    reader, memory = agent.behind.reader, agent.state.facts
    assert reader and memory

    def said(text: str) -> list[str]:
        replies = [event.text for event in agent.turn(text) if isinstance(event, Reply)]
        list(reader.read())
        return replies

    def held() -> list[str]:
        return [fact.text for fact in memory.ledger.listed()]

    assert said("I like tea.") == ["Well."] and held() == ["The user likes tea"]
    assert said("Is there tea?") == ["You like tea."]
    assert said("no more tea") == ["You like tea."] and held() == []
    assert [match.fact.text for match in memory.search("tea", states=("past",)).matches] == ["The user likes tea"]
    agent.state.undo_turn()
    assert held() == ["The user likes tea"] and memory.search("tea").total == 1
    assert reader.waiting() == 0 and list(reader.read()) == []
    assert open_behind(home.settings, home.database, agent.state.entry).reader.waiting() == 0  # type: ignore[union-attr]
    home.roster.delete("ada")
    assert held() == ["The user likes tea"]  # it is the user's, and other agents know it


def test_facts_of_an_agent_alone_go_with_it(home: Home) -> None:
    settings = replace(home.settings, facts="own")
    agent = make_agent(settings, home.database, "ada", llm=ScriptedLLM(FACTS), clock=home.clock)
    assert agent.behind.reader and agent.state.facts
    list(agent.turn("I like tea."))
    list(agent.behind.reader.read())
    ledger = agent.state.facts.ledger
    text = export(home.database, home.roster, "ada")
    assert ledger.count() == 1 and read_in(home.database, settings.user, text, "eva").name == "eva"
    assert export(home.database, home.roster, "eva") == text.replace('"name": "ada"', '"name": "eva"')
    home.roster.delete("ada")
    assert ledger.count() == 0
    other = load_agent(settings, home.database, "eva", llm=ScriptedLLM(FACTS), clock=home.clock)
    assert other.state.facts and other.state.facts.ledger.count() == 1
