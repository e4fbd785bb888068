"""The parts that settings name, opened: a model, and an embedder.

Knows nothing of what they are put together to.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from memagent import registry, telemetry
from memagent.errors import MissingExtra

if TYPE_CHECKING:
    from memagent.config import Settings
    from memagent.embeddings import Embedder
    from memagent.embeddings.asked import Manner
    from memagent.llm import LLM

Clock = Callable[[], datetime]


def local_time() -> datetime:
    """Now, with the local time zone."""
    return datetime.now().astimezone()


def open_model(settings: Settings) -> LLM:
    """The model that the settings name; it is not asked anything yet but what a server of one's own has."""
    opened: Callable[[Settings], LLM] = registry.find("provider", registry.LLMS, settings.provider)
    telemetry.begin(settings)
    return telemetry.watched(opened(settings), settings.provider, settings.endpoint)


def open_embedder(settings: Settings, manner: Manner | None = None) -> Embedder | None:
    """The embedder that the settings name, or none: then memory is searched by words alone. Only the local one is ever
    taken unasked: what is private does not leave this machine because something is set up for the chat.
    """
    if settings.embedder == "off":
        return None
    from memagent.embeddings.asked import Manner

    telemetry.begin(settings)
    opened = registry.find("embedder", registry.EMBEDDERS, _embedder_name(settings))
    try:
        embedder: Embedder = opened(settings, manner or Manner(timeout=min(settings.timeout, Manner.timeout)))
    except MissingExtra:
        if settings.embedder != "auto":
            raise
        return None
    return embedder


def _embedder_name(settings: Settings) -> str:
    return "local" if settings.embedder == "auto" else settings.embedder
