"""A conversation as a search needs it: which messages stand side by side, who speaks, in which sitting and on what day.

Of each message it keeps a few numbers in memory, no text; what is new is read before each search. It only helps to
rank: what is found is read from the database each time. Knows nothing of queries or of how a search ranks.
"""

from __future__ import annotations

import re
import threading
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from memagent.memory.columns import Column, PlainColumn
from memagent.storage import Database, Row, reading
from memagent.storage.closeness import possible

SITTING = 3 * 3600
"""Seconds of silence after which a new sitting begins."""
OFTEN = 3
"""So many messages must begin with a name and a colon before that is taken for a speaker."""
BATCH = 20_000
_NAMED = re.compile(r"([^\W\d_][\w'’.-]{0,24}(?: [^\W\d_][\w'’.-]{0,24})?): ")
_NUMBERS = ("ids", "sittings", "roles", "asks", "names", "days")
_ROLES = {"user": 1, "human": 1, "assistant": -1, "agent": -1, "ai": -1}


class Talk:
    """The messages of one agent that can be found, in their order; a position counts from 0."""

    def __init__(self, database: Database, agent: str) -> None:
        self._database = database
        self._agent = agent
        self._guard = threading.Lock()
        self._last: tuple[str, float] = ("", 0.0)  # place and instant of the newest message
        self._begin: Counter[str] = Counter()
        self._arrays: dict[str, Any] = {}
        self._arrays_of = -1
        self.ids = array("q")
        self.seqs = array("q")
        self.sittings = array("l")
        self.roles = array("b")
        self.asks = array("b")
        self.names = array("l")
        self.days = array("l")
        self.known: list[str] = [""]

    def refresh(self) -> None:
        """Read what was said since the last time."""
        with self._guard:
            while rows := self._database.rows(
                "SELECT t.id, t.seq, t.role, t.name, t.created, t.place, t.said LIKE ?, substr(t.said, 1, 60) "
                "FROM messages t WHERE t.agent = ? AND t.seq > ? AND t.said || '' <> '' AND t.undone IS NULL "
                "ORDER BY t.seq LIMIT ?",  # || '' keeps the database from sorting all that was said
                "%?", self._agent, self.seqs[-1] if self.seqs else 0, BATCH,
            ):  # fmt: skip
                for row in rows:
                    self._add(row)

    def speakers(self) -> list[str]:
        """Who talks by name, in small letters."""
        return [name for name in self.known[1:] if self._begin[name] >= OFTEN and name not in _ROLES]

    def position(self, message: int) -> int:
        """Where a message stands; -1 if it is not known."""
        at = bisect_left(self.ids, message)
        return at if at < len(self.ids) and self.ids[at] == message else -1

    def positions(self, messages: Sequence[int] | Column) -> Column:
        """Where messages stand; -1 for those that are not known."""
        if possible():
            import numpy as np

            known, wanted = self.arrays()["ids"], np.asarray(messages, "i8")
            if not len(known):
                return np.full(len(wanted), -1)
            at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
            return np.where(known[at] == wanted, at, -1)
        return PlainColumn(map(self.position, messages))

    def beside(self, positions: Column, distance: int) -> Column:
        """For each position the one so far from it, in the same sitting; -1 where there is none."""
        if possible():
            import numpy as np

            numbers, other = self.arrays()["sittings"], positions + distance
            there = (positions >= 0) & (other >= 0) & (other < len(numbers))
            there &= numbers[np.where(there, other, 0)] == numbers[positions]
            return np.where(there, other, -1)
        sittings, end = self.sittings, len(self.ids)
        return PlainColumn(
            at + distance if at >= 0 and 0 <= at + distance < end and sittings[at + distance] == sittings[at] else -1
            for at in positions
        )

    def told(self, what: str, positions: Column, otherwise: int = 0) -> Column:
        """The "ids", "names" or other numbers of the messages at some positions."""
        if possible():
            import numpy as np

            return np.where(positions >= 0, self.arrays()[what][positions], otherwise)
        numbers = getattr(self, what)
        return PlainColumn(numbers[at] if at >= 0 else otherwise for at in positions)

    def arrays(self) -> dict[str, Any]:
        """The same numbers as numpy has them, and how many messages each sitting has ("sizes")."""
        import numpy as np

        with self._guard:
            if self._arrays_of != len(self.ids):
                kept = {name: getattr(self, name) for name in _NUMBERS}
                self._arrays = {name: np.array(numbers, "i8") for name, numbers in kept.items()}
                self._arrays["sizes"] = np.bincount(self._arrays["sittings"]) if self.ids else np.zeros(0, "i8")
                self._arrays_of = len(self.ids)
            return self._arrays

    def _add(self, row: Row) -> None:
        number, seq, role, name, created, place, asks, beginning = row
        with reading(f"Message {seq} of the log"):
            when = datetime.fromisoformat(created)
            instant, speaker = when.timestamp(), _speaker(role, name, beginning)
        place_before, before = self._last
        new = not self.ids or place != place_before or abs(instant - before) > SITTING
        if speaker and speaker not in self._begin:
            self.known.append(speaker)
        self._begin[speaker] += 1
        self.sittings.append((self.sittings[-1] if self.sittings else -1) + new)
        self.roles.append(_ROLES.get(speaker, 0) if speaker else 1 if role == "user" else -1)
        self.asks.append(bool(asks))
        self.names.append(self.known.index(speaker) if speaker else 0)
        self.days.append(when.toordinal())
        self._last = (place, instant)
        self.seqs.append(seq)
        self.ids.append(number)  # last: who reads meanwhile goes by these


def _speaker(role: str, name: str | None, beginning: str) -> str:
    """The name of who speaks, in small letters, if it is told."""
    if name and role in ("user", "assistant"):
        return name.lower()
    found = _NAMED.match(beginning)
    return found[1].lower() if found else ""
