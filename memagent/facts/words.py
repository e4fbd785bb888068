"""Words as they are compared: by their `root`, or by their `beginning` alone.

The root is a word without its ending, which tells short statements of one form apart. What a model makes of what was
said has other forms ("flies" of "fly", "Belgian" of "Belgium"), so there the first letters must do: neither is as good
in the other's place (`bench/fact_update.py`). Only English is known. Knows nothing of facts.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from memagent.memory.search import STOP_WORDS

BEGINNING = 4
"""Letters that a word begins with."""
_UNTOLD = STOP_WORDS | {"user"}
_WORD = re.compile(r"[^\W_]+(?:[-'’.:][^\W_]+)*")
_SAME = {"fluent": "speak", "visited": "travel", "visits": "travel", "visit": "travel", "movie": "film", "wed": "marry"}
_ENDINGS = ("ations", "ation", "ingly", "ings", "ions", "ies", "ing", "ion", "ers", "ed", "er", "es", "ly", "s", "e")


def plain(text: str) -> str:
    """A text as it is compared: small letters, straight quotes, single spaces, no marks."""
    text = unicodedata.normalize("NFKC", text).replace("’", "'").replace("‘", "'").casefold()
    return " ".join(_WORD.findall(text))


def telling(text: str) -> set[str]:
    """The words of a text that tell what it is about, by their beginnings."""
    return {beginning(word) for word in plain(text).split() if not {word, word.removesuffix("'s")} & _UNTOLD}


def beginning(word: str) -> str:
    """The first letters of a word; a number whole."""
    word = word.removesuffix("'s")
    word = f"{word[:-3]}y" if word.endswith("ies") and len(word) > 4 else word
    return word if any(char.isdigit() for char in word) else word[:BEGINNING]


@lru_cache(maxsize=50_000)
def root(word: str) -> str:
    """A word without its ending, so that "hiking" and "hikes" are one; only for comparing."""
    word = _SAME.get(word, word)
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            return word[:-1] if word[-1] in "iy" or word[-1:] == word[-2:-1] else word
    return word[:-1] if len(word) > 3 and word[-1] == "y" else word


def names_in(text: str) -> set[str]:
    """What must have been said, if it stands in a statement: names, beyond its first word, and numbers."""
    words = _WORD.findall(unicodedata.normalize("NFKC", text).replace("’", "'"))
    return {
        beginning(word.casefold())
        for at, word in enumerate(words)
        if any(char.isdigit() for char in word) or (at and word[0].isupper() and word.casefold() not in STOP_WORDS)
    }
