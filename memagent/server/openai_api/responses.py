"""`/v1/responses`: the same as an item of output, in the newer form of the API; what was answered can be asked for
again.

Knows nothing of how turns run.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response

from memagent.server.callers import Caller, Claim, Claimed, Needs
from memagent.server.following import happening, whole
from memagent.server.house import House
from memagent.server.openai_api.asked import Asked, Said, ask, last_words
from memagent.server.openai_api.chat import refuse_failure, usage_of
from memagent.server.openai_api.heard import Heard
from memagent.server.problems import Refused
from memagent.server.retold import retold
from memagent.server.sse import line, streamed

router = APIRouter(tags=["OpenAI"])
_ID = re.compile(r"resp_[0-9a-f-]{36}")


class Wanted(BaseModel):
    """What is asked for; instructions and earlier responses are the agent's own business, and not read."""

    model_config = ConfigDict(extra="ignore")

    model: str
    input: str | list[Said]
    stream: bool | None = False


@router.post("/v1/responses")
async def create(request: Request, body: Wanted, claim: Annotated[Claim, Depends(Claimed("chat"))]) -> Response:
    """Say the last message of the input to the agent that `model` names."""
    house: House = request.app.state.house
    said = [Said(content=body.input)] if isinstance(body.input, str) else body.input
    asked = await ask(house, claim, body.model, last_words(said), whole=not body.stream)
    headers = {"x-memagent-run": asked.run.id}
    if body.stream:
        return streamed(_told(house, asked), headers=headers)
    heard = Heard()
    for event in await whole(house, asked.run):
        for _ in heard.pieces(event):
            pass
    refuse_failure(heard)
    return JSONResponse(_response(asked.run.id, asked.entry.name, heard, time.time()), headers=headers)


@router.get("/v1/responses/{response}")
def retrieve(request: Request, response: str, caller: Annotated[Caller, Depends(Needs("read"))]) -> dict[str, Any]:
    """What was answered before."""
    house: House = request.app.state.house
    run = house.runs.ledger.find(f"run-{response.removeprefix('resp_')}") if _ID.fullmatch(response) else None
    if run is None or run.owner != caller.owner:
        raise Refused(404, f"There is no response {response[:80]!r}.")
    heard = Heard()
    if run.ended:
        for event in retold(house.database, run):
            for _ in heard.pieces(event):
                pass
    name = house.residents.roster(caller.owner).by_id(run.agent).name
    return _response(run.id, name, heard, run.created.timestamp(), "" if run.ended else "in_progress")


async def _told(house: House, asked: Asked) -> AsyncGenerator[str]:
    heard, began, number = Heard(), time.time(), 0
    place = {"item_id": _item_id(asked.run.id), "output_index": 0, "content_index": 0}

    def event(kind: str, **more: Any) -> str:
        nonlocal number
        number += 1
        return line({"type": kind, "sequence_number": number - 1, **more}, kind)

    def response(status: str = "") -> dict[str, Any]:
        return _response(asked.run.id, asked.entry.name, heard, began, status)

    yield event("response.created", response=response("in_progress"))
    yield event("response.in_progress", response=response("in_progress"))
    yield event("response.output_item.added", output_index=0, item=_item(asked.run.id, "", "in_progress"))
    yield event("response.content_part.added", part=_part(""), **place)
    async for each in happening(house, asked.run):
        for piece in heard.pieces(each):
            yield event("response.output_text.delta", delta=piece, logprobs=[], **place)
    yield event("response.output_text.done", text=heard.text, logprobs=[], **place)
    yield event("response.content_part.done", part=_part(heard.text), **place)
    item = _item(asked.run.id, heard.text, "completed")
    yield event("response.output_item.done", output_index=0, item=item)
    ended = response()
    yield event(f"response.{ended['status']}", response=ended)


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _item_id(run: str) -> str:
    return f"msg_{run.removeprefix('run-')}"


def _item(run: str, text: str, status: str) -> dict[str, Any]:
    content = [_part(text)] if status == "completed" else []
    return {"id": _item_id(run), "type": "message", "role": "assistant", "status": status, "content": content}


def _response(run: str, name: str, heard: Heard, began: float, status: str = "") -> dict[str, Any]:
    failed = heard.failed if not heard.text else None
    status = status or ("failed" if failed else "completed" if heard.ended else "incomplete")
    usage = usage_of(heard)
    return {
        "id": f"resp_{run.removeprefix('run-')}", "object": "response", "created_at": int(began), "status": status,
        "model": name, "output": [_item(run, heard.text, "completed")] if status == "completed" else [],
        "error": {"code": "server_error", "message": f"{failed.message} {failed.hint}".strip()} if failed else None,
        "incomplete_details": None, "instructions": None, "metadata": {}, "parallel_tool_calls": False,
        "temperature": None, "top_p": None, "tool_choice": "none", "tools": [], "previous_response_id": None,
        "usage": {
            "input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"],
            "total_tokens": usage["total_tokens"], "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        } if heard.usage else None,
    }  # fmt: skip
