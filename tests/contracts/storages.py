"""Databases of every kind of storage for the contract suite, opened as settings name them, and what is put there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4
from zlib import crc32

import pytest

from memagent import config
from memagent.embeddings import packed
from memagent.memory.passages import Passage, PassageStore
from memagent.memory.sources import Sources
from memagent.roster import Roster
from memagent.storage import Database
from memagent.storage.opening import opened

NOW = datetime(2026, 5, 31, 12, 0, tzinfo=UTC)
DIMENSION = 16
NEEDED = {"lancedb": "lancedb", "chroma": "chromadb"}
"""What must be installed for a storage, where it is not part of memagent."""


class Topics:
    """An embedder for which texts are alike when they share words."""

    def __init__(self, model: str = "topics", dimension: int = DIMENSION) -> None:
        self.model = model
        self.dimension = dimension

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        return [packed(self._counts(text.lower().split())) for text in texts]

    def _counts(self, words: Sequence[str]) -> list[float]:
        counts = [0.0] * self.dimension
        for word in words:
            counts[crc32(word.encode(errors="replace")) % self.dimension] += 1.0
        return counts


def axis(*numbers: float, dimension: int = DIMENSION) -> bytes:
    """A vector that begins with these numbers."""
    return packed([*numbers, *[0.0] * (dimension - len(numbers))])


@dataclass(frozen=True)
class Place:
    """Where a database of one kind of storage is: what it takes to open it, also from another process."""

    storage: str
    home: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The variables under which memagent uses it."""
        ours = {"MEMAGENT_HOME": str(self.home), "MEMAGENT_STORAGE": self.storage, "MEMAGENT_PROVIDER": "scripted"}
        return {**ours, "MEMAGENT_EMBEDDER": "off", "MEMAGENT_VERIFY_FIRST": "false", **self.variables}

    @property
    def settings(self) -> config.Settings:
        return config.load({}, environ=self.environment, cwd=self.home)

    def open(self) -> Database:
        return opened(self.settings)

    @contextmanager
    def opened(self) -> Iterator[Database]:
        """The database, opened once more: what another program sees of it."""
        database = self.open()
        try:
            yield database
        finally:
            database.close()

    def start(self, code: str, *words: str) -> subprocess.Popen[str]:
        """Run code in a process of its own; it finds the open `database`, and is told some words."""
        begin = "import sys\nfrom memagent import config\nfrom memagent.storage.opening import opened\n"
        whole = f"{begin}database = opened(config.load({{}}))\nwords = sys.argv[1:]\n{code}\ndatabase.close()\n"
        environment = {**os.environ, **self.environment, "PYTHONPATH": str(Path(__file__).parent)}
        return subprocess.Popen(
            [sys.executable, "-c", whole, *words], env=environment, cwd=self.home, text=True, stdout=subprocess.PIPE
        )


def new_place(storage: str, home: Path) -> Place:
    """A place for a new database; the test is skipped where this kind of storage can't be tried."""
    home.mkdir(parents=True, exist_ok=True)
    if storage in NEEDED and not find_spec(NEEDED[storage]):
        pytest.skip(f"{NEEDED[storage]} is not installed; it comes with: pip install -e '.[dev-storages]'")
    variables = {}
    if storage == "postgres":
        import postgres_server  # where the processes that tests start need not find it

        variables["MEMAGENT_DATABASE"] = postgres_server.new_database()
    return Place(storage, home, variables)


def new_agent(database: Database, owner: str = "me", name: str = "") -> str:
    """An agent that has nothing; returns its id."""
    with database.write() as tx:
        return Roster(database, owner).make(tx, name or f"agent-{uuid4().hex[:12]}", {}, "", NOW)


def new_source(database: Database, owner: str = "me", name: str = "") -> str:
    """A source without documents; returns its id."""
    with database.write() as tx:
        return Sources(database, owner).make(tx, name or f"source-{uuid4().hex[:12]}", "directory", "/papers", NOW)


def say(database: Database, agent: str, *texts: str, role: str = "user", first: datetime = NOW) -> None:
    """Store messages after those that are there, a minute between each."""
    with database.write() as tx:
        last = tx.rows("SELECT max(seq) FROM messages WHERE agent = ?", agent)[0][0] or 0
        for seq, text in enumerate(texts, last + 1):
            tx.add(
                "INSERT INTO messages (agent, seq, turn, role, kind, content, said, created) "
                "VALUES (?, ?, 1, ?, 'user', ?, ?, ?)",
                agent, seq, role, text, text, (first + timedelta(minutes=seq)).isoformat(),
            )  # fmt: skip


def passage(text: str, note: int = 1, part: int = 0, **more: Any) -> Passage:
    return Passage(note, part, text, more.pop("created", NOW), **more)


def keep(store: PassageStore, *texts: str, first: int = 1, turn: int | None = None, **more: Any) -> list[int]:
    """Keep each text as a note of its own, with its vector; returns the numbers of the passages."""
    passages = [passage(text, note, turn=turn, **more) for note, text in enumerate(texts, first)]
    with store.database.write() as tx:
        return store.insert_many(tx, passages, store.vectors_of(texts))


def contents(database: Database, table: str, shelf: str) -> list[Any]:
    """All rows of an agent or source in a table, to be compared."""
    column = "shelf" if table.startswith("passages") or table == "messages_vectors" else "agent"
    rows = database.rows(f"SELECT * FROM {table} WHERE {column} = ?", shelf)
    return sorted(json.dumps([bytes(v).hex() if isinstance(v, bytes | memoryview) else v for v in row]) for row in rows)
