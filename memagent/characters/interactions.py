"""What was said with a character, as memories: each turn of its log that a person or a scene began, once.

A turn is stored before its memory is. So what was cut in between is caught up the next time, and what was taken back is
taken back here too. Knows nothing of bounds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from memagent.characters.memories import Memories, record
from memagent.facts import Cause, Fact
from memagent.facts.own import INTERACTION
from memagent.storage import Row, Transaction, reading, text

FAR = 1000
"""Messages before the last that was remembered, among which a turn may have begun that has been changed since."""


LONGEST = 10_000
"""Characters of what somebody said that its memory has; the log has all of it."""


class Interactions:
    """The turns of one character's log, and the memories of them."""

    def __init__(self, memories: Memories, agent: str) -> None:
        self._memories = memories
        self._agent = agent

    def catch_up(self, since: int = 0) -> int:
        """Keep a memory of each turn that has none yet, of those after a message; returns how many."""
        database, ledger = self._memories.ledger.database, self._memories.ledger
        if not self._waiting(database.rows, since) and not self._undone(database.rows):
            return 0
        with database.write(ledger.keeper.shelf) as tx:
            now = self._memories.clock()
            for (number,) in self._undone(tx.rows):
                if fact := ledger.seen(tx, number):
                    ledger.end(tx, fact, "undone", Cause("user", "what was said was taken back", self._agent), now)
            facts = list(self._new(tx, since))
            for fact in facts:
                self._memories.learn(tx, fact)
        self._memories.tidy()
        return len(facts)

    def _waiting(self, rows: Any, since: int) -> bool:
        """Whether something was said since the last memory of something that was said."""
        query = (
            "SELECT 1 FROM messages WHERE agent = ? AND seq > ? AND turn > 0 AND said <> '' AND undone IS NULL LIMIT 1"
        )
        return bool(rows(query, self._agent, max(since, self._mark(rows))))

    def _mark(self, rows: Any) -> int:
        """The number of the last message that there is a memory of, whatever became of that."""
        found = rows(
            "SELECT max(t.message) FROM facts t WHERE t.agent = ? AND t.message IS NOT NULL AND t.kind = ? "
            "AND t.shelf IN (?, ?, ?)",
            self._agent, INTERACTION, *self._memories.ledger.keeper.shelves(),
        )  # fmt: skip
        return int(found[0][0] or 0)

    def _undone(self, rows: Any) -> Sequence[Row]:
        """The memories that hold, of what was taken back."""
        found: Sequence[Row] = rows(
            "SELECT t.id FROM facts t JOIN messages m ON m.agent = t.agent AND m.seq = t.message "
            "WHERE t.shelf = ? AND t.kind = ? AND t.agent = ? AND m.undone IS NOT NULL",
            self._memories.ledger.keeper.shelf, INTERACTION, self._agent,
        )  # fmt: skip
        return found

    def _new(self, tx: Transaction, since: int) -> Iterator[Fact]:
        """What must be remembered, in its order."""
        mark = max(since, self._mark(tx.rows))
        rows = tx.rows(
            "SELECT turn, seq, kind, role, said, content, created FROM messages WHERE agent = ? AND seq > ? "
            "AND turn > 0 AND said <> '' AND undone IS NULL AND place = '' ORDER BY turn, seq",
            self._agent, mark - FAR,
        )  # fmt: skip
        for turn, group in groupby(rows, key=lambda row: row[0]):
            said = list(group)
            if said[-1][1] > mark and (fact := self._of(said, self._state(tx, turn))):
                yield fact

    def _state(self, tx: Transaction, turn: int) -> str:
        found = tx.rows("SELECT state FROM turns WHERE agent = ? AND turn = ?", self._agent, turn)
        return str(found[0][0]) if found else ""

    def _of(self, said: Sequence[Row], state: str) -> Fact | None:
        """A turn as a memory, if it is over and somebody began it by saying something."""
        with reading(f"Message {said[0][1]} of the log"):
            came = [row for row in said if row[2] == "user"]
            replies = "\n\n".join(text(row[4]) for row in said if row[3] != "user")
            if state in ("running", "waiting") or not came or not (replies or state == "done"):
                return None
            scene = json.loads(text(came[0][5])).get("scene")
            heard, replies = "\n\n".join(text(row[4]) for row in came)[:LONGEST], replies[:LONGEST]
            content = {"user": heard, "response": replies}
            if isinstance(scene, str):
                content = {"scene": scene[:LONGEST], "heard": heard, "said": replies}
            cause = Cause("talk", "", self._agent, said[-1][1])
            return record(content, INTERACTION, {}, datetime.fromisoformat(said[-1][6]), cause)
