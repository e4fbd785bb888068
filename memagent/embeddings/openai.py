"""Embedding models behind an OpenAI-compatible endpoint: OpenAI itself, and the many servers that speak like it
(llama.cpp, vLLM, LM Studio, text-embeddings-inference …).

Knows nothing of where its settings come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from memagent.config import Settings
from memagent.embeddings import Embedder
from memagent.embeddings.asked import Manner
from memagent.embeddings.cache import kept
from memagent.embeddings.served import ServedEmbedder, endpoint_of
from memagent.endpoints.address import OPENAI_URL
from memagent.endpoints.failures import Endpoint, Setback
from memagent.errors import ConfigError

FIRST_CHOICE = "text-embedding-3-small"
DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
"""What is known without asking."""


class OpenAIEmbedder(ServedEmbedder):
    """An embedding model that is asked as OpenAI's are."""

    def _body(self, texts: Sequence[str], /) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model, "input": list(texts), "encoding_format": "base64"}
        if self._asked_dimension:
            body["dimensions"] = self._asked_dimension
        return {name: value for name, value in body.items() if name not in self._without}

    def _found(self, answer: Mapping[str, Any], /) -> list[Any] | None:
        data = answer.get("data")
        if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
            return None
        places = [item.get("index") for item in data]
        if sorted(place for place in places if isinstance(place, int)) == list(range(len(data))):
            data = sorted(data, key=lambda item: item["index"])
        return [item.get("embedding") for item in data]

    def _concedes(self, setback: Setback, /) -> bool:
        """Some servers know no base64, and some models can't be told how many dimensions to give."""
        said = setback.refusal
        if said is None or said.status not in (400, 422):
            return False
        new = {word for word in ("encoding_format", "dimensions") if said.names(word)} - self._without
        self._without |= new
        return bool(new)


def reached(settings: Settings, manner: Manner) -> Endpoint:
    """Where the embedding model is asked that the settings name; nothing is sent to it yet."""
    elsewhere = settings.embedding_endpoint or (settings.provider == "openai" and settings.endpoint)
    if not settings.embedding_model and not elsewhere:
        settings = replace(settings, embedding_model=FIRST_CHOICE)
    endpoint = endpoint_of(settings, manner, "openai", OPENAI_URL)
    if endpoint.url == OPENAI_URL and not endpoint.key:
        hint = "Set MEMAGENT_EMBEDDING_API_KEY, or an embedding_endpoint of your own."
        raise ConfigError("There is no key for OpenAI's embeddings.", hint=hint)
    return endpoint


def opened(settings: Settings, manner: Manner) -> Embedder:
    """An embedding model at OpenAI, or at any endpoint that speaks the same protocol."""
    endpoint = reached(settings, manner)
    usual = 0 if settings.embedding_dimension else DIMENSIONS.get(endpoint.model, 0)
    return kept(
        settings, endpoint, manner, lambda known: OpenAIEmbedder(endpoint, manner, **amounts(settings, known)), usual
    )


def amounts(settings: Settings, known: int) -> dict[str, int]:
    """How much is asked for at once, and what is known of the dimension."""
    count = {"count": settings.embedding_batch} if settings.embedding_batch else {}
    return {"asked_dimension": settings.embedding_dimension, "known": known, **count}
