"""Vectors in PostgreSQL: the nearest, as pgvector finds them, by looking at all on the shelves or in an index.

An index (HNSW, one for each model) is made by itself once there are many vectors: while a search goes on without it,
or when `save` asks for it. It leads to candidates only; how near they are comes from the vectors themselves. Knows
nothing of texts or of how vectors are made.
"""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Sequence

from memagent.errors import StorageError
from memagent.storage import Database, Row
from memagent.storage.closeness import THERE, Vectors

log = logging.getLogger(__name__)

MANY = 50_000
"""Vectors of one model from which on an index is worth its making: fewer are looked at in a tenth of a second."""
FEW = 10_000
"""Vectors on the shelves that are searched up to which they are all looked at, even where there is an index: what is
rare among all is slow to meet there, and may be missed.
"""
MOST_NUMBERS = 4000
"""The longest vector that an index can hold."""
MORE = 2
"""So many times the wanted candidates come from the index, which knows numbers with half the digits."""
LOOKED_SECONDS = 60.0
VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(?)"


class PostgresVectors(Vectors):
    """The vectors of one model and dimension, of the passages, messages or facts."""

    def __init__(
        self, database: Database, table: str, model: str, dimension: int, build: Callable[[str, str], None] | None
    ) -> None:
        super().__init__(database, table, model, dimension)
        self._build = build  # where pgvector is too old, there is nothing to build with
        self._index = f"{table}_near_{zlib.crc32(model.encode()):08x}_{dimension}"
        self._half = f"CAST(vector AS halfvec({dimension}))"
        # An index of some rows is used only where the condition of it stands in the query, letter by letter.
        self._ours = f"model = '{model.replace(chr(39), chr(39) * 2)}' AND vector_dims(vector) = {dimension}"
        self._rows = (
            f"{table}_vectors v JOIN {table} t ON t.id = v.item WHERE {self._ours} "
            f"AND v.shelf = ANY(CAST(? AS text[])) AND {THERE[table].format('= v.shelf')}"
        )
        self._indexed = False
        self._looked = -LOOKED_SECONDS
        self._guard = threading.Lock()
        self._many: dict[tuple[str, ...], float] = {}

    def any(self, shelves: Sequence[str]) -> bool:
        """Whether there are vectors at all."""
        query = f"SELECT 1 FROM {self.table}_vectors v WHERE {self._ours} AND v.shelf = ANY(CAST(? AS text[])) LIMIT 1"
        return bool(self.database.rows(query, list(shelves)))

    def near(
        self, query: bytes, count: int, shelves: Sequence[str], among: Sequence[int] | None = None
    ) -> dict[int, float]:
        """The nearest items, the nearest first, and how near each is."""
        self.check(query)
        if among is None and self._look() and self._are_many(shelves):
            found = self.database.rows(
                f"SELECT item, -(vector <#> ?) AS near FROM (SELECT v.item, v.vector FROM {self._rows} "
                f"ORDER BY {self._half} <#> CAST(? AS halfvec({self.dimension})) LIMIT ?) AS candidates "
                "ORDER BY near DESC, item DESC LIMIT ?",
                query, list(shelves), query, MORE * count, count,
            )  # fmt: skip
            if len(found) == count:  # else the index was left before it had seen enough of these shelves
                return _pairs(found)
        return _pairs(
            self.database.rows(
                f"SELECT v.item, -(v.vector <#> ?) AS near FROM {self._rows} "
                f"{'' if among is None else 'AND v.item = ANY(CAST(? AS bigint[])) '}"
                "ORDER BY near DESC, v.item DESC LIMIT ?",
                query, list(shelves), *([] if among is None else [list(among)]), count,
            )
        )  # fmt: skip

    def closeness(
        self, queries: Sequence[bytes], items: Iterable[int], shelves: Sequence[str], *,
        sure: bool = False,  # noqa: ARG002  # it costs next to nothing to see whether they are there
    ) -> list[dict[int, float]]:  # fmt: skip
        """For each query how near these items are, but for those without a vector."""
        for query in queries:
            self.check(query)
        near = "".join(", -(v.vector <#> ?)" for _ in queries)
        rows = self.database.rows(
            f"SELECT v.item{near} FROM {self._rows} AND v.item = ANY(CAST(? AS bigint[]))",
            *queries, list(shelves), list(items),
        )  # fmt: skip
        return [{row[0]: row[n] for row in rows} for n in range(1, len(queries) + 1)]

    def save(self) -> None:
        """Make the index, where it is worth it."""
        self._looked = -LOOKED_SECONDS
        if not self._look(begin=False) and self._worth_it():
            self._make()

    # Inside -----------------------------------------------------------------------------------------------------------

    def _look(self, *, begin: bool = True) -> bool:
        """Whether there is an index; where it is missing, it is made, and this search does not wait for it."""
        with self._guard:
            if self._indexed or self._build is None or time.monotonic() - self._looked < LOOKED_SECONDS:
                return self._indexed
            self._looked = time.monotonic()
        rows = self.database.rows(VALID, f"memagent.{self._index}")
        self._indexed = bool(rows and rows[0][0])
        if begin and not self._indexed and self._worth_it():
            threading.Thread(target=self._make, name=f"make {self._index}", daemon=True).start()
        return self._indexed

    def _are_many(self, shelves: Sequence[str]) -> bool:
        """Whether there are too many vectors on the shelves to look at all; once they are, it is believed a while."""
        if time.monotonic() - self._many.get(tuple(shelves), -LOOKED_SECONDS) < LOOKED_SECONDS:
            return True
        query = (
            f"SELECT count(*) FROM (SELECT 1 FROM {self.table}_vectors v WHERE {self._ours} "
            "AND v.shelf = ANY(CAST(? AS text[])) LIMIT ?) AS first_ones"
        )
        many = bool(self.database.rows(query, list(shelves), FEW)[0][0] == FEW)
        if many:
            self._many[tuple(shelves)] = time.monotonic()
        return many

    def _worth_it(self) -> bool:
        if self._build is None or self.dimension > MOST_NUMBERS:
            return False
        query = f"SELECT count(*) FROM (SELECT 1 FROM {self.table}_vectors v WHERE {self._ours} LIMIT ?) AS first_ones"
        return bool(self.database.rows(query, MANY)[0][0] == MANY)

    def _make(self) -> None:
        assert self._build
        try:
            on = f"{self.table}_vectors USING hnsw (({self._half}) halfvec_ip_ops) WHERE {self._ours}"
            self._build(self._index, on)
        except StorageError as error:  # every search works without it
            log.warning("No index for vectors was made: %s", error)


def _pairs(rows: Iterable[Row]) -> dict[int, float]:
    return {item: near for item, near in rows}
