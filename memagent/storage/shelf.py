"""The vectors of one shelf, ready to be searched: what came last as it is, in memory; what came before it as signs.

A shelf of up to `exact_most` vectors is all in memory, and every one is looked at. Beyond that there are `Signs`, in a
file beside the database, and in memory only what has come since; when that is as many again, they are added. All this
only says where to look: rows that are gone meanwhile are still in it, until more than half of them are. Knows nothing
of what a search does with it. Needs numpy.
"""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memagent.storage import Database, Row, signs_file
from memagent.storage.signs import Signs

BATCH = 8_192
AT_ONCE = 1 << 18  # so many numbers are multiplied at once: with more, the processor's cores would wait for each other
MEAN_OF = 64 * 256  # so many vectors tell the mean
GROWN = 8  # the mean of a shelf is taken again when it has so many times the vectors that it had
WITNESSES = 64
HALF_WRITTEN = 3600.0  # seconds after which nobody writes to a file any more


@dataclass(frozen=True)
class Which:
    """Which vectors are meant: in what table, on which shelf, by which model, of how many numbers."""

    table: str
    shelf: str
    model: str
    dimension: int

    @property
    def about(self) -> dict[str, Any]:
        """The same, as it stands in a file's header."""
        return {"table": self.table, "shelf": self.shelf, "model": self.model, "dimension": self.dimension}

    @property
    def file_name(self) -> str:
        """A name that no other shelf's file has."""
        return f"{self.table}-{hashlib.sha256(repr((self.shelf, self.model)).encode()).hexdigest()[:24]}.signs"


