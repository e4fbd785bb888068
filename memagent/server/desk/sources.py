"""Sources: files that are sent become some, agents are given them, and they are deleted.

Knows nothing of how files are read or loaded.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import ClientDisconnect, Request

from memagent.assemble import local_time
from memagent.library import check_name
from memagent.loading.hold import delete as delete_source
from memagent.memory.sources import SourceEntry, Sources, attached
from memagent.server.desk.at import Changing, Desk, Reading
from memagent.server.gate import FILE
from memagent.server.loads.incoming import Parcel
from memagent.server.problems import Refused

router = APIRouter(prefix="/api", tags=["page"])
AT_ONCE = 1_000_000
"""So many bytes of a file are written at once, and no more of it is in memory."""
DOCUMENTS = 50
Page = Annotated[int, Query(ge=0, le=100_000)]
A_FILE = {"requestBody": {"content": {FILE: {"schema": {"type": "string", "format": "binary"}}}, "required": True}}


@router.get("/agents/{agent}/sources")
def sources(desk: Reading, agent: str) -> list[dict[str, Any]]:
    """All sources, and which of them the agent can search."""
    entry = desk.entry(agent)
    has = attached(desk.house.database, entry.id)
    return [_shown(each) | {"attached": each.id in has} for each in _of(desk).all()]


@router.get("/sources/{source}")
def one(desk: Reading, source: str, page: Page = 0) -> dict[str, Any]:
    """One source, with a page of what is in it."""
    found = _of(desk).find(source)
    documents = _of(desk).listed(found.id, page * DOCUMENTS, DOCUMENTS)
    more = (page + 1) * DOCUMENTS < found.documents
    return {**_shown(found), "listed": [vars(each) for each in documents], "page": page, "more": more}


@router.delete("/sources/{source}")
def delete(desk: Changing, source: str) -> dict[str, str]:
    """Delete a source with all that was loaded into it, for all agents."""
    found = _of(desk).find(source)
    if any(load.incoming.source == found.name for load in desk.house.loads.of(desk.caller.owner)):
        desk.house.loads.end(desk.caller.owner, found.name)
    delete_source(desk.house.database, desk.caller.owner, found)
    desk.note("source deleted", found.name)
    return {"deleted": found.name}


@router.put("/agents/{agent}/sources/{source}")
def attach(desk: Changing, agent: str, source: str) -> list[dict[str, Any]]:
    """Let the agent search a source."""
    entry = desk.entry(agent)
    _of(desk).give(entry.id, [source], local_time())
    desk.note("source attached", f"{entry.name}/{source}")
    return sources(desk, agent)


@router.delete("/agents/{agent}/sources/{source}")
def detach(desk: Changing, agent: str, source: str) -> list[dict[str, Any]]:
    """Take a source away from the agent; it is kept."""
    entry = desk.entry(agent)
    _of(desk).take(entry.id, [source])
    desk.note("source detached", f"{entry.name}/{source}")
    return sources(desk, agent)


@router.put("/agents/{agent}/sources/{source}/files/{name}", openapi_extra=A_FILE)
async def send(request: Request, desk: Changing, agent: str, source: str, name: str) -> dict[str, str]:
    """Send a file, which is loaded into a source, a new one or one that is there; the agent can search it then. One of
    the same name takes the place of the one before.
    """
    entry = await asyncio.to_thread(desk.entry, agent)
    if request.headers.get("content-type", "").partition(";")[0].strip() != FILE:
        raise Refused(415, f"A file is sent as it is, as {FILE}.")
    if (length := request.headers.get("content-length", "")) == "":
        raise Refused(411, "Say how large the file is: Content-Length.")
    wanted, loads = check_name(source, "name of a source"), desk.house.loads
    parcel = await asyncio.to_thread(loads.expect, desk.caller.owner, wanted, entry.id, name, int(length))
    try:
        await _received(request, parcel)
        await asyncio.to_thread(loads.arrive, parcel)
    except ClientDisconnect as error:
        raise Refused(400, f"{name} did not come whole.") from error
    finally:
        await asyncio.shield(asyncio.to_thread(loads.drop, parcel))
    await asyncio.to_thread(desk.note, "file sent", f"{entry.name}/{wanted}/{name}")
    return {"source": wanted, "file": name}


async def _received(request: Request, parcel: Parcel) -> None:
    """Write a file down as it comes, a bit at a time."""
    held = bytearray()
    async for some in request.stream():
        held += some
        if len(held) >= AT_ONCE:
            await asyncio.to_thread(parcel.write, bytes(held))
            held.clear()
    await asyncio.to_thread(parcel.write, bytes(held))


@router.get("/loads")
def loads(desk: Reading) -> list[dict[str, Any]]:
    """What is being loaded, and what came of what was; the latter until it is forgotten (`DELETE`)."""
    return [load.shown() for load in desk.house.loads.of(desk.caller.owner)]


@router.post("/loads/{source}/again")
def again(desk: Changing, source: str) -> dict[str, str]:
    """Try again to load what failed."""
    desk.house.loads.again(desk.caller.owner, source)
    desk.note("loading begun again", source)
    return {"source": source}


@router.delete("/loads/{source}")
def end(desk: Changing, source: str) -> dict[str, str]:
    """Load no more of what was sent for a source, and forget what came of it. What was stored is kept."""
    desk.house.loads.end(desk.caller.owner, source)
    desk.note("loading ended", source)
    return {"source": source}


def _of(desk: Desk) -> Sources:
    return Sources(desk.house.database, desk.caller.owner)


def _shown(source: SourceEntry) -> dict[str, Any]:
    return {
        "name": source.name, "kind": source.kind, "documents": source.documents, "passages": source.passages,
        "updated": source.updated, "agents": source.agents,
    }  # fmt: skip
