"""`/v1/agents/`: agents made, listed, changed and deleted.

Knows nothing of what they say.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from memagent.assemble import local_time
from memagent.memory.core import CoreMemory
from memagent.memory.log import MessageLog
from memagent.memory.shared import SharedBlock, SharedBlocks
from memagent.roster import Entry
from memagent.server.house import House
from memagent.server.problems import Refused
from memagent.server.rest import toolbox
from memagent.server.rest.asking import Keeper, Limit, Order, Reader, entry_of, house_of, noted, page
from memagent.server.rest.ids import Part, placed, shown
from memagent.server.rest.making import Changed, New, change, make
from memagent.server.rest.models import handle_of, llm_config
from memagent.server.rest.shapes import ERRORS, AgentShown, BlockShown, MemoryShown, Told, ToolShown, kept_beside
from memagent.settings import Settings

router = APIRouter(tags=["REST: agents"], responses=ERRORS)
Words = Annotated[list[str] | None, Query()]
ALL = ("agent.blocks", "agent.tools")


def block_shown(shared: SharedBlock) -> BlockShown:
    """A block as a client sees it."""
    block, about = shared.block, shared.about
    return BlockShown(
        id=shown("block", shared.id), label=block.label, value=block.value, limit=block.limit,
        description=block.description or None, read_only=block.read_only, metadata=about.get("metadata") or {},
        tags=about.get("tags") or [], created_at=shared.created,
    )  # fmt: skip


def blocks_of(house: House, entry: Entry) -> list[BlockShown]:
    """The blocks of an agent, in its own order."""
    core = CoreMemory(house.database, entry.id)
    core.reload()
    shared = SharedBlocks(house.database, entry.owner)
    return [block_shown(shared.find(block.id)) for block in core.blocks.values()]


def tools_of(settings: Settings, entry: Entry) -> list[ToolShown]:
    """The functions of an agent; those that came with it from elsewhere are disabled."""
    return [each.shown() for each in toolbox.there(settings, entry.settings)] + toolbox.disabled(entry.settings)


def agent_shown(house: House, entry: Entry, include: list[str] | tuple[str, ...] = ALL) -> AgentShown:
    """An agent as a client sees it."""
    settings = house.residents.settings_of(entry.owner, entry.settings.get("settings"))
    told = kept_beside(entry.settings)
    blocks = blocks_of(house, entry) if {"agent.blocks", "memory", "blocks"} & {*include} else []
    tools = tools_of(settings, entry) if {"agent.tools", "tools"} & {*include} else []
    seen = MessageLog(house.database, entry.id).window() if include == ALL else []
    kept = {name: value for name, value in told.items() if name in AgentShown.model_fields}
    return AgentShown.model_validate({
        "agent_type": "memgpt_v2_agent", **kept,
        "id": shown("agent", entry.id), "name": entry.name, "system": entry.system, "model": handle_of(settings),
        "blocks": blocks, "memory": MemoryShown(blocks=blocks), "tools": tools,
        "message_ids": [placed("message", entry.id, Part.SEEN, message.seq) for message in seen],
        "llm_config": llm_config(settings), "context_window_limit": settings.window,
        "model_settings": {"provider_type": settings.provider, **told.get("model_settings", {})},
        "created_at": entry.created, "created_by_id": entry.owner,
    })  # fmt: skip


@router.post("/v1/agents/", response_model=AgentShown)
def create(request: Request, body: New, caller: Keeper) -> AgentShown:
    """Make an agent."""
    house = house_of(request)
    entry = make(house, caller.owner, body)
    noted(request, caller, "make agent", entry.id)
    return agent_shown(house, entry)


@router.get("/v1/agents/", response_model=list[AgentShown])
def listed(
    request: Request, caller: Reader, name: str | None = None, tags: Words = None, match_all_tags: bool = False,
    query_text: str | None = None, after: str | None = None, before: str | None = None, limit: Limit = None,
    order: Order | None = None, ascending: bool | None = None, include: Words = None,
    include_relationships: Words = None,
) -> list[AgentShown]:  # fmt: skip
    """The agents of whoever asks, the newest first; what they have only where it is asked for."""
    house = house_of(request)
    wanted, every = {*(tags or ())}, all if match_all_tags else any
    found = [
        entry for entry in house.residents.roster(caller.owner).all()
        if (name is None or entry.name == name)
        and (not query_text or query_text.lower() in entry.name.lower())
        and (not wanted or every(tag in kept_beside(entry.settings).get("tags", ()) for tag in wanted))
    ]  # fmt: skip
    rising = order == "asc" if order else bool(ascending)
    found.sort(key=lambda entry: (entry.created, entry.id), reverse=not rising)
    shown_here = page(found, lambda each: shown("agent", each.id), after=after, before=before, limit=limit)
    more = [*(include or ()), *(include_relationships or ())]
    return [agent_shown(house, entry, more) for entry in shown_here]


@router.get("/v1/agents/count", response_model=int)
def count(request: Request, caller: Reader) -> int:
    """How many agents there are."""
    return len(house_of(request).residents.roster(caller.owner).all())


@router.get("/v1/agents/{agent_id}", response_model=AgentShown)
def retrieve(request: Request, agent_id: str, caller: Reader) -> AgentShown:
    """One agent with all it has."""
    return agent_shown(house_of(request), entry_of(request, caller, agent_id))


@router.patch("/v1/agents/{agent_id}", response_model=AgentShown)
def update(request: Request, agent_id: str, body: Changed, caller: Keeper) -> AgentShown:
    """Change an agent; what is not named stays."""
    house = house_of(request)
    entry = change(house, entry_of(request, caller, agent_id), body, local_time())
    noted(request, caller, "change agent", entry.id)
    return agent_shown(house, entry)


@router.delete("/v1/agents/{agent_id}", response_model=Told)
def delete(request: Request, agent_id: str, caller: Keeper) -> Told:
    """Delete an agent with all it remembers; blocks that it shares stay with the others."""
    house, entry = house_of(request), entry_of(request, caller, agent_id)
    if house.runs.busy(entry.id):
        raise Refused(409, f"The agent {entry.name!r} is busy. Cancel its runs first, or try again when it rests.")
    house.residents.roster(caller.owner).delete(entry.name)
    house.residents.forget(entry.id)
    noted(request, caller, "delete agent", entry.id)
    return Told(message=f"Agent id={shown('agent', entry.id)} successfully deleted")
