"""Core memory: the blocks of an agent, and blocks that have a life of their own and are shared by agents.

What is written here is an edit in the history of every agent that has the block, and can be undone there. Knows nothing
of what agents say.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict

from memagent.assemble import local_time
from memagent.errors import NotFound, ToolError, UserError
from memagent.memory.core import CoreMemory
from memagent.memory.shared import SharedBlock, SharedBlocks, Wanted
from memagent.roster import Entry
from memagent.server.callers import Caller
from memagent.server.house import House
from memagent.server.problems import Refused
from memagent.server.rest.agents import agent_shown, block_shown, blocks_of
from memagent.server.rest.asking import Keeper, Limit, Order, Reader, cause_of, entry_of, house_of, noted, page
from memagent.server.rest.ids import digits_of, shown
from memagent.server.rest.making import BlockAsked
from memagent.server.rest.shapes import ERRORS, AgentShown, BlockShown, Told

router = APIRouter(tags=["REST: blocks"], responses=ERRORS)
Words = Annotated[list[str] | None, Query()]


class BlockChanged(BaseModel):
    """What is asked to change of a block; what is not named stays."""

    model_config = ConfigDict(extra="ignore")

    value: str | None = None
    label: str | None = None
    limit: int | None = None
    description: str | None = None
    read_only: bool | None = None
    metadata: dict[str, Any] | None = None
    tags: list[str] | None = None

    @property
    def wanted(self) -> Wanted:
        """As core memory is told."""
        about = {name: value for name in ("metadata", "tags") if (value := getattr(self, name)) is not None}
        return Wanted(self.value, self.label, self.limit, self.description, self.read_only, about)


def id_of(shared: SharedBlock) -> str:
    """What a client calls a block."""
    return shown("block", shared.id)


def shared_of(house: House, caller: Caller, block_id: str) -> SharedBlock:
    """The block that is named, if it is the caller's."""
    try:
        return SharedBlocks(house.database, caller.owner).find(digits_of("block", block_id))
    except NotFound as error:
        raise Refused(404, f"Block with ID {block_id[:80]} not found.") from error


def labelled(house: House, entry: Entry, label: str) -> str:
    """The id of the block that an agent has under a label."""
    core = CoreMemory(house.database, entry.id)
    core.reload()
    if label not in core.blocks:
        raise Refused(404, f"The agent has no block {label[:60]!r}. It has: {', '.join(core.blocks)}.")
    return core.blocks[label].id


def changed(request: Request, caller: Caller, id: str, body: BlockChanged) -> BlockShown:
    """Change a block, and tell how it is then."""
    house = house_of(request)
    blocks = SharedBlocks(house.database, caller.owner)
    try:
        with house.database.write() as tx:
            edits = blocks.change(tx, id, body.wanted, cause_of(caller), local_time())
    except ToolError as error:  # written for a model, but as true for a client
        raise Refused(400, error.message) from error
    noted(request, caller, "change block", id)
    now = blocks.find(id)
    if edits:
        house.edited(now.agents[0], edits)
    return block_shown(now)


# Blocks of an agent -------------------------------------------------------------------------------------------------


@router.get("/v1/agents/{agent_id}/core-memory/blocks", response_model=list[BlockShown])
def of_agent(
    request: Request, agent_id: str, caller: Reader, after: str | None = None, before: str | None = None,
    limit: Limit = None, order: Order | None = None,
) -> list[BlockShown]:  # fmt: skip
    """The blocks of an agent."""
    found = blocks_of(house_of(request), entry_of(request, caller, agent_id))
    ours = found[::-1] if order == "desc" else found
    return page(ours, lambda each: each.id, after=after, before=before, limit=limit)


@router.get("/v1/agents/{agent_id}/core-memory/blocks/{block_label}", response_model=BlockShown)
def retrieve_of_agent(request: Request, agent_id: str, block_label: str, caller: Reader) -> BlockShown:
    """One block of an agent."""
    house, entry = house_of(request), entry_of(request, caller, agent_id)
    return block_shown(SharedBlocks(house.database, caller.owner).find(labelled(house, entry, block_label)))


@router.patch("/v1/agents/{agent_id}/core-memory/blocks/attach/{block_id}", response_model=AgentShown)
def attach(request: Request, agent_id: str, block_id: str, caller: Keeper) -> AgentShown:
    """Let an agent have a block, together with the others that do."""
    house, entry = house_of(request), entry_of(request, caller, agent_id)
    shared = shared_of(house, caller, block_id)
    with house.database.write() as tx:
        SharedBlocks(house.database, caller.owner).attach(tx, shared.id, entry.id, local_time())
    noted(request, caller, "attach block", f"{entry.id} {shared.id}")
    return agent_shown(house, entry)


