"""Vectors in files: NumPy arrays with their texts beside them, and Parquet.

Nothing in them is run: arrays of Python objects are refused. Knows nothing of what becomes of the vectors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from memagent.errors import MissingExtra, NotFound, UserError
from memagent.sources import Unreadable, json_stream
from memagent.sources.directory import shown
from memagent.sources.entries import BATCH, KEYS, TEXTS, VECTORS, Columns, Entry, Store, numbers

_PICKLED = re.compile("pickle|Python objects")
LARGEST = 16_000_000_000
"""What an .npz file may unpack to: it can't be mapped, and is read into memory."""


def opened(path: Path, columns: Columns, texts: Path | None) -> Store | None:
    """The store that a file is, if it is one."""
    if not path.exists():
        raise NotFound(f"There is no file or folder {str(path)!r}.")
    if path.suffix.lower() in (".npy", ".npz"):
        return Arrays(path, columns, texts)
    if path.suffix.lower() in (".parquet", ".pq"):
        return Parquet(path, columns)
    return None


def stamp_of(path: Path) -> str:
    """What changes when a file changes."""
    found = path.stat()
    return f"{found.st_mtime_ns}-{found.st_size}"


class Arrays:
    """An array of vectors, one in each row, with as many texts."""

    model = ""

    def __init__(self, path: Path, columns: Columns, texts: Path | None) -> None:
        self.name = shown(path.name)
        self.about = shown(str(path))
        self._texts_at = texts or (None if path.suffix.lower() == ".npz" else _beside(path))
        self.stamp = stamp_of(path) + (f" {stamp_of(self._texts_at)}" if self._texts_at else "")
        self._columns = columns
        try:
            self._vectors, self._texts = self._loaded(path)
        except (ValueError, OSError, EOFError, BadZipFile, KeyError) as error:
            reason = "it holds Python objects, which are not read" if _PICKLED.search(str(error)) else str(error)
            raise UserError(f"{path.name} can't be read: {reason}") from error
        if self._vectors.ndim != 2 or self._vectors.dtype.kind not in "fiu":
            raise UserError(f"{path.name} is no table of numbers with a vector in each row.")
        if self._texts is not None and len(self._texts) != len(self._vectors):
            raise UserError(f"{path.name} has {len(self._vectors)} vectors and {len(self._texts)} texts.")

    def batches(self) -> Iterator[Sequence[Entry]]:
        """Some rows at a time. The file of texts must be as long as the array."""
        with ExitStack() as opened:
            if self._texts is not None:
                entries: Iterator[Entry] = (
                    Entry(str(n), str(text), None) for n, text in enumerate(self._texts.tolist(), 1)
                )
            else:
                assert self._texts_at
                entries = texts_in(self._texts_at, self._columns, opened)
            count = 0
            while batch := list(islice(entries, BATCH)):
                if count + len(batch) > len(self._vectors):
                    break
                rows = self._vectors[count : count + len(batch)]
                yield [Entry(e.key, e.text, row, e.about) for e, row in zip(batch, rows, strict=True)]
                count += len(batch)
            if count != len(self._vectors) or batch:
                said = f"more than {count}" if batch else str(count)
                raise UserError(f"{self.name} has {len(self._vectors)} vectors, but there are {said} texts.")

    def close(self) -> None:
        """Let go of the array."""
        self._vectors = self._texts = None

    def _loaded(self, path: Path) -> tuple[Any, Any]:
        """The vectors, and the texts if they are in the same file."""
        numpy = numbers()
        if path.suffix.lower() == ".npy":
            vectors, texts = numpy.load(path, mmap_mode="r", allow_pickle=False), None
        else:
            with ZipFile(path) as archive:
                if sum(info.file_size for info in archive.infolist()) > LARGEST:
                    raise UserError(f"{path.name} unpacks to more than {LARGEST // 1_000_000_000} GB.")
            with numpy.load(path, allow_pickle=False) as arrays:
                vectors = arrays[_named(arrays.files, (self._columns.vector, *VECTORS), "vectors")]
                texts = None if self._texts_at else arrays[_named(arrays.files, (self._columns.text, *TEXTS), "texts")]
        if self._texts_at and self._texts_at.suffix.lower() == ".npy":
            texts = numpy.load(self._texts_at, mmap_mode="r", allow_pickle=False)
        return vectors, texts


def _named(names: Sequence[str], wanted: Sequence[str], what: str) -> str:
    found = next((name for name in wanted if name in names), "")
    if not found:
        raise UserError(f"It is not clear where the {what} are.", hint=f"There are: {', '.join(names)}.")
    return found


