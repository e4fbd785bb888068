"""Core memory: blocks to read and edit, each with its history, from which any version comes back.

Knows nothing of how an agent edits its own.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from memagent.errors import UserError
from memagent.memory.core import Edit, find
from memagent.persistence import PersistenceManager
from memagent.server.desk.at import Changing, Reading
from memagent.server.desk.at import Form as Body

router = APIRouter(prefix="/api", tags=["page"])


class Written(Body):
    """A block's new text, and the version that was edited: who edits an older one is told, and loses nothing."""

    value: str = Field(max_length=1_000_000)
    version: int


class Version(Body):
    """A version to go back to."""

    version: int


@router.get("/agents/{agent}/blocks")
def blocks(desk: Reading, agent: str) -> list[dict[str, Any]]:
    """All blocks."""
    return _blocks(desk.state(desk.entry(agent)))


@router.put("/agents/{agent}/blocks/{label}")
def write(desk: Changing, agent: str, label: str, body: Written) -> list[dict[str, Any]]:
    """Put another text into a block."""
    state = desk.state(desk.entry(agent))
    desk.edited("block edited", state, state.edit_block(label, body.value, of=body.version))
    return _blocks(state)


@router.get("/agents/{agent}/edits")
def edits(
    desk: Reading, agent: str, label: str = "", limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> list[dict[str, Any]]:  # fmt: skip
    """The edits of a block, or of all, newest first; each with its difference, and the words that it was made on."""
    state = desk.state(desk.entry(agent))
    if label:
        find(state.core.blocks, label)
    found = state.core.history(label or None, limit)
    words = {turn: state.log.words_of(turn) for turn in {edit.turn for edit in found} if turn}
    return [_edit(edit, words.get(edit.turn or 0, "")) for edit in found]


@router.post("/agents/{agent}/blocks/{label}/restore")
def restore(desk: Changing, agent: str, label: str, body: Version) -> list[dict[str, Any]]:
    """Put a block back to how it was at a version."""
    state = desk.state(desk.entry(agent))
    find(state.core.blocks, label)
    before = state.core.version(label, body.version).after
    desk.edited("block restored", state, state.edit_block(label, before, f"restore of version {body.version}"))
    return _blocks(state)


@router.post("/agents/{agent}/edits/undo")
def undo(desk: Changing, agent: str) -> dict[str, Any]:
    """Take back the newest edit of core memory that was not taken back yet."""
    state = desk.state(desk.entry(agent))
    undone = state.undo_edit()
    if not undone:
        raise UserError("There is nothing left to take back.")
    desk.edited("edit undone", state, undone)
    return {"undone": [_edit(edit, "") for edit in undone], "blocks": _blocks(state)}


def _blocks(state: PersistenceManager) -> list[dict[str, Any]]:
    state.core.reload()
    return [vars(block) for block in state.core.blocks.values()]


def _edit(edit: Edit, words: str) -> dict[str, Any]:
    return {**vars(edit), "diff": edit.diff(), "words": words}
