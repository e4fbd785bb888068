"""text-generation-webui: OpenAI's /v1/completions, with the names of its own samplers, and its internal doors.

Speaks for version 4.7. What does not fit into the window it cuts off without a word, and it does not say how large the
window is: it takes `truncation_length`, which must not be more than its model was loaded with.
"""

from __future__ import annotations

from typing import Any

from memagent.llm.servers import Completion, Get, Offer, inside, whole_number
from memagent.llm.servers.completions import Completions


class WebUI(Completions):
    """text-generation-webui: one model at a time, behind one of many loaders."""

    title = "text-generation-webui"
    port = 5000
    version = "4.7"
    start = "python server.py --api"
    load = "Load one in its Model tab, or start it with --model MODEL."
    constraint = "gbnf"

    def own(self, completion: Completion, /) -> dict[str, Any]:
        own: dict[str, Any] = {"truncation_length": completion.window}
        return own | {"grammar_string": completion.grammar} if completion.grammar else own

    def offers(self, get: Get) -> list[Offer]:
        name = inside(get("/v1/internal/model/info", None), "model_name")
        return [Offer(name)] if isinstance(name, str) and name not in ("", "None") else []

    def count(self, get: Get, _model: str, text: str, /) -> int | None:
        return whole_number(inside(get("/v1/internal/token-count", {"text": text}), "length")) or None
