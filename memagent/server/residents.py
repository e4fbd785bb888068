"""The agents that the server has open: made once, shared by all who talk with them, and made anew when they were
changed by somebody else.

Models are shared by all agents that ask the same one in the same way. Knows nothing of turns.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from memagent import config
from memagent.agent import Agent
from memagent.assemble import load_agent, open_model, open_state
from memagent.llm import LLM, Heard, Request
from memagent.persistence import PersistenceManager
from memagent.roster import Entry, Roster
from memagent.settings import Settings
from memagent.storage import Database

MOST = 512
"""So many agents stay open while nobody talks with them."""
MODEL = (
    "provider", "model", "endpoint", "azure_api_version", "context_window", "temperature", "wrapper", "constrain",
    "sampling", "terse", "stop", "threads", "max_tokens", "timeout", "retries", "script", "api_key", "user",
)  # fmt: skip
"""The settings that tell one model from another. No two users share one: a key may be told for each."""


@dataclass
class Resident:
    """An open agent, and what it was made of."""

    agent: Agent
    settings: Settings
    made_of: tuple[object, ...]


class Lent:
    """A model that several agents share. Who is done with it, or leaves it in the middle of an answer, neither closes
    it nor hangs up on the others.
    """

    def __init__(self, llm: LLM) -> None:
        self.model, self.window = llm.model, llm.window
        self.watched = getattr(llm, "watched", "")  # if it is, it need not be watched again
        self._llm = llm

    @property
    def wrapper(self) -> object:
        """How it is told the conversation, if it is a text model."""
        return getattr(self._llm, "wrapper", None)

    def ask(self, request: Request) -> Iterator[Heard]:
        return self._llm.ask(request)


class Residents:
    """All open agents. Each is only used by one turn at a time, which is up to who asks for it."""

    def __init__(self, settings: Settings, database: Database, flags: Mapping[str, Any] | None = None) -> None:
        self._settings = settings
        self.database = database
        self._flags = flags or {}
        self._open: OrderedDict[str, Resident] = OrderedDict()
        self._models: dict[tuple[Any, ...], LLM] = {}
        self._lock = threading.Lock()

    def settings_of(self, owner: str, agent: Mapping[str, Any] | None = None) -> Settings:
        """The settings that hold for a user, or for an agent of theirs."""
        loaded = config.load(self._flags, agent, place=self._settings.home)
        return replace(loaded, user=owner)

    def roster(self, owner: str) -> Roster:
        """The agents of a user."""
        return Roster(self.database, owner)

    def agent(self, entry: Entry, busy: Callable[[str], bool] = lambda _: False) -> Agent:
        """The agent of an entry, as it is now; those that are `busy` are not closed to make room."""
        made_of = _made_of(entry)
        with self._lock:
            found = self._open.get(entry.id)
            if found and found.made_of == made_of:
                self._open.move_to_end(entry.id)
                return found.agent
        own = self.settings_of(entry.owner, entry.settings.get("settings"))
        agent = load_agent(own, self.database, entry.name, llm=Lent(self._model(own)))
        with self._lock:
            self._open[entry.id] = Resident(agent, own, made_of)
            idle = [number for number in self._open if number != entry.id and not busy(number)]
            for number in idle[: max(0, len(self._open) - MOST)]:
                del self._open[number]
        return agent

    def settings(self, entry: Entry) -> Settings:
        """The settings that hold for an agent."""
        with self._lock:
            found = self._open.get(entry.id)
            if found and found.made_of == _made_of(entry):
                return found.settings
        return self.settings_of(entry.owner, entry.settings.get("settings"))

    def state(self, entry: Entry) -> PersistenceManager:
        """What an agent is and remembers, apart from the one that is open."""
        return open_state(self.settings_of(entry.owner, entry.settings.get("settings")), self.database, entry)

    def forget(self, agent: str) -> None:
        """Make an agent anew when it is next asked for."""
        with self._lock:
            self._open.pop(agent, None)

    def _model(self, settings: Settings) -> LLM:
        which = tuple(getattr(settings, name) for name in MODEL)
        with self._lock:
            if which not in self._models:
                self._models[which] = open_model(settings)
            return self._models[which]

    def close(self) -> None:
        """Let all agents and models go."""
        with self._lock:
            for resident in self._open.values():  # all at once, before one of them is waited for
                resident.agent.behind.leave(0)
            for resident in self._open.values():
                resident.agent.behind.finish()
            self._open.clear()
            for model in self._models.values():
                close = getattr(model, "close", None)
                if close:
                    close()
            self._models.clear()


def _made_of(entry: Entry) -> tuple[object, ...]:
    """What an open agent depends on."""
    return entry.name, entry.system, entry.settings
