"""Who asks for what: the caller's scopes, the agent that a request names, and pages of a list.

Everything that is named is looked up among the caller's own. Knows nothing of shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, TypeVar

from fastapi import Depends, Query, Request

from memagent.errors import NotFound
from memagent.roster import Entry
from memagent.server.callers import Caller, Claim, Claimed, Needs
from memagent.server.house import House
from memagent.server.problems import Refused
from memagent.server.rest.ids import digits_of

T = TypeVar("T")
Reader = Annotated[Caller, Depends(Needs("read"))]
Talker = Annotated[Caller, Depends(Needs("chat"))]
Claiming = Annotated[Claim, Depends(Claimed("chat"))]
Keeper = Annotated[Caller, Depends(Needs("admin"))]
Order = Literal["asc", "desc"]
Limit = Annotated[int | None, Query(ge=1, le=1000)]
MOST_AT_ONCE = 50


def house_of(request: Request) -> House:
    """What all doors share."""
    house: House = request.app.state.house
    return house


def entry_of(request: Request, caller: Caller, agent_id: str) -> Entry:
    """The agent that is named, if it is the caller's."""
    digits = digits_of("agent", agent_id)
    try:
        return house_of(request).residents.roster(caller.owner).by_id(digits or "-")
    except NotFound as error:
        raise Refused(404, f"Agent with ID {agent_id[:80]} not found.") from error


def noted(request: Request, caller: Caller, what: str, target: str) -> None:
    """Write into the audit log what was done."""
    caller.note(house_of(request), what, target)


def cause_of(caller: Caller) -> str:
    """By whom an edit is, for its history."""
    return f"key {caller.key.name}" if caller.key else "user"


def page(
    items: Sequence[T], id_of: Callable[[T], str], *, after: str | None, before: str | None, limit: int | None
) -> list[T]:
    """What comes after an item in this order, or before one; nothing if that item is not there (any more)."""
    found, most = list(items), limit or MOST_AT_ONCE
    ids = [id_of(item) for item in found]
    if after:
        found = found[ids.index(after) + 1 :] if after in ids else []
        ids = [id_of(item) for item in found]
    if before:
        found = found[: ids.index(before)] if before in ids else []
        if not after:
            return found[-most:]
    return found[:most]
