"""llama.cpp's server, which also runs the embedded model: its own interface, at /completion.

Speaks for builds from b4500 on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from memagent.llm import Usage, Written
from memagent.llm.servers import Completion, Get, Offer, Part, TextServer, inside, whole_number

OTHERS = 6
"""So many of the words that might have been written are told."""


class LlamaCpp(TextServer):
    """llama.cpp: constrains output by GBNF, keeps what it has read, and tells all it counts."""

    title = "llama.cpp"
    port = 8080
    version = "b4500"
    start = "llama-server -m MODEL.gguf --jinja"
    load = "Start it with one: llama-server -m MODEL.gguf"
    constraint = "gbnf"

    def asked(self, completion: Completion) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {"prompt": completion.prompt, "stream": True, "cache_prompt": True}
        if completion.temperature is not None:
            body["temperature"] = completion.temperature
        body |= {"stop": list(completion.stop), "n_predict": completion.max_tokens or -1}
        if completion.grammar:
            body["grammar"] = completion.grammar
        if completion.weighed:
            body["n_probs"] = OTHERS
        return "/completion", body | dict(completion.sampling)

    def heard(self, event: Mapping[str, Any]) -> Part | None:
        text = event.get("content")
        if not isinstance(text, str):
            return None
        if event.get("stop") is not True:
            return Part(text, written=tuple(_written(event)))
        finish = "length" if event.get("stop_type") == "limit" or event.get("truncated") is True else "stop"
        anew = whole_number(inside(event, "timings", "prompt_n"))
        prompt = whole_number(event.get("tokens_evaluated"))
        usage = Usage(prompt, whole_number(event.get("tokens_predicted")), max(0, prompt - anew) if anew else 0)
        return Part(text, finish, usage if prompt else None)

    def offers(self, get: Get) -> list[Offer]:
        window = whole_number(inside(get("/props", None), "default_generation_settings", "n_ctx"))
        return [Offer(offer.name, window) for offer in super().offers(get)]

    def window(self, get: Get, model: str) -> int:
        """There is one model, by whatever name it is asked for."""
        return super().window(get, model) or next((offer.window for offer in self.offers(get)), 0)

    def count(self, get: Get, _model: str, text: str, /) -> int | None:
        tokens = inside(get("/tokenize", {"content": text, "parse_special": True}), "tokens")
        return len(tokens) if isinstance(tokens, list) else None


def _written(event: Mapping[str, Any]) -> Iterator[Written]:
    for piece in inside(event, "completion_probabilities") or ():
        others = [(inside(each, "token"), inside(each, "logprob")) for each in inside(piece, "top_logprobs") or ()]
        chances = {
            word: math.exp(min(0.0, log)) for word, log in others
            if isinstance(word, str) and isinstance(log, int | float)
        }  # fmt: skip
        token = inside(piece, "token")
        yield Written(token if isinstance(token, str) else "", chances)
