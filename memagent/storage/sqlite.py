"""Everything in one SQLite file: opened, checked, migrated, written to in transactions, and copied while in use.

Every failure of the file becomes a `StorageError` that names it and says what to do. Knows nothing of what the rows
mean.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from memagent.errors import StorageError
from memagent.storage import Row, Watch
from memagent.storage.migrations import MIGRATIONS, VERSION, statements

APPLICATION_ID = 0x6D656D61  # "mema"
BUSY_SECONDS = 10.0


def _unwatched(_: str) -> None:
    """Nobody watches."""


class SqliteTransaction:
    """A write transaction on one connection."""

    def __init__(self, connection: sqlite3.Connection, watch: Watch) -> None:
        self._connection = connection
        self._watch = watch

    def run(self, sql: str, *values: Any) -> int:
        self._watch("statement")
        return self._connection.execute(sql, values).rowcount

    def add(self, sql: str, *values: Any) -> int:
        self._watch("statement")
        return self._connection.execute(sql, values).lastrowid or 0

    def rows(self, sql: str, *values: Any) -> list[Row]:
        self._watch("statement")
        return self._connection.execute(sql, values).fetchall()


class SqliteDatabase:
    """One file, many threads: each thread has its own connection. Readers never wait; writers wait for each other."""

    def __init__(self, path: Path, *, watch: Watch = _unwatched, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = path
        self._watch = watch
        self._busy = busy_seconds
        self._local = threading.local()
        self._open: set[sqlite3.Connection] = set()
        self._guard = threading.Lock()
        self._read_only = _check_file(path)
        with self._explained():
            self._migrate()

    def rows(self, sql: str, *values: Any) -> list[Row]:
        with self._explained():
            self._watch("statement")
            return self._connection().execute(sql, values).fetchall()

    @contextmanager
    def write(self) -> Iterator[SqliteTransaction]:
        with self._explained():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield SqliteTransaction(connection, self._watch)
                self._watch("commit")
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            self._watch("committed")

    def close(self) -> None:
        with self._guard:
            for connection in self._open:
                connection.close()
            self._open.clear()
        self._local = threading.local()

    def backup(self, target: Path) -> None:
        """Copy the whole database, consistent, while others use it."""
        part = target.with_name(target.name + ".part")
        os.close(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
        try:
            with self._explained(), closing(sqlite3.connect(part)) as copy:
                self._connection().backup(copy, pages=1024)
                copy.execute("PRAGMA journal_mode = DELETE")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def check(self) -> list[str]:
        """What is wrong with the file; empty when it is sound."""
        with self._explained():
            problems = [str(row[0]) for row in self._connection().execute("PRAGMA integrity_check(20)")]
            problems += [f"row without its agent in {row[0]}" for row in self.rows("PRAGMA foreign_key_check")]
            if not self._read_only:
                for index in ("messages_words", "passages_words"):
                    with self.write() as tx:
                        tx.run(f"INSERT INTO {index} ({index}) VALUES ('integrity-check')")
        return [problem for problem in problems if problem != "ok"]

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            mode = "ro" if self._read_only else "rw"
            uri = f"{self.path.absolute().as_uri()}?mode={mode}"
            connection = sqlite3.connect(
                uri, uri=True, timeout=self._busy, isolation_level=None, check_same_thread=False, cached_statements=256
            )
            self._local.connection = connection
            with self._guard:
                self._open.add(connection)
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")
            if not self._read_only:
                connection.execute("PRAGMA journal_mode = WAL")
        return connection

    def _migrate(self) -> None:
        connection = self._connection()
        version = self._version(connection)
        if version == VERSION:
            return
        if self._read_only:
            raise StorageError(f"{self.path} must be brought up to date, but can't be written to.")
        if version:
            self.backup(self.path.with_name(f"{self.path.name}.before-v{VERSION}"))
        for number in range(version + 1, VERSION + 1):
            self._apply(number)

    def _apply(self, number: int) -> None:
        with self.write() as tx:
            if self._version(self._connection()) >= number:
                return  # another process was first
            for statement in statements(MIGRATIONS[number - 1]):
                tx.run(statement)
            tx.run(f"PRAGMA user_version = {number}")
            tx.run(f"PRAGMA application_id = {APPLICATION_ID}")

    def _version(self, connection: sqlite3.Connection) -> int:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        application: int = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and application != APPLICATION_ID:
            raise StorageError(f"{self.path} is a database of another program.", hint="Name another file.")
        if version > VERSION:
            raise StorageError(
                f"{self.path} was written by a newer memagent (its format is {version}, this one knows {VERSION}).",
                hint="Upgrade with: pip install -U memagent",
            )
        return version

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _explain(self.path, error) from error


def _check_file(path: Path) -> bool:
    """Make sure there is a database file, private to the user; True when it can only be read."""
    if path.is_dir():
        raise StorageError(f"{path} is a directory, not a database.", hint="Name a file.")
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        elif path.stat().st_size == 0 and _companion(path, "-wal").exists():
            raise StorageError(f"{path} is empty, but was not.", hint="Get it back with: memagent restore BACKUP")
    except FileExistsError:
        pass  # another process has just made it
    except OSError as error:
        raise StorageError(
            f"{path} can't be created: {error.strerror}.", hint="Set MEMAGENT_HOME elsewhere."
        ) from error
    return not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def _companion(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _explain(path: Path, error: sqlite3.Error) -> StorageError:
    text = str(error)
    lowered = text.lower()
    if "full" in lowered:
        return StorageError(f"The disk is full: {path} can't grow.", hint="Free some space; nothing stored is lost.")
    if "locked" in lowered or "busy" in lowered:
        return StorageError(f"{path} is in use by another program for too long.", hint="Close it, and try again.")
    if "malformed" in lowered or "not a database" in lowered or "corrupt" in lowered or "file is encrypted" in lowered:
        hint = "See what is wrong with: memagent doctor. Get a copy back with: memagent restore BACKUP"
        return StorageError(f"{path} is damaged, or not a database ({text}).", hint=hint)
    if "readonly" in lowered or "read-only" in lowered:
        return StorageError(f"{path} can't be written to.", hint="Make the file and its directory writable.")
    if "unable to open" in lowered:
        return StorageError(f"{path} can't be opened.", hint="Check that the file and its directory are yours.")
    return StorageError(f"{path}: {text}.", hint="See what is wrong with: memagent doctor")


def crash_at(number: int) -> Watch:
    """For tests: kill this process hard at the n-th commit boundary (just before, and just after, each commit)."""
    passed = 0

    def watch(moment: str) -> None:
        nonlocal passed
        if moment in ("commit", "committed"):
            passed += 1
            if passed == number:
                os.kill(os.getpid(), 9)
                time.sleep(60)

    return watch
