"""The storage `lancedb`: a copy of the passages in a LanceDB table, which other tools can open too.

Each model has its own table, `passages-MODEL-…`, with a row for every passage. Knows nothing of how the copy is kept up
to date.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from memagent.errors import StorageError
from memagent.storage.mirror import Copied, Kind, Table, name_of
from memagent.storage.mirrored import MirroredDatabase

INDEXED = 100_000
"""From so many passages on, an index says which of them are looked at; without one it is all of them."""
KEPT = timedelta(hours=1)
"""So long older versions of a table are kept, for those who may be reading them."""
PIECES = 500
"""After so many changes of a table, it is made one piece again."""


class LanceEngine:
    """A folder of LanceDB."""

    def __init__(self, folder: Path) -> None:
        import lancedb

        self._folder = lancedb.connect(folder, read_consistency_interval=timedelta(0))  # others write to it too

    def tables(self) -> list[Table]:
        return [LanceTable(self._folder.open_table(name)) for name in self._names()]

    def table(self, model: str, dimension: int) -> Table:
        name = name_of(model, dimension)
        if name not in self._names():
            self._folder.create_table(name, schema=_schema(model, dimension))
        return LanceTable(self._folder.open_table(name))

    def _names(self) -> list[str]:
        names: list[str] = []
        token: str | None = None
        while True:
            page = self._folder.list_tables(page_token=token)
            names += [name for name in page.tables if name.startswith("passages-")]
            if not (token := page.page_token):
                return names

    def close(self) -> None:
        """Nothing is held open."""


class LanceTable:
    """The passages of one model."""

    def __init__(self, table: Any) -> None:
        self._table = table
        about = table.schema.metadata or {}
        if not {b"memagent.model", b"memagent.dimension"} <= about.keys():
            raise ValueError(f"the table {table.name} does not say whose it is")
        self.model = about[b"memagent.model"].decode()
        self.dimension = int(about[b"memagent.dimension"])

    def put(self, rows: Sequence[Copied]) -> None:
        import numpy as np
        import pyarrow as pa

        columns = {name: [getattr(row, name) for row in rows] for name in _COLUMNS}
        vectors = np.frombuffer(b"".join(row.vector for row in rows), "<f4")
        columns["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors), self.dimension)
        with self._in_few_pieces():
            self._table.add(pa.table(columns, schema=self._table.schema))

    def drop(self, items: Mapping[int, str]) -> None:
        with self._in_few_pieces():
            self._table.delete(f"item IN ({', '.join(str(int(item)) for item in items)})")

    def cut(self, number: int) -> None:
        if self._table.count_rows(f"number > {int(number)}"):
            self._table.delete(f"number > {int(number)}")

    def near(self, query: bytes, count: int, shelves: Sequence[str], among: Sequence[int] | None) -> list[int]:
        import numpy as np

        where = f"shelf IN ({', '.join(map(_quoted, shelves))})"
        if among is not None:
            where += f" AND item IN ({', '.join(str(int(item)) for item in among)})"
        search = self._table.search(np.frombuffer(query, "<f4"), vector_column_name="vector")
        search = search.distance_type("dot").where(where, prefilter=True).select(["item", "_distance"])
        found: list[int] = search.limit(count).to_arrow()["item"].to_pylist()
        return list(dict.fromkeys(found))

    def size(self) -> int:
        return int(self._table.count_rows())

    def tidy(self) -> None:
        from lancedb.index import IvfFlat

        if self.size() >= INDEXED and not list(self._table.list_indices()):
            self._table.create_index("vector", config=IvfFlat(distance_type="dot"))
        self._table.optimize(cleanup_older_than=KEPT)

    @contextmanager
    def _in_few_pieces(self) -> Iterator[None]:
        """Every so many changes, the pieces that each of them leaves behind are made one."""
        before = self._table.version
        yield
        if self._table.version // PIECES != before // PIECES:
            self._table.optimize(cleanup_older_than=KEPT)


_COLUMNS = ("item", "number", "shelf", "note", "part", "text", "tags", "place", "created")


def _schema(model: str, dimension: int) -> Any:
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    kinds = [number, number, text, number, number, text, pa.list_(text), text, text]
    columns = [*zip(_COLUMNS, kinds, strict=True), ("vector", pa.list_(pa.float32(), dimension))]
    return pa.schema(columns, metadata={"memagent.model": model, "memagent.dimension": str(dimension)})


def _quoted(text: str) -> str:
    if "\0" in text:
        raise StorageError("A name can't have a NUL in it.")
    return "'" + text.replace("'", "''") + "'"


class LanceDatabase(MirroredDatabase):
    """SQLite, with the passages also in LanceDB."""

    kind = Kind(
        "lancedb", "LanceDB", LanceEngine, lambda: (OSError, ValueError, RuntimeError, LookupError), shared=True
    )
    package = "lancedb"
