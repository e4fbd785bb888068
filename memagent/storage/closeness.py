"""How near items are to a query, read from the database itself: what every index answers from, whatever it keeps.

An index only says where to look. So what was deleted, taken back or is on another shelf is never answered, whoever did
it. Knows nothing of texts or of how vectors are made. Needs numpy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

from memagent.errors import StorageError
from memagent.storage import Database, marked

BATCH = 500
THERE = {
    "passages": "t.shelf {} AND t.undone IS NULL",
    "messages": "t.agent {} AND t.undone IS NULL",
    "facts": "t.shelf {}",
}
"""By table: what must hold for a row `t` to be found, with what its shelf is compared with."""


class Vectors:
    """The vectors of one model and dimension, of the passages, messages or facts in a database."""

    def __init__(self, database: Database, table: str, model: str, dimension: int) -> None:
        self.database = database
        self.table = table
        self.model = model
        self.dimension = dimension

    def any(self, shelves: Sequence[str]) -> bool:
        """Whether there are vectors at all."""
        return any(
            self.database.rows(
                f"SELECT 1 FROM {self.table}_vectors WHERE shelf = ? AND model = ? AND length(vector) = ? LIMIT 1",
                shelf, self.model, 4 * self.dimension,
            )
            for shelf in shelves
        )  # fmt: skip

    def closeness(
        self, queries: Sequence[bytes], items: Iterable[int], shelves: Sequence[str], *, sure: bool = False
    ) -> list[dict[int, float]]:
        """For each query how near these items are, but for those without a vector."""
        _, found, scores = self.looked_up(queries, "item", items, shelves, sure)
        return [dict(zip(found, each, strict=True)) for each in scores]

    def looked_up(
        self,
        queries: Sequence[bytes],
        by: str,
        numbers: Iterable[int],
        shelves: Sequence[str],
        sure: bool = False,  # noqa: ARG002  # of what has to be read, it is not worth anything
    ) -> tuple[list[int], list[int], list[list[float]]]:
        """The rows with these numbers, by their "id" or by their "item": both, and for each query how near they are."""
        import numpy as np

        for query in queries:
            self.check(query)
        asked = np.frombuffer(b"".join(queries), "<f4").reshape(-1, self.dimension)
        wanted, near = list(numbers), [list[float]() for _ in queries]
        ids, items = list[int](), list[int]()
        for start in range(0, len(wanted) if shelves else 0, BATCH):
            marks, some = marked(wanted[start : start + BATCH])
            ours = ", ".join("?" for _ in shelves)
            rows = self.database.rows(  # || '' keeps the database from going through all of a shelf's rows instead
                f"SELECT v.id, v.item, v.vector FROM {self.table}_vectors v JOIN {self.table} t ON t.id = v.item "
                f"WHERE v.{by} IN ({marks}) AND {THERE[self.table].format('= v.shelf')} "
                f"AND v.shelf || '' IN ({ours}) AND v.model = ? AND length(v.vector) = ?",
                *some, *shelves, self.model, 4 * self.dimension,
            )  # fmt: skip
            matrix = np.frombuffer(b"".join(row[2] for row in rows), "<f4").reshape(-1, self.dimension)
            scores = compared(matrix, asked)
            if not (sound := np.isfinite(scores).all(axis=0)).all():
                rows, scores = [row for row, is_sound in zip(rows, sound, strict=True) if is_sound], scores[:, sound]
            ids += [row[0] for row in rows]
            items += [row[1] for row in rows]
            for each, more in zip(near, scores.tolist(), strict=True):
                each += more
        return ids, items, near

    def check(self, query: bytes) -> None:
        """Refuse a query that can't be compared with these vectors."""
        if len(query) != 4 * self.dimension:
            raise StorageError(
                f"A vector of dimension {len(query) // 4} can't be compared with those of {self.model!r}, "
                f"which are of dimension {self.dimension}.",
                hint="Check the embedding model in the settings.",
            )


def compared(matrix: Any, asked: Any) -> Any:
    """For each vector that is asked for, how near those of a matrix are."""
    import numpy as np

    with np.errstate(invalid="ignore", over="ignore"):
        # Not `@`: for so few numbers it would wake a thread for each core, and wait for all of them.
        return np.stack([np.einsum("ij,j->i", matrix, one) for one in asked])


def nearest(closeness: dict[int, float], count: int) -> dict[int, float]:
    """The nearest items first, of equals the newest, and only so many."""
    best = sorted(closeness.items(), key=lambda item: (-item[1], -item[0]))
    return dict(best[:count])


@cache
def possible() -> bool:
    """Whether vectors can be compared here."""
    return find_spec("numpy") is not None
