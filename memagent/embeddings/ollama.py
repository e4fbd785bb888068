"""Embedding models in Ollama, at its own /api/embed.

What is too long for a model is refused rather than cut off unseen. Knows nothing of where its settings come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from memagent.config import Settings
from memagent.embeddings import Embedder
from memagent.embeddings.asked import Manner
from memagent.embeddings.cache import kept
from memagent.embeddings.openai import amounts
from memagent.embeddings.served import ServedEmbedder, endpoint_of

USUAL = "http://127.0.0.1:11434"
KEPT = "30m"
"""How long the model stays loaded after it was asked."""


class OllamaEmbedder(ServedEmbedder):
    """An embedding model in Ollama."""

    path = "/api/embed"
    fetch = "Fetch it with: ollama pull {model}"

    def _body(self, texts: Sequence[str], /) -> dict[str, Any]:
        asked = {"dimensions": self._asked_dimension} if self._asked_dimension else {}
        return {"model": self.model, "input": list(texts), "truncate": False, "keep_alive": KEPT, **asked}

    def _found(self, answer: Mapping[str, Any], /) -> list[Any] | None:
        found = answer.get("embeddings")
        return found if isinstance(found, list) else None


def opened(settings: Settings, manner: Manner) -> Embedder:
    """A model in Ollama, on this machine if nothing else is said."""
    settings = replace(settings, embedding_model=settings.embedding_model.removesuffix(":latest"))
    endpoint = endpoint_of(settings, manner, "ollama", USUAL, bare=True, title="Ollama", start="ollama serve")
    return kept(settings, endpoint, manner, lambda known: OllamaEmbedder(endpoint, manner, **amounts(settings, known)))
