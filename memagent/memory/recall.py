"""Recall memory: everything that was ever said between the user and the agent, found by words and meaning, or by day.

Only what one of them said or read counts, not thoughts, calls and events. What was taken back is not found. Knows
nothing of what the model can see anyway, unless it is told (`before_seq`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from time import monotonic
from typing import Any

from memagent import watching
from memagent.embeddings import Embedder
from memagent.errors import EmbeddingError, StorageError, ToolError
from memagent.memory.finding import Finder, Limits
from memagent.memory.search import Query, first_of
from memagent.memory.talk import Talk
from memagent.memory.waiting import BATCH, Waiting
from memagent.messages import storable
from memagent.storage import Database, Found, Page, Row, Texts, reading, text

log = logging.getLogger(__name__)

AT_ONCE = 32
"""After a turn, so many messages are embedded together: it costs a commit, and a search embeds what is missing."""
SOON = 1.0
"""Seconds that a search may take to embed what was said since; the next one goes on."""
_SAID = "t.said <> '' AND t.undone IS NULL"
TEXTS = Texts("messages", "said", "agent", _SAID)
_COLUMNS = "t.id, t.seq, t.role, t.said, t.created, t.place"
_IN_ORDER = "ORDER BY t.place = '', CASE t.place WHEN '' THEN '' ELSE t.created END, t.seq"
"""As it was said; what was loaded is from before, and has been put into its order by whoever wrote it."""
_DAYS_BETWEEN_ZONES = 2
MOST_AROUND = 4
"""Messages that can be read before and after one, each."""
_LAST = "~"  # sorts after everything that can follow in a time


class RecallMemory:
    """What was said to and by one agent. A result's `id` is the message's `seq`; its `source` is "user" or "you", the
    agent.
    """

    def __init__(self, database: Database, agent: str, embedder: Embedder | None = None) -> None:
        self._database = database
        self._agent = agent
        self._waiting = Waiting(database, TEXTS, agent, embedder) if embedder else None
        self._embedded = 0  # what was said up to this number was looked at, to embed it
        self._finder = Finder(database, TEXTS, embedder, Talk(database, agent))

    @watching.memory("search_memory", "recall")
    def search(
        self, query: str, page: int = 0, size: int = 5, *, before_seq: int | None = None, since: date | None = None,
        until: date | None = None, role: str = "", now: date | None = None,
    ) -> Page:  # fmt: skip
        """What was said with these words or this meaning, best first; `total` counts all that is found in either way.

        Only messages before `before_seq`, written from `since` to `until`, and by `role` ("user" or "you", or a name),
        if these are given. Times in the query are understood as of `now`, today.
        """
        start, wanted = first_of(page, size), Query.of(query)
        _check_order(since, until)
        where, values = self._conditions(since, until, role)
        self._embed_soon()
        limits = Limits([self._agent], where, values, before_seq)
        found = self._finder.find(wanted, limits, now or date.today())
        rows = self._found(found.page(start, size))
        why = found.why([row for row, _ in rows])
        shown = [replace(said, why=one) for (_, said), one in zip(rows, why, strict=True)]
        return Page(shown, found.total, page, size)

    def catch_up(self, limit: int = BATCH, least: int = 1) -> int:
        """Embed some messages that have no vector of this model yet, once at least so many are new; returns how many,
        0 when there are no more.
        """
        if not self._waiting:
            return 0
        rows = self._database.rows(
            "SELECT count(*), max(t.seq) FROM messages t WHERE t.agent = ? AND t.seq > ? AND t.said || '' <> '' "
            "AND t.undone IS NULL",  # || '' keeps the database from looking at all that was ever said
            self._agent, self._embedded,
        )  # fmt: skip
        if rows[0][0] < least:
            return 0
        done = self._waiting.embed(limit)
        if done < limit:
            self._embedded = rows[0][1]
        return done

    def waiting(self) -> tuple[int, int]:
        """How many messages have no vector of this model yet, and how many of them were had elsewhere."""
        count = self._waiting.count() if self._waiting else 0
        if not self._waiting or not count:
            return 0, 0
        rows = self._database.rows(
            "SELECT count(*) FROM messages t LEFT JOIN messages_vectors v ON v.item = t.id AND v.model = ? "
            f"WHERE t.agent = ? AND t.place <> '' AND {_SAID} AND v.id IS NULL",
            self._waiting.model, self._agent,
        )  # fmt: skip
        return count, rows[0][0]

    @watching.memory("search_memory", "recall")
    def search_dates(
        self, start: date | None, end: date | None, page: int = 0, size: int = 5, *, before_seq: int | None = None
    ) -> Page:
        """What was said from `start` to `end`, both included, the oldest first.

        A day, or a time without a zone, is meant as the clock on the wall showed it when the message was written. A
        time with a zone is that instant, whatever zone a message was written in.
        """
        _check_order(start, end)
        where, values = self._conditions(start, end)
        if before_seq is not None:
            where, values = f"{where} AND t.seq < ?", [*values, before_seq]
        ours = f"messages t WHERE t.agent = ? AND {_SAID} AND {where}"
        first = first_of(page, size)
        total = self._database.rows(f"SELECT count(*) FROM {ours}", self._agent, *values)[0][0]
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM {ours} {_IN_ORDER} LIMIT ? OFFSET ?",
            self._agent, *values, size, first,
        )  # fmt: skip
        return Page([_said(row) for row in rows], total, page, size)

    def around(self, seq: int, before: int = 0, after: int = 0, *, before_seq: int | None = None) -> list[Found]:
        """A message with those that were said before and after it in the same conversation, as they were said."""
        if not (0 <= before <= MOST_AROUND and 0 <= after <= MOST_AROUND):
            raise ToolError(f"before and after must be between 0 and {MOST_AROUND}.")
        seq = seq if 0 < seq < 2**63 else 0
        end = 2**63 - 1 if before_seq is None else before_seq - 1
        ours = (  # || '' keeps the database from sorting all that was said
            f"SELECT {_COLUMNS} FROM messages t WHERE t.agent = ? AND t.said || '' <> '' AND t.undone IS NULL "
            "AND t.seq <= ? AND t.seq"
        )
        earlier = f"{ours} <= ? ORDER BY t.seq DESC LIMIT ?"
        rows = self._database.rows(earlier, self._agent, end, seq, before + 1)[::-1]
        if not rows or rows[-1][1] != seq:
            raise ToolError(f"There is no message {str(seq)[:20]}. Its number is what a result begins with.")
        rows += self._database.rows(f"{ours} > ? ORDER BY t.seq LIMIT ?", self._agent, end, seq, after)
        found = [_said(row) for row in rows]
        place = next(said.place for said in found if said.id == seq)
        return [said for said in found if said.place == place]

    def total(self) -> int:
        """How many messages can be found."""
        rows = self._database.rows(f"SELECT count(*) FROM messages t WHERE t.agent = ? AND {_SAID}", self._agent)
        return int(rows[0][0])

    # Times are kept as the local clock showed them, with the offset, so days compare as text. Instants do not: they are
    # compared in seconds, after the index has left only the days around.

    def _since(self, start: date | None) -> tuple[str, list[Any]]:
        if start is None:
            return "TRUE", []
        if not isinstance(start, datetime) or not start.tzinfo:
            return "t.created >= ?", [start.isoformat()]
        second = self._database.dialect.seconds("t.created")
        return f"t.created >= ? AND {second} >= ?", [_day(start, -_DAYS_BETWEEN_ZONES), int(start.timestamp() // 1)]

    def _until(self, end: date | None) -> tuple[str, list[Any]]:
        if end is None:
            return "TRUE", []
        if not isinstance(end, datetime) or not end.tzinfo:
            return "t.created < ?", [end.isoformat() + _LAST]
        second, last = self._database.dialect.seconds("t.created"), _day(end, _DAYS_BETWEEN_ZONES) + _LAST
        return f"t.created < ? AND {second} <= ?", [last, int(end.timestamp() // 1)]

    def _embed_soon(self) -> None:
        """Embed what is missing; a search goes on without what takes long."""
        end = monotonic() + SOON
        try:
            while monotonic() < end and self.catch_up():
                pass
        except EmbeddingError as error:
            log.warning("What was said last is found by its words alone for now: %s", error)
        except StorageError as error:  # a file that can only be read, or that others use for long
            log.warning("What was said last could not be embedded: %s", error)

    def _conditions(self, since: date | None, until: date | None, role: str = "") -> tuple[str, list[Any]]:
        where, values = "TRUE", list[Any]()
        for condition, bounds in (self._since(since), self._until(until), _by(role)):
            if condition != "TRUE":
                where, values = condition if where == "TRUE" else f"{where} AND {condition}", [*values, *bounds]
        return where, values

    def _found(self, numbers: Sequence[int]) -> list[tuple[int, Found]]:
        if not numbers:
            return []
        marks = ", ".join("?" for _ in numbers)
        rows = self._database.rows(  # || '' keeps the database from going through all of the agent's rows instead
            f"SELECT {_COLUMNS} FROM messages t WHERE t.id IN ({marks}) AND t.agent || '' = ? AND {_SAID}",
            *numbers, self._agent,
        )  # fmt: skip
        found = {row[0]: _said(row) for row in rows}
        return [(number, found[number]) for number in numbers if number in found]


def _by(role: str) -> tuple[str, list[Any]]:
    if not role:
        return "TRUE", []
    if role in ("user", "you"):
        return ("t.role = 'user'" if role == "user" else "t.role <> 'user'"), []
    return "lower(coalesce(t.name, '')) = ?", [storable(role).lower()]


def _said(row: Row) -> Found:
    _, seq, role, said, created, place = row
    with reading(f"Message {seq} of the log"):
        who = "user" if role == "user" else "you"
        return Found(text(said), datetime.fromisoformat(created), who, seq, place=text(place))


def _day(moment: datetime, days: int) -> str:
    return date.fromordinal(min(max(moment.toordinal() + days, 1), date.max.toordinal())).isoformat()


def _check_order(start: date | None, end: date | None) -> None:
    if start is None or end is None:
        return
    zoned = isinstance(start, datetime) and isinstance(end, datetime) and bool(start.tzinfo and end.tzinfo)
    if start > end if zoned else start.isoformat()[:10] > end.isoformat()[:10]:
        raise ToolError(f"The start {start.isoformat()} is after the end {end.isoformat()}.")
