"""What was said, called and remembered, in the form in which the conventions want it: only where the settings ask for
it, and without secrets even then.

Knows nothing of spans.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from memagent import config
from memagent.llm import Answer, Request
from memagent.log import LONGEST
from memagent.messages import Message, ToolCall
from memagent.settings import Settings


class Content:
    """Content as attributes; none if it is `wanted` by nobody."""

    def __init__(self, settings: Settings) -> None:
        self.wanted = settings.telemetry_content
        self._settings = settings

    def asked(self, request: Request) -> Mapping[str, str]:
        """What a model is asked."""
        if not self.wanted:
            return {}
        system = [{"type": "text", "content": m.content} for m in request.messages if m.role == "system"]
        return {
            "gen_ai.system_instructions": self._json(system),
            "gen_ai.input.messages": self._json([_message(m) for m in request.messages if m.role != "system"]),
            "gen_ai.tool.definitions": self._json([{"type": "function", **tool} for tool in request.tools]),
        }

    def answered(self, answer: Answer) -> Mapping[str, str]:
        """What a model answered."""
        if not self.wanted:
            return {}
        thoughts = [{"type": "reasoning", "content": answer.thoughts}] if answer.thoughts else []
        parts = [*thoughts, *_parts(answer.text, answer.calls)]
        said = [{"role": "assistant", "parts": parts, "finish_reason": answer.finish}]
        return {"gen_ai.output.messages": self._json(said)}

    def called(self, arguments: Mapping[str, Any]) -> Mapping[str, str]:
        """With what a function is called."""
        return {"gen_ai.tool.call.arguments": self._json(arguments)} if self.wanted else {}

    def returned(self, text: str) -> Mapping[str, str]:
        """What a function returned."""
        return {"gen_ai.tool.call.result": self.masked(text)} if self.wanted else {}

    def remembered(self, query: str, texts: Iterable[str]) -> Mapping[str, str]:
        """What was looked for in memory, and found or changed there."""
        if not self.wanted:
            return {}
        asked = {"gen_ai.memory.query.text": self.masked(query)} if query else {}
        return {**asked, "gen_ai.memory.records": self._json([{"content": text} for text in texts])}

    def why(self, error: BaseException) -> str:
        """Why something failed, in words."""
        return self.masked(str(error)) if self.wanted else ""

    def masked(self, text: str) -> str:
        """Text without secrets, and no longer than it would be in the log."""
        return config.mask(text, self._settings)[:LONGEST]

    def _json(self, data: Any) -> str:
        return json.dumps(_through(data, self.masked), ensure_ascii=False)


def _through(data: Any, masked: Any) -> Any:
    """Data whose texts are masked one by one, so that it stays JSON whatever is masked."""
    if isinstance(data, str):
        return masked(data)
    if isinstance(data, Mapping):
        return {str(key): _through(value, masked) for key, value in data.items()}
    if isinstance(data, Sequence):
        return [_through(value, masked) for value in data]
    return data


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        part = {"type": "tool_call_response", "id": message.call_id, "result": message.content}
        return {"role": "tool", "parts": [part]}
    return {"role": message.role, "parts": _parts(message.content, message.calls)}


def _parts(text: str, calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    said = [{"type": "text", "content": text}] if text else []
    return [*said, *({"type": "tool_call", "id": c.id, "name": c.name, "arguments": c.arguments} for c in calls)]
