"""Tools: the functions that agents here may call, which are the operator's; and those of one agent, given and taken.

No route takes code: who sends some is told so. Knows nothing of how a function runs.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from memagent.errors import UserError
from memagent.roster import Entry
from memagent.server.callers import Caller, Needs
from memagent.server.house import House
from memagent.server.problems import Refused
from memagent.server.rest import toolbox
from memagent.server.rest.agents import agent_shown, tools_of
from memagent.server.rest.asking import Keeper, Limit, Order, Reader, entry_of, house_of, noted, page
from memagent.server.rest.shapes import ERRORS, AgentShown, ToolShown
from memagent.settings import Settings

router = APIRouter(tags=["REST: tools"], responses=ERRORS)
Words = Annotated[list[str] | None, Query()]


class Searched(BaseModel):
    """What a function is looked for by."""

    model_config = ConfigDict(extra="ignore")

    query: str | None = None
    tags: list[str] | None = None
    limit: int | None = None


class Match(BaseModel):
    """A function that was found."""

    tool: ToolShown
    combined_score: float


class Approval(BaseModel):
    """Whether a person must say yes to each call."""

    model_config = ConfigDict(extra="ignore")

    requires_approval: bool = Field(validation_alias=AliasChoices("requires_approval", "body_requires_approval"))


def settings_of(house: House, caller: Caller, entry: Entry | None = None) -> Settings:
    """The settings that hold."""
    return house.residents.settings_of(caller.owner, entry.settings.get("settings") if entry else None)


def stored(request: Request, caller: Caller, entry: Entry, kept: dict[str, Any], what: str) -> AgentShown:
    """Store an agent's changed functions, if they can be linked, and tell how it is then."""
    house = house_of(request)
    try:
        toolbox.of_agent(settings_of(house, caller, entry), kept)
    except UserError as error:
        raise Refused(400, str(error)) from error
    with house.database.write(entry.id) as tx:
        house.residents.roster(caller.owner).change(tx, entry.id, kept)
    house.residents.forget(entry.id)
    noted(request, caller, what, entry.id)
    return agent_shown(house, house.residents.roster(caller.owner).by_id(entry.id))


# All tools ----------------------------------------------------------------------------------------------------------


@router.get("/v1/tools/", response_model=list[ToolShown])
def listed(
    request: Request, caller: Reader, name: str | None = None, names: Words = None, search: str | None = None,
    after: str | None = None, before: str | None = None, limit: Limit = None, order: Order | None = None,
) -> list[ToolShown]:  # fmt: skip
    """Every function that agents here may be given."""
    found = [
        each.shown() for each in toolbox.offered(settings_of(house_of(request), caller))
        if (name is None or each.tool.name == name) and (not names or each.tool.name in names)
        and (not search or search.lower() in each.tool.name.lower())
    ]  # fmt: skip
    ours = found[::-1] if order == "desc" else found
    return page(ours, lambda each: each.id, after=after, before=before, limit=limit)


@router.get("/v1/tools/count", response_model=int)
def count(request: Request, caller: Reader) -> int:
    """How many functions there are."""
    return len(toolbox.offered(settings_of(house_of(request), caller)))


@router.post("/v1/tools/search", response_model=list[Match])
def search(request: Request, body: Searched, caller: Reader) -> list[Match]:
    """The functions whose name or description has the words, those that have most of them first."""
    words, found = (body.query or "").lower().split(), list[Match]()
    for each in toolbox.offered(settings_of(house_of(request), caller)):
        shown = each.shown()
        text = f"{shown.name} {shown.description or ''}".lower()
        score = sum(word in text for word in words) / len(words) if words else 1.0
        if score and (not body.tags or {*body.tags} & {*shown.tags}):
            found.append(Match(tool=shown, combined_score=score))
    found.sort(key=lambda match: -match.combined_score)
    return found[: min(max(body.limit or 50, 1), 1000)]


@router.post("/v1/tools/", response_model=ToolShown, dependencies=[Depends(Needs("admin"))])
def create() -> ToolShown:
    """Refused: no function is taken from a client."""
    raise Refused(400, toolbox.NO_CODE)


