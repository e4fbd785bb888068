"""The vector index of SQLite: which items of some shelves have the vectors nearest to one.

Each `Shelf` says where to look: exactly while it is small, likely beyond. Whether what is answered is there is read
from the database each time, and so is its vector if that is not in memory. So what was deleted or taken back is gone at
once, whoever did it, and nothing on another shelf is ever found, whatever stands in a file. Knows nothing of texts or
of how vectors are made. Needs numpy.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from memagent.storage import Database, Row, marked
from memagent.storage.closeness import BATCH, THERE, Vectors, compared, nearest
from memagent.storage.shelf import Shelf, Tail, Which, sweep
from memagent.storage.signs import Signs, largest

EXACT_MOST = 16_384
"""So many vectors of a shelf are kept as they are, and each of them is looked at."""
LIKELY = 100
"""So many of those that are likely nearest are looked up; two for each that is wanted, if that is more."""
FEW = 1_000
"""Among so many, each is looked up."""
IN_MEMORY = 256 << 20
"""Bytes of vectors in memory; beyond, the shelves that were not asked for longest are read again when they are."""
MANY_GONE = 16
"""When so many times what is wanted had to be looked up, many rows are gone."""


class SqliteVectors(Vectors):
    """The vectors that one model made of the rows of one table. `folder` is where files are kept; `writing` says
    whether this thread has a transaction open, of which nothing may be remembered.
    """

    def __init__(
        self, database: Database, table: str, model: str, dimension: int, folder: Path,
        writing: Callable[[], bool] = lambda: False, exact_most: int = EXACT_MOST,
    ) -> None:  # fmt: skip
        super().__init__(database, table, model, dimension)
        self._folder = folder
        self._writing = writing
        self._exact_most = exact_most
        self._guard = threading.Lock()
        self._shelves: OrderedDict[str, Shelf] = OrderedDict()
        self._swept = False

    def near(
        self, query: bytes, count: int, shelves: Sequence[str], among: Sequence[int] | None = None
    ) -> dict[int, float]:
        """The nearest items, the nearest first, and how near each is."""
        import numpy as np

        self.check(query)
        only = None if among is None else np.unique(np.asarray(among, "i8"))
        if count < 1 or not shelves or (only is not None and not len(only)):
            return {}
        if only is not None and len(only) <= FEW:
            return nearest(self.closeness([query], only.tolist(), shelves)[0], count)
        wanted, likely, times = np.frombuffer(query, "<f4"), max(LIKELY, 2 * count), 1
        opened = [self._shelf(shelf) for shelf in dict.fromkeys(shelves)]
        parts = [shelf.parts() for shelf in opened]
        while True:  # until so many are still there, or there are no more
            exact = _first((_exact(tail, wanted, times * count, only) for _, tail in parts), times * count)
            about = _first((_likely(signs, wanted, times * likely, only) for signs, _ in parts), times * likely)
            ids, items, (scores,) = self.looked_up([query], "id", [*exact, *about], shelves)
            there = set(ids)
            if (len(exact) < times * count or len(there.intersection(exact)) >= count) and (
                len(about) < times * likely or len(there.intersection(about)) >= likely * 3 // 4
            ):
                break
            times *= 4
        self._tidy(opened if times >= MANY_GONE else ())
        return nearest(dict(zip(items, scores, strict=True)), count)

    def looked_up(
        self, queries: Sequence[bytes], by: str, numbers: Iterable[int], shelves: Sequence[str], sure: bool = False
    ) -> tuple[list[int], list[int], list[list[float]]]:
        """Of what one shelf has in memory, only whether it is still there is read: a row's vector never changes."""
        import numpy as np

        wanted = list(numbers)
        if len(shelves) != 1 or not wanted or self._writing():
            return super().looked_up(queries, by, wanted, shelves)
        for query in queries:
            self.check(query)
        tail, rest = self._shelf(shelves[0]).kept(), list[int]()
        if by == "id":
            rows = np.array(wanted, "i8")
            at, known = tail.places(rows)
            rest, wanted = rows[~known].tolist(), tail.items[at[known]].tolist()
        there = self._there(wanted, None if sure else shelves[0])
        at, known = tail.places(there[:, 0])
        rest += there[~known, 0].tolist()
        asked = np.frombuffer(b"".join(queries), "<f4").reshape(-1, self.dimension)
        ids, items = (column.tolist() for column in there[known].T)
        near = compared(tail.matrix[at[known]], asked).tolist()
        if rest:
            more_ids, more_items, more = super().looked_up(queries, "id", rest, shelves)
            ids, items = ids + more_ids, items + more_items
            near = [one + other for one, other in zip(near, more, strict=True)]
        return ids, items, near

    def _there(self, items: Sequence[int], shelf: str | None) -> Any:
        """Those of some items that have a vector, and are on a shelf: the numbers of its row and of the item."""
        import numpy as np

        found, source, on_shelf = list[Row](), f"{self.table}_vectors v", ""
        if shelf is not None:
            source += f" JOIN {self.table} t ON t.id = v.item"
            on_shelf = " AND " + THERE[self.table].format("|| '' = ?")
        for start in range(0, len(items), BATCH):
            marks, some = marked(items[start : start + BATCH])
            found += self.database.rows(
                f"SELECT v.id, v.item FROM {source} WHERE v.item IN ({marks}){on_shelf}",
                *some, *(() if shelf is None else (shelf,)),
            )  # fmt: skip
        return np.array(found, "i8").reshape(-1, 2)

    def save(self) -> None:
        """Bring the files up to date; shelves that need none are read when they are asked for."""
        for (shelf,) in self.database.rows(
            f"SELECT shelf FROM {self.table}_vectors WHERE model = ? GROUP BY shelf HAVING count(*) > ?",
            self.model, self._exact_most,
        ):  # fmt: skip
            self._shelf(shelf).parts()

    def _shelf(self, name: str) -> Shelf:
        which = Which(self.table, name, self.model, self.dimension)
        if self._writing():  # what is read now may yet be rolled back
            return Shelf(self.database, which, None, self._exact_most)
        with self._guard:
            if not self._swept:
                self._swept = True
                sweep(self.database, self.table, self._folder)
            if name not in self._shelves:
                self._shelves[name] = Shelf(self.database, which, self._folder, self._exact_most)
            self._shelves.move_to_end(name)
            return self._shelves[name]

    def _tidy(self, with_many_gone: Sequence[Shelf]) -> None:
        for shelf in with_many_gone:
            shelf.forget_gone()
        with self._guard:
            while len(self._shelves) > 1 and sum(shelf.bytes for shelf in self._shelves.values()) > IN_MEMORY:
                self._shelves.popitem(last=False)


def _exact(tail: Tail, query: Any, count: int, only: Any) -> tuple[Any, Any]:
    import numpy as np

    rows, scores = tail.rows, tail.closeness(query)
    if only is not None:
        counts = np.isin(tail.items, only)
        rows, scores = rows[counts], scores[counts]
    best = largest(scores, count)
    return rows[best], scores[best]


def _likely(signs: Signs | None, query: Any, count: int, only: Any) -> tuple[Any, Any]:
    if signs is None:
        return (), ()
    return signs.nearest(query, count, None if only is None else signs.places_of(only))


def _first(found: Iterable[tuple[Any, Any]], count: int) -> list[int]:
    """The rows that are nearest of all that were found on the shelves."""
    import numpy as np

    rows, scores = (np.concatenate(each) for each in zip(*found, strict=True))
    nearest: list[int] = rows[largest(scores, count)].astype("i8").tolist()
    return nearest
