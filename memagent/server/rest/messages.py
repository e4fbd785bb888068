"""`/v1/agents/{id}/messages`: to talk with an agent, whole or as it happens, and to read what was said.

Knows nothing of how turns run.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Collection
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response

from memagent.context import parts
from memagent.facts.reading import take_back
from memagent.persistence import PersistenceManager
from memagent.roster import Entry
from memagent.server.callers import Caller, Claim
from memagent.server.following import happening, whole
from memagent.server.house import House
from memagent.server.ledger import UNENDED
from memagent.server.problems import Refused
from memagent.server.rest.agents import agent_shown
from memagent.server.rest.asking import Claiming, Keeper, Limit, Order, Reader, Talker, entry_of, house_of, noted
from memagent.server.rest.history import History
from memagent.server.rest.ids import shown
from memagent.server.rest.saying import Asked, start
from memagent.server.rest.shapes import ERRORS, AgentShown
from memagent.server.rest.standing import RunShown, run_shown
from memagent.server.rest.telling import MODEL_FAILED, Teller, Writer, stop_reason, usage
from memagent.server.runs import Run
from memagent.server.sse import DONE, line, streamed

router = APIRouter(tags=["REST: messages"], responses=ERRORS)
PING = {"message_type": "ping", "id": "message-00000000-0000-0000-0000-000000000000", "date": "1970-01-01T00:00:00Z"}
MOST_AT_ONCE = 100


class MessageShown(BaseModel):
    """A message; which other fields it has, its `message_type` says."""

    model_config = ConfigDict(extra="allow")

    message_type: str
    id: str
    date: str


class Answered(BaseModel):
    """What came of what was said."""

    messages: list[MessageShown]
    stop_reason: dict[str, Any]
    usage: dict[str, Any]


class Cancelled(BaseModel):
    """Which runs are to be ended; all of the agent, if none is named."""

    run_ids: list[str] | None = None


class Summed(BaseModel):
    """What the context window was summed up in."""

    summary: str
    num_messages_before: int
    num_messages_after: int


def teller_of(entry: Entry, run: Run, asked: Asked) -> Teller:
    """Who tells a run as it is asked for."""
    speech = asked.use_assistant_message is not False
    plain = entry.settings["speech"] == "plain"
    compactions = bool(asked.include_compaction_messages)
    return Teller(Writer(entry.id, run.id), bool(asked.stream_tokens), speech, plain, compactions)


async def answered(
    house: House, claim: Claim, find: Callable[[Caller], Entry], asked: Asked, *, whole: bool
) -> Response:  # fmt: skip
    """Say what is asked for to the agent that is found, and tell what comes of it: `whole`, or as it happens."""

    def begin() -> tuple[Entry, Run]:
        caller = claim()
        entry = find(caller)
        return entry, start(house, caller, entry, asked, whole=whole)

    entry, run = await house.runs.asked(begin)
    return await told_whole(house, entry, run, asked) if whole else told_bit_by_bit(house, entry, run, asked)


async def told_whole(house: House, entry: Entry, run: Run, asked: Asked) -> Response:
    """Wait for the end of a run, and tell what happened in it."""
    teller, kinds = teller_of(entry, run, asked), asked.include_return_message_types
    teller.tokens, messages = False, list[dict[str, Any]]()
    for event in await whole(house, run):
        messages += [each for each in teller.told(event) if kinds is None or each["message_type"] in kinds]
    if teller.ending in MODEL_FAILED and teller.failed:
        # The message was stored: a client that sends it again by itself would say it twice.
        why = f"{teller.failed.message} {teller.failed.hint}".strip()
        status = 409 if teller.failed.kind == "AgentBusy" else 502
        raise Refused(status, why, {"x-should-retry": "false", "x-memagent-run": run.id})
    told = {"messages": messages, "stop_reason": stop_reason(teller.ending), "usage": usage(teller.ended, run.id)}
    return JSONResponse(told, headers={"x-memagent-run": run.id})


def told_bit_by_bit(house: House, entry: Entry, run: Run, asked: Asked, after: int = -1) -> Response:
    """Tell what happens in a run as it happens, from the message after a number on."""
    alive = line(PING) if asked.include_pings else ": alive\n\n"
    lines = _lines(house, run, teller_of(entry, run, asked), asked.include_return_message_types, after)
    return streamed(lines, headers={"x-memagent-run": run.id}, alive=alive)


async def _lines(
    house: House, run: Run, teller: Teller, kinds: list[str] | None, after: int
) -> AsyncGenerator[str]:  # fmt: skip
    async for event in happening(house, run):
        for message in teller.told(event):
            if message["seq_id"] > after and (kinds is None or message["message_type"] in kinds):
                yield line(message)
    if teller.failed:
        failed = teller.failed
        yield line({
            "message_type": "error_message", "run_id": run.id, "error_type": teller.ending, "message": failed.message,
            "detail": failed.hint or None,
        })  # fmt: skip
    yield line(stop_reason(teller.ending))
    yield line(usage(teller.ended, run.id))
    yield line(DONE)


@router.post("/v1/agents/{agent_id}/messages", response_model=Answered)
async def create(request: Request, agent_id: str, body: Asked, claim: Claiming) -> Response:
    """Say something to an agent, and be told what comes of it: whole, or with `streaming` as it happens."""
    find = partial(entry_of, request, agent_id=agent_id)
    return await answered(house_of(request), claim, find, body, whole=not body.streaming)


@router.post("/v1/agents/{agent_id}/messages/stream", response_model=Answered)
async def stream(request: Request, agent_id: str, body: Asked, claim: Claiming) -> Response:
    """The same, always as it happens."""
    find = partial(entry_of, request, agent_id=agent_id)
    return await answered(house_of(request), claim, find, body, whole=False)


@router.post("/v1/agents/{agent_id}/messages/async", response_model=RunShown)
def create_async(request: Request, agent_id: str, body: Asked, caller: Talker) -> RunShown:
    """Say something to an agent and wait for nothing: the run can be asked for later."""
    house, entry = house_of(request), entry_of(request, caller, agent_id)
    run = start(house, caller, entry, body)
    stored = house.runs.ledger.find(run.id)
    assert stored
    return run_shown(stored)


@router.get("/v1/agents/{agent_id}/messages", response_model=list[MessageShown])
def listed(
    request: Request, agent_id: str, caller: Reader, after: str | None = None, before: str | None = None,
    limit: Limit = None, order: Order | None = None, use_assistant_message: bool = True,
    include_return_message_types: Annotated[list[str] | None, Query()] = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """What was said and done, the newest first."""
    house, entry = house_of(request), entry_of(request, caller, agent_id)
    history = History(house.database, entry.id, use_assistant_message, include_return_message_types)
    rising = order == "asc"
    return history.page(after=after or None, before=before or None, rising=rising, limit=limit or MOST_AT_ONCE)


@router.post("/v1/agents/{agent_id}/messages/cancel", response_model=dict[str, str])
def cancel(request: Request, agent_id: str, caller: Talker, body: Cancelled | None = None) -> dict[str, str]:
    """End runs of an agent now."""
    named = {*(body.run_ids or ())} if body else set()
    return cancelled(house_of(request), entry_of(request, caller, agent_id), named)


def cancelled(house: House, entry: Entry, named: Collection[str] = ()) -> dict[str, str]:
    """End the runs of an agent that go on, or those of them that are named; what became of each."""
    running = [run for run in house.runs.running() if run.of == entry.id and (not named or run.id in named)]
    for id in {*named} - {run.id for run in running}:
        stored = house.runs.ledger.find(id)
        if stored and stored.agent == entry.id and stored.state in UNENDED:  # another server's: it is told there
            house.runs.cancel(house.runs.found(stored))
    for run in reversed(running):
        house.runs.cancel(run)
    return {**dict.fromkeys(named, "not running"), **{run.id: "cancelled" for run in running}}


@router.patch("/v1/agents/{agent_id}/reset-messages", response_model=AgentShown)
def reset(request: Request, agent_id: str, caller: Keeper) -> AgentShown:
    """Take back all that was said; core and archival memory stay as they are."""
    house, entry = house_of(request), entry_of(request, caller, agent_id)
    _forget_talk(house.residents.state(entry))  # not that of its turns: one that runs is not cut
    house.residents.forget(entry.id)
    noted(request, caller, "reset messages", entry.id)
    return agent_shown(house, entry)


def _forget_talk(state: PersistenceManager) -> None:
    """Take back all that was said in turns, and what was learned from it."""
    now, agent = state.clock(), state.entry.id
    with state.alone() as tx:
        first = tx.rows("SELECT min(seq) FROM messages WHERE agent = ? AND turn > 0", agent)[0][0]
        if first is not None:
            state.log.undo(tx, first, now)
            take_back(tx, state.database, agent, first, now)
        tx.run("DELETE FROM calls WHERE agent = ?", agent)
        tx.run("UPDATE turns SET state = 'undone' WHERE agent = ? AND state IN ('running', 'waiting')", agent)


@router.post("/v1/agents/{agent_id}/summarize", response_model=Summed)
async def summarize(request: Request, agent_id: str, caller: Talker) -> Summed:
    """Sum up what is oldest in the agent's context window now."""
    entry = await asyncio.to_thread(entry_of, request, caller, agent_id)
    return await summed_up(house_of(request), caller, entry)


