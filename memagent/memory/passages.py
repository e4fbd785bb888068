"""Passages on a shelf: kept, looked up, listed, embedded and deleted. A shelf is an agent's notes, or a source.

This is the one interface to passages, whoever keeps the database. Writing takes an open transaction, so that what
belongs together is kept together; embedding takes its time, and comes before it (`vectors_of`) or later (`catch_up`).
Knows nothing of what a passage is to an agent, or of how a search ranks.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from memagent.embeddings import Embedder, embedded
from memagent.errors import EmbeddingError
from memagent.memory.finding import Finder, Limits
from memagent.memory.search import Query
from memagent.memory.waiting import BATCH, Waiting
from memagent.messages import storable
from memagent.storage import Database, Row, Texts, Transaction, VectorIndex, reading
from memagent.storage import text as stored_text
from memagent.storage.closeness import possible

log = logging.getLogger(__name__)

_LAST = "~"  # sorts after everything that can follow in a time
TEXTS = Texts("passages", "text", "shelf", "t.undone IS NULL", "note")
COLUMNS = "t.id, t.note, t.part, t.text, t.tags, t.place, t.turn, t.created"
"""What `passage_of` reads."""


@dataclass(frozen=True)
class Passage:
    """A piece of text. `note` is the note or document that it is a part of, `place` where it was loaded from, and
    `turn` the turn in which it was noted.
    """

    note: int
    part: int
    text: str
    created: datetime
    tags: tuple[str, ...] = ()
    place: str = ""
    turn: int | None = None
    id: int = 0


class PassageStore:
    """The passages of one shelf."""

    def __init__(self, database: Database, shelf: str, embedder: Embedder | None) -> None:
        self.database = database
        self.shelf = shelf
        self.embedder = embedder
        self.waiting = Waiting(database, TEXTS, shelf, embedder) if embedder else None

    # Writing ----------------------------------------------------------------------------------------------------------

    def insert(self, tx: Transaction, passage: Passage, vector: bytes | None = None) -> int:
        """Keep one passage; returns its number."""
        return self.insert_many(tx, [passage], [vector] if vector else [])[0]

    def insert_many(self, tx: Transaction, passages: Sequence[Passage], vectors: Sequence[bytes] = ()) -> list[int]:
        """Keep passages, with their vectors if they are known already; returns their numbers."""
        numbers = tx.add_many(
            "INSERT INTO passages (shelf, note, part, text, tags, place, turn, created) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    self.shelf, p.note, p.part, storable(p.text), _as_text(p.tags),
                    storable(p.place), p.turn, p.created.isoformat(),
                )
                for p in passages
            ],
        )  # fmt: skip
        if vectors:
            tx.add_many(
                "INSERT INTO passages_vectors (item, shelf, model, vector) VALUES (?, ?, ?, ?)",
                [(n, self.shelf, self._model_of(v), v) for n, v in zip(numbers, vectors, strict=True)],
            )
        return numbers

    def _model_of(self, vector: bytes) -> str:
        """The model that a vector must be from, since it is of its dimension."""
        assert self.embedder
        if len(vector) != 4 * self.embedder.dimension:
            raise EmbeddingError(
                f"A vector of dimension {len(vector) // 4} can't be kept among those of {self.embedder.model!r}, "
                f"which are of dimension {self.embedder.dimension}.",
                hint="Check the embedding model in the settings.",
            )
        return self.embedder.model

    def update_tags(self, tx: Transaction, note: int, tags: Sequence[str]) -> None:
        """Give all parts of a note these tags instead of those it has."""
        tx.run(
            "UPDATE passages SET tags = ? WHERE shelf = ? AND note = ?",
            _as_text(tags), self.shelf, note,
        )  # fmt: skip

    def delete(self, tx: Transaction, note: int) -> int:
        """Delete a note or the passages of a document for good; returns how many they were."""
        return tx.run("DELETE FROM passages WHERE shelf = ? AND note = ?", self.shelf, note)

    def move(self, tx: Transaction, note: int, heir: int, before: str, place: str) -> None:
        """Give the passages of a document to another, whose place then stands where this one's did."""
        tx.run(
            "UPDATE passages SET note = ?, place = ? || substr(place, ?) WHERE shelf = ? AND note = ?",
            heir, storable(place), len(storable(before)) + 1, self.shelf, note,
        )  # fmt: skip

    def undo_turn(self, tx: Transaction, turn: int, now: datetime) -> int:
        """Take back what was noted in a turn; returns how many passages that were."""
        return tx.run(
            "UPDATE passages SET undone = ? WHERE shelf = ? AND turn = ? AND undone IS NULL",
            now.isoformat(), self.shelf, turn,
        )  # fmt: skip

    # Reading ----------------------------------------------------------------------------------------------------------

    def get(self, number: int) -> Passage | None:
        """The passage of that number, if it is on this shelf."""
        rows = self.database.rows(
            f"SELECT {COLUMNS} FROM passages t WHERE t.id = ? AND t.shelf = ? AND t.undone IS NULL", number, self.shelf
        )
        return passage_of(rows[0]) if rows else None

    def of_note(self, note: int) -> list[Passage]:
        """The parts of a note, in their order."""
        rows = self.database.rows(
            f"SELECT {COLUMNS} FROM passages t WHERE t.shelf = ? AND t.note = ? AND t.undone IS NULL ORDER BY t.part",
            self.shelf, note,
        )  # fmt: skip
        return [passage_of(row) for row in rows]

    def from_number(self, number: int, limit: int, *, backwards: bool = False, words: str = "") -> list[Passage]:
        """Passages after the one of a number, or back from it, in that order; only those that hold some words. From 0,
        all of them.
        """
        where, values = ["TRUE"], list[Any]()
        if number:
            where, values = [f"t.id {'<' if backwards else '>'} ?"], [number]
        if words:
            sought = re.sub(r"([\\%_])", r"\\\1", storable(words).lower())
            where, values = [*where, "lower(t.text) LIKE ? ESCAPE '\\'"], [*values, f"%{sought}%"]
        rows = self.database.rows(
            f"SELECT {COLUMNS} FROM passages t WHERE t.shelf = ? AND t.undone IS NULL AND {' AND '.join(where)} "
            f"ORDER BY t.id {'DESC' if backwards else ''} LIMIT ?",
            self.shelf, *values, limit,
        )  # fmt: skip
        return [passage_of(row) for row in rows]

    def get_all(self, start: int = 0, limit: int = 50) -> list[Passage]:
        """Passages from the `start`-th on: the newest note or document first, its parts in their order."""
        rows = self.database.rows(
            f"SELECT {COLUMNS} FROM passages t WHERE t.shelf = ? AND t.undone IS NULL "
            "ORDER BY t.note DESC, t.part LIMIT ? OFFSET ?",
            self.shelf, limit, start,
        )  # fmt: skip
        return [passage_of(row) for row in rows]

    def get_all_paginated(self, size: int = 500) -> Iterator[list[Passage]]:
        """Every passage in the order of its number, page by page; what comes in meanwhile is on the last pages."""
        last = 0
        while rows := self.database.rows(
            f"SELECT {COLUMNS} FROM passages t WHERE t.shelf = ? AND t.id > ? AND t.undone IS NULL "
            "ORDER BY t.id LIMIT ?",
            self.shelf, last, size,
        ):  # fmt: skip
            yield [passage_of(row) for row in rows]
            last = rows[-1][0]

    def size(self) -> int:
        """How many passages there are."""
        rows = self.database.rows("SELECT count(*) FROM passages WHERE shelf = ? AND undone IS NULL", self.shelf)
        return int(rows[0][0])

    def list_loaded_data(self) -> list[str]:
        """From where the passages on this shelf were loaded: each place once, in the order of their names."""
        rows = self.database.rows(
            "SELECT DISTINCT place FROM passages WHERE shelf = ? AND place <> '' AND undone IS NULL", self.shelf
        )
        return sorted(stored_text(place) for (place,) in rows)

    # Finding ----------------------------------------------------------------------------------------------------------

    def query(
        self, text: str = "", vector: bytes | None = None, *, count: int = 10, tags: Sequence[str] = (),
        since: date | None = None, until: date | None = None, places: Sequence[str] = (),
    ) -> list[Passage]:  # fmt: skip
        """The best passages for a text, by its words and what they mean, or for a vector; or for some words, and a
        vector for what they mean. The best come first.

        Only those that have all of the `tags`, were written from `since` to `until`, both included, as the clock on
        the wall showed it, and were loaded from one of the `places`.
        """
        where, values = conditions(tags, since, until, places)
        if not text:
            return self._of(list(self._near(vector, count, where, values)))
        embedder = _Meant(self.embedder, vector) if vector and self.embedder else self.embedder
        limits = Limits([self.shelf], where, values)
        found = Finder(self.database, TEXTS, embedder).find(Query.of(text), limits, date.today())
        return self._of(found.page(0, count))

    def _near(self, vector: bytes | None, count: int, where: str, values: Sequence[Any]) -> dict[int, float]:
        index = self._index()
        if not vector or not index or not index.any([self.shelf]):
            return {}
        among = None
        if where != "TRUE":
            rows = self.database.rows(
                f"SELECT t.id FROM passages t WHERE t.shelf = ? AND t.undone IS NULL AND {where}", self.shelf, *values
            )
            among = [row[0] for row in rows]
        return index.near(vector, count, [self.shelf], among)

    def _of(self, numbers: Sequence[int]) -> list[Passage]:
        """The passages of these numbers, in their order."""
        if not numbers:
            return []
        rows = self.database.rows(  # || '' keeps the database from going through all of a shelf's rows instead
            f"SELECT {COLUMNS} FROM passages t WHERE t.id IN ({', '.join('?' for _ in numbers)}) "
            "AND t.shelf || '' = ? AND t.undone IS NULL",
            *numbers, self.shelf,
        )  # fmt: skip
        found = {row[0]: passage_of(row) for row in rows}
        return [found[number] for number in numbers if number in found]

    def _index(self) -> VectorIndex | None:
        if not self.embedder or not possible() or not self.embedder.dimension:
            return None
        return self.database.vectors("passages", self.embedder.model, self.embedder.dimension)

    def save(self) -> None:
        """Bring whatever is kept for speed up to date, so that the next search need not."""
        if index := self._index():
            index.save()

    # Vectors ----------------------------------------------------------------------------------------------------------

    def vectors_of(self, texts: Sequence[str]) -> list[bytes]:
        """The vectors of some texts; none at all when they can't be had now: `catch_up` gets them later."""
        if not self.embedder:
            return []
        vectors: list[bytes] = []
        try:
            for start in range(0, len(texts), BATCH):
                vectors += embedded(self.embedder, texts[start : start + BATCH])
        except EmbeddingError as error:
            log.warning("Passages are kept without vectors for now: %s", error)
            return []
        return vectors

    def catch_up(self, limit: int = BATCH) -> int:
        """Embed some passages that have no vector of this model yet; returns how many, 0 when there are no more."""
        return self.waiting.embed(limit) if self.waiting else 0


