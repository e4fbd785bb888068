"""Agents whose conversations are written into a journal: a home, a clock that is set, and forms that are filled in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from memagent.agent import Agent
from memagent.assemble import load_agent, make_agent
from memagent.config import Settings
from memagent.events import Reply
from memagent.journal import JournalWriter
from memagent.llm import LLM
from memagent.llm.scripted import ScriptedLLM
from memagent.memory.journal import Entry
from memagent.storage.sqlite import SqliteDatabase
from memagent.upkeep import open_journal

NOON = datetime(2026, 5, 25, 12, tzinfo=timezone(timedelta(hours=2)))
"""A Monday."""
EMPTY: Mapping[str, Any] = {
    "highlights": [], "quotes": [], "commitments": [], "action_items": [], "dates": [], "done": [],
}  # fmt: skip


def filled(entry: str, **more: Any) -> dict[str, Any]:
    """A script's answer to the form of an entry."""
    return {
        "when": {"forced": "write_entry"}, "call": "write_entry", "arguments": {"entry": entry, **EMPTY, **more},
    }  # fmt: skip


ANSWERS: Sequence[Any] = [{"when": {"tool": "send_message"}, "say": "I see. I will ask you about it."}]


class House:
    """A home with one agent, whose clock is set by hand."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings = Settings(home=folder, embedder="off", preset="brief", verify_first=False, **settings)
        for name in ("presets", "prompts"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "prompts" / "brief.txt").write_text("You are tested.")
        page = {"system": "brief", "functions": ["base"]}
        (folder / "presets" / "brief.yaml").write_text(json.dumps(page))
        self.database = SqliteDatabase(folder / "memagent.db")
        self.now = NOON

    def clock(self) -> datetime:
        return self.now

    def passes(self, **time: float) -> None:
        self.now += timedelta(**time)

    def agent(self, script: Sequence[Any] | LLM = ANSWERS) -> Agent:
        """The one agent, as a process finds it."""
        llm = ScriptedLLM(script) if isinstance(script, Sequence) else script
        made = self.database.rows("SELECT 1 FROM agents")
        open_it = load_agent if made else make_agent
        return open_it(self.settings, self.database, "ada", llm=llm, clock=self.clock)

    def writer(self, agent: Agent) -> JournalWriter:
        return open_journal(self.settings, agent.state, agent.llm)

    def rows(self, sql: str, *values: Any) -> list[Any]:
        return [row if len(row) > 1 else row[0] for row in map(tuple, self.database.rows(sql, *values))]


@contextmanager
def house(folder: Path, **settings: Any) -> Iterator[House]:
    here = House(folder, **settings)
    try:
        yield here
    finally:
        here.database.close()


def say(agent: Agent, text: str, *, arriving: bool = False) -> list[str]:
    """A turn; returns what the agent says."""
    return [event.text for event in agent.turn(text, arriving=arriving) if isinstance(event, Reply)]


def written(writer: JournalWriter, *, over: bool = True) -> list[Entry]:
    """What is over goes into the journal, worded by the model where it can."""
    writer.close(over=over)
    found = []
    for entry in writer.waiting():
        work = writer.write(entry)
        try:
            while True:
                next(work)
        except StopIteration as ended:
            found.append(ended.value or writer.journal.get(entry.id))
    return found