@router.patch("/v1/agents/{agent_id}/core-memory/blocks/detach/{block_id}", response_model=AgentShown)
def detach(request: Request, agent_id: str, block_id: str, caller: Keeper) -> AgentShown:
    """Take a block from an agent; the block stays."""
    house, entry = house_of(request), entry_of(request, caller, agent_id)
    shared = shared_of(house, caller, block_id)
    with house.database.write() as tx:
        SharedBlocks(house.database, caller.owner).detach(tx, shared.id, entry.id)
    noted(request, caller, "detach block", f"{entry.id} {shared.id}")
    return agent_shown(house, entry)


@router.patch("/v1/agents/{agent_id}/core-memory/blocks/{block_label}", response_model=BlockShown)
def update_of_agent(
    request: Request, agent_id: str, block_label: str, body: BlockChanged, caller: Keeper
) -> BlockShown:  # fmt: skip
    """Change a block of an agent, and so of all that share it."""
    house, entry = house_of(request), entry_of(request, caller, agent_id)
    return changed(request, caller, labelled(house, entry, block_label), body)


# Blocks with a life of their own ------------------------------------------------------------------------------------


@router.post("/v1/blocks/", response_model=BlockShown)
def create(request: Request, body: BlockAsked, caller: Keeper) -> BlockShown:
    """Make a block that agents can be given."""
    blocks, now = SharedBlocks(house_of(request).database, caller.owner), local_time()
    with house_of(request).database.write() as tx:
        id = blocks.make(tx, body.block, body.about, now)
    noted(request, caller, "make block", id)
    return block_shown(blocks.find(id))


@router.get("/v1/blocks/", response_model=list[BlockShown])
def listed(
    request: Request, caller: Reader, label: str | None = None, name: str | None = None, tags: Words = None,
    match_all_tags: bool = False, label_search: str | None = None, value_search: str | None = None,
    description_search: str | None = None, after: str | None = None, before: str | None = None, limit: Limit = None,
    order: Order | None = None,
) -> list[BlockShown]:  # fmt: skip
    """All blocks of whoever asks, also those of agents; the oldest first."""
    wanted, every = {*(tags or ())}, all if match_all_tags else any
    found = [
        shared for shared in SharedBlocks(house_of(request).database, caller.owner).all()
        if (label is None or shared.block.label == label) and (name is None or shared.block.label == name)
        and (not label_search or label_search.lower() in shared.block.label.lower())
        and (not value_search or value_search.lower() in shared.block.value.lower())
        and (not description_search or description_search.lower() in shared.block.description.lower())
        and (not wanted or every(tag in (shared.about.get("tags") or ()) for tag in wanted))
    ]  # fmt: skip
    ours = found[::-1] if order == "desc" else found
    return [block_shown(each) for each in page(ours, id_of, after=after, before=before, limit=limit)]


@router.get("/v1/blocks/{block_id}", response_model=BlockShown)
def retrieve(request: Request, block_id: str, caller: Reader) -> BlockShown:
    """One block."""
    return block_shown(shared_of(house_of(request), caller, block_id))


@router.patch("/v1/blocks/{block_id}", response_model=BlockShown)
def update(request: Request, block_id: str, body: BlockChanged, caller: Keeper) -> BlockShown:
    """Change a block wherever it is."""
    return changed(request, caller, shared_of(house_of(request), caller, block_id).id, body)


@router.delete("/v1/blocks/{block_id}", response_model=Told)
def delete(request: Request, block_id: str, caller: Keeper) -> Told:
    """Delete a block, whoever has it."""
    house = house_of(request)
    shared = shared_of(house, caller, block_id)
    with house.database.write() as tx:
        SharedBlocks(house.database, caller.owner).delete(tx, shared.id)
    noted(request, caller, "delete block", shared.id)
    return Told(message=f"Block id={id_of(shared)} successfully deleted")


@router.get("/v1/blocks/{block_id}/agents", response_model=list[AgentShown])
def agents(
    request: Request, block_id: str, caller: Reader, after: str | None = None, before: str | None = None,
    limit: Limit = None, order: Order | None = None,
) -> list[AgentShown]:  # fmt: skip
    """The agents that have a block."""
    house = house_of(request)
    found = shared_of(house, caller, block_id).agents
    roster = house.residents.roster(caller.owner)
    ours = page(
        found[::-1] if order == "desc" else found, lambda each: shown("agent", each), after=after, before=before,
        limit=limit,
    )  # fmt: skip
    try:
        return [agent_shown(house, roster.by_id(agent), []) for agent in ours]
    except UserError as error:
        raise Refused(404, str(error)) from error
