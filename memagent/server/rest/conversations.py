"""`/v1/conversations/`: an agent has one conversation, which all who make one for it share.

Knows nothing of how turns run.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from memagent.memory.log import MessageLog
from memagent.roster import Entry
from memagent.server.callers import Caller
from memagent.server.house import House
from memagent.server.problems import Refused
from memagent.server.rest.asking import Claiming, Limit, Order, Reader, Talker, entry_of, house_of, page
from memagent.server.rest.history import History
from memagent.server.rest.ids import Part, digits_of, placed, shown
from memagent.server.rest.messages import (
    MOST_AT_ONCE,
    Answered,
    MessageShown,
    Summed,
    answered,
    cancelled,
    summed_up,
    told_bit_by_bit,
)
from memagent.server.rest.runs import stored_run
from memagent.server.rest.saying import Asked
from memagent.server.rest.shapes import ERRORS

router = APIRouter(tags=["REST: conversations"], responses=ERRORS)
DEFAULT = "default"
ONE = "An agent has one conversation: it can't be taken from it, or be split."


class AskedHere(Asked):
    """What is said in a conversation; it is told as it happens if nothing else is asked for."""

    agent_id: str | None = None
    streaming: bool | None = True


class FollowedHere(BaseModel):
    """From which message on a run is to be told again."""

    model_config = ConfigDict(extra="ignore")

    agent_id: str | None = None
    run_id: str | None = None
    starting_after: int | None = None
    include_pings: bool | None = False


class OfAgent(BaseModel):
    """Which agent is meant, where the conversation is the default one."""

    model_config = ConfigDict(extra="ignore")

    agent_id: str | None = None


class ConversationShown(BaseModel):
    """A conversation."""

    id: str
    agent_id: str
    created_at: datetime
    summary: str | None = None
    in_context_message_ids: list[str]
    archived: bool = False


def conversation_shown(house: House, entry: Entry) -> ConversationShown:
    """The conversation of an agent."""
    window = MessageLog(house.database, entry.id).window()
    seen = [placed("message", entry.id, Part.SEEN, message.seq) for message in window]
    id, agent = shown("conv", entry.id), shown("agent", entry.id)
    return ConversationShown(id=id, agent_id=agent, created_at=entry.created, in_context_message_ids=seen)


def meant(request: Request, caller: Caller, conversation_id: str, agent_id: str | None = None) -> Entry:
    """The agent whose conversation is named; for the default one, the agent is named beside it."""
    if conversation_id == DEFAULT or conversation_id.startswith("agent-"):
        return entry_of(request, caller, agent_id or conversation_id)
    digits = digits_of("conv", conversation_id)
    try:
        return entry_of(request, caller, digits or "-")
    except Refused as refused:
        raise Refused(404, f"Conversation with ID {conversation_id[:80]} not found.") from refused


@router.post("/v1/conversations/", response_model=ConversationShown)
def create(request: Request, agent_id: str, caller: Talker) -> ConversationShown:
    """The conversation of an agent."""
    return conversation_shown(house_of(request), entry_of(request, caller, agent_id))


@router.get("/v1/conversations/", response_model=list[ConversationShown])
def listed(
    request: Request, caller: Reader, agent_id: str | None = None, after: str | None = None,
    before: str | None = None, limit: Limit = None, order: Order | None = None,
) -> list[ConversationShown]:  # fmt: skip
    """The conversations of an agent, or of all agents of whoever asks."""
    house = house_of(request)
    entries = [entry_of(request, caller, agent_id)] if agent_id else house.residents.roster(caller.owner).all()
    entries.sort(key=lambda entry: (entry.created, entry.id), reverse=order != "asc")
    ours = page(entries, lambda each: shown("conv", each.id), after=after, before=before, limit=limit)
    return [conversation_shown(house, entry) for entry in ours]


@router.get("/v1/conversations/{conversation_id}", response_model=ConversationShown)
def retrieve(request: Request, conversation_id: str, caller: Reader) -> ConversationShown:
    """One conversation."""
    return conversation_shown(house_of(request), meant(request, caller, conversation_id))


@router.delete("/v1/conversations/{conversation_id}", response_model=dict[str, Any])
def delete(request: Request, conversation_id: str, caller: Talker) -> dict[str, Any]:
    """Refused: an agent has one conversation."""
    meant(request, caller, conversation_id)
    raise Refused(400, f"{ONE} Reset the agent's messages, or delete the agent.")


@router.post("/v1/conversations/{conversation_id}/fork", response_model=ConversationShown)
def fork(request: Request, conversation_id: str, caller: Talker, agent_id: str | None = None) -> ConversationShown:
    """Refused: an agent has one conversation."""
    meant(request, caller, conversation_id, agent_id)
    raise Refused(400, f"{ONE} Export the agent, and import it under another name.")


@router.post("/v1/conversations/{conversation_id}/messages", response_model=Answered)
async def say(request: Request, conversation_id: str, body: AskedHere, claim: Claiming) -> Response:
    """Say something, and be told what comes of it as it happens, or with `streaming` false whole."""
    find = partial(meant, request, conversation_id=conversation_id, agent_id=body.agent_id)
    return await answered(house_of(request), claim, find, body, whole=body.streaming is False)


@router.get("/v1/conversations/{conversation_id}/messages", response_model=list[MessageShown])
def messages(
    request: Request, conversation_id: str, caller: Reader, agent_id: str | None = None, after: str | None = None,
    before: str | None = None, limit: Limit = None, order: Order | None = None,
    include_return_message_types: Annotated[list[str] | None, Query()] = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """What was said and done, the newest first."""
    entry = meant(request, caller, conversation_id, agent_id)
    history = History(house_of(request).database, entry.id, kinds=include_return_message_types)
    most = limit or MOST_AT_ONCE
    return history.page(after=after or None, before=before or None, rising=order == "asc", limit=most)


@router.post("/v1/conversations/{conversation_id}/stream", response_model=Answered)
async def follow(
    request: Request, conversation_id: str, caller: Talker, body: FollowedHere | None = None
) -> Response:  # fmt: skip
    """Be told what happens in the run that goes on, or in one that is named."""
    house, wanted = house_of(request), body or FollowedHere()
    entry = await asyncio.to_thread(meant, request, caller, conversation_id, wanted.agent_id)
    after = wanted.starting_after if wanted.starting_after is not None else -1
    if wanted.run_id:
        stored = await asyncio.to_thread(stored_run, house, caller, wanted.run_id)
        run = house.runs.found(stored) if stored.agent == entry.id else None
    else:
        run = next((each for each in house.runs.running() if each.of == entry.id), None)
    if run is None:
        raise Refused(400, "No run of this conversation goes on.")
    return told_bit_by_bit(house, entry, run, Asked(include_pings=wanted.include_pings), after)


@router.post("/v1/conversations/{conversation_id}/cancel", response_model=dict[str, str])
def cancel(request: Request, conversation_id: str, caller: Talker, agent_id: str | None = None) -> dict[str, str]:
    """End the runs of a conversation now."""
    return cancelled(house_of(request), meant(request, caller, conversation_id, agent_id))


@router.post("/v1/conversations/{conversation_id}/compact", response_model=Summed)
async def compact(
    request: Request, conversation_id: str, caller: Talker, body: OfAgent | None = None
) -> Summed:  # fmt: skip
    """Sum up what is oldest in the agent's context window now."""
    agent = body.agent_id if body else None
    entry = await asyncio.to_thread(meant, request, caller, conversation_id, agent)
    return await summed_up(house_of(request), caller, entry)
