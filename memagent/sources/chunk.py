"""Cuts a long text into passages of some hundred tokens, at the ends of paragraphs and sentences where it can.

Every character but white space at the ends of a passage is in some passage, in order. Where a sentence had to be cut,
the next passage begins some words earlier, so that what stands at the cut can still be found. Knows nothing of where
the text is from.
"""

from __future__ import annotations

import re

from memagent.messages import estimate

TOKENS = 280

# Where to cut, the best first: after a paragraph, after a sentence or line, between words.
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
_SENTENCE = re.compile(r"[.!?…]+[\"'”’»)\]]*\s+|[。！？；]+[」』”’）]*\s*|\n\s*")
_SPACE = re.compile(r"\s+")


def passages(text: str, tokens: int = TOKENS) -> list[str]:
    """The text in passages of at most about so many tokens."""
    return [text[start:end] for start, end in spans(text, tokens)]


def spans(text: str, tokens: int = TOKENS) -> list[tuple[int, int]]:
    """Where the passages begin and end in the text."""
    found: list[tuple[int, int]] = []
    start, length = 0, len(text)
    while start < length:
        window = _fitting(text, start, tokens)
        if start + len(window) >= length:
            cut, overlap = len(window), 0
        else:
            cut, overlap = _cut(window)
        piece = window[:cut]
        first, last = start + cut - len(piece.lstrip()), start + len(piece.rstrip())
        if last > max(first, found[-1][1] if found else 0):  # not only white space, or what is repeated
            found.append((first, last))
        start += cut - overlap
    return found


def _fitting(text: str, start: int, tokens: int) -> str:
    """A piece of the text from `start` that has at most so many tokens; at least one character."""
    window = text[start : start + 4 * tokens]
    while len(window) > 1 and (found := estimate(window)) > tokens:
        window = window[: max(1, len(window) * tokens // found)]
    return window


def _cut(window: str) -> tuple[int, int]:
    """Where to cut a text that goes on, and how many characters before the cut to repeat after it."""
    least = len(window) // 2
    for border in (_PARAGRAPH, _SENTENCE):
        ends = [match.end() for match in border.finditer(window, least)]
        if ends:
            return ends[-1], 0
    ends = [match.end() for match in _SPACE.finditer(window, least)]
    cut = ends[-1] if ends else len(window)
    shortest = cut - len(window) // 8
    spaces = [match.end() for match in _SPACE.finditer(window, shortest, cut) if match.end() < cut]
    return cut, cut - (spaces[0] if spaces else shortest)
