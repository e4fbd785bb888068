"""Words in SQLite: the rows that match, best first, as FTS5 finds them in the index beside a table.

Scripts without spaces are looked for by pieces, in every row of the shelves. Knows nothing of what a query was before
it was words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from memagent.storage import Database, Hits, Texts, Words


class SqliteWords:
    """The words of one table; its index has the same name, with `_words`."""

    def __init__(self, database: Database, texts: Texts) -> None:
        self._database = database
        self._texts = texts

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
