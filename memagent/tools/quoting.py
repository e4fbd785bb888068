"""Holds quotes to what they are quoted from. Knows nothing of agents or documents, only of two texts."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+")
_CLOSING = re.compile(r"[`*_)\]\"”’»]*[.!?]")
_ENDS = " \t\n\"'“”„‘’«»…"


def quoted_from(text: str, quote: str) -> str:
    """The part of the text that is meant by a quote: the same words in the same order. Marks between them, spaces and
    capitals may differ, as they do when Markdown is read aloud. "" when there is no such part.
    """
    quote = " ".join(quote.split()).strip(_ENDS)
    plain = " ".join(text.split())
    if quote and quote in plain:
        return quote
    wanted = [word.casefold() for word in _WORD.findall(quote)]
    words = list(_WORD.finditer(plain))
    plain_words = [word[0].casefold() for word in words]
    for start in range(len(words) - len(wanted) + 1) if wanted else ():
        if plain_words[start : start + len(wanted)] == wanted:
            end = words[start + len(wanted) - 1].end()
            closing = _CLOSING.match(plain, end) if quote[-1] in ".!?" else None
            return plain[words[start].start() : closing.end() if closing else end]
    return ""
