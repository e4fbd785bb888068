"""SQLite for everything, and beside it a copy of the passages in another engine, which finds what is near in meaning.

What is answered is read from the database each time; where the engine can't be asked, the database's own index answers
alike. Knows nothing of what the engine is.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Self

from memagent.config import Settings
from memagent.errors import MissingExtra, StorageError
from memagent.storage import Part, VectorIndex, Watch
from memagent.storage.closeness import Vectors, nearest
from memagent.storage.mirror import Kind, Mirror
from memagent.storage.sqlite import SqliteDatabase, unwatched

log = logging.getLogger(__name__)

FEW = 10_000
"""Among so many the nearest are found exactly, without the engine."""
MORE = 2
"""So many times as many as are wanted are asked for: an engine may be wrong about the order of the last."""


class MirroredDatabase(SqliteDatabase):
    """A SQLite file and the folder of an engine. `folder` is where it is; without one, it stands beside the file."""

    kind: ClassVar[Kind]
    package: ClassVar[str]

    def __init__(self, path: Path, *, folder: Path | None = None, watch: Watch = unwatched) -> None:
        if not find_spec(self.package):
            raise MissingExtra(f"The storage {self.kind.name}", self.kind.name)
        super().__init__(path, watch=watch)
        try:
            self.mirror = Mirror(path, folder or path.with_name(self.kind.name), self.kind)
        except BaseException:
            super().close()
            raise

    @classmethod
    def of(cls, settings: Settings, watch: Watch = unwatched) -> Self:
        return cls(settings.database_path, folder=settings.storage_folder, watch=watch)

    def vectors(self, table: str, model: str, dimension: int) -> VectorIndex:
        own = super().vectors(table, model, dimension)
        return MirroredVectors(self, own, model, dimension) if table == "passages" else own

    def parts(self) -> list[Part]:
        files = [file for file in self.mirror.folder.rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files)
        return [*super().parts(), Part(self.kind.title, str(self.mirror.folder), size)]

    def check(self) -> list[str]:
        folder = self.mirror.folder
        there = next(path for path in (folder, *folder.parents) if path.exists())
        writable = os.access(there, os.W_OK)
        return [*super().check(), *([] if writable else [f"{folder} can't be written to"])]

    def fill(self, told: Callable[[int, int], None]) -> int:
        """Bring the copy up to date for every model, and see that all is there; returns how many passages have a
        vector in it.
        """
        models = self.rows(
            "SELECT v.model, length(v.vector) / 4, count(*) FROM passages_vectors v JOIN passages p ON p.id = v.item "
            "WHERE p.undone IS NULL GROUP BY 1, 2"
        )
        total, done = sum(count for *_, count in models), 0
        for model, dimension, count in models:
            there = self.mirror.save(model, dimension, partial(_from, told, done, total))
            done += count
            if there != count:
                raise StorageError(
                    f"{self.mirror.folder} has {there:,} passages of {model!r}, the database {count:,}.",
                    hint="Delete that folder, and try again.",
                )
        return done

    def close(self) -> None:
        self.mirror.close()
        super().close()


def _from(told: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    told(before + done, total)


class MirroredVectors(Vectors):
    """The vectors of passages; the engine says where to look."""

    def __init__(self, database: MirroredDatabase, own: VectorIndex, model: str, dimension: int) -> None:
        super().__init__(database, "passages", model, dimension)
        self._mirror = database.mirror
        self._own = own

    def near(
        self, query: bytes, count: int, shelves: Sequence[str], among: Sequence[int] | None = None
    ) -> dict[int, float]:
        """The nearest items, the nearest first, and how near each is."""
        self.check(query)
        if among is not None and len(among) <= FEW:
            return nearest(self.closeness([query], among, shelves)[0], count)
        try:
            return self._near(query, count, shelves, among)
        except StorageError as error:
            log.info("the database's own index answers: %s", error)
            return self._own.near(query, count, shelves, among)

    def _near(self, query: bytes, count: int, shelves: Sequence[str], among: Iterable[int] | None) -> dict[int, float]:
        if count < 1 or not shelves:
            return {}
        some, wanted = None if among is None else list(among), MORE * count
        while True:
            candidates = self._mirror.near(self.model, self.dimension, query, wanted, shelves, some)
            found = self.closeness([query], candidates, shelves)[0]
            if len(found) >= count:
                return nearest(found, count)
            if len(candidates) < wanted:  # there are no more, or the engine has missed some
                whole = some is None and self._held(shelves, count) <= len(found)
                return nearest(found, count) if whole else self._own.near(query, count, shelves, some)
            wanted *= 2  # what was deleted since the copy was brought up to date took the place of others

    def _held(self, shelves: Sequence[str], most: int) -> int:
        """How many vectors there are on some shelves; no more than `most` are counted."""
        rows = self.database.rows(
            "SELECT count(*) FROM (SELECT 1 FROM passages_vectors v JOIN passages p ON p.id = v.item WHERE "
            f"v.shelf IN ({', '.join('?' for _ in shelves)}) AND v.model = ? AND length(v.vector) = ? "
            "AND p.undone IS NULL LIMIT ?)",
            *shelves, self.model, 4 * self.dimension, most,
        )  # fmt: skip
        return int(rows[0][0])

    def save(self) -> None:
        """Bring the copy up to date and make it quick."""
        try:
            self._mirror.save(self.model, self.dimension)
        except StorageError as error:
            log.warning("%s", error)