class _Meant:
    """Has one vector for whatever is asked."""

    def __init__(self, embedder: Embedder, vector: bytes) -> None:
        self.model = embedder.model
        self.dimension = embedder.dimension
        self._vector = vector

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        return [self._vector for _ in texts]


def _as_text(tags: Sequence[str]) -> str:
    """Tags as they are kept."""
    return json.dumps([storable(tag) for tag in tags], ensure_ascii=False) if tags else "[]"


def conditions(
    tags: Sequence[str] = (), since: date | None = None, until: date | None = None, places: Sequence[str] = ()
) -> tuple[str, list[Any]]:
    """What must hold of a passage `t`, in SQL with its values."""
    found: list[tuple[str, Any]] = [  # a tag as JSON, in its quotes, stands nowhere else in a list of tags
        ("replace(t.tags, ?, '') <> t.tags", _as_text([tag])[1:-1]) for tag in tags
    ]
    found += [("t.created >= ?", since.isoformat())] if since else []
    found += [("t.created < ?", until.isoformat() + _LAST)] if until else []
    where, values = [condition for condition, _ in found], [value for _, value in found]
    if places:
        where.append(f"t.place IN ({', '.join('?' for _ in places)})")
        values += [storable(place) for place in places]
    return " AND ".join(where) or "TRUE", values


def passage_of(row: Row) -> Passage:
    """A row of passages as a passage."""
    number, note, part, written, tags, place, turn, created = row
    with reading("A passage"):
        when = datetime.fromisoformat(created)
        place, tags = stored_text(place), tuple(json.loads(tags))
        return Passage(note, part, stored_text(written), when, tags, place, turn, number)
