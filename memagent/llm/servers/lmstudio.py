"""LM Studio: OpenAI's /v1/completions, and its own list of models, which says what is loaded and how large.

Speaks for version 0.3.6 and its REST API v0. It counts no tokens for us, and constrains output in its chat only.
"""

from __future__ import annotations

from memagent.endpoints.failures import Setback
from memagent.llm.servers import Get, Offer, inside, items, whole_number
from memagent.llm.servers.completions import Completions

LOADED_WITH = 4096
"""The window with which it loads a model, unless it is told otherwise there."""


class LMStudio(Completions):
    """LM Studio: loads a model when it is asked for."""

    title = "LM Studio"
    port = 1234
    version = "0.3.6"
    start = "lms server start"
    load = "Fetch one in LM Studio, or with: lms get MODEL"

    def offers(self, get: Get) -> list[Offer]:
        sent = _listed(get)
        if not isinstance(inside(sent, "data"), list):
            return super().offers(get)  # older than its own list; it may answer 200 to what it does not know
        listed = items(sent, "data", "id")
        listed.sort(key=lambda item: item.get("state") != "loaded")
        return [Offer(item["id"], _window(item)) for item in listed if item.get("type") != "embeddings"]


def _listed(get: Get) -> object:
    try:
        return get("/api/v0/models", None)
    except Setback as setback:
        if setback.refusal is None or setback.refusal.status != 404:
            raise
        return None


def _window(item: dict[str, object]) -> int:
    loaded = whole_number(item.get("loaded_context_length"))
    return loaded or min(LOADED_WITH, whole_number(item.get("max_context_length")) or LOADED_WITH)
