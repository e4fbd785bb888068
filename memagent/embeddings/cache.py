"""Keeps the vectors that took time or money, so that the same text is never embedded twice by the same model.

A file of its own in home, found by what is in it: model, dimension and a hash of the text; the texts themselves are not
in it. It can be deleted at any time; when it is damaged, or can't be used, everything goes on without it. Knows nothing
of how vectors are made.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from memagent.embeddings import Embedder
from memagent.write_ahead import write_ahead

if TYPE_CHECKING:
    from memagent.config import Settings
    from memagent.embeddings.asked import AskedEmbedder, Manner
    from memagent.endpoints.failures import Endpoint

log = logging.getLogger(__name__)
T = TypeVar("T")

FILE = Path("cache", "embeddings.db")
"""Where it lies in home."""
MOST_BYTES = 512_000_000
PATIENCE = 2.0
"""Seconds that another process which writes is waited for; then it goes on without the file."""
GROUP = 512
"""So many new texts are embedded before their vectors are kept: no more are lost when the process is killed."""
_TABLES = """
CREATE TABLE IF NOT EXISTS vectors (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS dimensions (place TEXT PRIMARY KEY, dimension INTEGER NOT NULL);
"""


class VectorCache:
    """Vectors in a file, which many threads and processes may use at the same time."""

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self.path = path
        self._most_bytes = most_bytes
        self._guard = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def vectors(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Those of the vectors that are here."""

        def read(connection: sqlite3.Connection) -> dict[bytes, bytes]:
            found: dict[bytes, bytes] = {}
            for start in range(0, len(keys), GROUP):
                some = keys[start : start + GROUP]
                marks = ", ".join("?" for _ in some)
                found |= connection.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some).fetchall()
            return found

        return self._used(read) or {}

    def keep(self, vectors: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep vectors by their keys. When the file has grown too large, the oldest quarter goes."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR IGNORE INTO vectors (key, vector) VALUES (?, ?)", vectors)
            pages, free, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
            if (pages - free) * size > self._most_bytes:
                first, last = connection.execute("SELECT min(id), max(id) FROM vectors").fetchone()
                connection.execute("DELETE FROM vectors WHERE id <= ?", [first + (last - first) // 4])
            connection.execute("COMMIT")

        self._used(write)

    def dimension(self, place: str) -> int:
        """How many dimensions the model there had; 0 if it was never asked."""
        asked = "SELECT dimension FROM dimensions WHERE place = ?"
        row = self._used(lambda connection: connection.execute(asked, [place]).fetchone())
        return row[0] if row and isinstance(row[0], int) else 0

    def keep_dimension(self, place: str, dimension: int) -> None:
        """Remember how many dimensions the model there has."""
        told = "INSERT OR REPLACE INTO dimensions VALUES (?, ?)"
        self._used(lambda connection: connection.execute(told, [place, dimension]))

    def _used(self, use: Callable[[sqlite3.Connection], T]) -> T | None:
        """What comes of a use of the file; None when it can't be used, which is no reason not to go on."""
        with self._guard:
            try:
                if self._connection is None:
                    self._connection = self._connected()
                return use(self._connection)
            except (sqlite3.Error, OSError) as error:
                log.warning("The cache of vectors, %s, was not used: %s", self.path, error)
                self._close()
                if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
                    self._put_aside()
                return None

    def _connected(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
        connection = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            write_ahead(connection, PATIENCE)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_TABLES)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _put_aside(self) -> None:
        with suppress(OSError):
            self.path.replace(self.path.with_name(self.path.name + ".damaged"))
            for ending in ("-wal", "-shm"):
                self.path.with_name(self.path.name + ending).unlink(missing_ok=True)


class CachedEmbedder:
    """An embedder that is asked only for what is not kept yet."""

    def __init__(self, inner: Embedder, cache: VectorCache, place: str) -> None:
        self.model = inner.model
        self._inner = inner
        self._cache = cache
        self._place = place
        self._kept_dimension = cache.dimension(place)

    @property
    def dimension(self) -> int:
        """How many numbers a vector has; 0 while that can't be found out."""
        dimension = self._inner.dimension
        if dimension and dimension != self._kept_dimension:
            self._cache.keep_dimension(self._place, dimension)
            self._kept_dimension = dimension
        return dimension

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        """One vector for each text."""
        dimension = self.dimension
        keys = {text: key_of(self.model, dimension, text) for text in texts}
        found = self._cache.vectors(list(keys.values())) if dimension else {}
        found = {key: vector for key, vector in found.items() if len(vector) == 4 * dimension}
        missing = [text for text, key in keys.items() if key not in found]
        for start in range(0, len(missing), GROUP):
            group = missing[start : start + GROUP]
            new = {keys[text]: vector for text, vector in zip(group, self._inner.embed(group), strict=True)}
            found |= new
            if dimension:
                self._cache.keep((key, vector) for key, vector in new.items() if any(vector))
        return [found[keys[text]] for text in texts]


def key_of(model: str, dimension: int, text: str) -> bytes:
    """Under which key the vector of a text is kept."""
    return blake2b(f"{model}\0{dimension}\0{text}".encode("utf-8", "replace"), digest_size=20).digest()


def kept(
    settings: Settings, endpoint: Endpoint, manner: Manner, make: Callable[[int], AskedEmbedder], usual: int = 0
) -> Embedder:
    """An embedder whose vectors are kept in home. `make` is told what is known of its dimension from earlier; `usual`
    is what such a model has, if it was never asked.
    """
    cache = VectorCache(settings.home / FILE)
    place = f"{endpoint.url} {endpoint.model} {settings.embedding_dimension}"
    return CachedEmbedder(make(usual or (0 if manner.anew else cache.dimension(place))), cache, place)
