"""`/v1/agents/{id}/archival-memory`: notes without limit, kept, listed, searched and deleted.

A text that is too long for one passage is cut; the parts are passages of one note. Knows nothing of how a search ranks.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from memagent.assemble import open_embedder
from memagent.errors import ToolError
from memagent.memory.archival import ArchivalMemory
from memagent.memory.passages import Passage, PassageStore
from memagent.memory.search import MOST_RESULTS
from memagent.roster import Entry
from memagent.server.house import House
from memagent.server.problems import Refused
from memagent.server.rest.asking import MOST_AT_ONCE, Keeper, Limit, Reader, entry_of, house_of, noted
from memagent.server.rest.ids import Part, named, place_of, placed
from memagent.server.rest.shapes import ERRORS, Told
from memagent.storage import Found

router = APIRouter(tags=["REST: passages"], responses=ERRORS)
Words = Annotated[list[str] | None, Query()]


class PassageAsked(BaseModel):
    """A text to keep."""

    model_config = ConfigDict(extra="ignore")

    text: str
    tags: list[str] | None = None
    created_at: datetime | None = None


class PassageShown(BaseModel):
    """A passage."""

    id: str
    text: str
    tags: list[str] = Field(default_factory=list)
    created_at: datetime
    archive_id: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    embedding: list[float] | None = None
    file_name: str | None = None
    is_deleted: bool = False


class ResultShown(BaseModel):
    """A passage that was found."""

    id: str
    timestamp: str
    content: str
    tags: list[str] = Field(default_factory=list)


class FoundShown(BaseModel):
    """What was found, the best first."""

    results: list[ResultShown]
    count: int


def passage_shown(entry: Entry, passage: Passage) -> PassageShown:
    """A passage as a client sees it."""
    return PassageShown(
        id=placed("passage", entry.id, Part.PASSAGE, passage.id), text=passage.text, tags=list(passage.tags),
        created_at=passage.created, archive_id=named("archive", entry.id), file_name=passage.place or None,
    )  # fmt: skip


def _memories(house: House, entry: Entry) -> tuple[ArchivalMemory, PassageStore]:
    embedder = open_embedder(house.residents.settings_of(entry.owner, entry.settings.get("settings")))
    return ArchivalMemory(house.database, entry.id, embedder), PassageStore(house.database, entry.id, embedder)


def _number(entry: Entry, id: str) -> int:
    place = place_of("passage", entry.id, id)
    return place[1] if place and place[0] is Part.PASSAGE and place[1] < 2**62 else 0


@router.post("/v1/agents/{agent_id}/archival-memory", response_model=list[PassageShown])
def create(request: Request, agent_id: str, body: PassageAsked, caller: Keeper) -> list[PassageShown]:
    """Keep a text; returns the passages that it was cut into. One that is there already gets the new tags."""
    house, entry = house_of(request), entry_of(request, caller, agent_id)
    archival, store = _memories(house, entry)
    now = (body.created_at or datetime.now()).astimezone()
    try:
        prepared = archival.prepare(body.text, body.tags or ())
        with house.database.write(entry.id) as tx:
            archival.store(tx, prepared, turn=None, now=now)
            note = prepared.note
            if note is None:
                note = tx.rows("SELECT max(note) FROM passages WHERE shelf = ?", entry.id)[0][0]
    except ToolError as error:
        raise Refused(400, error.message) from error
    except (OverflowError, OSError) as error:  # a time that no clock here can show
        raise Refused(422, "created_at is out of range.") from error
    noted(request, caller, "keep passage", entry.id)
    return [passage_shown(entry, passage) for passage in store.of_note(int(note))]


@router.get("/v1/agents/{agent_id}/archival-memory", response_model=list[PassageShown])
def listed(
    request: Request, agent_id: str, caller: Reader, after: str | None = None, before: str | None = None,
    limit: Limit = None, search: str | None = None, ascending: bool | None = True,
) -> list[PassageShown]:  # fmt: skip
    """Passages in the order in which they were kept; with `search`, those that have these words in them."""
    house, entry = house_of(request), entry_of(request, caller, agent_id)
    _, store = _memories(house, entry)
    most, rising = limit or MOST_AT_ONCE, ascending is not False
    anchor = _number(entry, after or before or "")
    if (after or before) and not anchor:
        return []
    forward = rising == bool(after or not before)
    found = store.from_number(anchor, most, backwards=not forward, words=search or "")
    ours = found if after or not before else found[::-1]
    return [passage_shown(entry, passage) for passage in ours]


@router.get("/v1/agents/{agent_id}/archival-memory/search", response_model=FoundShown)
def search(
    request: Request, agent_id: str, query: str, caller: Reader,
    top_k: Annotated[int | None, Query(ge=1, le=MOST_RESULTS)] = None, tags: Words = None,
    tag_match_mode: Literal["any", "all"] = "any", start_datetime: datetime | None = None,
    end_datetime: datetime | None = None,
) -> FoundShown:  # fmt: skip
    """Passages by their words and what they mean, the best first."""
    house, entry = house_of(request), entry_of(request, caller, agent_id)
    archival, _ = _memories(house, entry)
    most, every = top_k or 10, tag_match_mode == "all"
    since, until = (each.date() if each else None for each in (start_datetime, end_datetime))
    try:
        wanted = tuple(tags or ()) if every else ()
        page = archival.search(query, 0, MOST_RESULTS, tags=wanted, since=since, until=until, source="you")
    except ToolError as error:
        raise Refused(400, error.message) from error
    found = [each for each in page.results if not tags or every or {*tags} & {*each.tags}]
    found = [each for each in found if _within(each.when, start_datetime, end_datetime)][:most]
    return FoundShown(results=[_result(entry, each) for each in found], count=len(found))


def _within(moment: datetime, first: datetime | None, last: datetime | None) -> bool:
    low, high = (each.astimezone() if each else None for each in (first, last))
    return (low is None or moment >= low) and (high is None or moment <= high)


def _result(entry: Entry, found: Found) -> ResultShown:
    id = placed("passage", entry.id, Part.PASSAGE, found.passage)
    return ResultShown(id=id, timestamp=found.when.isoformat(), content=found.text, tags=list(found.tags))


@router.delete("/v1/agents/{agent_id}/archival-memory/{memory_id}", response_model=Told)
def delete(request: Request, agent_id: str, memory_id: str, caller: Keeper) -> Told:
    """Delete a note, with all of its passages."""
    house, entry = house_of(request), entry_of(request, caller, agent_id)
    archival, store = _memories(house, entry)
    passage = store.get(_number(entry, memory_id))
    if passage is None:
        raise Refused(404, f"Passage with ID {memory_id[:80]} not found.")
    with house.database.write(entry.id) as tx:
        archival.delete(tx, passage.note)
    noted(request, caller, "delete passage", entry.id)
    return Told(message=f"Passage id={memory_id[:80]} successfully deleted")
