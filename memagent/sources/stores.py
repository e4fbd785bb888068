"""Vectors in databases: PostgreSQL with pgvector, LanceDB and Chroma. They are only read.

Knows nothing of what becomes of the vectors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from memagent.errors import BackendError, MissingExtra, NotFound, UserError
from memagent.sources.arrays import entries_of, model_in, others_of, picked
from memagent.sources.directory import shown
from memagent.sources.entries import BATCH, Columns, Entry, Store

_PASSWORD = re.compile(r"(?<=://)([^:/@]*):[^@]*@|(password=)[^&\s]*")
_TEXT_TYPES = frozenset({"text", "varchar", "bpchar"})
_VECTOR_TYPES = frozenset({"vector", "halfvec"})


def opened(path: Path, table: str, columns: Columns) -> Store | None:
    """The store in a folder, if there is one."""
    if (path / "chroma.sqlite3").is_file():
        return Chroma(path, table)
    if path.suffix == ".lance" and path.is_dir():
        return Lance(path.parent, path.stem, columns)
    if path.is_dir() and any(path.glob("*.lance")):
        return Lance(path, table, columns)
    return None


def _one_of(names: Sequence[str], wanted: str, what: str, about: str) -> str:
    """The table that is wanted, or the only one."""
    if wanted in names:
        return wanted
    if wanted or len(names) != 1:
        said = (
            f"There is no {what} {wanted!r} in {about}."
            if wanted
            else f"Which {what} of {about} is meant is not clear."
        )
        raise NotFound(said, hint=f"There are: {', '.join(sorted(names)) or 'none'}. Name one with --table.")
    return names[0]


class Lance:
    """A table of LanceDB."""

    stamp = ""

    def __init__(self, folder: Path, table: str, columns: Columns) -> None:
        try:
            import lancedb
        except ImportError as error:
            raise MissingExtra("LanceDB", "lancedb") from error
        try:
            table = table or _one_of([each.stem for each in folder.glob("*.lance")], "", "table", shown(str(folder)))
            self._table: Any = lancedb.connect(folder).open_table(table)
            schema = self._table.schema
        except (ValueError, OSError, RuntimeError) as error:
            raise NotFound(f"The table {table!r} in {shown(str(folder))} can't be opened: {error}") from error
        self.name, self.about = table, f"{shown(str(folder))}, table {table}"
        self.stamp = f"version {self._table.version}"
        self._columns = picked(schema, columns)
        self._others = others_of(schema, self._columns)
        self.model = model_in(schema)

    def batches(self) -> Iterator[Sequence[Entry]]:
        """Some rows at a time."""
        reader = self._table.search().select(self._others).limit(self._table.count_rows()).to_batches(BATCH)
        for batch in reader:
            for start in range(0, batch.num_rows, BATCH):
                yield entries_of(batch.slice(start, BATCH), self._columns)

    def close(self) -> None:
        """Let go of the table."""
        self._table = None


class Chroma:
    """A collection of Chroma, in a folder."""

    stamp = ""

    def __init__(self, folder: Path, table: str) -> None:
        try:
            import chromadb
            from chromadb.config import Settings
            from chromadb.errors import ChromaError
        except ImportError as error:
            raise MissingExtra("Chroma", "chroma") from error
        about = shown(str(folder))
        try:
            client = chromadb.PersistentClient(folder, Settings(anonymized_telemetry=False))
            names = [each.name for each in client.list_collections()]
            table = _one_of(names, table, "collection", about)
            # Without a function that embeds: else one is made, which may fetch a model.
            self._collection: Any = client.get_collection(table, embedding_function=None)
        except (ChromaError, ValueError, OSError, RuntimeError) as error:
            raise BackendError(f"The Chroma database {about} can't be opened: {error}") from error
        self.name, self.about = table, f"{about}, collection {table}"
        told = self._collection.metadata or {}
        self.model = str(told.get("embedding_model") or told.get("model") or "")

    def batches(self) -> Iterator[Sequence[Entry]]:
        """Some entries at a time."""
        start = 0
        while True:
            got = self._collection.get(limit=BATCH, offset=start, include=["documents", "embeddings", "metadatas"])
            if not got["ids"]:
                return
            vectors = got["embeddings"] if got["embeddings"] is not None else [()] * len(got["ids"])
            rows = zip(got["ids"], got["documents"], vectors, got["metadatas"], strict=True)
            yield [Entry(key, text or "", vector, about or {}) for key, text, vector, about in rows]
            start += len(got["ids"])

    def close(self) -> None:
        """Let go of the collection."""
        self._collection = None


class PgVector:
    """A table of PostgreSQL with a column of pgvector."""

    stamp = ""
    model = ""

    def __init__(self, url: str, table: str, columns: Columns) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise MissingExtra("The driver of PostgreSQL", "postgres") from error
        shown_url = _PASSWORD.sub(lambda found: f"{found[1]}:***@" if found[2] is None else f"{found[2]}***", url)
        address = re.sub(r"^postgresql\+\w+://|^postgres://", "postgresql://", url)
        if not address.startswith("postgresql://"):
            raise UserError("That is no address of PostgreSQL.", hint="Write it as postgresql://user@host/name.")
        try:
            self._connection = psycopg.connect(address, options="-c default_transaction_read_only=on")
        except (psycopg.Error, ValueError) as error:
            raise BackendError(
                f"The database {shown_url.partition('?')[0]} can't be opened: {_plain(error)}"
            ) from error
        self.about = f"{shown_url.partition('?')[0]}, table {table}"
        try:
            self._find(table, columns)
        except Exception:
            self._connection.close()
            raise

    def batches(self) -> Iterator[Sequence[Entry]]:
        """Some rows at a time, in the order of their key."""
        import psycopg
        from psycopg import sql

        columns = self._columns
        names = [columns.text, columns.vector, *([columns.key] if columns.key else []), *self._others]
        wanted = [sql.Identifier(name) for name in names]
        wanted[1] = sql.SQL("{}::text").format(sql.Identifier(columns.vector))  # type: ignore[call-overload]
        order = sql.SQL(" ORDER BY {}").format(sql.Identifier(columns.key)) if columns.key else sql.SQL("")
        query = sql.SQL("SELECT {} FROM {}{}").format(sql.SQL(", ").join(wanted), self._table, order)
        try:
            with self._connection.cursor("memagent") as cursor:
                cursor.itersize = 10 * BATCH
                cursor.execute(query)
                while rows := cursor.fetchmany(BATCH):
                    yield [self._entry(names, row) for row in rows]
        except psycopg.Error as error:
            raise BackendError(f"{self.about}: {_plain(error)}") from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _entry(self, names: Sequence[str], row: Sequence[Any]) -> Entry:
        text, vector = row[0] or "", row[1]
        about = dict(zip(names[2:], row[2:], strict=True))
        key = str(about.get(self._columns.key, "")) if self._columns.key else ""
        return Entry(key, str(text), json.loads(vector) if vector else (), about)

    def _find(self, table: str, columns: Columns) -> None:
        """The table, and what its columns hold; without a name, the only one that has vectors."""
        import psycopg
        from psycopg import sql

        try:
            rows = self._connection.execute(_COLUMNS).fetchall()
        except psycopg.Error as error:
            raise BackendError(f"{self.about}: {_plain(error)}") from error
        tables: dict[tuple[str, str], dict[str, str]] = {}
        for schema, name, column, kind in rows:
            tables.setdefault((schema, name), {})[column] = kind
        with_vectors = [key for key, kinds in tables.items() if _VECTOR_TYPES & set(kinds.values())]
        wanted = {f"{schema}.{name}": (schema, name) for schema, name in with_vectors}
        wanted |= {name: (schema, name) for schema, name in with_vectors}
        names = list(wanted) if table else [name for _, name in with_vectors]
        found = wanted[_one_of(names, table, "table with vectors", self.about.partition(",")[0])]
        kinds = tables[found]
        vectors = [name for name, kind in kinds.items() if kind in _VECTOR_TYPES]
        texts = [name for name, kind in kinds.items() if kind in _TEXT_TYPES]
        self._columns = columns.pick(kinds, vectors, texts)
        own = {self._columns.text, self._columns.vector, self._columns.key}
        told = (*_TEXT_TYPES, "int4", "int8", "jsonb", "json")
        self._others = [name for name, kind in kinds.items() if name not in own and kind in told]
        self._table = sql.Identifier(*found)
        self.name = found[1]
        self.about = f"{self.about.partition(', table')[0]}, table {found[1]}"


_COLUMNS = """
SELECT n.nspname, c.relname, a.attname, t.typname
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY n.nspname = current_schema() DESC, n.nspname, c.relname, a.attnum
"""


def _plain(error: Exception) -> str:
    return _PASSWORD.sub(lambda found: f"{found[1]}:***@" if found[2] is None else f"{found[2]}***", str(error).strip())
