"""What one agent alone remembers as records: events, what was told to all, summaries. Some of it comes to its mind in a
turn.

A record is a fact of the agent's own ledger whose details have the `content` that was given. Knows nothing of who
keeps records, or why.
"""

from __future__ import annotations

from collections.abc import Sequence

from memagent.facts import Fact, State
from memagent.facts.finding import FactFinder
from memagent.facts.ledger import COLUMNS, Keeper, Ledger, fact_of
from memagent.messages import Message, storable
from memagent.storage import Database, Transaction, text

INTERACTION = "interaction"
"""What was said with the agent: it is in its log as well."""
SUMMARY = "summary"
RECORD = '{"content": %'
"""How the details of a record begin."""
NEWEST = 12
FOUND = 6
LONGEST_LINE = 600


def own_ledger(database: Database, agent: str) -> Ledger | None:
    """The ledger of one agent alone, if it has one."""
    rows = database.rows("SELECT owner, shelf FROM keepers WHERE agent = ?", agent)
    return Ledger(database, Keeper(text(rows[0][0]), text(rows[0][1]), agent)) if rows else None


def records(
    ledger: Ledger, *, states: Sequence[State] = ("holds",), kinds: Sequence[str] | None = None,
    limit: int | None = None, reader: Database | Transaction | None = None,
) -> list[Fact]:  # fmt: skip
    """Records in these states, the newest last; but summaries, which stand for what was earlier, come first. With a
    limit, the newest of them.
    """
    shelves = ledger.keeper.shelves(states)
    where, values = f"t.shelf IN ({', '.join('?' for _ in shelves)}) AND t.details LIKE ?", [*shelves, RECORD]
    if kinds is not None:
        where = f"{where} AND t.kind IN ({', '.join('?' for _ in kinds) or 'NULL'})"
        values += [storable(kind) for kind in kinds]
    rows = (reader or ledger.database).rows(
        f"SELECT {COLUMNS} FROM facts t WHERE {where} "
        "ORDER BY CASE WHEN t.kind = ? THEN 1 ELSE 0 END, t.id DESC LIMIT ?",
        *values, SUMMARY, 2**40 if limit is None else max(0, limit),
    )  # fmt: skip
    return [fact_of(row, ledger.keeper) for row in reversed(rows)]


def counted(ledger: Ledger) -> tuple[int, int]:
    """How many records hold: those that are no summaries, and summaries."""
    rows = ledger.database.rows(
        "SELECT CASE WHEN t.kind = ? THEN 1 ELSE 0 END, count(*) FROM facts t WHERE t.shelf = ? AND t.details LIKE ? "
        "GROUP BY 1",
        SUMMARY, ledger.keeper.shelf, RECORD,
    )  # fmt: skip
    found = {row[0]: row[1] for row in rows}
    return found.get(0, 0), found.get(1, 0)


class OwnRecords:
    """Reminds an agent of what it remembers of itself: what has to do with what was said last, and what is newest. What
    was said with it is left out, since it is in its log.
    """

    def __init__(self, database: Database, agent: str) -> None:
        self._database = database
        self._agent = agent

    def remind(self, talk: Sequence[Message], room: int) -> Sequence[str]:
        """Lines that fit into so many tokens."""
        ledger = own_ledger(self._database, self._agent)
        if ledger is None or not room:
            return []
        newest = [fact for fact in reversed(records(ledger, limit=4 * NEWEST)) if fact.kind != INTERACTION][:NEWEST]
        if not newest:
            return []
        words = next((message.said for message in reversed(talk) if message.said), "")
        near = [match.fact for match in FactFinder(ledger, None).find(words, size=FOUND).matches] if words else []
        called = [fact for fact in near if fact.kind != INTERACTION and "content" in fact.details]
        return [_line(fact) for fact in {fact.id: fact for fact in [*called, *newest]}.values()]


def _line(fact: Fact) -> str:
    told = " ".join(fact.text.split())
    shown = told if len(told) <= LONGEST_LINE else f"{told[:LONGEST_LINE]}…"
    return f"I remember ({fact.kind}, {fact.said:%Y-%m-%d}): {shown}"
