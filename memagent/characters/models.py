"""The models of many characters: those with the same settings share one, which may be large.

Knows nothing of characters.
"""

from __future__ import annotations

from memagent.assemble import open_model
from memagent.config import Settings
from memagent.llm import LLM


class Models:
    """Models, opened when they are first needed."""

    def __init__(self) -> None:
        self._open: list[tuple[Settings, LLM]] = []

    def of(self, settings: Settings) -> LLM:
        """The model that these settings name."""
        for known, model in self._open:
            if known == settings:
                return model
        model = open_model(settings)
        self._open.append((settings, model))
        return model

    def close(self) -> None:
        """Let all of them go."""
        models, self._open = self._open, []
        for _, model in models:
            close = getattr(model, "close", None)
            if close is not None:
                close()
