"""Archival memory: notes without limit, and the sources that are attached, found by their words and what they mean.

A text is cut into passages that are each embedded, in `prepare`, before any transaction; `store` keeps them. Passages
that could not be embedded are found by their words, until `catch_up` gets their vectors. Knows nothing of who writes
notes, or of how texts are turned into vectors.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from memagent import watching
from memagent.embeddings import Embedder
from memagent.errors import NotFound, ToolError
from memagent.memory.finding import Finder, Limits
from memagent.memory.passages import TEXTS, Passage, PassageStore, conditions
from memagent.memory.reading import around, readable
from memagent.memory.search import Query, first_of
from memagent.memory.sources import attached
from memagent.memory.waiting import BATCH, other_models
from memagent.messages import storable
from memagent.sources.chunk import passages
from memagent.storage import Database, Found, Page, Readable, Stretch, Transaction, reading
from memagent.storage import text as stored_text

MOST_TAGS = 20
LONGEST_TAG = 60


@dataclass(frozen=True)
class Prepared:
    """A text ready to be stored. When this very text is there already, `parts` is empty and `note` is its number."""

    parts: tuple[str, ...]
    tags: tuple[str, ...] = ()
    vectors: tuple[bytes, ...] = ()
    note: int | None = None


class ArchivalMemory:
    """The notes of one agent, and what it can read. A result's `id` is the number of the note or document, which the
    parts of a long one share; its `source` is the name of a source, or "you", the agent; its `place` is where in it.
    """

    def __init__(self, database: Database, agent: str, embedder: Embedder | None) -> None:
        self._database = database
        self._agent = agent
        self._embedder = embedder
        self._notes = PassageStore(database, agent, embedder)
        self._finder = Finder(database, TEXTS, embedder)

    # Keeping ----------------------------------------------------------------------------------------------------------

    def prepare(self, text: str, tags: Sequence[str] = ()) -> Prepared:
        """Check, cut and embed a text. Nothing is stored, and no transaction should be open: it may take its time."""
        parts = tuple(passages(storable(text)))
        if not parts:
            raise ToolError("There is no text to keep.")
        checked = _checked_tags(tags)
        if (note := self._note_of(self._database, parts)) is not None:
            return Prepared((), checked, note=note)
        return Prepared(parts, checked, tuple(self._notes.vectors_of(parts)))

    @watching.memory("create_memory", "archival")
    def store(self, tx: Transaction, prepared: Prepared, *, turn: int | None, now: datetime) -> int:
        """Keep a text; returns in how many parts, 0 when it was there already, and got the new tags."""
        note = self._note_of(tx, prepared.parts) if prepared.parts else prepared.note
        if note is not None:
            self._add_tags(tx, note, prepared.tags)
            return 0
        new = (tx.rows("SELECT max(note) FROM passages WHERE shelf = ?", self._agent)[0][0] or 0) + 1
        parts = [Passage(new, part, text, now, prepared.tags, turn=turn) for part, text in enumerate(prepared.parts)]
        self._notes.insert_many(tx, parts, prepared.vectors)
        return len(parts)

    def bring_in(self, tx: Transaction, text: str, tags: Sequence[str], place: str, now: datetime) -> int:
        """Keep a text from elsewhere, of which `place` tells; returns the number of its note. Tags that are too many,
        and what is too long in one, fall away; the vectors come later, by `catch_up`.
        """
        text = storable(text)
        fit = dict.fromkeys(" ".join(storable(tag).split())[:LONGEST_TAG].strip() for tag in tags)
        kept = tuple([tag for tag in fit if tag][:MOST_TAGS])
        note = int(tx.rows("SELECT max(note) FROM passages WHERE shelf = ?", self._agent)[0][0] or 0) + 1
        cut = passages(text) or [text]
        parts = [Passage(note, part, each, now, kept, place) for part, each in enumerate(cut)]
        self._notes.insert_many(tx, parts)
        return note

    @watching.memory("delete_memory", "archival")
    def delete(self, tx: Transaction, note: int) -> int:
        """Delete a note for good; returns how many parts it had."""
        done = self._notes.delete(tx, note)
        if not done:
            raise NotFound(f"There is no note {note} in archival memory.")
        return done

    def undo_turn(self, tx: Transaction, turn: int, now: datetime) -> int:
        """Take back what was kept in a turn; returns how many passages that were."""
        return self._notes.undo_turn(tx, turn, now)

    def catch_up(self, limit: int = BATCH) -> int:
        """Embed some notes that have no vector of this model yet; returns how many, 0 when there are no more."""
        return self._notes.catch_up(limit)

    # Finding ----------------------------------------------------------------------------------------------------------

    @watching.memory("search_memory", "archival")
    def search(
        self, query: str, page: int = 0, size: int = 5, *, source: str = "", tags: Sequence[str] = (),
        since: date | None = None, until: date | None = None, own: bool = True,
    ) -> Page:  # fmt: skip
        """Passages with these words or this meaning, best first; `total` counts all that are found in either way.

        Only those of the source of that name (the agent's own are named "you"), with all of the `tags`, written from
        `since` to `until`, both included, if these are given; without the agent's `own`, only sources. Never from
        inside a write transaction: what is read there may yet be rolled back.
        """
        wanted, start = Query.of(query), first_of(page, size)
        shelves = {shelf: name for shelf, name in self.shelves(source).items() if own or shelf != self._agent}
        if not shelves:
            return Page([], 0, page, size)
        where, values = conditions(tags, since, until)
        found = self._finder.find(wanted, Limits(list(shelves), where, values), date.today())
        rows = self._found(found.page(start, size), shelves)
        why = found.why([row for row, _ in rows])
        shown = [replace(passage, why=one) for (_, passage), one in zip(rows, why, strict=True)]
        return Page(shown, found.total, page, size)

    def shelves(self, only: str = "") -> dict[str, str]:
        """What is searched: the agent's own notes, named "you", and the sources that are attached, by their names."""
        shelves = {self._agent: "you", **attached(self._database, self._agent)}
        if not only:
            return shelves
        named = {shelf: name for shelf, name in shelves.items() if name == storable(only).strip()}
        if not named:
            raise ToolError(f"There is no source {only[:80]!r}. There are: {', '.join(shelves.values())}.")
        return named

    def around(self, passage: int, before: int = 1, after: int = 1) -> Stretch:
        """A passage with those that stand before and after it in its document."""
        shelves = self.shelves()
        shelf, found, total = around(self._database, shelves, passage, before, after)
        return Stretch([_note(each, shelves[shelf]) for each in found], found[0].part + 1, total)

    def sources(self) -> list[Readable]:
        """The sources that are attached, and how much is in each."""
        return readable(self._database, self._agent)

    def others_vectors(self) -> bool:
        """Whether some of what is searched has vectors of another model, which are compared with nothing."""
        if not self._embedder:
            return False
        model = self._embedder.model
        return any(other_models(self._database, TEXTS, shelf, model) for shelf in self.shelves())

    def total(self) -> int:
        """How many passages of its own the agent has."""
        return self._notes.size()

    def all(self, page: int = 0, size: int = 50) -> Page:
        """Every passage of the agent's own, the newest note first, the parts of a note in their order."""
        found = [_note(p, "you") for p in self._notes.get_all(first_of(page, size), size)]
        return Page(found, self.total(), page, size)

    # Inside -----------------------------------------------------------------------------------------------------------

    def _found(self, numbers: Sequence[int], shelves: dict[str, str]) -> list[tuple[int, Found]]:
        if not numbers:
            return []
        marks, ours = ", ".join("?" for _ in numbers), ", ".join("?" for _ in shelves)
        rows = self._database.rows(  # || '' keeps the database from going through all of a shelf's rows instead
            "SELECT t.id, t.shelf, t.note, t.text, t.tags, t.place, t.created FROM passages t "
            f"WHERE t.id IN ({marks}) AND t.shelf || '' IN ({ours}) AND t.undone IS NULL",
            *numbers, *shelves,
        )  # fmt: skip
        found = {}
        with reading("A note in archival memory"):
            for number, shelf, note, written, tags, place, created in rows:
                when = datetime.fromisoformat(created)
                place, tags = stored_text(place), tuple(json.loads(tags))
                passage = Passage(note, 0, stored_text(written), when, tags, place, id=number)
                found[number] = _note(passage, shelves[shelf])
        return [(number, found[number]) for number in numbers if number in found]

    def _add_tags(self, tx: Transaction, note: int, tags: Sequence[str]) -> None:
        """Give a note these tags too; those that are too many fall away."""
        rows = tx.rows("SELECT tags FROM passages WHERE shelf = ? AND note = ?", self._agent, note)
        with reading("A note in archival memory"):
            all_tags = list(dict.fromkeys([*json.loads(rows[0][0]), *tags]))[:MOST_TAGS] if rows else []
        self._notes.update_tags(tx, note, all_tags)

    def _note_of(self, reader: Database | Transaction, parts: Sequence[str]) -> int | None:
        """The number of the note that is this very text, if the agent has kept it before."""
        notes = reader.rows(
            "SELECT note FROM passages WHERE shelf = ? AND substr(text, 1, 60) = ? AND part = 0 AND place = '' "
            "AND undone IS NULL",
            self._agent, parts[0][:60],
        )  # fmt: skip
        same = (n for (n,) in notes if [row[0] for row in reader.rows(_PARTS, self._agent, n)] == list(parts))
        return next(same, None)


_PARTS = "SELECT text FROM passages WHERE shelf = ? AND note = ? ORDER BY part"


def _note(passage: Passage, source: str) -> Found:
    """A passage as it is found; notes that were brought in from elsewhere tell from where."""
    by = passage.place if source == "you" and passage.place else source
    return Found(passage.text, passage.created, by, passage.note, passage.tags, passage.place, passage=passage.id)


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
