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
"""Told what is done, how many rows of it are done, and how many they are in all."""

_PROGRESS = "memagent_copying"
_MOST = 2**128


@dataclass(frozen=True)
class Digest:
    """How many rows a table has, and a number that tells them from any others, in whatever order they are read."""

    rows: int = 0
    sum: int = 0

    def with_row(self, row: Row) -> Digest:
        plain = [bytes(value) if isinstance(value, memoryview) else value for value in row]
        number = int.from_bytes(hashlib.sha256(repr(plain).encode()).digest()[:16])
        return Digest(self.rows + 1, (self.sum + number) % _MOST)


def copy(source: Database, target: Database, told: Told) -> int:
    """Copy everything; returns how many rows there are. The target must be empty, or have a part of this copy."""
    before = _state(source)
    with source.snapshot():
        done = _begun(source, target, before)
        _copy_tables(source, target, done, told)
        wrong = _differences(source, target, told)
        if wrong and done:  # the source was changed since the copy was begun
            with target.write() as tx:
                _empty(tx, source, before)
            _copy_tables(source, target, {}, told)
            wrong = _differences(source, target, told)
        if wrong:
            raise StorageError(f"The copy in {target.place} is not the same as {source.place}: {', '.join(wrong)}.")
        numbers = source.last_numbers([table.name for table in TABLES if table.counted])
        total = sum(_count(source, table) for table in TABLES)
    if _state(source) != before:
        raise UserError(
            f"{source.place} was written to while it was copied.",
            hint="End what writes to it, and give the same command again.",
        )
    with target.write() as tx:
        for name, last in numbers.items():
            tx.count_from(name, last)
        tx.run(f"DROP TABLE {_PROGRESS}")
    return total


def _state(source: Database) -> str:
    """Something that is another when something was written; a turn raises its agent's fence."""
    numbers = source.last_numbers([table.name for table in TABLES if table.counted])
    fences = source.rows("SELECT id, fence FROM agents ORDER BY id")
    sources = source.rows("SELECT id, updated FROM sources ORDER BY id")
    return hashlib.sha256(repr([numbers, *map(list, fences), *map(list, sources)]).encode()).hexdigest()


def _begun(source: Database, target: Database, state: str) -> dict[str, list[Any]]:
    """The key of the last row of each table that was copied before, where the source is still as it was then."""
    other = f"{target.place} holds something already, which is not a part of this copy."
    with target.write() as tx:
        tx.run(
            f"CREATE TABLE IF NOT EXISTS {_PROGRESS} (name TEXT PRIMARY KEY, last TEXT NOT NULL, source TEXT NOT NULL)"
        )
        done = tx.rows(f"SELECT name, last, source FROM {_PROGRESS}")
        if not done:
            if any(tx.rows(f"SELECT 1 FROM {table.name} LIMIT 1") for table in TABLES):
                raise UserError(other, hint="Name another place, where nothing is yet.")
        elif any(row[2] != source.place for row in done):
            raise UserError(
                f"{target.place} has a part of a copy of {done[0][2]}.",
                hint="Go on with that one, or name another place.",
            )
        if ("", state) not in [(row[0], row[1]) for row in done]:
            _empty(tx, source, state)
            return {}
    return {row[0]: json.loads(row[1]) for row in done if row[0]}


def _copy_tables(source: Database, target: Database, done: dict[str, list[Any]], told: Told) -> None:
    for table in TABLES:
        total = _count(source, table)
        there = _count(target, table) if table.name in done else 0
        told(f"copying {table.name}", there, total)
        marks = ", ".join("?" for _ in table.columns)
        insert = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks})"
        for rows in _rows(source, table, done.get(table.name)):
            last = json.dumps(_key(table, rows[-1]))
            with target.write() as tx:
                tx.put_many(insert, [tuple(row) for row in rows])
                tx.run(f"DELETE FROM {_PROGRESS} WHERE name = ?", table.name)
                tx.run(f"INSERT INTO {_PROGRESS} (name, last, source) VALUES (?, ?, ?)", table.name, last, source.place)
            there += len(rows)
            told(f"copying {table.name}", there, total)


def _empty(tx: Transaction, source: Database, state: str) -> None:
    """Begin anew."""
    for table in reversed(TABLES):
        tx.run(f"DELETE FROM {table.name}")
    tx.run(f"DELETE FROM {_PROGRESS}")
    tx.run(f"INSERT INTO {_PROGRESS} (name, last, source) VALUES ('', ?, ?)", state, source.place)


def _differences(source: Database, target: Database, told: Told) -> list[str]:
    """The tables that are not the same in both."""
    wrong = []
    for table in TABLES:
        total = 2 * _count(source, table)
        told(f"comparing {table.name}", 0, total)
        digests, read = [], 0
        for database in (source, target):
            digest = Digest()
            for rows in _rows(database, table, None):
                for row in rows:
                    digest = digest.with_row(row)
                read += len(rows)
                told(f"comparing {table.name}", read, total)
            digests.append(digest)
        if digests[0] != digests[1]:
            wrong.append(f"{table.name} ({digests[0].rows:,} rows and {digests[1].rows:,})")
    return wrong


def _rows(database: Database, table: Table, last: list[Any] | None) -> Iterator[list[Row]]:
    """All rows after the one with that key, in batches, in the order of their keys."""
    key = ", ".join(table.key)
    select = f"SELECT {', '.join(table.columns)} FROM {table.name}"
    marks = ", ".join("?" for _ in table.key)
    while True:
        where = f"WHERE ({key}) > ({marks})" if last is not None else ""
        rows = database.rows(f"{select} {where} ORDER BY {key} LIMIT ?", *(last or []), BATCH)
        if not rows:
            return
        yield rows
        last = _key(table, rows[-1])


def _key(table: Table, row: Row) -> list[Any]:
    return [row[table.columns.index(column)] for column in table.key]


def _count(database: Database, table: Table) -> int:
    return int(database.rows(f"SELECT count(*) FROM {table.name}")[0][0])
