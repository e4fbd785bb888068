"""OpenAI's way of going on with a text, /v1/completions, as several servers speak it.

Knows nothing of what each of them adds to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memagent.llm.draft import counted
from memagent.llm.servers import Completion, Part, TextServer


class Completions(TextServer):
    """A server with /v1/completions; `own` is what it is told in words that only it knows."""

    def asked(self, completion: Completion) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {
            "model": completion.model,
            "prompt": completion.prompt,
            "stream": True,
            "stream_options": {"include_usage": True},
            "stop": list(completion.stop),
            "max_tokens": completion.max_tokens,
        }
        if completion.temperature is not None:
            body["temperature"] = completion.temperature
        return "/v1/completions", body | self.own(completion) | dict(completion.sampling)

    def own(self, _completion: Completion, /) -> dict[str, Any]:
        """What this server is told beside the usual."""
        return {}

    def heard(self, event: Mapping[str, Any]) -> Part | None:
        usage = counted(event.get("usage"))
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else {}
        if not isinstance(choices, list) or not isinstance(choice, dict):
            return None
        text, finish = choice.get("text"), choice.get("finish_reason")
        return Part(text if isinstance(text, str) else "", finish if isinstance(finish, str) else "", usage)
