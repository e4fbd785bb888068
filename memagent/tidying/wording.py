"""Asks a model to put a text more shortly, and holds what it says to the text: no number, name or date may go or come.

Knows nothing of what the text is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from datetime import datetime
from typing import Any

from memagent.context import REPLY_ROOM
from memagent.errors import LLMError
from memagent.llm import LLM
from memagent.llm.filling import filled
from memagent.messages import estimate, storable

LEAST = 0.15
"""What is left of a text must not be less than this part of it: that would be no shorter text, but another."""
KEPT = 0.8
"""Of the words of a text, each taken once, so many must be in what became of it: else more than words was lost."""
_WORD = re.compile(r"\w+")
_INSIDE = re.compile(r"(?<![.!?:…\n])(?<![.!?:…][\s\"'])[ \t(\"'-]+([^\W\d_a-z]\w+)")


class Wording:
    """A model that puts texts more shortly, as `prompt` tells it."""

    def __init__(self, llm: LLM, prompt: str, clock: Callable[[], datetime]) -> None:
        self._llm = llm
        self._prompt = prompt
        self._clock = clock

    def fits(self, text: str) -> bool:
        """Whether the model can be shown a text, and say as much again."""
        room = self._llm.window - estimate(self._prompt) - REPLY_ROOM
        return 2 * estimate(text) < room

    def shorter(self, text: str, most: float) -> Generator[None, None, str]:
        """The text in fewer characters, no more than the part `most` of it; empty when the model fails at it. Between
        two steps, it can be stopped.
        """
        form = _form(int(most * len(text)))
        asking = filled(self._llm, self._prompt, text, form, self._clock(), estimate(text) + 64)
        given: Any = None
        try:
            while True:
                try:
                    next(asking)
                except StopIteration as ended:
                    given = ended.value
                    break
                yield
        except LLMError:
            return ""
        finally:
            asking.close()
        lines = given.get("lines") if given else None
        told = lines if isinstance(lines, list) else []
        found = "\n".join(storable(line).strip() for line in told if isinstance(line, str))
        return found if LEAST * len(text) <= len(found) <= most * len(text) and faithful(text, found) else ""


def _form(most: int) -> dict[str, Any]:
    lines = {"type": "array", "minItems": 1, "maxItems": 40, "items": {"type": "string", "maxLength": max(80, most)}}
    return {
        "name": "write_shorter",
        "description": "Write the text more shortly.",
        "parameters": {"type": "object", "properties": {"lines": lines}, "required": ["lines"]},
    }


def faithful(before: str, after: str) -> bool:
    """Whether all numbers and names of a text are in what became of it, and nearly all of its other words, and no
    number or name has come.
    """
    old, new = _words(before), _words(after)
    kept = _numbers(old) | _names(before)
    stems, left = _stems(old), _stems(new)
    whole = len(stems & left) >= KEPT * len(stems)
    return whole and kept <= new and _numbers(new) <= old and _names(after) <= old


def _stems(words: set[str]) -> set[str]:
    """Words that tell something, by their beginnings."""
    return {word[:4] for word in words if len(word) > 3 or not word.isascii()}


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}


def _numbers(words: set[str]) -> set[str]:
    return {word for word in words if any(map(str.isdigit, word))}


def _names(text: str) -> set[str]:
    """Words with a capital that do not stand at the beginning of a line or sentence."""
    return {name.lower() for name in _INSIDE.findall(text)}
