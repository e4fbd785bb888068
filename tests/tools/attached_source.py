"""A source with some texts in it, attached to an agent: read, cut, stored and attached by the real parts."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from memagent.embeddings import Embedder
from memagent.loading.load import Load, Order
from memagent.memory.sources import Sources
from memagent.sources.chunk import TOKENS
from memagent.sources.directory import Directory
from memagent.storage import Database

NOW = datetime(2026, 5, 31, 12, tzinfo=UTC)


def attach_texts(
    database: Database, agent: str, name: str, texts: Mapping[str, str], *,
    owner: str = "me", embedder: Embedder | None = None, tokens: int = TOKENS,
) -> None:  # fmt: skip
    """Load texts by their file names as one source, and attach it."""
    with TemporaryDirectory() as folder:
        for place, text in texts.items():
            Path(folder, place).write_text(text, "utf-8")
        order = Order(name, {}, tokens)
        list(Load(database, owner, Directory(Path(folder)), order, embedder=embedder, clock=lambda: NOW).run())
    sources = Sources(database, owner)
    with database.write() as tx:
        assert sources.attach(tx, sources.find(name).id, agent, NOW)
