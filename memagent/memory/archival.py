"""Archival memory: notes without limit, found by their words and by what they mean.

A text is cut into passages that are each embedded, in `prepare`, before any transaction; `store` keeps them. Passages
that could not be embedded are found by their words, until `catch_up` gets their vectors. Knows nothing of who writes
notes, or of how texts are turned into vectors.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from memagent.embeddings import Embedder, embedded
from memagent.errors import EmbeddingError, NotFound, ToolError
from memagent.memory.nearest import Nearest, possible
from memagent.memory.search import Query, WordSearch, first_of, fused
from memagent.messages import storable
from memagent.sources.chunk import passages
from memagent.storage import Database, Found, Page, Transaction, reading
from memagent.storage import text as stored_text

log = logging.getLogger(__name__)

MOST_TAGS = 20
LONGEST_TAG = 60
BATCH = 256
BY_WORDS = 300
"""So many of the passages that match by words are weighed against those near in meaning; the others follow."""
BY_MEANING = 100
"""At most so many passages are found by meaning alone …"""
CLOSE_ENOUGH = 0.6
"""… and only those that are at least this near, when the nearest counts 1; all others must match by words."""

_COLUMNS = "t.id, t.note, t.text, t.tags, t.source, t.created"


@dataclass(frozen=True)
class Prepared:
    """A text ready to be stored. When this very text is there already, `parts` is empty and `note` is its number."""

    parts: tuple[str, ...]
    tags: tuple[str, ...] = ()
    vectors: tuple[bytes, ...] = ()
    note: int | None = None


class ArchivalMemory:
    """The notes of one agent. A result's `id` is the note's number, which the parts of a long one share; its `source`
    is what it was loaded from, or "you", the agent.
    """

    def __init__(self, database: Database, agent: str, embedder: Embedder | None) -> None:
        self._database = database
        self._agent = agent
        self._embedder = embedder
        self._words = WordSearch(database, agent, "passages", "text", "t.undone IS NULL")
        self._nearest: Nearest | None = None
        if embedder and possible():
            self._nearest = Nearest(database, agent, embedder.model, embedder.dimension)
        self._caught_up = 0  # all passages up to this number have vectors

    def prepare(self, text: str, tags: Sequence[str] = ()) -> Prepared:
        """Check, cut and embed a text. Nothing is stored, and no transaction should be open: it may take its time."""
        parts = tuple(passages(storable(text)))
        if not parts:
            raise ToolError("There is no text to keep.")
        checked = _checked_tags(tags)
        if (note := self._note_of(self._database, parts)) is not None:
            return Prepared((), checked, note=note)
        vectors: list[bytes] = []
        if self._embedder:
            try:
                for start in range(0, len(parts), BATCH):
                    vectors += embedded(self._embedder, parts[start : start + BATCH])
            except EmbeddingError as error:
                log.warning("A note is kept without vectors for now: %s", error)
                vectors = []
        return Prepared(parts, checked, tuple(vectors))

    def store(self, tx: Transaction, prepared: Prepared, *, turn: int | None, now: datetime) -> int:
        """Keep a text; returns in how many parts, 0 when it was there already, and got the new tags."""
        note = self._note_of(tx, prepared.parts) if prepared.parts else prepared.note
        if note is not None:
            self._add_tags(tx, note, prepared.tags)
            return 0
        newest = tx.rows("SELECT max(note) FROM passages WHERE agent = ?", self._agent)[0][0] or 0
        tags = json.dumps(prepared.tags, ensure_ascii=False)
        for part, text in enumerate(prepared.parts):
            number = tx.add(
                "INSERT INTO passages (agent, note, part, text, tags, turn, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
                self._agent, newest + 1, part, text, tags, turn, now.isoformat(),
            )  # fmt: skip
            if prepared.vectors:
                self._keep_vector(tx, number, prepared.vectors[part])
        return len(prepared.parts)

    def search(self, query: str, page: int = 0, size: int = 5) -> Page:
        """Passages with these words or this meaning, best first; `total` counts all that are found in either way.

        Never from inside a write transaction: what is read there may yet be rolled back.
        """
        wanted, start = Query.of(query), first_of(page, size)
        vector = self._vector(wanted.text)
        if not self._nearest or not vector:
            hits = self._words.hits(wanted, size, start)
            return Page(self._found(list(hits.scores)), hits.total, page, size)
        near = self._nearest.search(vector, BY_MEANING)
        least = CLOSE_ENOUGH * max(near.values(), default=0.0)
        near = {number: closeness for number, closeness in near.items() if closeness >= least > 0}
        hits = self._words.hits(wanted, BY_WORDS, also=list(near))
        near |= self._nearest.closeness(vector, hits.scores.keys() - near.keys())
        ranked = fused(hits.scores, near)
        shown = ranked[start : start + size]
        if len(shown) < size and hits.total > BY_WORDS:
            shown += self._by_words_alone(wanted, ranked, start, size - len(shown))
        return Page(self._found(shown), hits.total + len(near.keys() - hits.scores.keys()), page, size)

    def total(self) -> int:
        """How many passages there are."""
        return int(
            self._database.rows("SELECT count(*) FROM passages WHERE agent = ? AND undone IS NULL", self._agent)[0][0]
        )

    def all(self, page: int = 0, size: int = 50) -> Page:
        """Every passage, the newest note first, the parts of a note in their order."""
        rows = self._database.rows(
            "SELECT id FROM passages WHERE agent = ? AND undone IS NULL ORDER BY note DESC, part LIMIT ? OFFSET ?",
            self._agent, size, first_of(page, size),
        )  # fmt: skip
        return Page(self._found([row[0] for row in rows]), self.total(), page, size)

    def delete(self, tx: Transaction, note: int) -> int:
        """Delete a note for good; returns how many parts it had."""
        done = tx.run("DELETE FROM passages WHERE agent = ? AND note = ?", self._agent, note)
        if not done:
            raise NotFound(f"There is no note {note} in archival memory.")
        return done

    def undo_turn(self, tx: Transaction, turn: int, now: datetime) -> int:
        """Take back what was kept in a turn; returns how many passages that were."""
        return tx.run(
            "UPDATE passages SET undone = ? WHERE agent = ? AND turn = ? AND undone IS NULL",
            now.isoformat(), self._agent, turn,
        )  # fmt: skip

    def catch_up(self, limit: int = BATCH) -> int:
        """Embed some passages that have no vector of this model yet; returns how many, 0 when there are no more."""
        if not self._embedder:
            return 0
        model, length = self._embedder.model, 4 * self._embedder.dimension
        newest = self._database.rows("SELECT max(id) FROM passages")[0][0] or 0
        rows = self._database.rows(
            "SELECT p.id, p.text FROM passages p LEFT JOIN vectors v "
            "ON v.passage = p.id AND v.model = ? AND length(v.vector) = ? "
            "WHERE p.agent = ? AND p.undone IS NULL AND p.id > ? AND v.id IS NULL ORDER BY p.id LIMIT ?",
            model, length, self._agent, self._caught_up, limit,
        )  # fmt: skip
        if not rows:
            self._caught_up = max(self._caught_up, newest)
            return 0
        vectors = embedded(self._embedder, [row[1] for row in rows])
        with self._database.write() as tx:
            for (number, _), vector in zip(rows, vectors, strict=True):
                self._keep_vector(tx, number, vector)
        return len(rows)

    def _keep_vector(self, tx: Transaction, passage: int, vector: bytes) -> None:
        """A vector always comes in as a new row, which is how it is noticed; none if the passage is gone meanwhile."""
        assert self._embedder
        tx.run("DELETE FROM vectors WHERE passage = ?", passage)
        tx.run(
            "INSERT INTO vectors (passage, agent, model, vector) SELECT id, agent, ?, ? FROM passages "
            "WHERE id = ? AND agent = ? AND undone IS NULL",
            self._embedder.model, vector, passage, self._agent,
        )  # fmt: skip

    def _vector(self, query: str) -> bytes | None:
        if not self._embedder or not self._nearest or not self._nearest.any():
            return None
        try:
            return embedded(self._embedder, [query])[0]
        except EmbeddingError as error:
            log.warning("Archival memory was searched by words alone: %s", error)
            return None

    def _by_words_alone(self, wanted: Query, ranked: list[int], start: int, count: int) -> list[int]:
        """What follows after all that was ranked: the rest of what matches, in the words' own order."""
        skip = max(0, start - len(ranked))
        rest = self._words.hits(wanted, skip + count + BY_MEANING, BY_WORDS)
        known = set(ranked)
        return [number for number in rest.scores if number not in known][skip : skip + count]

    def _found(self, numbers: Sequence[int]) -> list[Found]:
        if not numbers:
            return []
        marks = ", ".join("?" for _ in numbers)
        rows = self._database.rows(  # || '' keeps the database from going through all of the agent's rows instead
            f"SELECT {_COLUMNS} FROM passages t WHERE t.id IN ({marks}) AND t.agent || '' = ? AND t.undone IS NULL",
            *numbers, self._agent,
        )  # fmt: skip
        found = {}
        with reading("A note in archival memory"):
            for number, note, written, tags, source, created in rows:
                when = datetime.fromisoformat(created)
                found[number] = Found(stored_text(written), when, source or "you", note, tuple(json.loads(tags)))
        return [found[number] for number in numbers if number in found]

    def _add_tags(self, tx: Transaction, note: int, tags: Sequence[str]) -> None:
        """Give a note these tags too; those that are too many fall away."""
        rows = tx.rows("SELECT tags FROM passages WHERE agent = ? AND note = ?", self._agent, note)
        with reading("A note in archival memory"):
            all_tags = list(dict.fromkeys([*json.loads(rows[0][0]), *tags]))[:MOST_TAGS] if rows else []
        tx.run(
            "UPDATE passages SET tags = ? WHERE agent = ? AND note = ?",
            json.dumps(all_tags, ensure_ascii=False), self._agent, note,
        )  # fmt: skip

    def _note_of(self, reader: Database | Transaction, parts: Sequence[str]) -> int | None:
        """The number of the note that is this very text, if the agent has kept it before."""
        notes = reader.rows(
            "SELECT note FROM passages WHERE agent = ? AND substr(text, 1, 60) = ? AND part = 0 AND source = '' "
            "AND undone IS NULL",
            self._agent, parts[0][:60],
        )  # fmt: skip
        same = (n for (n,) in notes if [row[0] for row in reader.rows(_PARTS, self._agent, n)] == list(parts))
        return next(same, None)


_PARTS = "SELECT text FROM passages WHERE agent = ? AND note = ? ORDER BY part"


def _checked_tags(tags: Sequence[str]) -> tuple[str, ...]:
    wanted = [tags] if isinstance(tags, str) else list(tags)
    if not all(isinstance(tag, str) and tag.strip() for tag in wanted):
        raise ToolError("Each tag must be a word or two, and not empty.")
    checked = tuple(dict.fromkeys(" ".join(storable(tag).split()) for tag in wanted))
    if len(checked) > MOST_TAGS:
        raise ToolError(f"A note can have {MOST_TAGS} tags, not {len(checked)}.")
    for tag in checked:
        if len(tag) > LONGEST_TAG:
            raise ToolError(f"A tag can have {LONGEST_TAG} characters; {tag[:30]!r}… has {len(tag)}.")
    return checked
