"""Finds the passages whose vectors are nearest to a query's: exactly, by looking at every one of them.

The vectors of one shelf are kept in memory as one matrix, which only says where to look; what is answered, and how near
it is, is read from the database each time. So what was deleted or taken back is gone at once, whoever did it. Knows
nothing of texts or of how vectors are made. Needs numpy, which comes with the extra `embeddings`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from typing import Any

from memagent.storage import Database

BATCH = 10_000


class Nearest:
    """The vectors that one model made of the passages on one shelf."""

    def __init__(self, database: Database, shelf: str, model: str, dimension: int) -> None:
        self._database = database
        self._shelf = shelf
        self._model = model
        self._dimension = dimension
        self._guard = threading.Lock()
        self._last = 0  # the number of the newest vector that was read
        self._size = 0
        self._passages: Any = None  # numpy arrays with room to grow: the passages' numbers (-1 when gone) …
        self._matrix: Any = None  # … and in the same rows their vectors

    def any(self) -> bool:
        """Whether there are vectors at all."""
        return bool(
            self._database.rows(
                "SELECT 1 FROM passages_vectors WHERE shelf = ? AND model = ? LIMIT 1", self._shelf, self._model
            )
        )

    def search(self, query: bytes, count: int) -> dict[int, float]:
        """The nearest passages, and how near each is (1 is the same)."""
        with self._guard:
            self._read_new()
            while True:
                candidates = self._candidates(query, count)
                found = self.closeness(query, candidates)
                gone = [passage for passage in candidates if passage not in found]
                if not gone:
                    return found
                self._forget(gone)

    def closeness(self, query: bytes, passages: Iterable[int]) -> dict[int, float]:
        """How near these passages are, but for those without a vector."""
        import numpy as np

        wanted = list(passages)
        if not wanted:
            return {}
        rows = self._database.rows(  # || '' keeps the database from going through all of a shelf's rows instead
            "SELECT v.item, v.vector FROM passages_vectors v JOIN passages p ON p.id = v.item "
            f"WHERE v.item IN ({', '.join('?' for _ in wanted)}) AND p.shelf || '' = ? AND p.undone IS NULL "
            "AND v.shelf || '' = ? AND v.model = ? AND length(v.vector) = ?",
            *wanted, self._shelf, self._shelf, self._model, 4 * self._dimension,
        )  # fmt: skip
        scores = self._rows_of(row[1] for row in rows) @ np.frombuffer(query, "<f4")
        return {row[0]: float(score) for row, score in zip(rows, scores, strict=True)}

    def _candidates(self, query: bytes, count: int) -> list[int]:
        import numpy as np

        if not self._size:
            return []
        scores = self._matrix[: self._size] @ np.frombuffer(query, "<f4")
        scores[self._passages[: self._size] < 0] = -np.inf
        count = min(count, self._size)
        best = np.argpartition(-scores, count - 1)[:count]
        return list(dict.fromkeys(int(n) for n in self._passages[best] if n >= 0))

    def _read_new(self) -> None:
        while rows := self._database.rows(
            "SELECT id, item, vector FROM passages_vectors WHERE shelf = ? AND model = ? AND id > ? "
            "AND length(vector) = ? ORDER BY id LIMIT ?",
            self._shelf, self._model, self._last, 4 * self._dimension, BATCH,
        ):  # fmt: skip
            self._make_room(self._size + len(rows))
            end = self._size + len(rows)
            self._passages[self._size : end] = [row[1] for row in rows]
            self._matrix[self._size : end] = self._rows_of(row[2] for row in rows)
            self._size, self._last = end, rows[-1][0]

    def _make_room(self, size: int) -> None:
        import numpy as np

        if self._matrix is not None and size <= len(self._matrix):
            return
        room = max(size, 2 * self._size)
        passages, matrix = np.full(room, -1, "i8"), np.zeros((room, self._dimension), "f4")
        if self._size:
            passages[: self._size], matrix[: self._size] = self._passages[: self._size], self._matrix[: self._size]
        self._passages, self._matrix = passages, matrix

    def _forget(self, passages: list[int]) -> None:
        import numpy as np

        self._passages[np.isin(self._passages, passages)] = -1

    def _rows_of(self, vectors: Iterable[bytes]) -> Any:
        import numpy as np

        return np.frombuffer(b"".join(vectors), "<f4").reshape(-1, self._dimension)


@cache
def possible() -> bool:
    """Whether vectors can be searched here."""
    return find_spec("numpy") is not None
