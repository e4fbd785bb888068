"""`/v1/chat/completions`: one message to an agent, and what it answers, whole or as it is written.

Knows nothing of how turns run.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from memagent.server.callers import Claim, Claimed
from memagent.server.following import happening, whole
from memagent.server.house import House
from memagent.server.openai_api.asked import Asked, Said, ask, last_words
from memagent.server.openai_api.heard import Heard
from memagent.server.problems import Refused
from memagent.server.sse import DONE, line, streamed

router = APIRouter(tags=["OpenAI"])
FINISH = {"waiting": "stop", "done": "stop", "interrupted": "length", "failed": "stop"}


class StreamOptions(BaseModel):
    """What a stream tells besides."""

    model_config = ConfigDict(extra="ignore")

    include_usage: bool | None = False


class Completion(BaseModel):
    """What is asked for. Everything else that such requests may hold is the agent's own business, and not read."""

    model_config = ConfigDict(extra="ignore")

    model: str
    messages: list[Said] = Field(min_length=1)
    stream: bool | None = False
    stream_options: StreamOptions | None = None


@router.post("/v1/chat/completions")
async def completions(
    request: Request, body: Completion, claim: Annotated[Claim, Depends(Claimed("chat"))]
) -> Response:  # fmt: skip
    """Say the last message to the agent that `model` names; the others it remembers itself."""
    house: House = request.app.state.house
    asked = await ask(house, claim, body.model, last_words(body.messages), whole=not body.stream)
    headers = {"x-memagent-run": asked.run.id}
    if body.stream:
        usage = bool(body.stream_options and body.stream_options.include_usage)
        return streamed(_chunks(house, asked, usage=usage), headers=headers)
    heard = Heard()
    for event in await whole(house, asked.run):
        for _ in heard.pieces(event):
            pass
    refuse_failure(heard)
    ending = heard.ended.ending if heard.ended else "interrupted"
    message = {"role": "assistant", "content": heard.text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": FINISH[ending], "logprobs": None}
    told = _head(asked, "chat.completion") | {"choices": [choice], "usage": usage_of(heard)}
    return JSONResponse(told, headers=headers)


def refuse_failure(heard: Heard) -> None:
    """A turn that failed with nothing said is an error; else what was said is the answer."""
    if heard.failed and not heard.text:
        # The message was stored: a client that sends it again would say it twice.
        raise Refused(502, f"{heard.failed.message} {heard.failed.hint}".strip(), {"x-should-retry": "false"})


async def _chunks(house: House, asked: Asked, *, usage: bool) -> AsyncGenerator[str]:
    heard, head = Heard(), _head(asked, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
        return line(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]})

    yield chunk({"role": "assistant", "content": ""})
    async for event in happening(house, asked.run):
        for piece in heard.pieces(event):
            yield chunk({"content": piece})
    if heard.failed and not heard.text:
        why = f"{heard.failed.message} {heard.failed.hint}".strip()
        yield line({"error": {"message": why, "type": heard.failed.kind, "code": None}})
    yield chunk({}, FINISH[heard.ended.ending if heard.ended else "interrupted"])
    if usage:
        yield line(head | {"choices": [], "usage": usage_of(heard)})
    yield line(DONE)


def usage_of(heard: Heard) -> dict[str, int]:
    """Tokens of all steps, in the words of this API."""
    read, written = heard.usage.get("prompt_tokens", 0), heard.usage.get("completion_tokens", 0)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _head(asked: Asked, kind: str) -> dict[str, Any]:
    number = asked.run.id.removeprefix("run-")
    return {"id": f"chatcmpl-{number}", "object": kind, "created": int(time.time()), "model": asked.entry.name}
