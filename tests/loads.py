"""What tests of loading share: a folder, readers, an embedder that can fail, and what must hold of what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memagent.embeddings import packed
from memagent.errors import EmbeddingError
from memagent.loading import Tally
from memagent.loading.load import Load, Order
from memagent.memory.passages import PassageStore
from memagent.memory.sources import Sources
from memagent.sources import Document, Part, Unreadable
from memagent.sources.chunk import TOKENS
from memagent.sources.directory import Directory
from memagent.storage.sqlite import SqliteDatabase

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
OWNER = "me"


@dataclass
class Letters:
    """An embedder that counts letters, and what it was asked. It fails at texts in which `away_at` stands."""

    model: str = "letters"
    dimension: int = 4
    away_at: str = ""
    asked: list[str] = field(default_factory=list)

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        if self.away_at and any(self.away_at in text for text in texts):
            raise EmbeddingError("The embedding service is away.")
        self.asked += texts
        return [packed([1 + text.count(letter) for letter in "aeio"]) for text in texts]


@dataclass(frozen=True)
class Thing:
    """An item of any kind."""

    place: str
    document: Document | str
    stamp: str = ""
    size: int = 0

    def read(self) -> Document:
        if isinstance(self.document, str):
            raise Unreadable(self.document)
        return self.document


@dataclass
class Things:
    """A reader of what it is given."""

    things: Sequence[Thing]
    kind: str = "things"
    about: str = "a box"
    ends_with: BaseException | None = None

    def items(self) -> Any:
        yield from self.things
        if self.ends_with:
            raise self.ends_with

    def close(self) -> None:
        pass


def document(*texts: str, **more: Any) -> Document:
    return Document("A title", tuple(Part(text) for text in texts), **more)


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def load(
    database: SqliteDatabase, reader: Any, embedder: Any = None, *, name: str = "papers", tokens: int = TOKENS,
    remove: bool | None = None, options: dict[str, Any] | None = None,
) -> Tally:  # fmt: skip
    """A whole load; a path stands for the folder there."""
    if isinstance(reader, Path):
        options = {"path": str(reader), **(options or {})}
        reader = Directory(reader)
    order = Order(name, options or {}, tokens, remove)
    tally = Tally()
    for event in Load(database, OWNER, reader, order, embedder=embedder, clock=lambda: NOW).run():
        tally.take(event)
    return tally


def counts(tally: Tally) -> dict[str, int]:
    return {str(outcome): count for outcome, count in sorted(tally.outcomes.items()) if count}


def stored(database: SqliteDatabase, name: str = "papers") -> dict[str, list[str]]:
    """The passages by document; everything that must hold among them is checked."""
    source = Sources(database, OWNER).find(name).id
    rows = database.rows("SELECT id, place, passages, digest FROM documents WHERE source = ? ORDER BY place", source)
    found: dict[str, list[str]] = {}
    for number, place, count, _ in rows:
        passages = database.rows(
            "SELECT part, text, place FROM passages WHERE shelf = ? AND note = ? ORDER BY part", source, number
        )
        assert [part for part, _, _ in passages] == list(range(count)), "the passages are there, whole and once"
        assert all(shown.startswith(place) for _, _, shown in passages)
        found[place] = [text for _, text, _ in passages]
    total = sum(len(texts) for texts in found.values())
    assert database.rows("SELECT count(*) FROM passages WHERE shelf = ?", source) == [(total,)], "and no others"
    holders = [digest for _, _, count, digest in rows if count]
    assert len(set(holders)) == len(holders), "the same content is there once"
    assert {digest for _, _, count, digest in rows if digest} == set(holders), "and is not lost with one of its copies"
    assert database.check() == []
    return found


def all_embedded(database: SqliteDatabase, embedder: Any, name: str = "papers") -> bool:
    store = PassageStore(database, Sources(database, OWNER).find(name).id, embedder)
    return store.waiting is not None and store.waiting.coverage().waiting == 0 and store.size() > 0
