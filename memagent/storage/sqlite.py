"""Everything in one SQLite file: opened, checked, migrated, written to in transactions, and copied while in use.

Every failure of the file becomes a `StorageError` that names it and says what to do. Knows nothing of what the rows
mean.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, Self

from memagent.config import Settings
from memagent.errors import StorageError, UserError
from memagent.storage import Dialect, Part, Row, Texts, VectorIndex, Watch
from memagent.storage.flushing import Flushing
from memagent.storage.migrations import MIGRATIONS, VERSION, statements
from memagent.storage.sqlite_connections import Connections
from memagent.storage.sqlite_errors import RESTORE, explained, full
from memagent.storage.sqlite_words import SqliteWords
from memagent.write_ahead import write_ahead

APPLICATION_ID = 0x6D656D61  # "mema"
BUSY_SECONDS = 10.0
SHARED_WAITS = os.name == "posix"
"""Elsewhere a file that SQLite uses is better not opened beside it."""
SYNCHRONOUS = "NORMAL" if SHARED_WAITS else "FULL"
MOST_ROWS = 500
MOST_VALUES = 32_766
"""In one statement; the second is the least that SQLite is built with."""


def unwatched(_: str) -> None:
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

    def add_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[int]:
        if not rows:
            return []
        self.put_many(sql, rows)
        # Nobody else writes now, so the numbers follow each other.
        last: int = self._connection.execute("SELECT last_insert_rowid()").fetchone()[0]
        return list(range(last - len(rows) + 1, last + 1))

    def put_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Many rows go into one statement: at each statement, FTS5 writes out what it has gathered, which costs more
        than to gather it.
        """
        head, _, marks = sql.rpartition("VALUES")
        at_once = min(MOST_ROWS, MOST_VALUES // len(rows[0])) if rows else 1
        for start in range(0, len(rows), at_once):
            self._watch("statement")
            some = rows[start : start + at_once]
            self._connection.execute(f"{head}VALUES {', '.join([marks] * len(some))}", [*chain.from_iterable(some)])

    def count_from(self, table: str, last: int) -> None:
        if not self.rows("SELECT 1 FROM sqlite_master WHERE name = ? AND sql LIKE '% AUTOINCREMENT%'", table):
            return  # the next number is one more than the largest that is there
        if not self.run("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", last, table):
            self.run("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", table, last)

    def rows(self, sql: str, *values: Any) -> list[Row]:
        self._watch("statement")
        return self._connection.execute(sql, values).fetchall()


class SqliteDatabase:
    """One file, many threads, each with a connection for as long as it asks. Readers never wait; writers wait for each
    other.
    """

    dialect = Dialect(  # the fraction of a second goes first: SQLite would round it up
        "CAST(strftime('%s', 'now') AS INTEGER)",
        "CAST(strftime('%s', substr({0}, 1, 19) || substr({0}, -6)) AS INTEGER)",
    )

    def __init__(self, path: Path, *, watch: Watch = unwatched, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = path
        self._watch = watch
        self._busy = busy_seconds
        self._connections = Connections(self._connect)
        self._local = threading.local()
        self._guard = threading.Lock()
        self._pen = threading.Lock()
        """Who has it writes. Threads of this process wait for it in turn; SQLite lets one of many wait for too long."""
        self._flushing = Flushing(_companion(path, "-wal")) if SHARED_WAITS else None
        self._vectors: dict[tuple[str, str, int], VectorIndex] = {}
        self._read_only = _check_file(path)
        self._file = _file(path)
        try:
            with self._explained(), self._connections.lent() as connection:
                self._migrate(connection)
        except BaseException:
            self.close()
            raise

    @classmethod
    def of(cls, settings: Settings, watch: Watch = unwatched) -> Self:
        """The database that the settings name."""
        return cls(settings.database_path, watch=watch)

    @property
    def place(self) -> str:
        return str(self.path)

    def rows(self, sql: str, *values: Any) -> list[Row]:
        with self._explained():
            self._watch("statement")
            try:
                with self._connections.lent() as connection:
                    return connection.execute(sql, values).fetchall()
            except OverflowError as error:
                raise UserError("A number is too large.", hint="None that is kept has so many digits.") from error

    @contextmanager
    def write(self, about: str = "", *, hasty: bool = False) -> Iterator[SqliteTransaction]:  # noqa: ARG002  # for all
        with self._alone(), self._transaction("BEGIN IMMEDIATE") as connection:
            self._local.writing = True
            try:
                yield SqliteTransaction(connection, self._watch)
                self._watch("commit")
                connection.execute("COMMIT")
            finally:
                self._local.writing = False
        with self._explained():
            if self._flushing and not hasty:
                self._flushing.wait()
            self._watch("committed")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other thread of this process writes; in a transaction inside another, which is refused, one does not wait
        for oneself.
        """
        taken = not self._writing and self._pen.acquire(timeout=self._busy)
        try:
            yield
        finally:
            if taken:
                self._pen.release()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with self._transaction("BEGIN"):
            yield

    def vectors(self, table: str, model: str, dimension: int) -> VectorIndex:
        """One for all who ask: what it keeps in memory is shared."""
        from memagent.storage.nearest import SqliteVectors

        with self._guard:
            which, folder = (table, model, dimension), _companion(self.path, ".vectors")
            if which not in self._vectors:
                self._vectors[which] = SqliteVectors(self, *which, folder, lambda: self._writing)
            return self._vectors[which]

    @property
    def _writing(self) -> bool:
        """Whether this thread has a write transaction open."""
        return bool(getattr(self._local, "writing", False))

    def last_numbers(self, tables: Sequence[str]) -> dict[str, int]:
        given = {name: seq for name, seq in self.rows("SELECT name, seq FROM sqlite_sequence")}
        there = {table: self.rows(f"SELECT max(id) FROM {table}")[0][0] or 0 for table in tables}
        return {table: max(given.get(table, 0), there[table]) for table in tables}

    def parts(self) -> list[Part]:
        files = [self.path, *(_companion(self.path, ending) for ending in ("-wal", "-shm"))]
        files += _companion(self.path, ".vectors").glob("*")
        return [Part("SQLite", self.place, sum(file.stat().st_size for file in files if file.exists()))]

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        """A transaction that is rolled back unless it was committed, at whatever instant it is left."""
        with self._explained(), self._connections.lent() as connection:
            if connection.in_transaction:
                raise StorageError(f"{self.path}: a transaction was begun inside another; this is a bug in memagent.")
            try:
                self._check_same()
                connection.execute(begin)
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def words(self, texts: Texts) -> SqliteWords:
        return SqliteWords(self, texts)

    def close(self) -> None:
        with self._guard:
            self._connections.close()
            self._vectors.clear()

    def backup(self, target: Path) -> None:
        """Copy the whole database, consistent, while others use it."""
        part = _companion(target, ".part")
        try:
            if target.exists() and target.samefile(self.path):
                raise StorageError(f"{target} is the database itself.", hint="Name another file for the copy.")
            os.close(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
            # Own connections, since a write may be going on in this thread; and one step, since every write by
            # others would make a copy in several steps begin again.
            with closing(self._connect()) as source, closing(sqlite3.connect(part)) as copy:
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
            for ending in ("-wal", "-shm"):  # of a database that stood there before: they would be mixed into the copy
                _companion(target, ending).unlink(missing_ok=True)
            part.replace(target)
        except (sqlite3.Error, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            hint = "See that there is room for as much again, and that it can be written there."
            raise StorageError(f"{self.path} could not be copied to {target}: {reason}.", hint=hint) from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def check(self) -> list[str]:
        """What is wrong with the file; empty when it is sound."""
        problems: list[str] = []
        try:
            problems += [str(row[0]) for row in self.rows("PRAGMA integrity_check(20)")]
            problems += [f"row without its agent in {row[0]}" for row in self.rows("PRAGMA foreign_key_check")]
            for index in () if self._read_only else ("messages_words", "passages_words"):
                with self.write() as tx:
                    tx.run(f"INSERT INTO {index} ({index}) VALUES ('integrity-check')")
        except StorageError as error:
            problems.append(error.message)
        return [problem for problem in problems if problem != "ok"]

    def _check_same(self) -> None:
        """Refuse to go on with a file that is not the one at its path any more: what is written there is lost."""
        if _file(self.path) != self._file:
            raise StorageError(
                f"{self.path} was moved, deleted or replaced while it was open; nothing was written.",
                hint="Put it back, or end this program and start it again.",
            )

    def _connect(self) -> sqlite3.Connection:
        mode = "mode=rw"
        if self._read_only:  # without a log to be read along, SQLite need not make files of its own beside this one
            log = _companion(self.path.resolve(), "-wal")
            mode = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?{mode}", uri=True, timeout=self._busy, isolation_level=None,
            check_same_thread=False, cached_statements=256,
        )  # fmt: skip
        try:
            for setting in (
                "foreign_keys = ON",
                "cache_size = -8192",
                f"synchronous = {SYNCHRONOUS}",
            ):  # the last reads
                connection.execute(f"PRAGMA {setting}")
        except (sqlite3.Error, UnicodeDecodeError):  # SQLite quotes what is damaged, whatever bytes it is
            connection.close()
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        version = self._version(connection)  # refuses what is not ours before anything in the file is changed
        if self._read_only:
            if version < VERSION:
                raise StorageError(f"{self.path} must be brought up to date, but can't be written to.")
            return
        write_ahead(connection, self._busy)
        if version == VERSION:
            return
        with self.write() as tx:
            version = self._version(connection)  # another process may have been first
            if 0 < version < VERSION:
                self.backup(_companion(self.path, f".before-v{VERSION}"))
            for step in MIGRATIONS[version:]:
                for statement in statements(step):
                    tx.run(statement)
            tx.run(f"PRAGMA user_version = {VERSION}")

    def _version(self, connection: sqlite3.Connection) -> int:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
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
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise explained(self.path, error) from error


def _check_file(path: Path) -> bool:
    """Make sure there is a database file, private to the user; True when it can only be read."""
    try:
        if path.is_dir():
            raise StorageError(f"{path} is a directory, not a database.", hint="Name a file.")
        log = _companion(path.resolve(), "-wal")
        logged = log.exists()  # looked for first: the file itself comes before its log and goes after it
        if not path.exists():
            if logged:
                raise StorageError(f"{path} is gone, but not its newest changes, which are in {log}.", hint=RESTORE)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with suppress(FileExistsError):  # another process has just made it
                _make_file(path)
        if not _filled(path):
            raise StorageError(f"{path} is empty, and was a database once.", hint=RESTORE)
        return not (os.access(path, os.W_OK) and os.access(log.parent, os.W_OK))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise full(path) from error
        hint = "Make it yours, or set MEMAGENT_HOME elsewhere."
        raise StorageError(f"{path} can't be opened: {error.strerror}.", hint=hint) from error


def _file(path: Path) -> tuple[int, int]:
    """Which file stands at a path, whatever is in it."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def _make_file(path: Path) -> None:
    """Make a database without tables, but not without bytes: so an empty file is always one that was lost."""
    with closing(sqlite3.connect(":memory:")) as memory:
        memory.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        content = memory.serialize()
    file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(file, "wb") as out:
            out.write(content)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _filled(path: Path) -> bool:
    """Whether there is something in a file; one that another process is just making is given a moment."""
    for _ in range(50):
        if path.stat().st_size:
            return True
        time.sleep(0.01)
    return False


def _companion(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
