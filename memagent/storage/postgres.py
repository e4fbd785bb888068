"""Everything in one PostgreSQL database, for when one machine is not enough: opened, migrated, written to in
transactions.

Writers of one agent or source wait for each other, as all writers do in SQLite, and so everything above may rely on
the same; those of different ones do not. Every failure becomes a `StorageError` that names the database and says what
to do. Needs psycopg, which comes with the extra `postgres`, and pgvector in the server. Knows nothing of what the rows
mean.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Self

from memagent.config import Settings
from memagent.errors import MissingExtra, StorageError
from memagent.storage import Dialect, Part, Row, Texts, VectorIndex, Watch, WordIndex

try:
    import psycopg
    from psycopg.pq import TransactionStatus
except ImportError as error:
    raise MissingExtra("What talks to PostgreSQL (psycopg)", "postgres") from error

from memagent.storage.postgres_connections import Connection, Connections, marked
from memagent.storage.postgres_errors import explained
from memagent.storage.postgres_migrations import LETTERS, MIGRATIONS, SCHEMA, VERSION, step
from memagent.storage.postgres_vectors import VALID, PostgresVectors
from memagent.storage.postgres_words import PostgresWords

LOCKS = 0x6D656D61  # "mema": our advisory locks
ALL, MIGRATING = 0, 1
BUSY_SECONDS = 10.0
IDLE_SECONDS = 30
"""A process that stops in the middle of a write, or is cut off, must not hold an agent for ever."""
OLDEST = 140000
ROWS = 200

_WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
_HASTY = "SET LOCAL synchronous_commit = off; "
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_NOTHING_KEPT = "; nothing of what was being written is kept"
_UNKNOWN = " at the last moment: what was being written is kept, or not"


def _unwatched(_: str) -> None:
    """Nobody watches."""


class PostgresTransaction:
    """A write transaction on one connection."""

    def __init__(self, connection: Connection, watch: Watch) -> None:
        self._connection = connection
        self._watch = watch

    def run(self, sql: str, *values: Any) -> int:
        self._watch("statement")
        return self._connection.execute(marked(sql), values).rowcount

    def add(self, sql: str, *values: Any) -> int:
        self._watch("statement")
        row = self._connection.execute(marked(f"{sql} RETURNING id"), values, binary=True).fetchone()
        return int(row[0]) if row else 0

    def add_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[int]:
        return [row[0] for result in self._put(sql, rows, "RETURNING id") for row in result]

    def put_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        for _ in self._put(sql, rows, ""):
            pass

    def _put(self, sql: str, rows: Sequence[Sequence[Any]], returning: str) -> Iterator[Iterable[Row]]:
        """Many rows go into one statement: to send one, and to plan it, costs more than to carry it out."""
        head, _, marks = sql.rpartition("VALUES")
        for start in range(0, len(rows), ROWS):
            self._watch("statement")
            some = rows[start : start + ROWS]
            query = marked(f"{head}VALUES {', '.join([marks] * len(some))} {returning}")
            yield self._connection.execute(query, [*chain.from_iterable(some)], binary=bool(returning))

    def count_from(self, table: str, last: int) -> None:
        self.rows("SELECT setval(pg_get_serial_sequence(?, 'id'), greatest(?, 1), ? > 0)", table, last, last)

    def rows(self, sql: str, *values: Any) -> list[Row]:
        self._watch("statement")
        return [*self._connection.execute(marked(sql), values, binary=True)]


class _Held:
    """The connection of the transaction that a thread is in."""

    def __init__(self, connection: Connection | None = None) -> None:
        self.connection = connection


class PostgresDatabase:
    """One database, many processes, many threads. Readers never wait."""

    dialect = Dialect(
        "CAST(floor(extract(epoch FROM clock_timestamp())) AS bigint)",
        "CAST(floor(extract(epoch FROM CAST({0} AS timestamptz))) AS bigint)",
    )

    def __init__(self, url: str, *, watch: Watch = _unwatched, busy_seconds: float = BUSY_SECONDS) -> None:
        self._connections = Connections(url)
        self._watch = watch
        self._busy = busy_seconds
        self._local = threading.local()
        self._words: dict[Texts, WordIndex] = {}
        self._vectors: dict[tuple[str, str, int], VectorIndex] = {}
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    @classmethod
    def of(cls, settings: Settings, watch: Watch = _unwatched) -> Self:
        """The database that the settings name."""
        return cls(settings.database_url, watch=watch)

    @property
    def place(self) -> str:
        return self._connections.place

    def rows(self, sql: str, *values: Any) -> list[Row]:
        self._watch("statement")
        held = self._held().connection
        if held is not None:
            with self._explaining(_NOTHING_KEPT):
                return [*held.execute(marked(sql), values, binary=True)]
        connection, result = self._begun(sql, values)
        self._connections.give(connection)
        return result

    @contextmanager
    def write(self, about: str = "", *, hasty: bool = False) -> Iterator[PostgresTransaction]:
        with self._transaction(_WRITE + (_HASTY if hasty else "") + _locks(about)) as connection:
            yield PostgresTransaction(connection, self._watch)
            self._watch("commit")
            if connection.info.transaction_status == TransactionStatus.INERROR:
                raise StorageError(f"{self.place}: a transaction went on after an error; this is a bug in memagent.")
            with self._explaining(_UNKNOWN):
                connection.execute("COMMIT")
            self._watch("committed")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with self._transaction(_READ):
            yield

    def words(self, texts: Texts) -> WordIndex:
        return self._words.setdefault(texts, PostgresWords(self, texts))

    def vectors(self, table: str, model: str, dimension: int) -> VectorIndex:
        build = self._build if self._pgvector >= (0, 8) else None  # older ones can't filter inside a search
        new = PostgresVectors(self, table, model, dimension, build)
        return self._vectors.setdefault((table, model, dimension), new)

    def last_numbers(self, tables: Sequence[str]) -> dict[str, int]:
        rows = self.rows(
            "SELECT name, coalesce(s.last_value, 0) FROM unnest(CAST(? AS text[])) AS name LEFT JOIN pg_sequences s "
            "ON format('%I.%I', s.schemaname, s.sequencename) = pg_get_serial_sequence(name, 'id')",
            list(tables),
        )
        given = {name: last for name, last in rows}
        there = {table: self.rows(f"SELECT coalesce(max(id), 0) FROM {table}")[0][0] for table in tables}
        return {table: max(given[table], there[table]) for table in tables}

    def parts(self) -> list[Part]:
        query = "SELECT CAST(sum(pg_total_relation_size(oid)) AS bigint) FROM pg_class WHERE relkind = 'r' AND "
        size = self.rows(f"{query} relnamespace = CAST(? AS regnamespace)", SCHEMA)[0][0]
        return [Part("PostgreSQL", self.place, size)]

    def check(self) -> list[str]:
        """What is wrong with the database; empty when it is sound."""
        try:
            rows = self.rows(
                "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
                "WHERE c.relnamespace = CAST(? AS regnamespace) AND NOT i.indisvalid",
                SCHEMA,
            )
        except StorageError as error:
            return [error.message]
        return [f"the index {name} in {self.place} was not finished; drop it" for (name,) in rows]

    def close(self) -> None:
        self._connections.clear()

    # Inside -----------------------------------------------------------------------------------------------------------

    def _held(self) -> _Held:
        held: _Held = getattr(self._local, "held", None) or _Held()
        return held

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        """A transaction that is rolled back unless it was committed, at whatever instant it is left."""
        if self._held().connection is not None:
            raise StorageError(f"{self.place}: a transaction was begun inside another; this is a bug in memagent.")
        connection, _ = self._begun(begin)
        held = self._local.held = _Held(connection)
        try:
            with self._explaining(_NOTHING_KEPT):
                yield connection
        finally:
            held.connection = None
            self._connections.give(connection)

    def _begun(self, sql: str, values: Sequence[Any] | None = None) -> tuple[Connection, list[Row]]:
        """A connection on which a first statement was run, and its rows. Where an old connection turns out to be cut,
        nothing has happened yet, and a new one is tried.
        """
        while True:
            connection, new = self._connections.take()
            try:
                if values is None:
                    connection.execute(sql.encode())
                    return connection, []
                return connection, [*connection.execute(marked(sql), values, binary=True)]
            except psycopg.Error as error:
                cut = connection.broken
                self._connections.give(connection)
                if not cut or new:
                    raise explained(self.place, error, " at once" if cut else "") from error
                self._connections.clear()
            except BaseException:
                self._connections.give(connection)
                raise

    @contextmanager
    def _explaining(self, lost: str) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise explained(self.place, error, lost) from error

    def _open(self) -> None:
        """Make sure that the server has what we need, and the tables are there; set up what each connection needs."""
        rows = self.rows(
            "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), "
            "to_regclass(? || '.format')::text",
            SCHEMA,
        )  # fmt: skip
        server, encoding, ours = rows[0]
        if server < OLDEST:
            raise StorageError(f"{self.place} is PostgreSQL {server // 10000}.", hint="memagent needs 14 or newer.")
        if encoding != "UTF8":
            hint = "Make another: createdb --encoding UTF8 --template template0 NAME"
            raise StorageError(f"{self.place} can keep texts in {encoding} only.", hint=hint)
        version = self._version() if ours else 0
        if version < VERSION:
            self._migrate()
        schema, vectors, self._pgvector = self._found_pgvector()
        session = (
            f"SET search_path = {SCHEMA}, {schema}; SET TimeZone = 'UTC'; SET jit = off; "
            f"SET plan_cache_mode = force_custom_plan; SET lock_timeout = {int(self._busy * 1000)}; "
            f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'; SET hnsw.ef_search = 200"
        )
        if self._pgvector >= (0, 8):
            session += "; SET hnsw.iterative_scan = 'strict_order'"
        with self._explaining(""):
            self._connections.ready(session, vectors)

    def _version(self) -> int:
        version: int = self.rows(f"SELECT coalesce(max(version), 0) FROM {SCHEMA}.format")[0][0]
        if version > VERSION:
            raise StorageError(
                f"{self.place} was written by a newer memagent (its format is {version}, this one knows {VERSION}).",
                hint="Upgrade with: pip install -U memagent",
            )
        return version

    def _migrate(self) -> None:
        """Bring the tables up to date; of several processes, one does, and the others wait for it."""
        with self._transaction(f"{_WRITE}SELECT pg_advisory_xact_lock({LOCKS}, {MIGRATING})") as connection:
            self._have_pgvector(connection)
            schema = self._found_pgvector()[0]
            rows = self.rows("SELECT collname::text FROM pg_collation WHERE collname = ANY(?)", list(LETTERS))
            there = {name for (name,) in rows}
            letters = next((f'"{name}"' for name in LETTERS if name in there), '"default"')
            tx = PostgresTransaction(connection, self._watch)
            tx.run(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            tx.run(
                f"CREATE TABLE IF NOT EXISTS {SCHEMA}.format (version integer PRIMARY KEY, since timestamptz NOT NULL)"
            )
            version = tx.rows(f"SELECT coalesce(max(version), 0) FROM {SCHEMA}.format")[0][0]
            for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
                connection.execute(step(script, schema, letters).encode())
                tx.run(f"INSERT INTO {SCHEMA}.format (version, since) VALUES (?, now())", number)
            self._watch("commit")
            connection.execute("COMMIT")
            self._watch("committed")

    def _build(self, index: str, on: str) -> None:
        """Make an index while others write. It may take minutes; one process does it, and finds one that was left
        unfinished in its way.
        """
        connection, _ = self._begun("SET lock_timeout = 0")
        number = zlib.crc32(index.encode()) - 2**31
        try:
            with self._explaining(""):
                ours = connection.execute(f"SELECT pg_try_advisory_lock({LOCKS}, {number})".encode()).fetchall()
                if not ours[0][0] or connection.execute(marked(VALID), [f"{SCHEMA}.{index}"]).fetchall() == [(True,)]:
                    return
                connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {SCHEMA}.{index}".encode())
                connection.execute(f"CREATE INDEX CONCURRENTLY {index} ON {SCHEMA}.{on}".encode())
        finally:
            connection.close()  # which ends the lock

    def _have_pgvector(self, connection: Connection) -> None:
        try:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except psycopg.Error as error:
            if (error.sqlstate or "").startswith(("42501", "42704")):
                hint = "Let its administrator say, in that database: CREATE EXTENSION vector;"
            elif (error.sqlstate or "").startswith(("0A000", "58P01", "22023")):
                hint = "Install it in the server (https://github.com/pgvector/pgvector), then try again."
            else:
                raise
            raise StorageError(f"{self.place} has no pgvector, which searches by meaning.", hint=hint) from error

    def _found_pgvector(self) -> tuple[str, int, tuple[int, ...]]:
        """The schema that pgvector is in, quoted; the number of its type; and its version."""
        rows = self.rows(
            "SELECT quote_ident(n.nspname), t.oid::bigint, e.extversion FROM pg_extension e "
            "JOIN pg_namespace n ON n.oid = e.extnamespace "
            "JOIN pg_type t ON t.typnamespace = n.oid AND t.typname = 'vector' WHERE e.extname = 'vector'"
        )
        if not rows:
            hint = "Was it dropped? Say in that database: CREATE EXTENSION vector; and get a dump of memagent back."
            raise StorageError(f"{self.place} has no pgvector any more.", hint=hint)
        schema, number, version = rows[0]
        return schema, number, tuple(int(part) for part in version.split(".") if part.isdecimal())


def _locks(about: str) -> str:
    """SQL that waits until nobody else writes about the same, and keeps it so until the transaction ends. Who does not
    say what it writes about waits for all, and all for it.
    """
    if not about:
        return f"SELECT pg_advisory_xact_lock({LOCKS}, {ALL})"
    one = zlib.crc32(about.encode()) - 2**31
    one = one if one not in (ALL, MIGRATING) else 2
    return f"SELECT pg_advisory_xact_lock_shared({LOCKS}, {ALL}); SELECT pg_advisory_xact_lock({LOCKS}, {one})"
