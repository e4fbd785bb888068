"""Stores documents with their passages, replaces and removes them: what belongs together in one transaction.

Of documents with the same content, one has the passages. When that one goes or changes, another takes them over as they
are: so a file that was renamed is not embedded again. Knows nothing of readers or of embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from memagent.loading.sift import Sifted
from memagent.memory.passages import Passage, PassageStore
from memagent.messages import storable
from memagent.storage import Transaction

Vectors = Mapping[str, Sequence[bytes]]
"""The vectors of documents' passages, by place; a document that is not named has none yet."""


class Keeper:
    """Writes the documents of one source that are loaded by one recipe."""

    def __init__(self, store: PassageStore, recipe: int) -> None:
        self._store = store
        self._source = store.shelf
        self._recipe = recipe

    def keep(self, tx: Transaction, batch: Sequence[Sifted], vectors: Vectors, now: datetime) -> None:
        """Store what has changed of some documents."""
        numbers = dict(zip((s.place for s in batch if not s.known), self._added(tx, batch, now), strict=True))
        passages: dict[bool, list[Passage]] = {True: [], False: []}
        found: list[bytes] = []
        for each in batch:
            if each.known:
                numbers[each.place] = each.known.id
                self._update(tx, each, now)
            own = vectors.get(each.place, ())
            found += own
            passages[bool(own)] += self._passages(each, numbers[each.place], now)
        self._store.insert_many(tx, passages[True], found)
        self._store.insert_many(tx, passages[False])

    def remove(self, tx: Transaction, number: int) -> None:
        """Remove a document."""
        self._give_up(tx, number)
        tx.run("DELETE FROM documents WHERE id = ? AND source = ?", number, self._source)

    def _added(self, tx: Transaction, batch: Sequence[Sifted], now: datetime) -> list[int]:
        return tx.add_many(
            "INSERT INTO documents (source, place, stamp, digest, title, passages, loaded, recipe) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (self._source, s.place, s.stamp, s.digest, _title(s), len(s.passages), now.isoformat(), self._recipe)
                for s in batch
                if not s.known
            ],
        )

    def _update(self, tx: Transaction, each: Sifted, now: datetime) -> None:
        assert each.known
        if each.outcome == "unchanged":
            tx.run(
                "UPDATE documents SET stamp = ?, recipe = ? WHERE id = ? AND source = ?",
                each.stamp, self._recipe, each.known.id, self._source,
            )  # fmt: skip
            return
        self._give_up(tx, each.known.id)
        tx.run(
            "UPDATE documents SET stamp = ?, digest = ?, title = ?, passages = ?, loaded = ?, recipe = ? "
            "WHERE id = ? AND source = ?",
            each.stamp, each.digest, _title(each), len(each.passages), now.isoformat(), self._recipe,
            each.known.id, self._source,
        )  # fmt: skip

    def _give_up(self, tx: Transaction, number: int) -> None:
        """Take a document's passages from it: the next of the same content gets them, or they are deleted."""
        rows = tx.rows(
            "SELECT o.id, o.place, d.place, d.passages FROM documents d JOIN documents o ON o.source = d.source "
            "AND o.digest = d.digest AND o.digest <> '' AND o.id <> d.id AND o.passages = 0 "
            "WHERE d.id = ? AND d.source = ? AND d.passages > 0 ORDER BY o.id LIMIT 1",
            number, self._source,
        )  # fmt: skip
        if not rows:
            self._store.delete(tx, number)
            return
        heir, place, before, count = rows[0]
        self._store.move(tx, number, heir, before, place)
        tx.run("UPDATE documents SET passages = ? WHERE id = ?", count, heir)

    def _passages(self, each: Sifted, number: int, now: datetime) -> list[Passage]:
        document = each.document
        if document is None:
            return []
        when = document.when or now
        written = when if when.tzinfo else when.astimezone()
        return [
            Passage(number, part, passage.text, written, document.tags, passage.place)
            for part, passage in enumerate(each.passages)
        ]


def _title(each: Sifted) -> str:
    return storable(each.document.title) if each.document else ""
