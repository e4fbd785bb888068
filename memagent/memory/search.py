"""What is searched for: what a person or a model typed, made safe, as words.

A query is only ever words: stop words are dropped, the others are stemmed, any of them may match, and what has more
and rarer ones comes first; words that stand side by side in the query count again where they do so in the text. Scripts
without spaces (Chinese, Japanese, Thai …) are found by pairs of characters. Knows nothing of what is searched, or of
how the database finds words.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise

from memagent.errors import ToolError
from memagent.messages import storable
from memagent.storage import Words

LONGEST = 1000  # characters of a query that are looked at
MOST_WORDS = 24
MOST_RESULTS = 500  # on one page

_SMALL = """
a about all also am an and any are as at be been being but by can could d did do does doing don for from had has have
having he her hers him his how i if in into is it its just ll m may me might my no nor not of on or our ours re s shall
she should so some t than that the their theirs them then there these they this those to too us ve very was we were what
when where which while who whom whose why will with would you your yours
"""
STOP_WORDS = frozenset(_SMALL.split())
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3040-\u30ff\u3100-\u318f\u31a0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]+"
)


@dataclass(frozen=True)
class Query:
    """What is looked for: the text that was typed, and the words in it."""

    text: str
    words: Words

    @classmethod
    def of(cls, text: str) -> Query:
        """Make what was typed safe; nothing in it is syntax."""
        text = storable(text)[:LONGEST].strip()
        if not text:
            raise ToolError("The query is empty. Say in a few words what to look for.")
        letters = "".join(char if unicodedata.category(char)[0] in "LNM" else " " for char in text)
        every = letters.split()
        words = list(dict.fromkeys(word for word in every if word.lower() not in STOP_WORDS) or dict.fromkeys(every))
        words = words[:MOST_WORDS]
        if not words or _UNSPACED.search(letters):
            pieces = [piece for word in words or text.split() for piece in _pieces(word)]
            return cls(text, Words(pieces=tuple(dict.fromkeys(pieces))[:MOST_WORDS]))
        pairs = [(one, two) for one, two in pairwise(every) if one in words and two in words]
        phrases = tuple(f"{one} {two}" for one, two in dict.fromkeys(pairs))
        return cls(text, Words(tuple(words), phrases))


def first_of(page: int, size: int) -> int:
    """Where a page begins. Pages count from 0."""
    if page < 0 or not 1 <= size <= MOST_RESULTS:
        raise ToolError(f"Pages count from 0, and hold 1 to {MOST_RESULTS} results.")
    return min(page * size, 2**62)  # what a database can count to; nothing is there anyway


def _pieces(word: str) -> list[str]:
    """A word as it is, or the overlapping bits of it that are written without spaces."""
    pieces = []
    for run in _UNSPACED.findall(word):
        size = 2 if run[0] > "\u2e80" else 3  # an alphabet such as Thai's says less with a character
        pieces += [run[i : i + size] for i in range(max(1, len(run) - size + 1))]
    return [*pieces, *_UNSPACED.sub(" ", word).split()]
