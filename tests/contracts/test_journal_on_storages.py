"""The journal, waking and tidying are alike on every kind of storage."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from storages import NOW, Place

from memagent.agent import Agent
from memagent.assemble import load_agent, make_agent
from memagent.config import Settings
from memagent.facts import Cause, Fact
from memagent.facts.ledger import Ledger, keeper
from memagent.llm.scripted import ScriptedLLM
from memagent.storage import Database
from memagent.upkeep import open_journal, open_tidying

TOLD = "My sister Kate visits me on Friday with her two dogs 東京."
ENTRY = {
    "entry": "The user told me that Kate visits on Friday.", "highlights": [], "quotes": ["two dogs 東京"],
    "commitments": ["feed the dogs"], "action_items": [], "dates": [],
}  # fmt: skip
ESSAY = "The lighthouse of Kate stands in Oslo since 1920. " + "It is very nice and really very nice indeed. " * 40
BRIEF = "The lighthouse of Kate stands in Oslo since 1920. " + "It is very nice, really. " * 14
SCRIPT = [
    {"when": {"forced": "write_entry"}, "call": "write_entry", "arguments": ENTRY},
    {"when": {"forced": "write_shorter"}, "call": "write_shorter", "arguments": {"lines": [BRIEF]}},
    {"when": {}, "say": "I see."},
]


class Diary:
    """An agent of an owner of one's own, on a day that can be moved."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self.now: datetime = NOW

    def agent(self, make: Any = load_agent) -> Agent:
        agent: Agent = make(self.settings, self.database, "ada", llm=ScriptedLLM(SCRIPT), clock=lambda: self.now)
        return agent

    def learn(self, *texts: str, until: str | None = None) -> None:
        ledger = Ledger(self.database, keeper(self.database, self.settings.user, None, self.now))
        with self.database.write(ledger.keeper.shelf) as tx:
            for text in texts:
                ledger.learn(tx, Fact(text, self.now, until=until, cause=Cause("talk")), self.now)


@pytest.fixture
def diary(place: Place, db: Database, request: pytest.FixtureRequest) -> Diary:
    for folder in ("presets", "prompts"):
        (place.home / folder).mkdir(exist_ok=True)
    (place.home / "prompts" / "brief.txt").write_text("You remember things.")
    preset = {"system": "brief", "functions": ["send_message"]}
    (place.home / "presets" / "brief.yaml").write_text(json.dumps(preset))
    variables = {**place.variables, "MEMAGENT_USER": f"owner of {request.node.name}", "MEMAGENT_PRESET": "brief"}
    return Diary(Place(place.storage, place.home, variables).settings, db)


def test_a_conversation_goes_into_the_journal_and_the_next_one_wakes_with_it(diary: Diary) -> None:
    agent = diary.agent(make_agent)
    list(agent.turn(TOLD))
    diary.learn("The user has a sister.")
    writer = open_journal(diary.settings, agent.state, agent.llm)
    assert writer.close() == [] and len(writer.close(over=True)) == 1
    assert writer.close(over=True) == []
    for entry in writer.waiting():
        list(writer.write(entry))
    (entry,) = writer.journal.entries()
    assert entry.text == ENTRY["entry"] and entry.quotes[0].text == "two dogs 東京" and not entry.plain
    assert [message.said for message in writer.journal.transcript(entry) if message.said] == [TOLD, "I see."]
    diary.now += timedelta(days=3)
    wakes = diary.agent().wakes_with()
    assert all(line in wakes for line in (ENTRY["entry"], "- The user has a sister.", "I promised: feed the dogs"))
    agent.state.undo_turn()
    assert writer.journal.entries() == [] and writer.journal.get(entry.id).undone and not diary.agent().wakes_with()


def test_memory_is_tidied_and_taken_back(diary: Diary) -> None:
    agent = diary.agent(make_agent)
    diary.learn("Likes tea.", "likes tea")
    diary.learn("Is away.", until="2020-01-01")
    prepared = agent.state.archival.prepare(ESSAY, ["tower"])
    with diary.database.write(agent.state.entry.id) as tx:
        agent.state.archival.store(tx, prepared, turn=None, now=diary.now - timedelta(days=30))
    before = agent.state.archival.all().results
    work = open_tidying(diary.settings, agent.state, agent.llm)
    steps = [step for step in work.tidy() if step]
    assert [step.kind for step in steps] == ["expired facts", "duplicate facts", "long notes"]
    (note,) = agent.state.archival.search("lighthouse").results
    assert note.text == BRIEF.strip() and note.when == before[0].when and list(note.tags) == ["tower"]
    done, left = work.undo()
    assert len(done) == 3 and not left
    found = agent.state.archival.all().results
    assert [(each.text, each.when, each.tags) for each in found] == [(b.text, b.when, b.tags) for b in before]
    assert agent.state.archival.search("indeed").total >= 1
    again = [step for step in work.tidy() if step]
    assert [step.kind for step in again] == [step.kind for step in steps]
