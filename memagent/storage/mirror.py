"""A copy of the passages with their vectors in another engine, which says where the nearest are.

The copy is brought up to date from the database: new vectors are known by their numbers, which only grow; what was
changed or deleted stands in a log that triggers keep. `memagent.json` beside the copy says how far it has come. What is
missing, damaged or not of this database is made anew. Knows nothing of what the engine is.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from memagent.config_file import write_whole
from memagent.errors import ConfigError, StorageError
from memagent.storage import reading
from memagent.storage.changes import ChangeLog
from memagent.storage.lock import FileLock
from memagent.storage.sqlite import SqliteDatabase

log = logging.getLogger(__name__)

BATCH = 2000
PATIENCE = 30.0
"""Seconds to wait for another process that is bringing the copy up to date."""
PAUSE = 60.0
"""Seconds in which an engine that failed is not asked again."""
PROGRESS = "memagent.json"
OPENING = "opening"
_COLUMNS = "v.item, v.id, p.shelf, p.note, p.part, p.text, p.tags, p.place, p.created, v.vector"
_HELD = "passages_vectors v JOIN passages p ON p.id = v.item WHERE p.undone IS NULL AND v.model = ? "


@dataclass(frozen=True)
class Copied:
    """A passage as it stands in the copy; `number` is that of its vector."""

    item: int
    number: int
    shelf: str
    note: int
    part: int
    text: str
    tags: Sequence[str]
    place: str
    created: str
    vector: bytes


class Table(Protocol):
    """The passages of which one model made vectors, in the engine."""

    model: str
    dimension: int

    def put(self, rows: Sequence[Copied]) -> None:
        """Add rows, of which none is there."""
        ...

    def drop(self, items: Mapping[int, str]) -> None:
        """Take passages out, where they are there; each is named with its shelf."""
        ...

    def cut(self, number: int) -> None:
        """Take out all rows with larger numbers: they were put there when nobody could note it any more."""
        ...

    def near(self, query: bytes, count: int, shelves: Sequence[str], among: Sequence[int] | None) -> list[int]:
        """The items that are nearest, as far as the engine can tell."""
        ...

    def size(self) -> int:
        """How many rows there are."""
        ...

    def tidy(self) -> None:
        """Make it quick for what it holds now."""
        ...


class Engine(Protocol):
    """What keeps the copy, open on its folder."""

    def tables(self) -> list[Table]:
        """The tables there are."""
        ...

    def table(self, model: str, dimension: int) -> Table:
        """The table of a model, made if there is none."""
        ...

    def close(self) -> None:
        """Let go of the folder."""
        ...


@dataclass(frozen=True)
class Kind:
    """A kind of engine: how it is opened, what it raises when it fails, and whether many processes can use one."""

    name: str
    title: str
    open: Callable[[Path], Engine]
    errors: Callable[[], tuple[type[Exception], ...]]
    shared: bool


class Mirror:
    """The copy of one database in one folder. Safe to use from several threads."""

    def __init__(self, database: Path, folder: Path, kind: Kind) -> None:
        self.folder = folder
        self._kind = kind
        self._database = SqliteDatabase(database)  # of its own: whoever searches may be in the midst of a transaction
        self._guard = threading.RLock()
        self._engine: Engine | None = None
        self._tables: dict[tuple[str, int], Table] = {}
        self._seen: dict[tuple[str, int], tuple[int, int]] = {}
        self._lock: FileLock | None = None
        self._rest_until = 0.0
        self._made = 0
        self._told: Callable[[int], None] = lambda _: None
        self._proven = kind.shared
        try:
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not self._progress.exists():
                hint = "Name an empty folder in the setting storage_path."
                raise StorageError(f"{folder} holds something that is not memagent's copy for {kind.name}.", hint=hint)
            self._changes = ChangeLog(self._database, kind.name)
        except BaseException:
            self._database.close()
            raise

    @property
    def _progress(self) -> Path:
        return self.folder / PROGRESS

    def near(
        self, model: str, dimension: int, query: bytes, count: int, shelves: Sequence[str],
        among: Sequence[int] | None,
    ) -> list[int]:  # fmt: skip
        """The items that are nearest by what the engine holds; raises `StorageError` when it can't be asked now."""
        table = partial(self._up_to_date, model, dimension)
        found: list[int] = self._carefully(lambda: table().near(query, count, shelves, among))
        if not self._proven:
            self._proven = True
            (self.folder / OPENING).unlink(missing_ok=True)
        return found

    def save(self, model: str, dimension: int, told: Callable[[int], None] = lambda _: None) -> int:
        """Bring the table of a model up to date and make it quick; returns how many passages are in it. `told` hears
        how many there are on the way. The log forgets what has been carried over.
        """
        with self._guard:
            self._told = told
            self._carefully(lambda: self._up_to_date(model, dimension).tidy())
            self._told = lambda _: None
            self._changes.forget(self._read_progress()["changes"])
            return self._tables[model, dimension].size()

    def close(self) -> None:
        """Let go of everything."""
        with self._guard:
            self._close_engine()
            if self._lock:
                self._lock.let_go()
                self._lock = None
            self._database.close()

    # The engine -------------------------------------------------------------------------------------------------------

    def _carefully(self, ask: Callable[[], Any]) -> Any:
        """Ask; when that fails, make the copy anew and ask once more."""
        if time.monotonic() < self._rest_until:
            raise StorageError(f"{self._kind.name} has failed, and is left alone for a minute.")
        try:
            return ask()
        except self._kind.errors() as error:
            log.warning("the copy in %s is made anew: %s", self.folder, error)
        try:
            with self._guard, self._locked():
                self._start_anew(self._made)
            return ask()
        except self._kind.errors() as error:
            self._rest_until = time.monotonic() + PAUSE
            raise StorageError(f"{self._kind.name} can't be used in {self.folder}: {error}.") from error

    def _opened(self) -> Engine:
        if self._engine is None:
            if not self._kind.shared:
                (self.folder / OPENING).touch()
            self._engine = self._kind.open(self.folder)
        return self._engine

    def _close_engine(self) -> None:
        engine, self._engine = self._engine, None
        self._tables.clear()
        self._seen.clear()
        if engine:
            with suppress(*self._kind.errors()):
                engine.close()
            (self.folder / OPENING).unlink(missing_ok=True)
        self._proven = self._kind.shared

    def _start_anew(self, made: int) -> None:
        """Empty the folder, which is ours, unless another process has made the copy anew meanwhile."""
        self._close_engine()
        if self._read_progress()["made"] != made:
            return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in self.folder.iterdir():
            if path != self._progress:  # it says whose folder this is
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        made = int.from_bytes(os.urandom(6)) + 1
        log_of = {"log": self._changes.identity(), "changes": self._changes.last()}
        self._write_progress({"made": made, **log_of, "tables": {}})

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else changes the copy meanwhile. What only one process can use is kept until it is closed."""
        held, self._lock = self._lock, None
        path = self.folder.with_name(self.folder.name + ".lock")
        lock = held or FileLock(path, PATIENCE if self._kind.shared else 0.0)
        try:
            yield
        except BaseException:
            if not self._kind.shared:
                self._close_engine()
            lock.let_go()
            raise
        if self._kind.shared:
            lock.let_go()
        else:
            self._lock = lock

    # Catching up ------------------------------------------------------------------------------------------------------

    def _up_to_date(self, model: str, dimension: int) -> Table:
        key = (model, dimension)
        with self._guard:
            now = (self._last_number(), self._changes.last())
            if self._seen.get(key) != now or key not in self._tables:
                with self._locked():
                    self._catch_up(key, now)
                self._seen[key] = now
            return self._tables[key]

    def _catch_up(self, key: tuple[str, int], now: tuple[int, int]) -> None:
        done = self._read_progress()
        if not self._fits(done, now):
            log.info("the copy in %s is made anew", self.folder)
            self._start_anew(done["made"])
            done = self._read_progress()
        elif done["made"] != self._made:
            self._close_engine()
        self._made = done["made"]
        engine = self._opened()
        while changed := self._changes.since(done["changes"], BATCH):
            for table in engine.tables():
                self._carry_over(table, {item: shelf for _, item, shelf in changed}, done)
            done["changes"] = changed[-1][0]
            self._write_progress(done)
        table = engine.table(*key)
        reached = self._reached(done, table)
        if key not in self._tables and not self._whole(table, reached):
            log.warning("the copy in %s is not whole, and is made anew", self.folder)
            self._start_anew(self._made)
            return self._catch_up(key, now)
        self._tables[key] = table
        for number, rows in enumerate(self._new(table, reached["number"])):
            if not number:
                table.cut(reached["number"])
            table.put(rows)
            reached |= {"number": rows[-1].number, "digest": _digest(rows[-1])}
            reached["rows"] = table.size()
            done["tables"][_name(table)] = reached
            self._write_progress(done)
            self._told(reached["rows"])
        return None

    def _whole(self, table: Table, reached: dict[str, Any]) -> bool:
        """Whether a table that was just opened has as much as it must have, and finds what was put there last."""
        if table.size() < reached["rows"]:
            return False
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM {_HELD} AND v.id = ?", table.model, reached["number"])
        last = [_copied(row) for row in rows]
        return all(table.near(each.vector, 1, [each.shelf], [each.item]) == [each.item] for each in last)

    def _carry_over(self, table: Table, items: Mapping[int, str], done: dict[str, Any]) -> None:
        """Let the copy have these passages as they are now; those with a new vector come in with the new ones."""
        reached = self._reached(done, table)
        if reached["rows"]:
            done["tables"][_name(table)] = reached | {"rows": max(0, reached["rows"] - len(items))}
            self._write_progress(done)
        marks = ", ".join("?" for _ in items)
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM {_HELD} AND length(v.vector) = ? AND v.id <= ? AND v.item IN ({marks})",
            table.model, 4 * table.dimension, reached["number"], *items,
        )  # fmt: skip
        table.drop(items)
        if rows:
            table.put([_copied(row) for row in rows])
        if reached["rows"]:
            done["tables"][_name(table)] = reached | {"rows": table.size()}

    def _new(self, table: Table, last: int) -> Iterator[list[Copied]]:
        while rows := self._database.rows(
            f"SELECT {_COLUMNS} FROM {_HELD} AND length(v.vector) = ? AND v.id > ? ORDER BY v.id LIMIT ?",
            table.model, 4 * table.dimension, last, BATCH,
        ):  # fmt: skip
            yield [_copied(row) for row in rows]
            last = rows[-1][1]

    # How far it has come ----------------------------------------------------------------------------------------------

    def _fits(self, done: dict[str, Any], now: tuple[int, int]) -> bool:
        """Whether the copy is one of this database, as it was at some time before now."""
        if done["log"] != self._changes.identity() or done["changes"] > now[1]:
            return False
        if self._engine is None and (self.folder / OPENING).exists():
            return False  # a damaged one can end the process that opens it: once is enough
        for reached in done["tables"].values():
            rows = self._database.rows(
                f"SELECT {_COLUMNS} FROM passages_vectors v JOIN passages p ON p.id = v.item WHERE v.id = ?",
                reached["number"],
            )
            if reached["number"] > now[0] or any(_digest(_copied(row)) != reached["digest"] for row in rows):
                return False
        return True

    def _reached(self, done: dict[str, Any], table: Table) -> dict[str, Any]:
        reached: dict[str, Any] = done["tables"].get(_name(table), {"number": 0, "rows": 0})
        return reached

    def _read_progress(self) -> dict[str, Any]:
        """How far the copy has come; as one that fits no database when that can't be told."""
        try:
            done = json.loads(self._progress.read_text(encoding="utf-8"))
            numbers = [done["made"], done["log"], done["changes"]]
            numbers += [each[name] for each in done["tables"].values() for name in ("number", "rows", "digest")]
            if all(type(number) is int for number in numbers):
                return dict(done)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            pass
        return {"made": 0, "log": 0, "changes": 0, "tables": {}}

    def _write_progress(self, done: dict[str, Any]) -> None:
        try:
            write_whole(self._progress, json.dumps(done))
        except ConfigError as error:
            raise StorageError(error.message) from error

    def _last_number(self) -> int:
        """The number of the last vector that was ever kept."""
        rows = self._database.rows("SELECT seq FROM sqlite_sequence WHERE name = 'passages_vectors'")
        return int(rows[0][0]) if rows else 0


def name_of(model: str, dimension: int) -> str:
    """What the passages of a model are called in an engine: letters that all take, and different for each model."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", model).strip("-")[:40] or "model"
    digest = hashlib.sha256(f"{model}/{dimension}".encode()).hexdigest()[:8]
    return f"passages-{plain}-{dimension}-{digest}"


def _name(table: Table) -> str:
    return f"{table.dimension} {table.model}"


def _digest(row: Copied) -> int:
    """Tells a passage from another that had its number in another state of the database."""
    return zlib.crc32(f"{row.item} {row.created} {row.text}".encode() + row.vector)


def _copied(row: Sequence[Any]) -> Copied:
    item, number, shelf, note, part, text, tags, place, created, vector = row
    with reading("A passage"):
        return Copied(item, number, shelf, note, part, text, json.loads(tags), place, created, vector)