async def summed_up(house: House, caller: Caller, entry: Entry) -> Summed:
    """Have an agent sum up what is oldest in its context window."""
    log = History(house.database, entry.id).log

    def begin() -> tuple[int, Run]:
        before = len(log.window())
        house.limits.check_spent(caller.key)
        return before, house.runs.start(entry, "summarize", {}, key=caller.id, whole=True)

    before, run = await house.runs.asked(begin)
    teller = Teller(Writer(entry.id, run.id))
    for event in await whole(house, run):
        for _ in teller.told(event):
            pass
    if teller.failed:
        raise Refused(400, f"{teller.failed.message} {teller.failed.hint}".strip())
    after = len(await asyncio.to_thread(log.window))
    text = teller.summed_up.summary if teller.summed_up else ""
    return Summed(summary=text, num_messages_before=before, num_messages_after=after)


@router.get("/v1/agents/{agent_id}/context", response_model=dict[str, Any])
def context(request: Request, agent_id: str, caller: Reader) -> dict[str, Any]:
    """What fills the agent's context window, by part."""
    house, entry = house_of(request), entry_of(request, caller, agent_id)
    agent = house.residents.agent(entry, house.runs.busy)
    state, window = agent.state, agent.state.log.window()
    state.core.reload()
    core, schemas = state.core.render(), json.dumps(agent.schemas)
    counts = dict(parts(agent.system, core, window, agent.schemas, agent.gauge))
    summary = next((str(json.loads(m.content)["message"]) for m in window if m.kind == "summary"), None)
    spoken = sum(count for name, count in counts.items() if name in ("user", "agent", "results", "events"))
    return {
        "agent_id": shown("agent", entry.id), "context_window_size_max": agent.limits.window,
        "context_window_size_current": sum(counts.values()), "num_messages": len(window),
        "num_archival_memory": state.archival.total(), "num_recall_memory": state.log.size(),
        "num_tokens_system": counts.get("system prompt", 0), "system_prompt": agent.system,
        "num_tokens_core_memory": counts.get("core memory", 0), "core_memory": core,
        "num_tokens_summary_memory": counts.get("summary", 0), "summary_memory": summary,
        "num_tokens_functions_definitions": counts.get("functions", 0),
        "functions_definitions": json.loads(schemas), "num_tokens_messages": spoken, "parts": counts,
        "num_tokens_external_memory_summary": 0, "external_memory_summary": "",
    }  # fmt: skip
