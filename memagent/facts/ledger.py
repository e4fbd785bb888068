"""The ledger of facts: what holds for one user (or for one agent alone), what held, and all that became of each.

Nothing is ever lost: what ends moves to a shelf for the past, what is forgotten to another, and each step is told in
`fact_changes`. Writing takes an open transaction, so that a message is read and what it tells is kept together. Knows
nothing of talk, of models, or of how facts are found.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from memagent.errors import NotFound
from memagent.facts import Cause, Change, Fact, How, State, What
from memagent.messages import as_json, storable
from memagent.storage import Database, Row, Texts, Transaction, reading
from memagent.storage import text as stored_text

TEXTS = Texts("facts", "text", "shelf", "TRUE")
COLUMNS = (
    "t.id, t.shelf, t.line, t.text, t.kind, t.about, t.subject, t.details, t.said, t.since, t.until, t.confidence, "
    "t.confirmed, t.renewed, t.origin, t.agent, t.message, t.quote, t.ended, t.how, t.heir"
)
"""What `fact_of` reads."""
MARKS: Mapping[State, str] = {"holds": "", "past": "p", "forgotten": "f"}
"""What follows the name of the shelf, by state."""
LAST = 1000
NEWEST = 2**62
_INSERT = (
    "INSERT INTO facts (shelf, line, text, kind, about, subject, details, said, since, until, confidence, confirmed, "
    "renewed, origin, agent, message, quote, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_CHANGE = (
    "INSERT INTO fact_changes (fact, what, why, origin, agent, message, details, created) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
FORGOTTEN: frozenset[How] = frozenset({"forgotten", "undone"})


@dataclass(frozen=True)
class Keeper:
    """For whom facts are kept: a user, or one agent alone. `shelf` names where."""

    owner: str
    shelf: str
    agent: str | None = None

    def shelf_of(self, state: State) -> str:
        """The shelf of those that are in this state."""
        return self.shelf + MARKS[state]

    def shelves(self, states: Sequence[State] = ("holds", "past", "forgotten")) -> list[str]:
        """The shelves of those in any of these states."""
        return [self.shelf_of(state) for state in states]


def keeper(database: Database, owner: str, agent: str | None, now: datetime) -> Keeper:
    """Where the facts of a user are kept, or those of one agent alone; made when it is first asked for."""
    if found := keeper_there(database, owner, agent):
        return found
    with database.write() as tx:
        return made_keeper(tx, owner, agent, now)


def made_keeper(tx: Transaction, owner: str, agent: str | None, now: datetime) -> Keeper:
    """The same, within a transaction."""
    if found := _keeper(tx.rows, owner, agent):
        return found
    shelf = uuid.uuid4().hex
    tx.run(
        "INSERT INTO keepers (shelf, owner, agent, created) VALUES (?, ?, ?, ?)",
        shelf, owner, agent or "", now.isoformat(),
    )  # fmt: skip
    return Keeper(owner, shelf, agent)


def keeper_there(database: Database, owner: str, agent: str | None = None) -> Keeper | None:
    """The same, if any facts were ever kept there."""
    return _keeper(database.rows, owner, agent)


def _keeper(rows: Any, owner: str, agent: str | None) -> Keeper | None:
    found = rows("SELECT shelf FROM keepers WHERE owner = ? AND agent = ?", owner, agent or "")
    return Keeper(owner, stored_text(found[0][0]), agent) if found else None


def keepers(database: Database, owner: str, agents: Sequence[str] | None = None) -> list[Keeper]:
    """All for whom facts of a user are kept; or those of some agents alone."""
    rows = database.rows("SELECT shelf, owner, agent FROM keepers WHERE owner = ? ORDER BY agent", owner)
    kept = [Keeper(stored_text(owner), stored_text(shelf), stored_text(agent) or None) for shelf, owner, agent in rows]
    return [keeper for keeper in kept if agents is None or keeper.agent in agents]


class Ledger:
    """The facts of one keeper."""

    def __init__(self, database: Database, keeper: Keeper) -> None:
        self.database = database
        self.keeper = keeper

    # Writing ----------------------------------------------------------------------------------------------------------

    def learn(self, tx: Transaction, fact: Fact, now: datetime, *, heir_of: Fact | None = None, what: What = "learned",
    ) -> Fact:  # fmt: skip
        """Keep a new fact, of the line of another if it is that one's heir; returns it with its number."""
        number = tx.add(_INSERT, *self._row(fact, heir_of.line if heir_of else 0, now))
        if not heir_of:
            tx.run("UPDATE facts SET line = ? WHERE id = ?", number, number)
        self._note(tx, number, what, fact.cause, now, {"from": heir_of.id} if heir_of else {})
        return self._fresh(tx, number)

    def learn_many(self, tx: Transaction, facts: Sequence[Fact], now: datetime) -> list[int]:
        """Keep many new facts at once, which are held against nothing; returns their numbers, in their order."""
        numbers = tx.add_many(_INSERT, [self._row(fact, 0, now) for fact in facts])
        if numbers:
            tx.run(
                "UPDATE facts SET line = id WHERE id BETWEEN ? AND ? AND line = 0 AND shelf || '' = ?",
                min(numbers), max(numbers), self.keeper.shelf,
            )  # fmt: skip
            changes = [
                (number, "learned", storable(f.cause.why), f.cause.origin, f.cause.agent, f.cause.message, "{}",
                 now.isoformat())
                for number, f in zip(numbers, facts, strict=True)
            ]  # fmt: skip
            tx.add_many(_INSERT_CHANGE, changes)
        return numbers

    def _row(self, fact: Fact, line: int, now: datetime) -> tuple[Any, ...]:
        return (
            self.keeper.shelf, line, storable(fact.text), storable(fact.kind), storable(fact.about),
            storable(fact.subject), storable(as_json(dict(fact.details))), fact.said.isoformat(), fact.since,
            fact.until, fact.confidence, fact.confirmed, (fact.renewed or fact.said).isoformat(), fact.cause.origin,
            fact.cause.agent, fact.cause.message, storable(fact.quote), now.isoformat(),
        )  # fmt: skip

    def confirm(self, tx: Transaction, fact: Fact, confidence: float, cause: Cause, now: datetime) -> Fact:
        """The same was said again."""
        tx.run(
            "UPDATE facts SET confirmed = confirmed + 1, confidence = ?, renewed = ? WHERE id = ? AND shelf = ?",
            confidence, now.isoformat(), fact.id, self.keeper.shelf,
        )  # fmt: skip
        self._note(tx, fact.id, "confirmed", cause, now, {"confidence": fact.confidence})
        return self._fresh(tx, fact.id)

    def end(
        self, tx: Transaction, fact: Fact, how: How, cause: Cause, now: datetime, *, heir: int | None = None,
        until: str | None = None,
    ) -> Fact:  # fmt: skip
        """A fact does not hold any more, or is forgotten; it stays in the ledger."""
        state: State = "forgotten" if how in FORGOTTEN else "past"
        moved = tx.run(
            "UPDATE facts SET shelf = ?, ended = ?, how = ?, heir = ?, until = coalesce(?, until) "
            "WHERE id = ? AND shelf IN (?, ?, ?) AND shelf <> ?",
            self.keeper.shelf_of(state), now.isoformat(), how, heir, until, fact.id, *self.keeper.shelves(),
            self.keeper.shelf_of(state),
        )  # fmt: skip
        if moved:
            self._note(tx, fact.id, how, cause, now, {"until": fact.until} if until else {})
        return self._fresh(tx, fact.id)

    def replace(self, tx: Transaction, old: Fact, text: str, cause: Cause, now: datetime) -> Fact:
        """Put other words in the place of a fact, by hand; the old one is past, and its heir is of the same line."""
        new = replace(old, text=text, said=now, cause=cause, confidence=1.0, confirmed=1, renewed=now, quote="")
        kept = self.learn(tx, new, now, heir_of=old, what="corrected")
        self.end(tx, old, "corrected", cause, now, heir=kept.id)
        return kept

    def restore(self, tx: Transaction, fact: Fact, cause: Cause, now: datetime) -> Fact:
        """A fact that ended or was forgotten holds again."""
        before = next((c.details.get("until") for c in reversed(self.history(fact.id, tx)) if "until" in c.details), 0)
        until = fact.until if before == 0 else before
        moved = tx.run(
            "UPDATE facts SET shelf = ?, ended = NULL, how = NULL, heir = NULL, until = ? "
            "WHERE id = ? AND shelf IN (?, ?)",
            self.keeper.shelf, until, fact.id, self.keeper.shelf_of("past"), self.keeper.shelf_of("forgotten"),
        )  # fmt: skip
        if moved:
            self._note(tx, fact.id, "restored", cause, now, {"how": fact.how})
        return self._fresh(tx, fact.id)

    def undo_messages(self, tx: Transaction, agent: str, first: int, now: datetime, last: int = NEWEST) -> int:
        """Take back what was learned from an agent's messages from this number on, and what ended because of them;
        returns how many facts that were.
        """
        cause = Cause("user", "what it was learned from was taken back", agent, first)
        rows = tx.rows(
            "SELECT c.fact, c.what, c.id, c.details FROM fact_changes c JOIN facts t ON t.id = c.fact "
            "WHERE c.agent = ? AND c.message BETWEEN ? AND ? AND t.shelf IN (?, ?, ?) ORDER BY c.id DESC",
            agent, first, last, *self.keeper.shelves(),
        )  # fmt: skip
        touched: set[int] = set()
        for number, what, _, details in rows:
            fact = self._fresh(tx, number)
            if what == "undone" or fact.how == "undone":
                continue
            touched.add(number)
            if fact.cause.agent == agent and first <= (fact.cause.message or 0) <= last:
                self.end(tx, fact, "undone", cause, now)
            elif what == "confirmed":
                tx.run(
                    "UPDATE facts SET confirmed = confirmed - 1, confidence = ? WHERE id = ? AND confirmed > 1",
                    json.loads(details).get("confidence", fact.confidence), number,
                )  # fmt: skip
            elif fact.state != "holds" and what == fact.how:
                self.restore(tx, fact, cause, now)
        return len(touched)

    def _note(
        self, tx: Transaction, fact: int, what: What, cause: Cause, now: datetime, details: Mapping[str, Any]
    ) -> None:
        tx.run(
            _INSERT_CHANGE, fact, what, storable(cause.why), cause.origin, cause.agent, cause.message,
            as_json(dict(details)), now.isoformat(),
        )  # fmt: skip

    # Reading ----------------------------------------------------------------------------------------------------------

    def get(self, number: int) -> Fact:
        """The fact of that number, whatever its state."""
        rows = self.database.rows(
            f"SELECT {COLUMNS} FROM facts t WHERE t.id = ? AND t.shelf IN (?, ?, ?)", number, *self.keeper.shelves()
        )
        if not rows:
            raise NotFound(f"There is no fact {number}.", hint="See them with: memagent facts list")
        return fact_of(rows[0], self.keeper)

    def of(self, numbers: Sequence[int]) -> list[Fact]:
        """The facts of these numbers, in their order, without those that are not there."""
        if not numbers:
            return []
        marks = ", ".join("?" for _ in numbers)
        rows = self.database.rows(
            f"SELECT {COLUMNS} FROM facts t WHERE t.id IN ({marks}) AND t.shelf || '' IN (?, ?, ?)",
            *numbers, *self.keeper.shelves(),
        )  # fmt: skip
        found = {row[0]: fact_of(row, self.keeper) for row in rows}
        return [found[number] for number in numbers if number in found]

    def listed(
        self, states: Sequence[State] = ("holds",), *, kind: str = "", about: str = "", start: int = 0, limit: int = 50
    ) -> list[Fact]:
        """Facts in these states, the newest first; of one kind, and about one person, if these are given."""
        where, values = self._where(states, kind, about)
        rows = self.database.rows(
            f"SELECT {COLUMNS} FROM facts t WHERE {where} ORDER BY t.id DESC LIMIT ? OFFSET ?", *values, limit, start
        )
        return [fact_of(row, self.keeper) for row in rows]

    def count(self, states: Sequence[State] = ("holds",), *, kind: str = "", about: str = "") -> int:
        """How many there are of those."""
        where, values = self._where(states, kind, about)
        return int(self.database.rows(f"SELECT count(*) FROM facts t WHERE {where}", *values)[0][0])

    def any(self, states: Sequence[State] = ("holds",)) -> bool:
        """Whether there are any, which is told at once however many there are."""
        return any(
            self.database.rows("SELECT 1 FROM facts WHERE shelf = ? LIMIT 1", shelf)
            for shelf in self.keeper.shelves(states)
        )

    def newest_change(self) -> int:
        """The number of the newest change of any fact: while it is the same, nothing has changed."""
        return int(self.database.rows("SELECT max(id) FROM fact_changes")[0][0] or 0)

    def newest(self) -> int:
        """The number of the newest fact of anybody: what is learned from now on has a larger one."""
        return int(self.database.rows("SELECT max(id) FROM facts")[0][0] or 0)

    def hold(self, tx: Transaction) -> None:
        """Until the transaction ends, nobody else who does so learns anything for this keeper."""
        tx.run("UPDATE keepers SET created = created WHERE shelf = ?", self.keeper.shelf)

    def _where(self, states: Sequence[State], kind: str, about: str) -> tuple[str, list[Any]]:
        shelves = self.keeper.shelves(states)
        where, values = f"t.shelf IN ({', '.join('?' for _ in shelves)})", list[Any](shelves)
        for column, value in (("kind", kind), ("about", about)):
            if value:
                where, values = f"{where} AND t.{column} = ?", [*values, storable(value)]
        return where, values

    def until_before(self, day: str) -> list[Fact]:
        """The facts that hold until an earlier day than this (an ISO date), or within a month that is not over."""
        return self._holding("t.until < ?", day)

    def renewed_before(self, moment: datetime) -> list[Fact]:
        """The facts that nobody has said since then, but for those that were written by hand."""
        return self._holding("t.renewed < ? AND t.origin NOT IN ('user', 'agent')", moment.isoformat())

    def _holding(self, where: str, value: str) -> list[Fact]:
        rows = self.database.rows(
            f"SELECT {COLUMNS} FROM facts t WHERE t.shelf = ? AND {where}", self.keeper.shelf, value
        )
        return [fact_of(row, self.keeper) for row in rows]

    def named(self, text: str, limit: int = 50) -> list[Fact]:
        """Facts in any state that have this in their text, forgotten ones too; the oldest first."""
        marks = "!%_"
        wanted = "".join(f"!{char}" if char in marks else char for char in storable(text).lower())
        rows = self.database.rows(
            f"SELECT {COLUMNS} FROM facts t WHERE t.shelf IN (?, ?, ?) AND lower(t.text) LIKE ? ESCAPE '!' "
            "ORDER BY t.id LIMIT ?",
            *self.keeper.shelves(), f"%{wanted}%", limit,
        )  # fmt: skip
        return [fact_of(row, self.keeper) for row in rows]

    def twin(self, tx: Transaction, text: str, about: str) -> Fact | None:
        """The same text among the facts that were learned last: somebody else may have been told at the same time."""
        rows = tx.rows(
            f"SELECT {COLUMNS} FROM facts t WHERE t.id > (SELECT max(id) FROM facts) - {LAST} AND t.shelf || '' = ? "
            "AND t.about = ? AND t.text = ?",
            self.keeper.shelf, storable(about), storable(text),
        )  # fmt: skip
        return fact_of(rows[0], self.keeper) if rows else None

    def learned_since(self, tx: Transaction, newest: int, about: str) -> list[Fact]:
        """What holds and was learned after the fact of that number, about one person; the newest only, of very many."""
        rows = tx.rows(
            f"SELECT {COLUMNS} FROM facts t WHERE t.id > ? AND t.shelf || '' = ? AND t.about = ? "
            f"ORDER BY t.id DESC LIMIT {LAST}",
            newest, self.keeper.shelf, storable(about),
        )  # fmt: skip
        return [fact_of(row, self.keeper) for row in rows]

    def line(self, number: int) -> list[Fact]:
        """A fact and those that it came from or that came of it, the oldest first."""
        rows = self.database.rows(
            f"SELECT {COLUMNS} FROM facts t WHERE t.line = (SELECT line FROM facts WHERE id = ?) "
            "AND t.shelf || '' IN (?, ?, ?) ORDER BY t.id",
            number, *self.keeper.shelves(),
        )  # fmt: skip
        return [fact_of(row, self.keeper) for row in rows]

    def history(self, number: int, tx: Transaction | None = None) -> list[Change]:
        """All that became of one fact, in its order."""
        rows = (tx or self.database).rows(
            "SELECT c.fact, c.what, c.created, c.origin, c.why, c.agent, c.message, c.details FROM fact_changes c "
            "JOIN facts t ON t.id = c.fact WHERE c.fact = ? AND t.shelf IN (?, ?, ?) ORDER BY c.id",
            number, *self.keeper.shelves(),
        )  # fmt: skip
        return [_change_of(row) for row in rows]

    def seen(self, tx: Transaction, number: int) -> Fact | None:
        """The fact of that number as it is within a transaction, if it is there."""
        rows = tx.rows(
            f"SELECT {COLUMNS} FROM facts t WHERE t.id = ? AND t.shelf IN (?, ?, ?)", number, *self.keeper.shelves()
        )
        return fact_of(rows[0], self.keeper) if rows else None

    def learned_from(self, tx: Transaction, cause: Cause, text: str) -> bool:
        """Whether this very text was learned from this message before, whatever became of it."""
        if cause.agent is None or cause.message is None:
            return False
        return bool(
            tx.rows(
                "SELECT 1 FROM facts t WHERE t.agent = ? AND t.message = ? AND t.text = ? AND t.shelf IN (?, ?, ?)",
                cause.agent, cause.message, storable(text), *self.keeper.shelves(),
            )
        )  # fmt: skip

    def touched_by(self, tx: Transaction, fact: Fact, cause: Cause) -> bool:
        """Whether this message has changed the fact already."""
        if cause.agent is None or cause.message is None:
            return False
        sql = "SELECT 1 FROM fact_changes WHERE fact = ? AND agent = ? AND message = ?"
        return bool(tx.rows(sql, fact.id, cause.agent, cause.message))

    def _fresh(self, tx: Transaction, number: int) -> Fact:
        rows = tx.rows(f"SELECT {COLUMNS} FROM facts t WHERE t.id = ?", number)
        return fact_of(rows[0], self.keeper)


def fact_of(row: Row, keeper: Keeper) -> Fact:
    """A row of facts as a fact."""
    number, shelf, line, written, kind, about, subject, details, said, since, until, confidence, *more = row
    confirmed, renewed, origin, agent, message, quote, ended, how, heir = more
    with reading(f"Fact {number}"):
        return Fact(
            stored_text(written), datetime.fromisoformat(said), stored_text(kind), stored_text(about),
            stored_text(subject), since, until, float(confidence), json.loads(details), stored_text(quote),
            Cause(origin, "", agent, message), number, line, confirmed, datetime.fromisoformat(renewed),
            _state_of(shelf, keeper), datetime.fromisoformat(ended) if ended else None, how, heir,
        )  # fmt: skip


def _state_of(shelf: str, keeper: Keeper) -> State:
    return next(state for state in MARKS if keeper.shelf_of(state) == shelf)


def _change_of(row: Row) -> Change:
    fact, what, created, origin, why, agent, message, details = row
    with reading(f"The history of fact {fact}"):
        cause = Cause(origin, stored_text(why), agent, message)
        return Change(fact, what, datetime.fromisoformat(created), cause, json.loads(details))
