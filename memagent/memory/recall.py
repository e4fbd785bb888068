"""Recall memory: everything that was ever said between the user and the agent, found by words or by day.

Only what one of them said or read counts, not thoughts, calls and events. What was taken back is not found. Knows
nothing of what the model can see anyway, unless it is told (`before_seq`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from memagent.errors import ToolError
from memagent.memory.search import Query, first_of
from memagent.storage import Database, Found, Page, Row, Texts, reading, text

_SAID = "t.said <> '' AND t.undone IS NULL"
_TEXTS = Texts("messages", "said", "agent", _SAID)
_COLUMNS = "t.id, t.seq, t.role, t.said, t.created, t.place"
_IN_ORDER = "ORDER BY t.place = '', CASE t.place WHEN '' THEN '' ELSE t.created END, t.seq"
"""As it was said; what was loaded is from before, and has been put into its order by whoever wrote it."""
_DAYS_BETWEEN_ZONES = 2
_LAST = "~"  # sorts after everything that can follow in a time


class RecallMemory:
    """What was said to and by one agent. A result's `id` is the message's `seq`; its `source` is "user" or "you", the
    agent.
    """

    def __init__(self, database: Database, agent: str) -> None:
        self._database = database
        self._agent = agent
        self._words = database.words(_TEXTS)

    def search(self, query: str, page: int = 0, size: int = 5, *, before_seq: int | None = None) -> Page:
        """What was said with these words, best first; only messages before `before_seq`, if it is given."""
        where, values = _before(before_seq)
        start = first_of(page, size)
        hits = self._words.hits(Query.of(query).words, [self._agent], size, start, where=where, values=values)
        return Page(self._found(list(hits.scores)), hits.total, page, size)

    def search_dates(
        self, start: date | None, end: date | None, page: int = 0, size: int = 5, *, before_seq: int | None = None
    ) -> Page:
        """What was said from `start` to `end`, both included, the oldest first.

        A day, or a time without a zone, is meant as the clock on the wall showed it when the message was written. A
        time with a zone is that instant, whatever zone a message was written in.
        """
        _check_order(start, end)
        where, values = _before(before_seq)
        for condition, bounds in (self._since(start), self._until(end)):
            where, values = f"{where} AND {condition}", [*values, *bounds]
        ours = f"messages t WHERE t.agent = ? AND {_SAID} AND {where}"
        first = first_of(page, size)
        total = self._database.rows(f"SELECT count(*) FROM {ours}", self._agent, *values)[0][0]
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM {ours} {_IN_ORDER} LIMIT ? OFFSET ?",
            self._agent, *values, size, first,
        )  # fmt: skip
        return Page([_said(row) for row in rows], total, page, size)

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

    def _found(self, numbers: Sequence[int]) -> list[Found]:
        if not numbers:
            return []
        marks = ", ".join("?" for _ in numbers)
        rows = self._database.rows(  # || '' keeps the database from going through all of the agent's rows instead
            f"SELECT {_COLUMNS} FROM messages t WHERE t.id IN ({marks}) AND t.agent || '' = ? AND {_SAID}",
            *numbers, self._agent,
        )  # fmt: skip
        found = {row[0]: _said(row) for row in rows}
        return [found[number] for number in numbers if number in found]


def _said(row: Row) -> Found:
    _, seq, role, said, created, place = row
    with reading(f"Message {seq} of the log"):
        who = "user" if role == "user" else "you"
        return Found(text(said), datetime.fromisoformat(created), who, seq, place=text(place))


def _before(seq: int | None) -> tuple[str, list[Any]]:
    return ("TRUE", []) if seq is None else ("t.seq < ?", [seq])


def _day(moment: datetime, days: int) -> str:
    return date.fromordinal(min(max(moment.toordinal() + days, 1), date.max.toordinal())).isoformat()


def _check_order(start: date | None, end: date | None) -> None:
    if start is None or end is None:
        return
    zoned = isinstance(start, datetime) and isinstance(end, datetime) and bool(start.tzinfo and end.tzinfo)
    if start > end if zoned else start.isoformat()[:10] > end.isoformat()[:10]:
        raise ToolError(f"The start {start.isoformat()} is after the end {end.isoformat()}.")
