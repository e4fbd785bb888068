"""The log of what was changed or deleted among the passages, which triggers keep for a copy in another engine.

It goes on while the copy is not open, whatever opens the database. Knows nothing of the copy.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from memagent.storage.sqlite import SqliteDatabase


class ChangeLog:
    """The log for one engine, in the database's file. Each passage stands in it once, with its last change."""

    def __init__(self, database: SqliteDatabase, engine: str) -> None:
        self._database = database
        self._table = f"{engine}_changes"
        self._keep()

    def identity(self) -> int:
        """A number of this log alone: one that was begun anew has missed something."""
        return int(self._database.rows(f"SELECT min(item) FROM {self._table}")[0][0] or 0)

    def last(self) -> int:
        """The number of the last change that was ever noted."""
        rows = self._database.rows("SELECT seq FROM sqlite_sequence WHERE name = ?", self._table)
        return int(rows[0][0]) if rows else 0

    def since(self, number: int, most: int) -> Sequence[tuple[int, int, str]]:
        """The changes after that number, at most so many: their numbers, the passages, and the shelves of those."""
        rows = self._database.rows(
            f"SELECT id, item, shelf FROM {self._table} WHERE id > ? AND item > 0 ORDER BY id LIMIT ?", number, most
        )
        return [(row[0], row[1], row[2]) for row in rows]

    def forget(self, number: int) -> None:
        """Drop the changes up to that number."""
        with self._database.write() as tx:
            tx.run(f"DELETE FROM {self._table} WHERE id <= ? AND item > 0", number)

    def _keep(self) -> None:
        triggers = {
            f"{self._table}_of_passages": ("UPDATE ON passages", "new.id", "new.shelf"),
            f"{self._table}_of_vectors": ("DELETE ON passages_vectors", "old.item", "old.shelf"),
        }
        names = (self._table, *triggers)
        rows = self._database.rows(
            f"SELECT name FROM sqlite_master WHERE name IN ({', '.join('?' for _ in names)})", *names
        )
        if len(rows) == len(names):
            return
        with self._database.write() as tx:
            for name in triggers:
                tx.run(f"DROP TRIGGER IF EXISTS {name}")
            tx.run(f"DROP TABLE IF EXISTS {self._table}")
            tx.run(
                f"CREATE TABLE {self._table} (id INTEGER PRIMARY KEY AUTOINCREMENT, item INTEGER NOT NULL UNIQUE, "
                "shelf TEXT NOT NULL)"
            )
            tx.run(f"INSERT INTO {self._table} (item, shelf) VALUES (?, '')", -1 - int.from_bytes(os.urandom(6)))
            for name, (event, item, shelf) in triggers.items():
                tx.run(
                    f"CREATE TRIGGER {name} AFTER {event} BEGIN DELETE FROM {self._table} WHERE item = {item}; "
                    f"INSERT INTO {self._table} (item, shelf) VALUES ({item}, {shelf}); END"
                )
