"""The storage `chroma`: a copy of the passages in Chroma, a collection for each shelf, which other tools can open too.

Chroma runs in this process, on files: its server is never started, nothing is told to its makers, and it is given
vectors only, since its own embedder would download a model. It is not made for several processes at once, so the first
one has it. Knows nothing of how the copy is kept up to date.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from memagent.storage.mirror import Copied, Kind, Table, name_of
from memagent.storage.mirrored import MirroredDatabase

AT_ONCE = 10_000
"""So many items can be named in one question; Chroma's database takes no more than 32,766 values."""
WIDE = {"space": "ip", "ef_construction": 200, "ef_search": 200}
"""How thoroughly Chroma looks; what it tells is checked against the database anyway."""
MODEL, DIMENSION, SHELF = "memagent.model", "memagent.dimension", "memagent.shelf"
"""What a collection tells of itself."""


class ChromaEngine:
    """A folder of Chroma."""

    def __init__(self, folder: Path) -> None:
        import chromadb
        from chromadb.config import Settings

        settings = Settings(
            _env_file=None,  # Chroma would read its own settings from any .env that lies about
            chroma_api_impl="chromadb.api.rust.RustBindingsAPI", chroma_server_host=None,
            chroma_otel_collection_endpoint="", anonymized_telemetry=False, allow_reset=False,
        )  # fmt: skip
        self._client = chromadb.PersistentClient(folder, settings=settings)

    def tables(self) -> list[Table]:
        models = dict.fromkeys((about[MODEL], about[DIMENSION]) for about in self._abouts())
        return [self.table(str(model), int(dimension)) for model, dimension in models]

    def table(self, model: str, dimension: int) -> Table:
        return ChromaTable(self._client, model, dimension)

    def _abouts(self) -> list[dict[str, Any]]:
        found = [each.metadata or {} for each in self._client.list_collections()]
        return [about for about in found if {MODEL, DIMENSION, SHELF} <= about.keys()]

    def close(self) -> None:
        self._client.close()


class ChromaTable:
    """The passages of one model: a collection for each shelf, since Chroma is slow where it has to filter."""

    def __init__(self, client: Any, model: str, dimension: int) -> None:
        self.model = model
        self.dimension = dimension
        self._client = client
        self._most = int(client.get_max_batch_size())
        self._name = name_of(model, dimension)
        self._collections = {
            (each.metadata or {}).get(SHELF): self._client.get_collection(each.name, embedding_function=None)
            for each in client.list_collections()
            if each.name.startswith(self._name)
        }

    def put(self, rows: Sequence[Copied]) -> None:
        shelves: dict[str, list[Copied]] = {}
        for row in rows:
            shelves.setdefault(row.shelf, []).append(row)
        for shelf, ours in shelves.items():
            for start in range(0, len(ours), self._most):
                self._put(self._made(shelf), ours[start : start + self._most])

    def _put(self, collection: Any, rows: Sequence[Copied]) -> None:
        import numpy as np

        collection.upsert(
            ids=[str(row.item) for row in rows],
            embeddings=np.frombuffer(b"".join(row.vector for row in rows), "<f4").reshape(-1, self.dimension),
            documents=[row.text for row in rows],
            metadatas=[_about(row) for row in rows],
        )

    def _made(self, shelf: str) -> Any:
        if shelf not in self._collections:
            name = f"{self._name}-{hashlib.sha256(shelf.encode()).hexdigest()[:32]}"
            about = {MODEL: self.model, DIMENSION: self.dimension, SHELF: shelf}
            self._collections[shelf] = self._client.get_or_create_collection(
                name, metadata=about, configuration={"hnsw": WIDE}, embedding_function=None
            )
        return self._collections[shelf]

    def drop(self, items: Mapping[int, str]) -> None:
        for shelf, collection in self._collections.items():
            ours = [str(item) for item, on in items.items() if on == shelf]
            for start in range(0, len(ours), self._most):
                collection.delete(ids=ours[start : start + self._most])

    def cut(self, number: int) -> None:
        """Nothing is there twice: what is put again takes the place of what is there."""

    def near(self, query: bytes, count: int, shelves: Sequence[str], among: Sequence[int] | None) -> list[int]:
        found: list[tuple[float, int]] = []
        for collection in (self._collections[shelf] for shelf in shelves if shelf in self._collections):
            if among is None:
                found += self._ask(collection, query, count, None)
                continue
            for start in range(0, len(among), AT_ONCE):
                some = {"item": {"$in": list(among[start : start + AT_ONCE])}}
                found += self._ask(collection, query, count, some)
        return [item for _, item in sorted(found)[:count]]

    def _ask(self, collection: Any, query: bytes, count: int, where: Any) -> list[tuple[float, int]]:
        import numpy as np

        vector = np.frombuffer(query, "<f4")
        answer = collection.query(query_embeddings=[vector], n_results=count, where=where, include=["distances"])
        return [(far, int(item)) for item, far in zip(answer["ids"][0], answer["distances"][0], strict=True)]

    def size(self) -> int:
        return sum(collection.count() for collection in self._collections.values())

    def tidy(self) -> None:
        """Chroma does so by itself."""


def _about(row: Copied) -> dict[str, Any]:
    """What is told of a passage beside its text; Chroma takes no empty lists."""
    about = {"item": row.item, "shelf": row.shelf, "note": row.note, "part": row.part, "place": row.place}
    return {**about, "created": row.created, **({"tags": list(row.tags)} if row.tags else {})}


def _errors() -> tuple[type[Exception], ...]:
    from chromadb.errors import ChromaError

    return (ChromaError, OSError, ValueError, RuntimeError, LookupError, AttributeError)


class ChromaDatabase(MirroredDatabase):
    """SQLite, with the passages also in Chroma."""

    kind = Kind("chroma", "Chroma", ChromaEngine, _errors, shared=False)
    package = "chromadb"
