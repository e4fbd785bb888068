"""Words in SQLite: the rows that match, best first, as FTS5 finds them in the index beside a table.

Scripts without spaces are looked for by pieces, in every row of the shelves. Knows nothing of what a query was before
it was words.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from itertools import pairwise
from math import log
from typing import Any

from memagent.storage import Database, Hits, Spread, Texts, Words
from memagent.storage.closeness import possible

EXACT = 200
"""So many rows are told how strongly words stand in them, the rarest words first; it costs more than to find them."""


class SqliteWords:
    """The words of one table; its index has the same name, with `_words`."""

    def __init__(self, database: Database, texts: Texts) -> None:
        self._database = database
        self._texts = texts
        self._newest = self._size = 0

    def hits(
        self, words: Words, shelves: Sequence[str], limit: int, start: int = 0, *,
        also: Sequence[int] = (), where: str = "TRUE", values: Sequence[Any] = (),
    ) -> Hits:  # fmt: skip
        """The matching rows from the `start`-th on, and those of `also` that match."""
        found, parameters = self._found(words, shelves)
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

    def spread(
        self, words: Words, shelves: Sequence[str], *, where: str = "TRUE", values: Sequence[Any] = ()
    ) -> list[Spread]:
        """All rows that have each of them. One shelf that is alone in the table is not looked for again and again."""
        alone = where == "TRUE" and self._alone(shelves)
        found = [Spread(self._rows(each, shelves, alone, where, values)) for each in (*words.words, *words.phrases)]
        room, size = EXACT, self._count()
        for number in sorted(range(len(words.words)), key=lambda n: len(found[n].rows)):
            if (room := room - len(found[number].rows)) < 0:
                break
            if len(found[number].rows):
                found[number] = self._strong(words.words[number], shelves, alone, where, values, size)
        return found

    def _rows(
        self, phrase: str, shelves: Sequence[str], alone: bool, where: str, values: Sequence[Any]
    ) -> Sequence[int]:
        source, parameters = self._source(phrase, shelves, alone, where, values)
        listed = self._database.rows(f"SELECT group_concat(id, ',') FROM (SELECT {source})", *parameters)[0][0]
        return _numbers(listed or "")

    def _strong(
        self, phrase: str, shelves: Sequence[str], alone: bool, where: str, values: Sequence[Any], size: int
    ) -> Spread:
        """The same rows, with how strongly the phrase stands in each: its BM25 without its rarity."""
        index, column = f"{self._texts.table}_words", self._texts.column
        source, parameters = self._source(phrase, shelves, alone, where, values)
        rows = self._database.rows(
            f"SELECT {source.replace(' AS id', f' AS id, -bm25({index}, 0, 1)', 1)}", *parameters
        )
        count = len(rows)
        if not alone:  # how rare a word is goes by all texts in the index
            match = f'{column} : ("{phrase}")'
            count = self._database.rows(f"SELECT count(*) FROM {index} WHERE {index} MATCH ?", match)[0][0]
        rarity = max(log((max(size, count) - count + 0.5) / (count + 0.5)), 1e-6)  # as FTS5 has it
        return Spread(array("q", [row[0] for row in rows]), array("d", [row[1] / rarity for row in rows]))

    def _source(
        self, phrase: str, shelves: Sequence[str], alone: bool, where: str, values: Sequence[Any]
    ) -> tuple[str, list[Any]]:
        """SQL after SELECT for the rows that have a phrase, ascending."""
        table, column, shelf = self._texts.table, self._texts.column, self._texts.shelf
        index = f"{table}_words"
        named = " OR ".join(f'"{name}"' for name in shelves)
        match = f'{column} : ("{phrase}")' if alone else f'{shelf} : ({named}) AND {column} : ("{phrase}")'
        if where == "TRUE":
            return f"{index}.rowid AS id FROM {index} WHERE {index} MATCH ?", [match]
        ours = f"t.{shelf} IN ({', '.join('?' for _ in shelves)}) AND {self._texts.where} AND {where}"
        return (
            f"t.id AS id FROM {index} CROSS JOIN {table} t ON t.id = {index}.rowid WHERE {index} MATCH ? AND {ours}",
            [match, *shelves, *values],
        )

    def _alone(self, shelves: Sequence[str]) -> bool:
        """Whether no other shelf is in the table."""
        table, shelf, ours = self._texts.table, self._texts.shelf, sorted(shelves)
        gaps = [(f"{shelf} < ?", ours[:1]), (f"{shelf} > ?", ours[-1:])]
        gaps += [(f"{shelf} > ? AND {shelf} < ?", list(pair)) for pair in pairwise(ours)]
        others = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {gap})" for gap, _ in gaps)
        return not self._database.rows(f"SELECT {others}", *(name for _, names in gaps for name in names))[0][0]

    def _count(self) -> int:
        """About how many texts are in the index; counted again when a hundredth of them is new."""
        newest = self._database.rows(f"SELECT max(id) FROM {self._texts.table}")[0][0] or 0
        if not self._newest <= newest <= 1.01 * self._newest:
            self._size = self._database.rows(f"SELECT count(*) FROM {self._texts.table}_words_docsize")[0][0]
            self._newest = newest
        return self._size + newest - self._newest

    def _found(self, words: Words, shelves: Sequence[str]) -> tuple[str, list[Any]]:
        """SQL for the rows that match, with their scores; it ends within its WHERE."""
        table, column, shelf = self._texts.table, self._texts.column, self._texts.shelf
        ours = f"t.{shelf} IN ({', '.join('?' for _ in shelves)}) AND {self._texts.where}"
        if words.words:
            # Shelves stand in the expression for speed, and in the SQL for certainty. CROSS: words first, then rows.
            index, named = f"{table}_words", " OR ".join(f'"{name}"' for name in shelves)
            match = " OR ".join(f'"{phrase}"' for phrase in (*words.words, *words.phrases))
            return (
                f"SELECT t.id AS id, -bm25({index}, 0, 1) AS score FROM {index} "
                f"CROSS JOIN {table} t ON t.id = {index}.rowid WHERE {index} MATCH ? AND {ours}",
                [f"{shelf} : ({named}) AND {column} : ({match})", *shelves],
            )
        score = " + ".join(f"(t.{column} LIKE ? ESCAPE '\\')" for _ in words.pieces)
        patterns = [f"%{_escaped(piece)}%" for piece in words.pieces]
        return (
            f"SELECT t.id AS id, {score} AS score FROM {table} t WHERE ({score}) > 0 AND {ours}",
            [*patterns, *patterns, *shelves],
        )


def _escaped(piece: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", piece)


def _numbers(listed: str) -> Sequence[int]:
    """The numbers in a list that SQLite has made: a column of many rows comes so in a fraction of the time."""
    if not possible():
        return array("q", map(int, listed.split(",")) if listed else ())
    import numpy as np

    numbers: Any = np.fromstring(listed, "i8", sep=",") if listed else np.zeros(0, "i8")
    return numbers  # type: ignore[no-any-return]
