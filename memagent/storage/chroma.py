"""The storage `chroma`: a copy of the passages in a Chroma collection, which other tools can open too.

Chroma runs in this process, on files: its server is never started, nothing is told to its makers, and it is given
vectors only, since its own embedder would download a model. It is not made for several processes at once, so the first
one has it. Each model has its own collection. Knows nothing of how the copy is kept up to date.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from memagent.storage.mirror import Copied, Kind, Table, name_of
from memagent.storage.mirrored import MirroredDatabase

AT_ONCE = 10_000
"""So many items can be named in one question; Chroma's database takes no more than 32,766 values."""
WIDE = {"space": "ip", "ef_construction": 200, "ef_search": 200}
"""How thoroughly Chroma looks; what it tells is checked against the database anyway."""


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
        found = [each for each in self._client.list_collections() if each.name.startswith("passages-")]
        return [ChromaTable(self._opened(each.name), self._most) for each in found]

    def table(self, model: str, dimension: int) -> Table:
        about = {"memagent.model": model, "memagent.dimension": dimension}
        collection = self._client.get_or_create_collection(
            name_of(model, dimension), metadata=about, configuration={"hnsw": WIDE}, embedding_function=None
        )
        return ChromaTable(collection, self._most)

    @property
    def _most(self) -> int:
        return int(self._client.get_max_batch_size())

    def _opened(self, name: str) -> Any:
        return self._client.get_collection(name, embedding_function=None)

    def close(self) -> None:
        self._client.close()


class ChromaTable:
    """The passages of one model. `most` is how many Chroma takes at once."""

    def __init__(self, collection: Any, most: int) -> None:
        self._collection = collection
        self._most = most
        about = collection.metadata or {}
        self.model = str(about["memagent.model"])
        self.dimension = int(about["memagent.dimension"])

    def put(self, rows: Sequence[Copied]) -> None:
        import numpy as np

        for start in range(0, len(rows), self._most):
            some = rows[start : start + self._most]
            vectors = np.frombuffer(b"".join(row.vector for row in some), "<f4").reshape(-1, self.dimension)
            self._collection.upsert(
                ids=[str(row.item) for row in some],
                embeddings=vectors,
                documents=[row.text for row in some],
                metadatas=[_about(row) for row in some],
            )

    def drop(self, items: Sequence[int]) -> None:
        for start in range(0, len(items), self._most):
            self._collection.delete(ids=[str(item) for item in items[start : start + self._most]])

    def cut(self, number: int) -> None:
        """Nothing is there twice: what is put again takes the place of what is there."""

    def near(self, query: bytes, count: int, shelves: Sequence[str], among: Sequence[int] | None) -> list[int]:
        import numpy as np

        vector = np.frombuffer(query, "<f4")
        ours = {"shelf": {"$in": list(shelves)}}
        if among is None:
            return [item for item, _ in self._ask(vector, count, ours)]
        found: list[tuple[int, float]] = []
        for start in range(0, len(among), AT_ONCE):
            some = {"item": {"$in": list(among[start : start + AT_ONCE])}}
            found += self._ask(vector, count, {"$and": [ours, some]})
        return [item for item, _ in sorted(found, key=lambda each: each[1])][:count]

    def _ask(self, vector: Any, count: int, where: Any) -> list[tuple[int, float]]:
        answer = self._collection.query(query_embeddings=[vector], n_results=count, where=where, include=["distances"])
        return [(int(item), far) for item, far in zip(answer["ids"][0], answer["distances"][0], strict=True)]

    def size(self) -> int:
        return int(self._collection.count())

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
