"""What was said, told as the events that it was; messages to say, turns to take back or to end.

Knows nothing of what is shown of it.
"""

from __future__ import annotations

from itertools import groupby
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from memagent.context import parts
from memagent.events import Failed, as_dict
from memagent.memory.core import CoreMemory, Edit
from memagent.memory.log import MessageLog
from memagent.messages import Message
from memagent.server.desk.at import Form as Body
from memagent.server.desk.at import Reading, Talking
from memagent.server.ledger import Stored
from memagent.server.retold import CUT, events_of

router = APIRouter(prefix="/api", tags=["page"])
PAGE = 100


class Said(Body):
    """Something to say."""

    text: str = Field(min_length=1, max_length=1_000_000)
    otid: str | None = Field(default=None, max_length=200)


class Decided(Body):
    """A person's word on a call: `digest` names exactly the arguments that were shown."""

    call_id: str = Field(max_length=1000)
    digest: str = Field(max_length=1000)
    approve: bool


@router.get("/agents/{agent}/turns")
def turns(
    desk: Reading, agent: str, before: int = 0, limit: Annotated[int, Query(ge=1, le=500)] = PAGE
) -> dict[str, Any]:  # fmt: skip
    """The newest turns, or those before a message's number: what was said, and the events that followed."""
    entry = desk.entry(agent)
    log = MessageLog(desk.house.database, entry.id)
    messages = log.last(limit, before)
    groups = [list(group) for _, group in groupby(messages, key=lambda message: message.turn)]
    more = bool(messages) and messages[0].seq > 1
    if more and len(groups) > 1:
        del groups[0]  # a part of it may be missing; it comes whole with those before
    numbers = [group[0].turn for group in groups] or [0]
    edits = CoreMemory(desk.house.database, entry.id).of_turns(min(numbers), max(numbers))
    runs = {run.turn: run for run in reversed(desk.house.runs.ledger.newest(entry.id)) if run.turn is not None}
    return {"turns": [_turn(group, edits, runs.get(group[0].turn)) for group in groups], "more": more}


@router.post("/agents/{agent}/messages")
def say(desk: Talking, agent: str, body: Said) -> dict[str, str]:
    """Say something; what happens is told over the WebSocket."""
    entry = desk.entry(agent)
    desk.house.limits.check_spent(desk.caller.key)
    run = desk.house.runs.start(entry, "say", {"text": body.text}, key=desk.caller.id, otid=body.otid)
    return {"run": run.id}


@router.post("/agents/{agent}/retry")
def retry(desk: Talking, agent: str) -> dict[str, str]:
    """Take the newest turn back, and say the same again."""
    entry, runs = desk.entry(agent), desk.house.runs
    desk.house.limits.check_spent(desk.caller.key)
    runs.allow(entry)  # before anything is taken back: who may not ask loses nothing
    words, _ = desk.state(entry).undo_turn()
    desk.house.residents.forget(entry.id)
    desk.note("turn undone", entry.name)
    run = runs.start(entry, "say" if words else "greet", {"text": words}, key=desk.caller.id, allowed=True)
    return {"run": run.id}


@router.post("/agents/{agent}/undo")
def undo(desk: Talking, agent: str) -> dict[str, Any]:
    """Take the newest turn back everywhere: messages, edits of memory, notes. Returns the words that began it."""
    entry = desk.entry(agent)
    words, left = desk.state(entry).undo_turn()
    desk.house.residents.forget(entry.id)
    desk.note("turn undone", entry.name)
    return {"words": words, "left": left}


@router.post("/agents/{agent}/stop")
def stop(desk: Talking, agent: str) -> dict[str, list[str]]:
    """End what the agent is doing, and what it was asked to do next."""
    entry = desk.entry(agent)
    running = [run for run in desk.house.runs.running() if run.of == entry.id]
    for run in reversed(running):
        desk.house.runs.cancel(run)
    return {"runs": [run.id for run in running]}


@router.post("/agents/{agent}/decide")
def decide(desk: Talking, agent: str, body: Decided) -> dict[str, str]:
    """Let the agent call a function that it asked for, or not."""
    entry = desk.entry(agent)
    desk.house.limits.check_spent(desk.caller.key)
    run = desk.house.runs.start(entry, "decide", body.model_dump(), key=desk.caller.id)
    return {"run": run.id}


@router.get("/agents/{agent}/window")
def window(desk: Reading, agent: str) -> dict[str, Any]:
    """What fills the context window, by part."""
    found = desk.agent(desk.entry(agent))
    counts = parts(
        found.system, found.core_in_view(), found.compiled()[1:], found.schemas, found.gauge, found.wakes_with()
    )
    limits = found.limits
    return {
        "window": limits.window, "parts": [{"name": name, "tokens": tokens} for name, tokens in counts],
        "warn_at": limits.warn_at, "compact_at": limits.compact_at, "model": found.llm.model,
    }  # fmt: skip


def _turn(messages: list[Message], edits: list[Edit], run: Stored | None) -> dict[str, Any]:
    first = messages[0]
    happened = [as_dict(event) for event in events_of(messages, [e for e in edits if e.turn == first.turn])]
    if run and run.state in ("failed", "interrupted"):
        happened.append(as_dict(Failed(run.why or CUT)))
    said = "\n\n".join(message.said for message in messages if message.kind == "user" and message.said)
    if first.turn == 0:  # what it had said before anybody talked with it
        happened += [{"event": "Reply", "text": m.said} for m in messages if m.said and m.kind == "boot"]
    return {"turn": first.turn, "first": first.seq, "when": first.created, "said": said, "events": happened}
