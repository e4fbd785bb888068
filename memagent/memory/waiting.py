"""Texts that wait for a vector: those that came while the embedder failed, and those whose vector another model made.

An old vector goes when the new one is there, and not before; so work that is cut off can go on at any time with what is
left. Knows nothing of what the texts are.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from memagent.embeddings import Embedder, embedded
from memagent.storage import Database, Texts, Transaction

BATCH = 256


@dataclass(frozen=True)
class Coverage:
    """How many texts there are, how many of them have their vector, and how many have one of another model, by its name
    and dimension.
    """

    texts: int = 0
    ready: int = 0
    others: Mapping[tuple[str, int], int] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """How many wait for a vector, with or without one of another model."""
        return self.texts - self.ready

    def __add__(self, other: Coverage) -> Coverage:
        names = {*self.others, *other.others}
        counts = {name: self.others.get(name, 0) + other.others.get(name, 0) for name in names}
        return Coverage(self.texts + other.texts, self.ready + other.ready, counts)


class Waiting:
    """The texts of one shelf that wait for the vectors of one embedder."""

    def __init__(self, database: Database, texts: Texts, shelf: str, embedder: Embedder) -> None:
        self.model = embedder.model
        self._database = database
        self._texts = texts
        self._shelf = shelf
        self._embedder = embedder
        self._seen = 0  # all texts up to this number have vectors, or are among …
        self._numbers = array("q")  # … these, the last of which comes first

    def coverage(self) -> Coverage:
        """How far it is."""
        of = self._texts
        rows = self._database.rows(
            f"SELECT v.model, length(v.vector) / 4, count(*) FROM {of.table} t LEFT JOIN {of.table}_vectors v "
            f"ON v.item = t.id WHERE t.{of.shelf} = ? AND {of.where} GROUP BY 1, 2",
            self._shelf,
        )
        mine = (self._embedder.model, self._embedder.dimension)
        counts = {(model, dimension): count for model, dimension, count in rows}
        others = {of: count for of, count in counts.items() if of[0] is not None and of != mine}
        return Coverage(sum(counts.values()), counts.get(mine, 0), others)

    def texts(self) -> Iterator[str]:
        """All that wait now."""
        self._look()
        for start in range(0, len(self._numbers), BATCH):
            yield from (text for _, text in self._read(self._numbers[start : start + BATCH].tolist()))

    def count(self) -> int:
        """How many wait now. Where that can't be known without the embedder, it is asked."""
        self._look()
        return len(self._numbers)

    def embed(self, limit: int = BATCH) -> int:
        """Embed some of them; returns how many, 0 when there are no more."""
        while True:
            if not self._numbers:
                self._look()
            if not self._numbers:
                return 0
            rows = self._read(self._numbers[-limit:].tolist())
            if rows:
                vectors = embedded(self._embedder, [text for _, text in rows])
                with self._database.write(self._shelf) as tx:
                    for (number, _), vector in zip(rows, vectors, strict=True):
                        self.keep(tx, number, vector)
            del self._numbers[-limit:]
            if rows:
                return len(rows)

    def _look(self) -> None:
        """Find out which ones wait: once for all of them, for in a large shelf that takes a while."""
        of = self._texts
        if not self._seen and not self._database.rows(
            f"SELECT 1 FROM {of.table} WHERE {of.shelf} = ? LIMIT 1", self._shelf
        ):
            return  # and nobody need be asked
        if not self._embedder.dimension:
            embedded(self._embedder, [""])  # so it becomes known, or it is told why not
        newest = self._database.rows(f"SELECT max(id) FROM {of.table}")[0][0] or 0
        shelf = f"t.{of.shelf} || ''" if self._seen else f"t.{of.shelf}"  # then only what is new is gone through
        rows = self._database.rows(
            f"SELECT t.id FROM {of.table} t LEFT JOIN {of.table}_vectors v "
            "ON v.item = t.id AND v.model = ? AND length(v.vector) = ? "
            f"WHERE {shelf} = ? AND {of.where} AND t.id > ? AND v.id IS NULL ORDER BY t.id DESC",
            self._embedder.model, 4 * self._embedder.dimension, self._shelf, self._seen,
        )  # fmt: skip
        self._numbers = array("q", [number for (number,) in rows] + self._numbers.tolist())
        self._seen = max(self._seen, newest)

    def _read(self, numbers: list[int]) -> list[tuple[int, str]]:
        """Those of these texts that are still there, and still wait."""
        of = self._texts
        rows = self._database.rows(
            f"SELECT t.id, t.{of.column} FROM {of.table} t LEFT JOIN {of.table}_vectors v "
            "ON v.item = t.id AND v.model = ? AND length(v.vector) = ? "
            f"WHERE t.id IN ({', '.join('?' for _ in numbers)}) AND {of.where} AND v.id IS NULL ORDER BY t.id",
            self._embedder.model, 4 * self._embedder.dimension, *numbers,
        )  # fmt: skip
        return [(number, text) for number, text in rows]

    def keep(self, tx: Transaction, number: int, vector: bytes) -> None:
        """A vector always comes in as a new row, which is how it is noticed; none if the text is gone meanwhile."""
        of = self._texts
        tx.run(f"DELETE FROM {of.table}_vectors WHERE item = ?", number)
        tx.run(
            f"INSERT INTO {of.table}_vectors (item, shelf, model, vector) SELECT t.id, t.{of.shelf}, ?, ? "
            f"FROM {of.table} t WHERE t.id = ? AND {of.where}",
            self._embedder.model, vector, number,
        )  # fmt: skip


def other_models(database: Database, texts: Texts, shelf: str, model: str) -> bool:
    """Whether there are vectors that another model made; quick, however many there are."""
    return any(
        database.rows(f"SELECT 1 FROM {texts.table}_vectors WHERE shelf = ? AND model {side} ? LIMIT 1", shelf, model)
        for side in ("<", ">")
    )
