"""Copies everything from one database to another, whatever engine each is of: in batches, with the same numbers.

How far it has come stands in the target, so that a copy that was cut goes on. In the end both are read again and
compared. The source is only read, as it was at one moment. Knows nothing of what the rows mean.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from memagent.errors import StorageError, UserError
from memagent.storage import Database, Row, Transaction
from memagent.storage.tables import TABLES, Table

BATCH = 1000
Told = Callable[[str, int, int], None]
"""Told what is being done, how much of all the work is done, and how much that is, in rows."""

_PROGRESS = "memagent_copying"
_MOST = 2**128
_COUNTED = [table.name for table in TABLES if table.counted]


def copy(source: Database, target: Database, told: Told) -> int:
    """Copy everything; returns how many rows that were. The target must be empty, or have a part of this copy."""
    before = _state(source)
    with source.snapshot():
        copying = _Copying(source, target, before, told)
        done = copying.begin()
        copying.copy(done)
        wrong = copying.differences()
        if wrong and done:  # what was copied before is not what is there now
            copying.empty()
            copying.copy({})
            wrong = copying.differences()
        if wrong:
            raise StorageError(f"The copy in {target.place} is not the same as {source.place}: {', '.join(wrong)}.")
        numbers = source.last_numbers(_COUNTED)
    if _state(source) != before:
        raise UserError(
            f"{source.place} was written to while it was copied.",
            hint="End what writes to it, and give the same command again.",
        )
    with target.write() as tx:
        for name, last in numbers.items():
            tx.count_from(name, last)
        tx.run(f"DROP TABLE {_PROGRESS}")
    return copying.rows


def refuse_part(database: Database) -> None:
    """Raise if a copy into this database was stopped before its end: what is said to a part of one would be lost, since
    the copy is made anew where it is not the same.
    """
    try:
        found = database.rows(f"SELECT source FROM {_PROGRESS} LIMIT 1")
    except StorageError:  # there is no such table: nothing is being copied to here
        return
    if found:
        hint = "Finish it by the same command as before, memagent storage migrate, or set database back."
        raise StorageError(f"{database.place} has only a part of a copy of {found[0][0]}.", hint=hint)


def _state(source: Database) -> str:
    """Something that is another when something was written; a turn raises its agent's fence."""
    fences = source.rows("SELECT id, fence FROM agents ORDER BY id")
    sources = source.rows("SELECT id, updated FROM sources ORDER BY id")
    state = [source.last_numbers(_COUNTED), [list(row) for row in (*fences, *sources)]]
    return hashlib.sha256(repr(state).encode()).hexdigest()


@dataclass(frozen=True)
class Digest:
    """How many rows there are, and a number that tells them from any others, in whatever order they are read."""

    rows: int = 0
    sum: int = 0

    def with_row(self, row: Row) -> Digest:
        """The same, and one row more."""
        number = int.from_bytes(hashlib.sha256(repr(list(row)).encode()).digest()[:16])
        return Digest(self.rows + 1, (self.sum + number) % _MOST)


class _Copying:
    """One copy that is under way. `state` is that of the source."""

    def __init__(self, source: Database, target: Database, state: str, told: Told) -> None:
        self._source = source
        self._target = target
        self._state = state
        self._told = told
        self.rows = sum(_count(source, table) for table in TABLES)
        self._done = 0

    def begin(self) -> dict[str, list[Any]]:
        """The key of the last row of each table that was copied before, where the source is still as it was then."""
        place, other = self._target.place, self._source.place
        with self._target.write() as tx:
            tx.run(
                f"CREATE TABLE IF NOT EXISTS {_PROGRESS} "
                "(name TEXT PRIMARY KEY, last TEXT NOT NULL, source TEXT NOT NULL)"
            )
            found = tx.rows(f"SELECT name, last, source FROM {_PROGRESS}")
            if not found and any(tx.rows(f"SELECT 1 FROM {table.name} LIMIT 1") for table in TABLES):
                raise UserError(f"{place} holds something already.", hint="Name another place, where nothing is yet.")
            if any(row[2] != other for row in found):
                hint = "Go on with that one, or name another place."
                raise UserError(f"{place} has a part of a copy of {found[0][2]}.", hint=hint)
            if ["", self._state] not in [list(row[:2]) for row in found]:
                self._empty(tx)
                return {}
        return {row[0]: json.loads(row[1]) for row in found if row[0]}

    def copy(self, done: dict[str, list[Any]]) -> None:
        """Copy the rows after those that are done."""
        self._done = 0
        for table in TABLES:
            if table.name in done:
                self._step(f"copying {table.name}", _count(self._target, table))
            marks = ", ".join("?" for _ in table.columns)
            insert = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks})"
            for rows in _rows(self._source, table, done.get(table.name)):
                with self._target.write() as tx:
                    tx.put_many(insert, [tuple(row) for row in rows])
                    self._note(tx, table.name, json.dumps(_key(table, rows[-1])))
                self._step(f"copying {table.name}", len(rows))

    def empty(self) -> None:
        """Begin anew."""
        with self._target.write() as tx:
            self._empty(tx)

    def differences(self) -> list[str]:
        """The tables that are not the same in both, with how many rows they have there."""
        wrong = []
        for table in TABLES:
            ours, theirs = (self._digest(database, table) for database in (self._source, self._target))
            if ours != theirs:
                wrong.append(f"{table.name} ({ours.rows:,} rows, copied {theirs.rows:,})")
        return wrong

    def _digest(self, database: Database, table: Table) -> Digest:
        digest = Digest()
        for rows in _rows(database, table, None):
            for row in rows:
                digest = digest.with_row(row)
            self._step(f"comparing {table.name}", len(rows))
        return digest

    def _step(self, what: str, rows: int) -> None:
        self._done += rows
        self._told(what, self._done, 3 * self.rows)  # each is copied, and read twice

    def _empty(self, tx: Transaction) -> None:
        for table in reversed(TABLES):
            tx.run(f"DELETE FROM {table.name}")
        tx.run(f"DELETE FROM {_PROGRESS}")
        self._note(tx, "", self._state)

    def _note(self, tx: Transaction, name: str, last: str) -> None:
        tx.run(f"DELETE FROM {_PROGRESS} WHERE name = ?", name)
        tx.run(f"INSERT INTO {_PROGRESS} (name, last, source) VALUES (?, ?, ?)", name, last, self._source.place)


def _rows(database: Database, table: Table, last: list[Any] | None) -> Iterator[list[Row]]:
    """All rows after the one with that key, in batches, in the order of their keys."""
    key, marks = ", ".join(table.key), ", ".join("?" for _ in table.key)
    while True:
        where = f"WHERE ({key}) > ({marks}) " if last is not None else ""
        rows = database.rows(
            f"SELECT {', '.join(table.columns)} FROM {table.name} {where}ORDER BY {key} LIMIT ?", *(last or []), BATCH
        )
        if not rows:
            return
        yield rows
        last = _key(table, rows[-1])


def _key(table: Table, row: Row) -> list[Any]:
    return [row[table.columns.index(column)] for column in table.key]


def _count(database: Database, table: Table) -> int:
    return int(database.rows(f"SELECT count(*) FROM {table.name}")[0][0])
