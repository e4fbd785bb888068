"""Parts the `<think>…</think>` with which some models begin from what they say, however it was cut into pieces.

Knows nothing of where the text comes from.
"""

from __future__ import annotations

from typing import Literal

_TAGS = {"<think>": "</think>", "<thinking>": "</thinking>"}


class Thinking:
    """Text goes in piece by piece; a pair of thought and speech comes out for each."""

    def __init__(self) -> None:
        self._at: Literal["before", "inside", "gap", "after"] = "before"
        self._close = ""
        self._held = ""

    def part(self, text: str) -> tuple[str, str]:
        """The thought and the speech in the next piece."""
        if self._at == "after":
            return "", text
        text, self._held = self._held + text, ""
        if self._at == "before":
            return self._begin(text)
        if self._at == "inside":
            return self._think(text)
        return "", self._speak(text)

    def rest(self) -> tuple[str, str]:
        """What was held back when the text ended."""
        held, self._held = self._held, ""
        return (held, "") if self._at == "inside" else ("", held)

    def _begin(self, text: str) -> tuple[str, str]:
        start = text.lstrip()
        for tag, close in _TAGS.items():
            if start.startswith(tag):
                self._at, self._close = "inside", close
                return self._think(start[len(tag) :])
            if tag.startswith(start) and len(text) < 64:
                self._held = text
                return "", ""
        self._at = "after"
        return "", text

    def _think(self, text: str) -> tuple[str, str]:
        thought, close, speech = text.partition(self._close)
        if close:
            self._at = "gap"
            return thought, self._speak(speech)
        kept = _begins(self._close, text)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept], ""

    def _speak(self, text: str) -> str:
        """Without the blank lines that follow a thought."""
        text = text.lstrip()
        if text:
            self._at = "after"
        return text


def _begins(tag: str, text: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`."""
    return next((size for size in range(len(tag) - 1, 0, -1) if text.endswith(tag[:size])), 0)
