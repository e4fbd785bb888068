"""text-generation-webui as it was until November 2023: its blocking interface, at /api/v1/generate.

Speaks for its last version, the snapshot of 2023-11-12. The answer comes whole, when it is done: the time limit for
silence must cover it all. What does not fit into the window it cuts off without a word, so that the prompt is counted
before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memagent.llm.servers import Completion, Get, Offer, Part, TextServer, inside, whole_number


class WebUILegacy(TextServer):
    """The old text-generation-webui: no streaming, no chat that knows functions."""

    title = "text-generation-webui (legacy)"
    port = 5000
    version = "2023-11-12"
    start = "python server.py --api"
    load = "Load one in its Model tab, or start it with --model MODEL."
    constraint = "gbnf"
    chat = ""

    def asked(self, completion: Completion) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {
            "prompt": completion.prompt,
            "max_new_tokens": completion.max_tokens,
            "truncation_length": completion.window,
            "stopping_strings": list(completion.stop),
        }
        if completion.temperature is not None:
            body["temperature"] = completion.temperature
        if completion.grammar:
            body["grammar_string"] = completion.grammar
        return "/api/v1/generate", body | dict(completion.sampling)

    def heard(self, event: Mapping[str, Any]) -> Part | None:
        results = event.get("results")
        text = inside(results[0], "text") if isinstance(results, list) and results else None
        return Part(text, "stop") if isinstance(text, str) else None

    def left(self, _body: Mapping[str, Any], /) -> tuple[str, dict[str, Any]] | None:
        return "/api/v1/stop-stream", {}

    def offers(self, get: Get) -> list[Offer]:
        info = inside(get("/api/v1/model", {"action": "info"}), "result")
        name = inside(info, "model_name")
        window = whole_number(inside(info, "shared.settings", "truncation_length"))
        return [Offer(name, window)] if isinstance(name, str) and name not in ("", "None") else []

    def window(self, get: Get, _model: str) -> int:
        """There is one model, by whatever name it is asked for."""
        return next((offer.window for offer in self.offers(get)), 0)

    def count(self, get: Get, _model: str, text: str, /) -> int | None:
        results = inside(get("/api/v1/token-count", {"prompt": text}), "results")
        return (whole_number(inside(results[0], "tokens")) or None) if isinstance(results, list) and results else None
