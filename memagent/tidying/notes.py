"""Tidies archival memory: a long note of the agent's that has lain for a while is put more shortly, by a model.

The note as it was stays in the database, taken back, and comes back when the tidying is undone. Knows nothing of
sources, which are others' texts and are never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from memagent.memory.archival import ArchivalMemory, Prepared
from memagent.memory.passages import COLUMNS, Passage, passage_of
from memagent.storage import Database, Transaction
from memagent.tidying import Proposal
from memagent.tidying.wording import Wording

LONG = 1500
"""Characters from which on a note is long."""
REST = timedelta(days=7)
"""So long it has lain."""
MOST_AT_ONCE = 5
"""Notes that are put more shortly in one run: each is a question to the model."""
MOST = 0.7


@dataclass(frozen=True)
class Shortening:
    """A note that would be put more shortly."""

    notes: LongNotes
    note: int
    before: str
    prepared: Prepared

    @property
    def told(self) -> str:
        size = sum(map(len, self.prepared.parts))
        return f'A note is put more shortly, {len(self.before)} characters become {size}: "{self.before[:60]}…"'

    def carry_out(self, tx: Transaction, now: datetime) -> Mapping[str, Any] | None:
        return self.notes.exchange(tx, self, now)


class LongNotes:
    """Long notes of an agent's own are put more shortly."""

    name = "long notes"

    def __init__(
        self, database: Database, agent: str, archival: ArchivalMemory, wording: Wording, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._agent = agent
        self._archival = archival
        self._wording = wording
        self._clock = clock

    def proposals(self) -> Generator[Proposal | None]:
        rows = self._database.rows(
            "SELECT note FROM passages WHERE shelf = ? AND place = '' AND undone IS NULL "
            "GROUP BY note HAVING sum(length(text)) >= ? AND max(created) < ? ORDER BY note",
            self._agent, LONG, (self._clock() - REST).isoformat(),
        )  # fmt: skip
        for (note,) in rows[:MOST_AT_ONCE]:
            passages = self._parts(self._database, note)
            before = "\n".join(passage.text for passage in passages)
            if not passages or not self._wording.fits(before):
                continue
            after = yield from self._wording.shorter(before, MOST)
            prepared = self._archival.prepare(after, passages[0].tags) if after else None
            if prepared and prepared.parts:  # else this very text is there already
                yield Shortening(self, note, before, prepared)

    def exchange(self, tx: Transaction, wanted: Shortening, now: datetime) -> Mapping[str, Any] | None:
        """Put the shorter note in the place of the other; None when that one was changed meanwhile."""
        passages = self._parts(tx, wanted.note)
        if "\n".join(passage.text for passage in passages) != wanted.before:
            return None
        if not self._archival.store(tx, wanted.prepared, turn=passages[0].turn, now=passages[0].created):
            return None
        self._take_back(tx, wanted.note, now)
        return {"note": wanted.note, "shorter": self._last(tx)}

    def undo(self, tx: Transaction, details: Mapping[str, Any], now: datetime) -> bool:
        """The note as it was comes back, as a note of its own number."""
        if not self._take_back(tx, int(details["shorter"]), now):
            return False  # somebody deleted it, or took its turn back
        number = self._last(tx) + 1
        rows = tx.rows(
            "SELECT part, text, tags, turn, created FROM passages WHERE shelf = ? AND note = ? ORDER BY part",
            self._agent, int(details["note"]),
        )  # fmt: skip
        tx.add_many(
            "INSERT INTO passages (shelf, note, part, text, tags, turn, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(self._agent, number, *row) for row in rows],
        )
        return bool(rows)

    def _parts(self, reader: Database | Transaction, note: int) -> list[Passage]:
        rows = reader.rows(
            f"SELECT {COLUMNS} FROM passages t "
            "WHERE t.shelf = ? AND t.note = ? AND t.undone IS NULL ORDER BY t.part",
            self._agent, note,
        )  # fmt: skip
        return [passage_of(row) for row in rows]

    def _take_back(self, tx: Transaction, note: int, now: datetime) -> int:
        return tx.run(
            "UPDATE passages SET undone = ? WHERE shelf = ? AND note = ? AND undone IS NULL",
            now.isoformat(), self._agent, note,
        )  # fmt: skip

    def _last(self, tx: Transaction) -> int:
        return int(tx.rows("SELECT max(note) FROM passages WHERE shelf = ?", self._agent)[0][0])
