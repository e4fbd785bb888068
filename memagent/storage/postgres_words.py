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

from memagent.storage import Database, Hits, Spread, Texts, Words

FEW = 5_000
COUNTED_SECONDS = 60.0

_ALL = 1.6449340668  # π²/6, what such a sum comes to
_TIMES = (
    "CASE WHEN NOT t.words @@ q.{0} THEN 0 WHEN numnode(q.{0}) > 1 THEN 1 "
    f"ELSE 1 / greatest({_ALL} * (1 - ts_rank('{{{{1,1,1,1}}}}', t.words, q.{{0}})), 0.001) - 0.5 END AS {{0}}"
)
_STRENGTH = "2.2 * {0} / ({0} + 0.3 + 0.9 * size / mean)"
"""BM25 without the rarity of a word, with the usual k1 = 1.2 and b = 0.75."""
_RARITY = "ln(1 + (greatest(max(counted.n), count(*)) - count(nullif({0}, 0)) + 0.5) / (count(nullif({0}, 0)) + 0.5))"


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

    def spread(
        self, words: Words, shelves: Sequence[str], *, where: str = "TRUE", values: Sequence[Any] = ()
    ) -> list[Spread]:
        """All rows that have each of them, and how strongly it stands there."""
        phrases = (*words.words, *words.phrases)
        if not phrases:
            return []
        names, found, parameters = self._matching(phrases, phrases, shelves, where, values)
        each = ", ".join(
            f"array_agg(id) FILTER (WHERE {name} > 0), array_agg({_STRENGTH.format(name)}) FILTER (WHERE {name} > 0)"
            for name in names
        )
        row = self._database.rows(
            f"WITH {found}, ordered AS (SELECT f.*, avg(size) OVER () AS mean FROM found f ORDER BY id) "
            f"SELECT {each} FROM ordered",
            *parameters,
        )[0]  # fmt: skip
        return [Spread(row[n] or (), row[n + 1] or ()) for n in range(0, len(row), 2)]

    def _found(self, words: Words, shelves: Sequence[str], where: str, values: Sequence[Any]) -> tuple[str, list[Any]]:
        """SQL for `hits`: the rows that match, with their scores."""
        if words.words:
            names, found, parameters = self._matching(
                (*words.words, *words.phrases), words.words, shelves, where, values
            )
            rarities = ", ".join(f"{_RARITY.format(name)} AS {name}" for name in names)
            score = " + ".join(f"r.{name} * {_STRENGTH.format(f'f.{name}')}" for name in names)
            return (
                f"{found}, rare AS MATERIALIZED (SELECT avg(size) AS mean, {rarities} "
                "FROM found, (SELECT CAST(? AS bigint) AS n) AS counted), "
                f"hits AS MATERIALIZED (SELECT f.id, CAST(round(CAST({score} AS numeric), 9) AS float8) AS score "
                "FROM found f, rare r)",
                [*parameters, self._size(tuple(shelves))],
            )
        column = self._texts.column
        score = " + ".join(f"CAST(t.{column} ILIKE ? AS int)" for _ in words.pieces)
        patterns = [f"%{_escaped(piece)}%" for piece in words.pieces]
        return (
            f"hits AS MATERIALIZED (SELECT t.id, {score} AS score FROM {self._texts.table} t WHERE ({score}) > 0 "
            f"AND {self._ours(where)})",
            [*patterns, *patterns, list(shelves), *values],
        )

    def _matching(
        self, phrases: Sequence[str], any_of: Sequence[str], shelves: Sequence[str], where: str, values: Sequence[Any]
    ) -> tuple[list[str], str, list[Any]]:
        """SQL for `found`: the rows with any of some words, and how often each phrase stands in them, in columns of
        these names.
        """
        names = [f"t{number}" for number in range(len(phrases))]
        asked = ", ".join(f"memagent.phrase(?) AS {name}" for name in names)
        times = ", ".join(_TIMES.format(name) for name in names)
        return (
            names,
            f"found AS MATERIALIZED (SELECT t.id, CAST(length(t.words) AS float8) AS size, {times} "
            f"FROM {self._texts.table} t, (SELECT {asked}) q "
            f"WHERE t.words @@ memagent.any_of(?, ?) AND {self._ours(where)})",
            [*phrases, list(shelves), list(any_of), list(shelves), *values],
        )

    def _ours(self, where: str) -> str:
        """What must hold for a row. Shelves stand in the query for speed, and here for certainty; || '' keeps the
        database from going through all their rows instead.
        """
        return f"t.{self._texts.shelf} || '' = ANY(CAST(? AS text[])) AND {self._texts.where} AND {where}"

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
