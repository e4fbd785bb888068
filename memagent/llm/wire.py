"""How a conversation is written for a chat-completions endpoint, byte for byte the same each time.

What stays (model, settings, tools) comes first and the messages last, so that a request begins with the bytes of the
one before it and caches along the way can serve that beginning. Knows nothing of connections or of reading answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from memagent.llm import Request
from memagent.messages import Message

OURS = frozenset({"model", "stream", "stream_options", "tools", "tool_choice", "messages"})
"""The fields that are written here; settings must not name them."""

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")


def written(model: str, settings: Mapping[str, Any], request: Request, refused: Collection[str] = ()) -> bytes:
    """The body of the request. What this endpoint has `refused` before is left out, or said in another way."""
    body: dict[str, Any] = {"model": model, **settings, "stream": True}
    if "stream_options" not in refused:
        body["stream_options"] = {"include_usage": True}
    if request.max_tokens is not None:
        body.pop("max_tokens", None)
    elif "max_tokens" in refused and "max_tokens" in body:
        body["max_completion_tokens"] = body.pop("max_tokens")
    if request.tools:
        body["tools"] = [{"type": "function", "function": dict(tool)} for tool in request.tools]
    body["messages"] = [as_sent(message) for message in request.messages]
    # From here on: what is for this one request only, so that the common beginning is not broken.
    if request.max_tokens is not None:
        body["max_completion_tokens" if "max_tokens" in refused else "max_tokens"] = request.max_tokens
    if request.force and request.tools and "tool_choice" not in refused:
        named = {"type": "function", "function": {"name": request.force}}
        body["tool_choice"] = "required" if "named tool_choice" in refused else named
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")


def as_sent(message: Message) -> dict[str, Any]:
    """One message as the endpoint reads it."""
    sent: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.calls:
        # Some endpoints refuse an empty text beside calls; all take null.
        sent["content"] = message.content or None
        sent["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": _name(call.name), "arguments": call.arguments}}
            for call in message.calls
        ]
    elif message.role == "tool":
        sent["tool_call_id"] = message.call_id or ""
        sent["name"] = _name(message.name or "")
    return sent


def _name(name: str) -> str:
    """The name as endpoints accept it: one the model made up must not spoil every request after it."""
    return _NOT_IN_A_NAME.sub("_", name)[:64] or "unnamed"
