"""What every route here begins with: who asks, the agent that is meant, and a line in the audit log for what changes.

Knows nothing of what is done then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from pydantic import BaseModel, ConfigDict
from starlette.requests import HTTPConnection

from memagent.agent import Agent
from memagent.assemble import open_state
from memagent.memory.core import Edit
from memagent.persistence import PersistenceManager
from memagent.roster import Entry, Roster
from memagent.server.callers import Caller, Needs
from memagent.server.house import House
from memagent.settings import Settings


class Form(BaseModel):
    """What is sent here; what is not known is refused, since only our own page sends it."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Desk:
    """Who asks, of which house."""

    house: House
    caller: Caller

    @property
    def roster(self) -> Roster:
        """The agents of whoever asks."""
        return self.house.residents.roster(self.caller.owner)

    def entry(self, agent: str) -> Entry:
        """The agent with that id, if it is theirs."""
        return self.roster.by_id(agent)

    def settings(self, entry: Entry | None = None) -> Settings:
        """The settings that hold for whoever asks, or for an agent of theirs."""
        own = entry.settings.get("settings") if entry else None
        return self.house.residents.settings_of(self.caller.owner, own)

    def state(self, entry: Entry) -> PersistenceManager:
        """What an agent remembers, without a model; not the one that its turns use."""
        return open_state(self.settings(entry), self.house.database, entry)

    def agent(self, entry: Entry) -> Agent:
        """The agent itself, as its turns use it: only to look at."""
        return self.house.residents.agent(entry, self.house.runs.busy)

    def edited(self, what: str, state: PersistenceManager, edits: Sequence[Edit]) -> None:
        """Core memory was edited: that is noted, and told to all who look on."""
        for label in dict.fromkeys(edit.label for edit in edits):
            self.note(what, f"{state.entry.name}/{label}")
        self.house.edited(state.entry.id, edits)

    def note(self, what: str, target: str) -> None:
        """Something was changed."""
        self.caller.note(self.house, what, target)


class _At(Needs):
    async def __call__(self, request: HTTPConnection) -> Desk:  # type: ignore[override]
        caller = await super().__call__(request)
        return Desk(request.app.state.house, caller)


Reading = Annotated[Desk, Depends(_At("read"))]
Talking = Annotated[Desk, Depends(_At("chat"))]
Changing = Annotated[Desk, Depends(_At("admin"))]