class Tail:
    """Vectors in memory, as they are, in the order of their rows."""

    def __init__(self, dimension: int, after: int) -> None:
        import numpy as np

        self.last = after
        self.size = 0
        self.rows, self.items = np.zeros(0, "i8"), np.zeros(0, "i8")
        self.matrix = np.zeros((0, dimension), "f4")

    def add(self, rows: Any, items: Any, vectors: Any) -> None:
        """Keep more of them, but for those that are not of numbers. Whoever has a view of those before keeps it: none
        is ever moved.
        """
        import numpy as np

        self.last, sound = int(rows[-1]), np.isfinite(vectors).all(axis=1)
        rows, items, vectors = rows[sound], items[sound], vectors[sound]
        end = self.size + len(rows)
        if end > len(self.rows):
            room = max(end, 2 * self.size)
            for name in ("rows", "items", "matrix"):
                before = getattr(self, name)
                grown = np.zeros((room, *before.shape[1:]), before.dtype)
                grown[: self.size] = before[: self.size]
                setattr(self, name, grown)
        self.rows[self.size : end], self.items[self.size : end] = rows, items
        self.matrix[self.size : end] = vectors
        self.size = end

    def view(self) -> Tail:
        """What is in it now."""
        seen = Tail.__new__(Tail)
        seen.last, seen.size = self.last, self.size
        seen.rows, seen.items = self.rows[: self.size], self.items[: self.size]
        seen.matrix = self.matrix[: self.size]
        return seen

    def places(self, rows: Any) -> tuple[Any, Any]:
        """Where some rows stand, and whether they do at all."""
        import numpy as np

        if not self.size:
            return np.zeros(len(rows), "i8"), np.zeros(len(rows), bool)
        at = np.minimum(np.searchsorted(self.rows, rows), self.size - 1)
        return at, self.rows[at] == rows

    def closeness(self, query: Any) -> Any:
        """How near each is."""
        import numpy as np

        found = np.empty(self.size, "f4")
        step = max(1, AT_ONCE // len(query))
        for start in range(0, self.size, step):
            np.matmul(self.matrix[start : start + step], query, out=found[start : start + step])
        return found


class Shelf:
    """The vectors of one shelf. Safe to use from several threads."""

    def __init__(self, database: Database, which: Which, folder: Path | None, exact_most: int) -> None:
        self._database = database
        self._which = which
        self._path = folder / which.file_name if folder else None
        self._exact_most = exact_most
        self._guard = threading.Lock()
        self._opened = False
        self._signs: Signs | None = None
        self._mean_of = 0  # how many vectors there were when the mean was taken
        self._tail = Tail(which.dimension, 0)

    @property
    def bytes(self) -> int:
        """What it takes in memory, but for what is mapped."""
        return int(self._tail.matrix.nbytes)

    def parts(self) -> tuple[Signs | None, Tail]:
        """All that there is now, as signs and as it is."""
        with self._guard:
            if not self._opened:
                self._open()
                self._opened = True
            while self._read_tail():
                self._grow()
            return self._signs, self._tail.view()

    def kept(self) -> Tail:
        """What is in memory as it is, of what was read so far."""
        with self._guard:
            return self._tail.view()

    def forget_gone(self) -> None:
        """Read all again, if more than half of the rows are gone."""
        with self._guard:
            known = self._tail.size + (len(self._signs) if self._signs is not None else 0)
            if self._alive(self._tail.last) < known / 2:
                self._forget()

    # Inside -----------------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Take what is in the file, if that is of this database, and not of a later time than the database is."""
        found = signs_file.load(self._path, self._which.about) if self._path else None
        if not found:
            return
        signs, head = found
        last = int(signs.rows[-1])
        newest = self._database.rows("SELECT seq FROM sqlite_sequence WHERE name = ?", f"{self._which.table}_vectors")
        if newest and newest[0][0] >= last and self._vouched(signs):
            self._signs, self._mean_of = signs, int(head.get("mean_of", len(signs)))
            self._tail = Tail(self._which.dimension, last)

    def _vouched(self, signs: Signs) -> bool:
        """Whether some of the rows, the newest among them, are what the database holds under their numbers; and half of
        those from all along are still there.
        """
        import numpy as np

        along = np.unique(np.linspace(0, len(signs) - 1, WITNESSES).astype("i8"))
        places = np.union1d(along, np.arange(max(0, len(signs) - WITNESSES), len(signs)))
        rows = signs.rows[places].tolist()
        marks = ", ".join("?" for _ in rows)
        found = self._rows(f"shelf || '' = ? AND id IN ({marks})", self._which.shelf, *rows)
        if not found:
            return False
        numbers, items, vectors = self._arrays(found)
        again = Signs.made(signs.mean, len(found))
        again.put(0, numbers, items, vectors)
        there = places[np.isin(signs.rows[places], numbers)]
        return 2 * len(np.intersect1d(there, along)) >= len(along) and again.same(np.arange(len(there)), signs, there)

    def _alive(self, last: int) -> int:
        """How many rows there are up to one."""
        which = self._which
        return int(
            self._database.rows(
                f"SELECT count(*) FROM {which.table}_vectors WHERE shelf = ? AND model = ? AND id <= ?",
                which.shelf, which.model, last,
            )[0][0]
        )  # fmt: skip

    def _forget(self) -> None:
        self._signs, self._mean_of, self._tail = None, 0, Tail(self._which.dimension, 0)

    def _read_tail(self) -> bool:
        """Read what is new; True when that is too much to be kept as it is."""
        import numpy as np

        while self._tail.size <= self._exact_most:
            found = self._after(self._tail.last, BATCH)
            if not found:
                return False
            numbers, items, vectors = zip(*found, strict=True)
            self._tail.add(np.array(numbers, "i8"), np.array(items, "i8"), self._matrix(vectors))
        return True

    def _grow(self) -> None:
        """Make signs of all that there is."""
        if self._another_grew():
            return
        before = self._signs
        start = int(before.rows[-1]) if before is not None else 0
        newest, more = self._newest_and_more(start)
        if before is not None and len(before) + more > GROWN * self._mean_of:
            before, start = None, 0
            newest, more = self._newest_and_more(0)
        if not more:  # all that was new is gone again
            self._tail = Tail(self._which.dimension, self._tail.last)
            return
        mean = self._mean(newest) if before is None else before.mean
        room = (len(before) if before is not None else 0) + more
        if before is None:
            self._mean_of = more

        def fill(signs: Signs) -> int:
            signs.mean[:] = mean
            size, last = 0, start
            if before is not None:
                signs.put_all(before)
                size = len(before)
            while size < room and (found := self._after(last, min(BATCH, room - size))):
                signs.put(size, *self._arrays(found))
                size, last = size + len(found), found[-1][0]
            return size

        about = {**self._which.about, "mean_of": self._mean_of}
        self._signs = signs_file.written(self._path, about, room, fill)
        if len(self._signs):
            self._tail = Tail(self._which.dimension, int(self._signs.rows[-1]))
        else:  # all were deleted just now
            self._forget()

    def _another_grew(self) -> bool:
        """Take over what another process has put into the file meanwhile, if it has."""
        size = len(self._signs) if self._signs is not None else 0
        head = signs_file.about(self._path) if self._path else None
        if head and head.get("size", 0) > size:
            self._open()
        return self._signs is not None and len(self._signs) > size

    def _newest_and_more(self, after: int) -> tuple[int, int]:
        """The number of the newest row, and how many there are after one."""
        which = self._which
        newest, more = self._database.rows(
            f"SELECT max(id), count(*) FROM {which.table}_vectors "
            "WHERE shelf = ? AND model = ? AND id > ?",
            which.shelf, which.model, after,
        )[0]  # fmt: skip
        return newest or 0, more

    def _mean(self, newest: int) -> Any:
        """The mean of vectors from all along the shelf."""
        import numpy as np

        first = self._after(0, 1)
        starts = np.linspace(first[0][0] - 1 if first else 0, newest, MEAN_OF // 256, endpoint=False)
        chunks = [self._after(int(at), 256) for at in starts]
        vectors = [self._arrays(chunk)[2] for chunk in chunks if chunk] or [np.zeros((1, self._which.dimension), "f4")]
        return np.concatenate(vectors).mean(axis=0)

    def _after(self, row: int, count: int) -> list[Row]:
        return self._rows("shelf = ? AND id > ?", self._which.shelf, row, limit=count)

    def _rows(self, where: str, *values: Any, limit: int = -1) -> list[Row]:
        """Rows of the table that have vectors like ours: numbers, items and vectors, in the order of their numbers."""
        which = self._which
        return self._database.rows(
            f"SELECT id, item, vector FROM {which.table}_vectors WHERE {where} AND model = ? AND length(vector) = ? "
            "ORDER BY id LIMIT ?",
            *values, which.model, 4 * which.dimension, limit,
        )  # fmt: skip

    def _arrays(self, rows: list[Row]) -> tuple[Any, Any, Any]:
        import numpy as np

        numbers, items, vectors = zip(*rows, strict=True)
        matrix = np.nan_to_num(self._matrix(vectors), posinf=0, neginf=0)
        return np.array(numbers, "i8"), np.array(items, "i8"), matrix

    def _matrix(self, vectors: Any) -> Any:
        import numpy as np

        return np.frombuffer(b"".join(vectors), "<f4").reshape(-1, self._which.dimension)


def sweep(database: Database, table: str, folder: Path) -> None:
    """Remove the files of a folder that are of no use: of shelves that are gone, damaged, or left half written."""
    with suppress(OSError):
        for path in folder.glob(f"{table}-*"):
            if path.suffix == ".part" and path.stat().st_mtime > time.time() - HALF_WRITTEN:
                continue  # somebody is at it
            found = signs_file.about(path) or {}
            if not database.rows(
                f"SELECT 1 FROM {table}_vectors WHERE shelf = ? AND model = ? LIMIT 1",
                str(found.get("shelf")), str(found.get("model")),
            ):  # fmt: skip
                path.unlink()
