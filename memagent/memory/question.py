"""What a query asks for, beyond its words: who and what it names, which times, and whether it asks when or how many.

Only English is understood; of another language it sees the words and the names. Knows nothing of what is searched.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from memagent.memory.dates import Dated, dated
from memagent.memory.search import Query

_WHEN = re.compile(
    r"\b(when|what (date|day|month|year|time)|how long|how many (days|weeks|months|years)|which (month|year|day))\b",
    re.I,
)
_MANY = re.compile(r"\bhow (many|much|often|old)\b", re.I)
_ASKS = re.compile(
    r"\?\s*$|^\s*(who|whose|what|when|where|why|how|which|did|does|do|is|are|was|were|can|could|has|have)\b", re.I
)
_NICKNAME = 3  # letters of a name that may stand for it: Mel for Melanie


@dataclass(frozen=True)
class Question:
    """A query, and those of the speakers in a conversation that it names, in small letters."""

    query: Query
    people: frozenset[str]
    dates: Dated

    @classmethod
    def of(cls, query: Query, speakers: Collection[str], now: date) -> Question:
        """Understand a query. With speakers it is asked of a conversation, where times can be looked up."""
        small = set(re.findall(r"\w+", query.text.lower()))
        named = {
            name for name in speakers
            if set(name.split()) & small or (len(name) > _NICKNAME + 1 and name[:_NICKNAME] in small)
        }  # fmt: skip
        everybody = len(named) == len(speakers)
        return cls(query, frozenset() if everybody else frozenset(named), dated(query.text, now))

    @cached_property
    def telling(self) -> tuple[bool, ...]:
        """For each word, whether it says what is asked for, not who is meant or when it was."""
        flags = tuple(not self._is_name(word) and word.lower() not in self.dates.words for word in self._words)
        return flags if any(flags) else tuple(True for _ in flags)

    @cached_property
    def proper(self) -> tuple[bool, ...]:
        """For each word, whether it is the name of something, by how it is written."""
        return tuple(
            word[0].isupper() and telling for word, telling in zip(self._words, self.telling, strict=True)
        )  # fmt: skip

    @cached_property
    def gist(self) -> str:
        """The telling words alone."""
        return " ".join(w for w, telling in zip(self._words, self.telling, strict=True) if telling) or self.query.text

    @cached_property
    def when(self) -> bool:
        """Whether it asks for a time."""
        return bool(_WHEN.search(self.query.text))

    @cached_property
    def many(self) -> bool:
        """Whether it asks for a number."""
        return bool(_MANY.search(self.query.text))

    @cached_property
    def asks(self) -> bool:
        """Whether it is a question at all, and not a statement."""
        return bool(_ASKS.search(self.query.text))

    @property
    def _words(self) -> tuple[str, ...]:
        return self.query.words.words

    def _is_name(self, word: str) -> bool:
        small = word.lower()
        return any(small in name.split() or small == name[:_NICKNAME] for name in self.people)
