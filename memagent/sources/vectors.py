"""Texts that come with their embeddings: nothing is embedded again, and the texts are the passages, as they are.

What differs between the stores is in stores.py and arrays.py: each gives entries, some hundred at a time. Knows nothing
of where they are from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memagent.errors import UserError
from memagent.sources import Document, Part, Unreadable, arrays, stores
from memagent.sources.entries import Columns, Entry, Store, numbers

if TYPE_CHECKING:
    import numpy as np

_PLACES = ("file_name", "filename", "source", "file_path", "file", "path", "url", "title", "document_title")
_PAGES = ("page_label", "page_number", "page")


class EntriesReader:
    """Gives what a store holds. `model` is what made the vectors, as it was given; `texts_only` leaves them there."""

    def __init__(self, store: Store, model: str, texts_only: bool) -> None:
        self._store = store
        self._model = "" if texts_only else model_of(store, model)
        self._texts_only = texts_only
        self.about = store.about

    def items(self) -> Iterator[Block]:
        """The entries in blocks; each one that is broken by itself, so that it is told of."""
        yield from blocks(self._store, self._model, self._texts_only)

    def close(self) -> None:
        """Let go of what is open."""
        self._store.close()


class VectorDatabase(EntriesReader):
    """Reads pre-computed embeddings: PostgreSQL with pgvector by its `url`; LanceDB, Chroma, Parquet and NumPy by their
    `path`. `text`, `vector` and `key` name columns, `texts` the file with the texts of a NumPy array. `model` is what
    made the vectors; with `texts_only` the texts alone are read, to be embedded again.
    """

    kind = "vector-database"

    def __init__(
        self,
        path: Path | None = None,
        *,
        url: str = "",
        table: str = "",
        texts: Path | str | None = None,
        text: str = "",
        vector: str = "",
        key: str = "",
        model: str = "",
        texts_only: bool = False,
    ) -> None:
        columns = Columns(text, vector, key)
        if url:
            store: Store = stores.PgVector(url, table, columns)
        elif path is None:
            raise UserError("No store of vectors is named.", hint="Give the path of one, or the address of a database.")
        else:
            path = path.expanduser().absolute()
            found = stores.opened(path, table, columns) or arrays.opened(path, columns, Path(texts) if texts else None)
            if found is None:
                raise UserError(
                    f"{path.name} is no store of vectors that is known.",
                    hint="Known: LanceDB and Chroma folders, .parquet, .npy and .npz files, postgresql:// addresses.",
                )
            store = found
        super().__init__(store, model, texts_only)


def model_of(store: Store, given: str) -> str:
    """The name of the model that made the vectors, as it is given or as the store tells it."""
    if given and store.model and given != store.model:
        raise UserError(f"{store.name} says that {store.model!r} made its vectors, not {given!r}.")
    if not given and not store.model:
        raise UserError(
            f"Which model made the vectors of {store.name} is not known.",
            hint="Name it with --model; or load the texts alone with --texts-only, which embeds them again.",
        )
    return given or store.model


@dataclass(frozen=True)
class Block:
    """Some entries of a store, as a document; or one that is broken."""

    place: str
    stamp: str = ""
    size: int = 0
    document: Document | None = None
    broken: str = ""

    def read(self) -> Document:
        """The document; its parts are passages already."""
        if self.document is None:
            raise Unreadable(self.broken)
        return self.document


def blocks(store: Store, model: str, texts_only: bool) -> Iterator[Block]:
    """All entries of a store as items."""
    number, dimension = 0, 0
    for batch in store.batches():
        first, kept, packed = number + 1, [], []
        for entry in batch:
            number += 1
            broken, vector = "", b""
            if not entry.text.strip():
                broken = "has no text"
            elif not texts_only:
                broken, vector = _packed(entry.vector, dimension)
            if broken:
                yield Block(f"{store.name}, row {number} ({entry.key})", f"{store.stamp}-", broken=broken)
                continue
            dimension = dimension or len(vector) // 4
            kept.append(_part(entry))
            packed.append(vector)
        if kept:
            place = f"{store.name}, rows {first}–{number}"
            vectors = () if texts_only else tuple(packed)
            size = sum(map(len, packed)) + sum(len(part.text) for part in kept)
            yield Block(place, store.stamp, size, Document(place, tuple(kept), vectors=vectors, model=model))


def _packed(vector: Any, dimension: int) -> tuple[str, bytes]:
    """Why a vector can't be used, and the vector as it is kept: of length 1, as little-endian float32."""
    numpy = numbers()
    try:
        values: np.ndarray[Any, Any] = numpy.asarray(vector, dtype="<f8").ravel()
    except (ValueError, TypeError):
        return "has no vector of numbers", b""
    if not len(values):
        return "has no vector", b""
    if dimension and len(values) != dimension:
        return f"has a vector of {len(values)} numbers, where the others have {dimension}", b""
    length = float(numpy.linalg.norm(values))
    if not numpy.isfinite(length) or not length:
        return "has a vector without direction (zeros, NaN or infinite numbers)", b""
    return "", (values / length).astype("<f4").tobytes()


def _part(entry: Entry) -> Part:
    about = {**entry.about, **nested} if isinstance(nested := entry.about.get("metadata"), Mapping) else entry.about
    place = next((str(about[name]) for name in _PLACES if about.get(name)), entry.key)
    page = next((int(str(about[name])) for name in _PAGES if str(about.get(name) or "").isdecimal()), None)
    return Part(entry.text, (place,) if place else (), page)
