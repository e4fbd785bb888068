"""A source with some texts in it, attached to an agent: read, cut and stored by the real parts."""

from collections.abc import Mapping
from datetime import UTC, datetime

from memagent.embeddings import Embedder
from memagent.memory.passages import Passage, PassageStore
from memagent.memory.sources import Sources
from memagent.sources.chunk import TOKENS, passages_of
from memagent.sources.formats import format_of, kind_of
from memagent.storage import Database

NOW = datetime(2026, 5, 31, 12, tzinfo=UTC)


def attach_texts(
    database: Database, agent: str, name: str, texts: Mapping[str, str], *,
    owner: str = "me", embedder: Embedder | None = None, tokens: int = TOKENS,
) -> str:  # fmt: skip
    """Load texts by their file names as one source, and attach it; returns the source's id."""
    sources = Sources(database, owner)
    with database.write() as tx:
        source = sources.make(tx, name, "directory", f"./{name}", NOW)
    store = PassageStore(database, source, embedder)
    for place, text in texts.items():
        found = passages_of(format_of(kind_of(place, b""))(text.encode(), place), place, tokens)
        vectors = store.vectors_of([passage.text for passage in found])
        with database.write() as tx:
            document = tx.add(
                "INSERT INTO documents (source, place, stamp, digest, title, passages, loaded) "
                "VALUES (?, ?, '', '', ?, ?, ?)",
                source, place, place, len(found), NOW.isoformat(),
            )  # fmt: skip
            parts = [Passage(document, n, each.text, NOW, place=each.place) for n, each in enumerate(found)]
            store.insert_many(tx, parts, vectors)
    with database.write() as tx:
        assert sources.attach(tx, source, agent, NOW)
    return source
