"""What can be searched: what was said, notes and sources; and facts, with where they come from.

Knows nothing of how a search ranks.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from memagent.errors import UserError
from memagent.facts import Cause, Fact, State
from memagent.facts.keeping import FactMemory
from memagent.roster import Entry
from memagent.server.desk.at import Changing, Desk, Reading
from memagent.server.desk.at import Form as Body
from memagent.upkeep import open_facts

router = APIRouter(prefix="/api", tags=["page"])
Page = Annotated[int, Query(ge=0, le=10_000)]


class Right(Body):
    """What is right instead."""

    text: str = Field(min_length=1, max_length=500)


@router.get("/agents/{agent}/search")
def search(
    desk: Reading, agent: str, query: str, where: Literal["recall", "archival", "facts"] = "recall", page: Page = 0
) -> dict[str, Any]:  # fmt: skip
    """Search what was said, notes and sources, or facts."""
    entry = desk.entry(agent)
    if not query.strip():
        raise UserError("What to look for?")
    if where == "facts":
        matches = _facts(desk, entry).search(query, page, states=("holds", "past"))
        return {"results": [_fact(match.fact) for match in matches.matches]}
    state = desk.state(entry)
    found = state.recall.search(query, page) if where == "recall" else state.archival.search(query, page)
    return {**vars(found), "results": [vars(result) for result in found.results]}


@router.get("/agents/{agent}/notes")
def notes(desk: Reading, agent: str, page: Page = 0) -> dict[str, Any]:
    """The agent's own notes in archival memory, the newest first."""
    found = desk.state(desk.entry(agent)).archival.all(page)
    return {**vars(found), "results": [vars(result) for result in found.results]}


@router.get("/agents/{agent}/facts")
def facts(
    desk: Reading, agent: str, past: bool = False, limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> list[dict[str, Any]]:  # fmt: skip
    """What is known, the newest first; with what held once (`past`), or was forgotten."""
    memory = _facts(desk, desk.entry(agent))
    states: tuple[State, ...] = ("holds", "past", "forgotten") if past else ("holds",)
    return [_fact(fact) for fact in memory.ledger.listed(states, limit=limit)]


@router.get("/agents/{agent}/facts/{number}")
def fact(desk: Reading, agent: str, number: int) -> dict[str, Any]:
    """A fact, with all that became of it and its other versions."""
    ledger = _facts(desk, desk.entry(agent)).ledger
    found = ledger.get(number)
    history = [{**vars(change), "cause": vars(change.cause)} for change in ledger.history(found.id)]
    return {**_fact(found), "history": history, "line": [_fact(each) for each in ledger.line(found.id)]}


@router.put("/agents/{agent}/facts/{number}")
def correct(desk: Changing, agent: str, number: int, body: Right) -> dict[str, Any]:
    """Put other words in the place of a fact."""
    memory = _facts(desk, entry := desk.entry(agent))
    if memory.ledger.get(number).state != "holds":
        raise UserError(f"Fact {number} does not hold any more.")
    right = memory.correct(number, " ".join(body.text.split()), Cause("user"))
    desk.note("fact corrected", f"{entry.name}/{number}")
    return _fact(right)


@router.delete("/agents/{agent}/facts/{number}")
def forget(desk: Changing, agent: str, number: int) -> dict[str, Any]:
    """Forget a fact; it can be brought back."""
    memory = _facts(desk, entry := desk.entry(agent))
    if memory.ledger.get(number).state == "forgotten":
        raise UserError(f"Fact {number} is forgotten already.")
    gone = memory.forget(number, Cause("user"))
    desk.note("fact forgotten", f"{entry.name}/{number}")
    return _fact(gone)


@router.post("/agents/{agent}/facts/{number}/restore")
def restore(desk: Changing, agent: str, number: int) -> dict[str, Any]:
    """Bring back a fact that ended or was forgotten."""
    memory = _facts(desk, entry := desk.entry(agent))
    if memory.ledger.get(number).state == "holds":
        raise UserError(f"Fact {number} holds already.")
    back = memory.restore(number, Cause("user"))
    desk.note("fact restored", f"{entry.name}/{number}")
    return _fact(back)


def _facts(desk: Desk, entry: Entry) -> FactMemory:
    memory = open_facts(desk.settings(entry), desk.house.database, entry.id)
    if memory is None:
        raise UserError("No facts are kept: the setting facts is off.")
    return memory


def _fact(fact: Fact) -> dict[str, Any]:
    return {**vars(fact), "cause": vars(fact.cause), "details": dict(fact.details)}
