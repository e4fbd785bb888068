"""Words in PostgreSQL: the rows that match, as a GIN index finds them, scored by BM25.

How often a word stands in a text comes from `ts_rank`, which for one word in a text with n of them is the sum of 1/k²
up to n, whatever else the text holds; how rare it is comes from the rows that match. Knows nothing of what a query was
before it was words.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

from memagent.storage import Database, Hits, Texts, Words

FEW = 20_000
COUNTED_SECONDS = 60.0

_ALL = 1.6449340668  # π²/6, what such a sum comes to
_TIMES = f"CASE WHEN numnode(q.term) > 1 THEN 1 ELSE 1 / greatest({_ALL} * (1 - c.rank), 0.001) - 0.5 END"
_SIZE = "(0.3 + 0.9 * c.size / m.size)"  # k1 * (1 - b + b * size / mean), with the usual 1.2 and 0.75
_WEIGHTS = f"""
terms AS MATERIALIZED (
    SELECT n, memagent.phrase(said) AS term FROM unnest(CAST(? AS text[])) WITH ORDINALITY AS one (said, n)),
counts AS MATERIALIZED (
    SELECT f.id, f.size, q.n, ts_rank('{{1,1,1,1}}', f.words, q.term) AS rank
    FROM found f JOIN terms q ON f.words @@ q.term),
rare AS (
    SELECT n, ln(1 + (greatest(?, count(*)) - count(*) + 0.5) / (count(*) + 0.5)) AS weight FROM counts GROUP BY n),
hits AS MATERIALIZED (
    SELECT c.id, CAST(round(CAST(sum(r.weight * 2.2 * c.times / (c.times + {_SIZE})) AS numeric), 9) AS float8) AS score
    FROM (SELECT c.id, c.size, c.n, {_TIMES} AS times FROM counts c JOIN terms q USING (n)) c
    JOIN rare r USING (n), (SELECT greatest(avg(size), 1) AS size FROM found) m GROUP BY c.id)"""


class PostgresWords:
    """The words of one table; they are in its column `words`."""

    def __init__(self, database: Database, texts: Texts) -> None:
        self._database = database
        self._texts = texts
        self._sizes: dict[tuple[str, ...], tuple[int, float]] = {}

    def hits(
        self, words: Words, shelves: Sequence[str], limit: int, start: int = 0, *,
        also: Sequence[int] = (), where: str = "TRUE", values: Sequence[Any] = (),
    ) -> Hits:  # fmt: skip
        """The matching rows from the `start`-th on, and those of `also` that match."""
        found, parameters = self._found(words, shelves, where, values)
        rows = self._database.rows(
            f"WITH {found}, page AS (SELECT id, score FROM hits ORDER BY score DESC, id DESC LIMIT ? OFFSET ?) "
            "SELECT counted.n, shown.id, shown.score FROM (SELECT count(*) AS n FROM hits) AS counted LEFT JOIN "
            "(SELECT id, score FROM page UNION SELECT id, score FROM hits WHERE id = ANY(CAST(? AS bigint[]))) "
            "AS shown ON TRUE ORDER BY shown.score DESC, shown.id DESC",
            *parameters, limit, start, list(also),
        )  # fmt: skip
        return Hits({row[1]: row[2] for row in rows if row[1] is not None}, rows[0][0])

    def _found(self, words: Words, shelves: Sequence[str], where: str, values: Sequence[Any]) -> tuple[str, list[Any]]:
        """SQL for `hits`: the rows that match, with their scores."""
        table, column = self._texts.table, self._texts.column
        ours = f"t.{self._texts.shelf} = ANY(CAST(? AS text[])) AND {self._texts.where} AND {where}"
        if words.words:
            # Shelves stand in the query for speed, and in the SQL for certainty.
            return (
                "found AS MATERIALIZED (SELECT t.id, t.words, length(t.words) AS size "
                f"FROM {table} t WHERE t.words @@ memagent.any_of(?, ?) AND {ours}),{_WEIGHTS}",
                [
                    list(shelves), list(words.words), list(shelves), *values,
                    [*words.words, *words.phrases], self._size(tuple(shelves)),
                ],
            )  # fmt: skip
        score = " + ".join(f"CAST(t.{column} ILIKE ? AS int)" for _ in words.pieces)
        patterns = [f"%{_escaped(piece)}%" for piece in words.pieces]
        return (
            f"hits AS MATERIALIZED (SELECT t.id, {score} AS score FROM {table} t WHERE ({score}) > 0 AND {ours})",
            [*patterns, *patterns, list(shelves), *values],
        )

    def _size(self, shelves: tuple[str, ...]) -> int:
        """How many texts there are; where they are many, as they were counted a moment ago."""
        size, when = self._sizes.get(shelves, (0, 0.0))
        if size < FEW or time.monotonic() - when > COUNTED_SECONDS:
            rows = self._database.rows(
                f"SELECT count(*) FROM {self._texts.table} t "
                f"WHERE t.{self._texts.shelf} = ANY(CAST(? AS text[])) AND {self._texts.where}",
                list(shelves),
            )
            size = rows[0][0]
            self._sizes[shelves] = size, time.monotonic()
        return size


def _escaped(piece: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", piece)
