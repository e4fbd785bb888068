"""Searching by words: what a person or a model typed, made safe, and the rows that match it, best first.

A query is only ever words: stop words are dropped, the others are stemmed, any of them may match, and what has more
and rarer ones comes first; words that stand side by side in the query count again where they do so in the text. Scripts
without spaces (Chinese, Japanese, Thai …) are found by pairs of characters. `fused` joins this with closeness in
meaning. Knows nothing of what the rows are for. The SQL is that of SQLite's FTS5.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from memagent.errors import ToolError
from memagent.messages import storable
from memagent.storage import Database

LONGEST = 1000  # characters of a query that are looked at
MOST_WORDS = 24
MOST_RESULTS = 500  # on one page
MEANING = 0.75  # what closeness in meaning counts, when words count 1

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
    """What is looked for. `match` is an FTS5 expression; where that can't find it, `pieces` are parts of the text."""

    text: str
    match: str = ""
    pieces: tuple[str, ...] = ()

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
            return cls(text, pieces=tuple(dict.fromkeys(pieces))[:MOST_WORDS])
        pairs = [(one, two) for one, two in pairwise(every) if one in words and two in words]
        phrases = [*words, *(f"{one} {two}" for one, two in dict.fromkeys(pairs))]
        return cls(text, " OR ".join(f'"{phrase}"' for phrase in phrases))


@dataclass(frozen=True)
class Hits:
    """Matching rows, best first: their numbers with their scores; and how many there are in all."""

    scores: Mapping[int, float]
    total: int


class WordSearch:
    """Searches some shelves of one table. `where` is SQL, never from outside: what else must hold for a row `t`."""

    def __init__(
        self, database: Database, shelves: Sequence[str], table: str, column: str, where: str, shelf: str
    ) -> None:
        self._database = database
        self._shelves = shelves
        self._shelf = shelf
        self._table = table
        self._column = column
        self._where = where

    def hits(
        self, query: Query, limit: int, start: int = 0, *,
        also: Sequence[int] = (), where: str = "TRUE", values: Sequence[Any] = (),
    ) -> Hits:  # fmt: skip
        """The matching rows from the `start`-th on, and those of `also` that match; the newest first of equals."""
        found, parameters = self._found(query)
        marks = ", ".join("?" for _ in also)
        rows = self._database.rows(
            f"WITH hits AS MATERIALIZED ({found} AND {where}), "
            "page AS (SELECT id, score FROM hits ORDER BY score DESC, id DESC LIMIT ? OFFSET ?) "
            "SELECT counted.n, shown.id, shown.score FROM (SELECT count(*) AS n FROM hits) AS counted LEFT JOIN "
            f"(SELECT id, score FROM page UNION SELECT id, score FROM hits WHERE id IN ({marks})) AS shown ON TRUE "
            "ORDER BY shown.score DESC, shown.id DESC",
            *parameters, *values, limit, start, *also,
        )  # fmt: skip
        return Hits({row[1]: row[2] for row in rows if row[1] is not None}, rows[0][0])

    def _found(self, query: Query) -> tuple[str, list[Any]]:
        """SQL for the rows that match, with their scores; it ends within its WHERE."""
        ours = f"t.{self._shelf} IN ({', '.join('?' for _ in self._shelves)}) AND {self._where}"
        if query.match:
            # Shelves stand in the expression for speed, and in the SQL for certainty. CROSS: words first, then rows.
            words, named = f"{self._table}_words", " OR ".join(f'"{shelf}"' for shelf in self._shelves)
            return (
                f"SELECT t.id AS id, -bm25({words}, 0, 1) AS score FROM {words} "
                f"CROSS JOIN {self._table} t ON t.id = {words}.rowid WHERE {words} MATCH ? AND {ours}",
                [f"{self._shelf} : ({named}) AND {self._column} : ({query.match})", *self._shelves],
            )
        score = " + ".join(f"(t.{self._column} LIKE ? ESCAPE '\\')" for _ in query.pieces)
        patterns = [f"%{_escaped(piece)}%" for piece in query.pieces]
        return (
            f"SELECT t.id AS id, {score} AS score FROM {self._table} t WHERE ({score}) > 0 AND {ours}",
            [*patterns, *patterns, *self._shelves],
        )


def fused(words: Mapping[int, float], meaning: Mapping[int, float]) -> list[int]:
    """The rows of both, best first. A score is measured against the best of its kind: no model's scale matters."""
    most = max(words.values(), default=0.0) or 1.0
    nearest = max(meaning.values(), default=0.0)
    nearest = nearest if nearest > 0 else 1.0

    def score(row: int) -> float:
        return words.get(row, 0.0) / most + MEANING * max(0.0, meaning.get(row, 0.0)) / nearest

    return sorted(words.keys() | meaning.keys(), key=lambda row: (-score(row), -row))


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


def _escaped(piece: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", piece)
