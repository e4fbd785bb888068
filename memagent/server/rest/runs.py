"""`/v1/runs/`: the turns that were asked for: how they stand, what was said in them, and following one that goes on.

Knows nothing of how turns run.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from memagent.server.callers import Caller
from memagent.server.house import House
from memagent.server.ledger import UNENDED, Stored
from memagent.server.problems import Refused
from memagent.server.rest.asking import MOST_AT_ONCE, Limit, Order, Reader, Talker, entry_of, house_of, page
from memagent.server.rest.history import History
from memagent.server.rest.messages import Answered, MessageShown, told_bit_by_bit
from memagent.server.rest.saying import Asked
from memagent.server.rest.shapes import ERRORS
from memagent.server.rest.standing import STATUS, RunShown, run_shown

router = APIRouter(tags=["REST: runs"], responses=ERRORS)


class Following(BaseModel):
    """From which message on a run is to be told again."""

    model_config = ConfigDict(extra="ignore")

    starting_after: int | None = None
    include_pings: bool | None = False


class Spent(BaseModel):
    """What a run has cost."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


def stored_run(house: House, caller: Caller, run_id: str) -> Stored:
    """The run that is named, if it is the caller's."""
    run = house.runs.ledger.find(run_id)
    if run is None or run.owner != caller.owner:
        raise Refused(404, f"Run with ID {run_id[:80]} not found.")
    return run


@router.get("/v1/runs/", response_model=list[RunShown])
def listed(
    request: Request, caller: Reader, agent_id: str | None = None, active: bool = False,
    agent_ids: Annotated[list[str] | None, Query()] = None, statuses: Annotated[list[str] | None, Query()] = None,
    after: str | None = None, before: str | None = None, limit: Limit = None, order: Order | None = None,
    ascending: bool | None = None,
) -> list[RunShown]:  # fmt: skip
    """The runs of whoever asks, the newest first."""
    house = house_of(request)
    named = [*(agent_ids or ()), *([agent_id] if agent_id else ())]
    agents = [entry_of(request, caller, each).id for each in named]
    states = UNENDED if active else [state for state, status in STATUS.items() if status in (statuses or ())]
    if statuses and not states:
        return []
    rising = order == "asc" if order else bool(ascending)
    found = house.runs.ledger.page(
        caller.owner, agents=agents, states=states, after=after, before=before, rising=rising,
        limit=limit or MOST_AT_ONCE,
    )  # fmt: skip
    return [run_shown(run) for run in found]


@router.get("/v1/runs/{run_id}", response_model=RunShown)
def retrieve(request: Request, run_id: str, caller: Reader) -> RunShown:
    """How a run stands."""
    return run_shown(stored_run(house_of(request), caller, run_id))


@router.get("/v1/runs/{run_id}/usage", response_model=Spent)
def usage(request: Request, run_id: str, caller: Reader) -> Spent:
    """What the turn of a run has cost so far."""
    run = stored_run(house_of(request), caller, run_id)
    read, written = run.prompt_tokens, run.completion_tokens
    return Spent(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


@router.get("/v1/runs/{run_id}/messages", response_model=list[MessageShown])
def messages(
    request: Request, run_id: str, caller: Reader, after: str | None = None, before: str | None = None,
    limit: Limit = None, order: Order | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """What was said and done in the turn of a run, in its order."""
    house = house_of(request)
    run = stored_run(house, caller, run_id)
    told = History(house.database, run.agent).of_turn(run.turn) if run.turn is not None else []
    ours = [{**each, "run_id": run.id} for each in (told[::-1] if order == "desc" else told)]
    return page(ours, lambda each: str(each["id"]), after=after, before=before, limit=limit)


@router.post("/v1/runs/{run_id}/stream", response_model=Answered)
async def stream(request: Request, run_id: str, caller: Talker, body: Following | None = None) -> Response:
    """Be told what happens in a run, from its beginning or from a message on, until it is over."""
    house = house_of(request)
    run = await asyncio.to_thread(stored_run, house, caller, run_id)
    entry = await asyncio.to_thread(house.residents.roster(caller.owner).by_id, run.agent)
    wanted = body or Following()
    after = wanted.starting_after if wanted.starting_after is not None else -1
    return told_bit_by_bit(house, entry, house.runs.found(run), Asked(include_pings=wanted.include_pings), after)
