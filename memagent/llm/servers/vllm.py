"""vLLM: OpenAI's /v1/completions, with grammars, counting and the window of each model.

Speaks for version 0.12; the names by which older ones know the same go along, and are ignored by newer ones.
"""

from __future__ import annotations

from typing import Any

from memagent.llm.servers import Completion, Get, Offer, inside, items, whole_number
from memagent.llm.servers.completions import Completions


class VLLM(Completions):
    """vLLM: serves many at once, and constrains output by grammar or schema."""

    title = "vLLM"
    port = 8000
    version = "0.12"
    start = "vllm serve MODEL"
    load = "Start it with one: vllm serve MODEL"
    constraint = "gbnf"

    def own(self, completion: Completion, /) -> dict[str, Any]:
        if completion.grammar:
            # Until 0.11 it was guided_…; a field that a version does not know is passed over.
            return {"structured_outputs": {"grammar": completion.grammar}, "guided_grammar": completion.grammar}
        if completion.schema is not None:
            schema = dict(completion.schema)
            return {"structured_outputs": {"json": schema}, "guided_json": schema}
        return {}

    def offers(self, get: Get) -> list[Offer]:
        listed = items(get("/v1/models", None), "data", "id")
        return [Offer(item["id"], whole_number(item.get("max_model_len"))) for item in listed]

    def count(self, get: Get, model: str, text: str, /) -> int | None:
        return whole_number(inside(get("/tokenize", {"model": model, "prompt": text}), "count")) or None
