"""koboldcpp: the Kobold interface, streamed, with what koboldcpp adds to it at /api/extra.

Speaks for version 1.76. What does not fit into the window it cuts off without a word, so that the prompt is counted
before; it does not notice that nobody listens while it still reads a prompt, so that it is told.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from memagent.llm.servers import Completion, Get, Offer, Part, TextServer, inside, whole_number


class KoboldCpp(TextServer):
    """koboldcpp: one model; constrains output by GBNF."""

    title = "koboldcpp"
    port = 5001
    version = "1.76"
    start = "koboldcpp --model MODEL.gguf"
    load = "Start it with one: koboldcpp --model MODEL.gguf"
    constraint = "gbnf"

    def asked(self, completion: Completion) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {
            "prompt": completion.prompt,
            "max_context_length": completion.window,
            "max_length": completion.max_tokens,
            "stop_sequence": list(completion.stop),
            "trim_stop": True,
            "genkey": f"memagent{secrets.token_hex(6)}",
        }
        if completion.temperature is not None:
            body["temperature"] = completion.temperature
        if completion.grammar:
            body["grammar"] = completion.grammar
        return "/api/extra/generate/stream", body | dict(completion.sampling)

    def heard(self, event: Mapping[str, Any]) -> Part | None:
        text, finish = event.get("token"), event.get("finish_reason")
        return Part(text, finish if isinstance(finish, str) else "") if isinstance(text, str) else None

    def left(self, body: Mapping[str, Any], /) -> tuple[str, dict[str, Any]] | None:
        return "/api/extra/abort", {"genkey": body.get("genkey", "")}

    def offers(self, get: Get) -> list[Offer]:
        name = inside(get("/api/v1/model", None), "result")
        return [Offer(name, self.window(get, name))] if isinstance(name, str) and name != "inactive" else []

    def window(self, get: Get, _model: str) -> int:
        """There is one model, by whatever name it is asked for."""
        return whole_number(inside(get("/api/extra/true_max_context_length", None), "value"))

    def count(self, get: Get, _model: str, text: str, /) -> int | None:
        return whole_number(inside(get("/api/extra/tokencount", {"prompt": text}), "value")) or None
