"""llama.cpp's server, which also runs the embedded model: its own interface, at /completion.

Speaks for builds from b4500 on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memagent.llm import Usage
from memagent.llm.servers import Completion, Get, Offer, Part, TextServer, whole_number


class LlamaCpp(TextServer):
    """llama.cpp: constrains output by GBNF, keeps what it has read, and tells all it counts."""

    title = "llama.cpp"
    port = 8080
    version = "b4500"
    constraint = "gbnf"

    def asked(self, completion: Completion) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {"prompt": completion.prompt, "stream": True, "cache_prompt": True}
        if completion.temperature is not None:
            body["temperature"] = completion.temperature
        body |= {"stop": list(completion.stop), "n_predict": completion.max_tokens or -1}
        if completion.grammar:
            body["grammar"] = completion.grammar
        return "/completion", body | dict(completion.sampling)

    def heard(self, event: Mapping[str, Any]) -> Part:
        text = event.get("content")
        text = text if isinstance(text, str) else ""
        if event.get("stop") is not True:
            return Part(text)
        finish = "length" if event.get("stop_type") == "limit" or event.get("truncated") is True else "stop"
        timings = event.get("timings")
        anew = whole_number(timings.get("prompt_n")) if isinstance(timings, dict) else 0
        prompt = whole_number(event.get("tokens_evaluated"))
        usage = Usage(prompt, whole_number(event.get("tokens_predicted")), max(0, prompt - anew) if anew else 0)
        return Part(text, finish, usage if prompt else None)

    def offers(self, get: Get) -> list[Offer]:
        props = get("/props", None)
        settings = props.get("default_generation_settings") if isinstance(props, dict) else None
        window = whole_number(settings.get("n_ctx")) if isinstance(settings, dict) else 0
        return [Offer(offer.name, window) for offer in super().offers(get)]

    def count(self, get: Get, _model: str, text: str, /) -> int | None:
        tokens = get("/tokenize", {"content": text, "parse_special": True}).get("tokens")
        return len(tokens) if isinstance(tokens, list) else None
