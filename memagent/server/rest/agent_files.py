"""Agents out and in as files (`.af`).

Knows nothing of what stands in them.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from pydantic import BaseModel

from memagent.server.problems import Refused
from memagent.server.rest.arriving import Wish, arrive
from memagent.server.rest.asking import Keeper, Reader, entry_of, house_of, noted
from memagent.server.rest.leaving import document
from memagent.server.rest.shapes import ERRORS

router = APIRouter(tags=["REST: agent files"], responses=ERRORS)
Word = Annotated[str | None, Form()]
Yes = Annotated[bool | None, Form()]


class Arrived(BaseModel):
    """The agents that were in a file."""

    agent_ids: list[str]


@router.get("/v1/agents/{agent_id}/export", response_model=dict[str, Any])
def export(request: Request, agent_id: str, caller: Reader, scrub_messages: bool = False) -> dict[str, Any]:
    """An agent as a file, with what was said or without."""
    return document(house_of(request), entry_of(request, caller, agent_id), messages=not scrub_messages)


@router.post("/v1/agents/import", response_model=Arrived)
def take_in(
    request: Request, caller: Keeper, file: Annotated[UploadFile, File()], name: Word = None,
    override_name: Word = None, model: Word = None, override_model_handle: Word = None,
    append_copy_suffix: Yes = False, strip_messages: Yes = False, secrets: Word = None, env_vars_json: Word = None,
) -> Arrived:  # fmt: skip
    """Make agents out of a file. No code in it ever runs."""
    if any(given not in (None, "", "{}") for given in (secrets, env_vars_json)):
        raise Refused(400, "Variables for functions belong into the server's own environment.")
    try:
        text = file.file.read().decode()
    except UnicodeDecodeError as error:
        raise Refused(400, "This is no agent file: it is not text in UTF-8.") from error
    wish = Wish(
        name=name or override_name, model=model or override_model_handle, copy_suffix=bool(append_copy_suffix),
        strip_messages=bool(strip_messages),
    )  # fmt: skip
    ids = arrive(house_of(request), caller.owner, text, wish)
    for id in ids:
        noted(request, caller, "import agent", id)
    return Arrived(agent_ids=ids)
