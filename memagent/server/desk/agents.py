"""Agents: listed, made from presets or from a character card, renamed, deleted, and taken elsewhere as a file.

Knows nothing of what they say.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, UploadFile
from pydantic import Field
from starlette.responses import Response

from memagent.assemble import store_agent
from memagent.bridges.cards import sheets
from memagent.bridges.cards.arriving import arrive
from memagent.bridges.cards.leaving import leave
from memagent.errors import MemagentError, UserError
from memagent.library import Kind, Library
from memagent.roster import Entry
from memagent.server.approvals import pending
from memagent.server.desk.at import Changing, Desk, Reading
from memagent.server.desk.at import Form as Body
from memagent.transfer import export, read_in

router = APIRouter(prefix="/api", tags=["page"])
KINDS: tuple[Kind, ...] = ("presets", "personas", "humans")


class New(Body):
    """What a new agent is made of."""

    name: str = Field(min_length=1, max_length=200)
    preset: str = ""
    persona: str = ""
    human: str = ""
    words: dict[str, str] = Field(default={}, max_length=20)
    """What blocks of its core memory say instead."""


class Renamed(Body):
    """Another name."""

    name: str = Field(min_length=1, max_length=200)


@router.get("/agents")
def listed(desk: Reading) -> list[dict[str, Any]]:
    """All agents, the one that was talked with last first."""
    entries = desk.roster.all()
    entries.sort(key=lambda entry: entry.last_talked or entry.created, reverse=True)
    return [_shown(desk, entry) for entry in entries]


@router.get("/choices")
def choices(desk: Reading) -> dict[str, Any]:
    """What a new agent can be made of."""
    library = Library(desk.house.settings.home)
    found: dict[str, Any] = {
        kind: {item.name: _told(library, kind, item.name) for item in library.names(kind)} for kind in KINDS
    }
    return {**found, "preset": desk.settings().first_preset}


@router.post("/agents")
def make(desk: Changing, body: New) -> dict[str, Any]:
    """Make an agent."""
    given = {name: value for name in ("preset", "persona", "human") if (value := getattr(body, name))}
    store_agent(replace(desk.settings(), **given), desk.house.database, body.name, given=given)
    entry = desk.roster.find(body.name)
    try:
        for label, words in body.words.items():
            desk.state(entry).edit_block(label, words)
    except MemagentError:
        desk.roster.delete(entry.name)
        raise
    desk.note("agent made", entry.name)
    return _shown(desk, entry)


@router.post("/agents/file")
def take_in(desk: Changing, file: UploadFile, name: Annotated[str, Form()] = "") -> dict[str, Any]:
    """Make an agent from a character card (PNG, JSON or CHARX), or from a file that one was exported to."""
    data, where = file.file.read(), (file.filename or "file")[:200]
    notes: list[str] = []
    if sheets.looks_like_one(data):
        arrived = arrive(desk.settings(), desk.house.database, sheets.read(data, where), where, name=name)
        made = arrived.name
        notes += [f"This did not fit into its persona: {field}." for field in arrived.cut]
    else:
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise UserError(f"{where} is no character card, and no file that an agent was exported to.") from error
        came = read_in(desk.house.database, desk.caller.owner, text, name)
        made = came.name
        notes += [f"It could search the source {source!r}, which is not here." for source in came.lacking]
        notes += [f"This did not come along, since it is for you to say: {left}." for left in came.left]
    entry = desk.roster.find(made)
    desk.note("agent taken in", entry.name)
    return {**_shown(desk, entry), "notes": notes}


@router.get("/agents/{agent}")
def one(desk: Reading, agent: str) -> dict[str, Any]:
    """One agent, with what waits for a person's word. Who follows what happens from `number` on sees all of the run
    that is not over yet; of other runs, what has a number up to `last` is stored already.
    """
    entry = desk.entry(agent)
    waiting = [vars(call) for call in pending(desk.house.database, entry.id)]
    last = desk.house.runs.channel(entry.id).last
    running = [run for run in desk.house.runs.running() if run.of == entry.id]
    number = min(last, running[0].first) if running else last
    names = [run.id for run in running]
    return {**_shown(desk, entry), "waiting": waiting, "number": number, "last": last, "running": names}


@router.patch("/agents/{agent}")
def rename(desk: Changing, agent: str, body: Renamed) -> dict[str, Any]:
    """Give an agent another name."""
    before = desk.entry(agent).name
    desk.roster.rename(before, body.name)
    desk.note("agent renamed", before)
    return _shown(desk, desk.entry(agent))


@router.delete("/agents/{agent}")
def delete(desk: Changing, agent: str) -> dict[str, str]:
    """Delete an agent with all that it remembers."""
    entry = desk.entry(agent)
    for run in reversed([run for run in desk.house.runs.running() if run.of == entry.id]):
        desk.house.runs.cancel(run)
    desk.roster.delete(entry.name)
    desk.house.residents.forget(entry.id)
    desk.note("agent deleted", entry.name)
    return {"deleted": entry.name}


@router.get("/agents/{agent}/export")
def exported(desk: Changing, agent: str, card: bool = False) -> Response:
    """An agent as a file, with all it remembers; or as a character card."""
    entry = desk.entry(agent)
    if card:
        data, kind, ending = sheets.as_png(leave(desk.house.database, entry)), "image/png", "png"
    else:
        data = export(desk.house.database, desk.roster, entry.name).encode()
        kind, ending = "application/json", "json"
    place = f"attachment; filename*=UTF-8''{quote(f'{entry.name}.{ending}')}"
    return Response(data, media_type=kind, headers={"content-disposition": place})


def _shown(desk: Desk, entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id, "name": entry.name, "created": entry.created, "messages": entry.messages,
        "talked": entry.last_talked, "preset": entry.settings.get("preset"), "persona": entry.settings.get("persona"),
        "busy": desk.house.runs.busy(entry.id),
    }  # fmt: skip


def _told(library: Library, kind: Kind, name: str) -> str:
    """What one is like, in a line."""
    try:
        if kind == "presets":
            return library.preset(name).description
    except MemagentError as error:  # one of the home may be wrong; all others can be chosen
        return error.message
    lines = [line for line in library.text(kind, name).splitlines() if line.strip()]
    return lines[0][:200] if lines else ""