def _beside(path: Path) -> Path:
    """The texts of an array: a file of the same name beside it, or one called texts."""
    stems = (path.stem, f"{path.stem}_texts", f"{path.stem}.texts", "texts", "documents")
    for name in (stem + end for stem in stems for end in (".jsonl", ".json", ".txt", ".npy")):
        found = path.with_name(name)
        if found.is_file() and found != path:
            return found
    raise UserError(f"Where the texts of {path.name} are is not known.", hint="Name the file, with --texts.")


def texts_in(path: Path, columns: Columns, opened: ExitStack) -> Iterator[Entry]:
    """The texts of a file: JSON in lines, a list in JSON, or plain lines."""
    try:
        file = opened.enter_context(path.open("rb"))
    except OSError as error:
        raise NotFound(f"The file of texts {str(path)!r} can't be opened: {error.strerror}.") from error
    text = json_stream.decoded(file)
    if path.suffix.lower() not in (".jsonl", ".ndjson", ".json"):
        yield from (Entry(str(n), line.rstrip("\n"), None) for n, line in enumerate(text, 1))
        return
    records = json_stream.records(text) if path.suffix.lower() == ".json" else json_stream.lines(text)
    try:
        for number, record in enumerate(records, 1):
            yield _entry(record, number, columns)
    except Unreadable as error:
        raise UserError(f"{path.name} {error.message}.") from error


def _entry(record: Any, number: int, columns: Columns) -> Entry:
    if isinstance(record, str):
        return Entry(str(number), record, None)
    if not isinstance(record, dict):
        return Entry(str(number), "", None)
    text = next((record[n] for n in (columns.text, *TEXTS) if isinstance(record.get(n), str)), "")
    key = next((str(record[n]) for n in (columns.key, *KEYS) if record.get(n) not in (None, "")), str(number))
    return Entry(key, text, None, record)


class Parquet:
    """A file of Parquet with a column of vectors and one of texts."""

    def __init__(self, path: Path, columns: Columns) -> None:
        try:
            from pyarrow import lib, parquet
        except ImportError as error:
            raise MissingExtra("What reads Parquet", "lancedb") from error
        self.name, self.about, self.stamp = shown(path.name), shown(str(path)), stamp_of(path)
        try:
            self._file = parquet.ParquetFile(path)
            schema = self._file.schema_arrow
        except (lib.ArrowException, OSError) as error:
            raise UserError(f"{path.name} can't be read: {error}") from error
        self._columns = picked(schema, columns)
        self._others = others_of(schema, self._columns)
        self.model = model_in(schema)

    def batches(self) -> Iterator[Sequence[Entry]]:
        """Some rows at a time."""
        from pyarrow import lib

        try:
            for batch in self._file.iter_batches(BATCH, columns=self._others):
                yield entries_of(batch, self._columns)
        except (lib.ArrowException, OSError) as error:
            raise UserError(f"{self.name} is broken: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


# Arrow, which LanceDB gives too ---------------------------------------------------------------------------------------


def picked(schema: Any, columns: Columns) -> Columns:
    """Which columns of an Arrow table hold what."""
    from pyarrow import types

    lists = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    vectors = [f.name for f in schema if any(is_(f.type) for is_ in lists) and types.is_floating(f.type.value_type)]
    texts = [f.name for f in schema if types.is_string(f.type) or types.is_large_string(f.type)]
    return columns.pick(schema.names, vectors, texts)


def others_of(schema: Any, columns: Columns) -> list[str]:
    """The columns to read: what is needed, and what else may tell where a text is from."""
    from pyarrow import types

    told = [f.name for f in schema if types.is_string(f.type) or types.is_integer(f.type) or types.is_struct(f.type)]
    return [name for name in schema.names if name in (columns.text, columns.vector, columns.key, *told)]


def entries_of(batch: Any, columns: Columns) -> list[Entry]:
    """The rows of an Arrow batch."""
    vectors = batch.column(columns.vector)
    names = [name for name in batch.schema.names if name != columns.vector]
    rows = batch.select(names).to_pylist()
    return [
        Entry(
            str(row.get(columns.key) or "") if columns.key else "",
            str(row.get(columns.text) or ""),
            vectors[n].values.to_numpy(zero_copy_only=False) if vectors[n].is_valid else (),
            row,
        )
        for n, row in enumerate(rows)
    ]


def model_in(schema: Any) -> str:
    """The name of the model, where a table's own notes tell it, as LanceDB writes them."""
    told = (schema.metadata or {}).get(b"embedding_functions", b"")
    try:
        functions = json.loads(told) if told else []
        return str(functions[0]["model"].get("name") or functions[0]["name"]) if functions else ""
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
