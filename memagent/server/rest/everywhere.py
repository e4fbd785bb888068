"""`/v1/messages/`: what was said with all agents of whoever asks, searched; and one message by its id.

Knows nothing of how a search ranks.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from memagent.assemble import open_embedder
from memagent.errors import ToolError
from memagent.memory.recall import RecallMemory
from memagent.memory.search import MOST_RESULTS
from memagent.roster import Entry
from memagent.server.problems import Refused
from memagent.server.rest.asking import Reader, entry_of, house_of
from memagent.server.rest.history import History
from memagent.server.rest.ids import Part, digits_of, placed, shown
from memagent.server.rest.messages import MOST_AT_ONCE, MessageShown
from memagent.server.rest.shapes import ERRORS
from memagent.storage import Found

router = APIRouter(tags=["REST: everywhere"], responses=ERRORS)


class Searched(BaseModel):
    """What is looked for, and where."""

    model_config = ConfigDict(extra="ignore")

    query: str
    agent_id: str | None = None
    limit: int | None = Field(default=None, ge=1, le=MOST_RESULTS)
    start_date: datetime | None = None
    end_date: datetime | None = None


class MatchShown(BaseModel):
    """A message that was found."""

    message_type: str
    message_id: str
    content: str
    created_at: datetime
    agent_id: str


@router.post("/v1/messages/search", response_model=list[MatchShown])
def search(request: Request, body: Searched, caller: Reader) -> list[MatchShown]:
    """What was said, by its words and what they mean: the best of each agent first, then the second best of each."""
    house = house_of(request)
    entries = house.residents.roster(caller.owner).all()
    if body.agent_id:
        entries = [entry_of(request, caller, body.agent_id)]
    most = body.limit or MOST_AT_ONCE
    since, until = (each.date() if each else None for each in (body.start_date, body.end_date))
    found: list[tuple[int, MatchShown]] = []
    for entry in entries:
        embedder = open_embedder(house.residents.settings_of(entry.owner, entry.settings.get("settings")))
        recall = RecallMemory(house.database, entry.id, embedder)
        try:
            page = recall.search(body.query, 0, min(most, MOST_RESULTS), since=since, until=until)
        except ToolError as error:
            raise Refused(400, error.message) from error
        found += [(at, _match(entry, each)) for at, each in enumerate(page.results)]
    found.sort(key=lambda each: each[0])
    return [match for _, match in found[:most]]


def _match(entry: Entry, found: Found) -> MatchShown:
    kind = "user_message" if found.source == "user" else "assistant_message"
    id = placed("message", entry.id, Part.SEEN, found.id)
    agent = shown("agent", entry.id)
    return MatchShown(message_type=kind, message_id=id, content=found.text, created_at=found.when, agent_id=agent)


@router.get("/v1/messages/{message_id}", response_model=list[MessageShown])
def retrieve(request: Request, message_id: str, caller: Reader) -> list[dict[str, Any]]:
    """The message of an id, with those that are of the same answer."""
    house, digits = house_of(request), digits_of("message", message_id)
    for entry in house.residents.roster(caller.owner).all():
        ours = digits and entry.id.startswith(digits[:12])
        if ours and (told := History(house.database, entry.id).beside(message_id)):
            return told
    raise Refused(404, f"Message with ID {message_id[:80]} not found.")