@router.put("/v1/tools/", response_model=ToolShown, dependencies=[Depends(Needs("admin"))])
def upsert() -> ToolShown:
    """Refused: no function is taken from a client."""
    raise Refused(400, toolbox.NO_CODE)


@router.get("/v1/tools/{tool_id}", response_model=ToolShown)
def retrieve(request: Request, tool_id: str, caller: Reader) -> ToolShown:
    """One function."""
    return toolbox.named_by(settings_of(house_of(request), caller), tool_id).shown()


@router.patch("/v1/tools/{tool_id}", response_model=ToolShown)
def update(request: Request, tool_id: str, caller: Keeper) -> ToolShown:
    """Refused: no function is changed by a client."""
    toolbox.named_by(settings_of(house_of(request), caller), tool_id)
    raise Refused(400, toolbox.NO_CODE)


@router.delete("/v1/tools/{tool_id}", response_model=ToolShown)
def delete(request: Request, tool_id: str, caller: Keeper) -> ToolShown:
    """Refused: the functions are the operator's."""
    toolbox.named_by(settings_of(house_of(request), caller), tool_id)
    raise Refused(400, "The functions here are the operator's: they are deleted where their files are.")


# Tools of an agent --------------------------------------------------------------------------------------------------


@router.get("/v1/agents/{agent_id}/tools", response_model=list[ToolShown])
def of_agent(
    request: Request, agent_id: str, caller: Reader, after: str | None = None, before: str | None = None,
    limit: Limit = None, order: Order | None = None,
) -> list[ToolShown]:  # fmt: skip
    """The functions of an agent."""
    house, entry = house_of(request), entry_of(request, caller, agent_id)
    found = tools_of(settings_of(house, caller, entry), entry)
    ours = found[::-1] if order == "desc" else found
    return page(ours, lambda each: each.id, after=after, before=before, limit=limit)


@router.patch("/v1/agents/{agent_id}/tools/attach/{tool_id}", response_model=AgentShown)
def attach(request: Request, agent_id: str, tool_id: str, caller: Keeper) -> AgentShown:
    """Give an agent a function."""
    house, entry = house_of(request), entry_of(request, caller, agent_id)
    settings = settings_of(house, caller, entry)
    kept = toolbox.added(settings, entry.settings, [toolbox.named_by(settings, tool_id).entry])
    return stored(request, caller, entry, kept, "attach tool")


@router.patch("/v1/agents/{agent_id}/tools/detach/{tool_id}", response_model=AgentShown)
def detach(request: Request, agent_id: str, tool_id: str, caller: Keeper) -> AgentShown:
    """Take a function from an agent."""
    house, entry = house_of(request), entry_of(request, caller, agent_id)
    settings = settings_of(house, caller, entry)
    kept = toolbox.without(settings, entry.settings, toolbox.named_by(settings, tool_id).entry)
    return stored(request, caller, entry, kept, "detach tool")


@router.patch("/v1/agents/{agent_id}/tools/approval/{tool_name}", response_model=AgentShown)
def approval(
    request: Request, agent_id: str, tool_name: str, caller: Keeper, body: Approval | None = None,
    requires_approval: bool | None = None,
) -> AgentShown:  # fmt: skip
    """Say whether a person must say yes to each call of a function."""
    entry = entry_of(request, caller, agent_id)
    asked = body.requires_approval if body else requires_approval
    if asked is None:
        raise Refused(422, "requires_approval is missing.")
    rules = {name: dict(of) for name, of in entry.settings["rules"].items()}
    rules[tool_name] = {**rules.get(tool_name, {}), "approval": asked}
    return stored(request, caller, entry, {**entry.settings, "rules": rules}, "approval of a tool")


@router.post("/v1/agents/{agent_id}/tools/{tool_name}/run", response_model=dict[str, Any])
def run(request: Request, agent_id: str, tool_name: str, caller: Keeper) -> dict[str, Any]:
    """Refused: a function runs in a turn, where its results are stored."""
    name = entry_of(request, caller, agent_id).name
    raise Refused(
        400, f"Functions run in the turns of an agent, and not by themselves: ask {name!r} to call {tool_name}."
    )
